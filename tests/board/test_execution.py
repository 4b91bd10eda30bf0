"""Right results: every network, batch size and way to call the overlay equals the reference, bit for bit."""

import numpy as np
import pytest
from limits import BATCH_SIZE
from random_networks import Limits, random_frames, random_network
from tiny_networks import event_network, image_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import ConfigError, DeviceError, FrameError, ModelFileError
from pynq_qsnn.hwspec import load_config
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.driver import EMULATED, QsnnOverlay


@pytest.mark.parametrize("count", [1, BATCH_SIZE - 1, BATCH_SIZE, BATCH_SIZE + 1, 11])
def test_any_number_of_frames(overlay, frames, logits, count):
    result = overlay.execute(frames[:count])
    assert result.dtype == np.int32 and np.array_equal(result, logits[:count])
    assert np.array_equal(overlay.predict(frames[:count]), logits[:count].argmax(axis=1))


def test_random_networks_one_after_the_other(overlay):
    """Loading another model frees the former one and leaves nothing of it behind."""
    rng = np.random.default_rng(5)
    for _ in range(4):
        network = random_network(rng, Limits(max_layers=3, max_channels=33, max_size=6, max_steps=3))
        frames = random_frames(rng, network, 5)
        overlay.load_model(compile_network(network))
        assert np.array_equal(overlay.execute(frames), Reference().load(network).run(frames))


def test_event_frames_and_back(overlay, check_right):
    network = event_network()
    frames = np.random.default_rng(2).integers(0, 2, (6, 3, 2, 5, 5), np.uint8)
    model = overlay.program
    overlay.load_model(compile_network(network))
    assert np.array_equal(overlay.execute(frames), Reference().load(network).run(frames))
    overlay.load_model(model)
    check_right()


def test_program_file(overlay, program, check_right, tmp_path):
    path = tmp_path / "tiny.qprog"
    program.save(path)
    overlay.load_model(path)
    overlay.load_model(str(path))
    check_right()


def test_network_file_is_refused_with_the_remedy(overlay, network, check_right, tmp_path):
    path = tmp_path / "tiny.qsnn"
    network.save(path)
    with pytest.raises(ModelFileError, match="pynq-qsnn compile"):
        overlay.load_model(path)
    with pytest.raises(ModelFileError, match="not Network"):
        overlay.load_model(network)
    check_right()


def test_buffers_in_steps(overlay, frames, logits):
    overlay.write_packed(overlay.pack(frames[:3]))
    overlay.execute_on_buffers()
    assert np.array_equal(overlay.read_logits(), logits[:3])
    overlay.write_packed(overlay.pack(frames[3:7]))
    overlay.execute_on_buffers(asynch=True)
    overlay.wait_until_finished()
    overlay.wait()  # nothing runs: returns at once
    assert np.array_equal(overlay.read_logits(), logits[3:7])
    with pytest.raises(ConfigError, match="batch_size"):
        overlay.write_packed(overlay.pack(frames[: BATCH_SIZE + 1]))


def test_new_frames_have_no_results_before_they_ran(overlay, frames):
    overlay.execute(frames[:1])
    overlay.write_packed(overlay.pack(frames[1:4]))
    for read in (overlay.read_logits, overlay.time_log, overlay.layer_cycles):
        with pytest.raises(ConfigError, match="no batch has finished"):
            read()


def test_asynchronous_call_returns_while_the_kernel_runs(overlay, board, frames, logits):
    overlay.write_packed(overlay.pack(frames[:2]))
    board.faults.dma_stall = "mm2s"  # the kernel waits for frames
    overlay.execute_on_buffers(asynch=True)
    assert board.kernel.running
    board.faults.dma_stall = None
    with board.lock:
        board.kernel.notify()
    assert np.array_equal(overlay.read_logits(), logits[:2])


def test_batch_size_can_change(overlay, check_right):
    for size in (1, 7, 64):
        overlay.batch_size = size
        assert overlay.batch_size == size
        check_right()
    for wrong in (0, -1, 2.5):
        with pytest.raises(ConfigError, match="batch_size"):
            overlay.batch_size = wrong


def test_nothing_loaded_or_run_yet(emulated, frames):
    with QsnnOverlay() as overlay:
        with pytest.raises(ConfigError, match="load_model"):
            overlay.execute(frames)
        with pytest.raises(ConfigError, match="load_model"):
            overlay.execute_on_buffers()
        with pytest.raises(ConfigError, match="no batch has finished"):
            overlay.layer_cycles()
        overlay.load_model(compile_network(image_network()))
        with pytest.raises(ConfigError, match="input buffer is empty"):
            overlay.execute_on_buffers()


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda f: f.astype(np.float32), "float32"),
        (lambda f: f.astype(np.int16), "int16"),
        (lambda f: f.tolist(), "list"),
        (lambda f: f[:, :2], "shape"),
        (lambda f: f[0], "shape"),
        (lambda f: f[..., None], "shape"),
        (lambda f: f[:0], "at least 1"),
    ],
)
def test_wrong_frames(overlay, board, check_right, frames, wrong, message):
    with pytest.raises(FrameError, match=message):
        overlay.execute(wrong(frames))
    assert board.loads == 1
    check_right()


def test_codes_out_of_range(overlay):
    overlay.load_model(compile_network(event_network()))
    with pytest.raises(FrameError, match="codes up to 2"):
        overlay.execute(np.full((1, 3, 2, 5, 5), 2, np.uint8))


def test_figures_say_how_they_came_about(overlay, frames):
    assert overlay.is_emulated and overlay.method == EMULATED == "emulated (cycle model)"
    rows = overlay.throughput_test(frames)
    assert rows["method"] == EMULATED and rows["batch_size"] == BATCH_SIZE
    cycles = sum(row["cycles"] for row in overlay.layer_cycles())
    clock_mhz = load_config().clock_mhz
    assert rows["clock_mhz"] == pytest.approx(clock_mhz, rel=1e-3)
    assert rows["latency_us_p50"] == pytest.approx(cycles / clock_mhz, rel=0.2)
    overlay.execute(frames[:BATCH_SIZE])
    cycles = sum(row["cycles"] for row in overlay.layer_cycles())
    assert rows["fps"] == pytest.approx(clock_mhz * 1e6 / cycles, rel=0.2)
    assert rows["fps"] > 1e6 / rows["latency_us_p50"]  # weights are there, and groups of frames fill the array
    assert set(rows) >= {"pack_ms", "copy_ms", "run_ms", "unpack_ms", "latency_us_p99"}
    assert [row["layer"] for row in overlay.layer_cycles()] == [s.layer for s in overlay.program.steps]
    assert overlay.throughput_test(num_batches=1)["batch_size"] == BATCH_SIZE


def test_slower_clock_changes_times_but_not_cycles(emulated, program, frames):
    figures = {}
    for mhz in (None, 125):
        with QsnnOverlay(fclk_mhz=mhz) as overlay:
            overlay.load_model(program).execute(frames[:1])
            cycles = [row["cycles"] for row in overlay.layer_cycles()]
            figures[mhz] = cycles, overlay.throughput_test(frames[:1])["latency_us_p50"]
    assert figures[None][0] == figures[125][0]
    assert figures[125][1] == pytest.approx(2 * figures[None][1], rel=0.05)


def test_closed_overlay(overlay, frames):
    overlay.close()
    overlay.close()
    with pytest.raises(ConfigError):
        overlay.execute(frames)
    with pytest.raises(DeviceError, match="closed"):
        overlay.load_model(compile_network(image_network()))
