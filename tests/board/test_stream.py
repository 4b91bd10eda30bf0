"""stream(): order, double buffering, back-pressure, times, and a clean end however it ends."""

import gc
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from limits import BATCH_SIZE
from tiny_networks import affine

import pynq_qsnn
from pynq_qsnn.compiler import compile_network
from pynq_qsnn.emulator import open_board
from pynq_qsnn.errors import ConfigError, DeviceError, DeviceTimeout, DmaError, FrameError
from pynq_qsnn.network import Conv2d, Flatten, Head, Network, Pool, TensorType
from pynq_qsnn.neuron import Neuron
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.csim import KernelSimulation
from pynq_qsnn.runtime.driver import QsnnOverlay


def take(stream, number: int) -> list:
    return [next(stream) for _ in range(number)]


def source_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "frame-source"]


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    for thread in source_threads():
        thread.join(2)
    assert not source_threads()


class PacedSource:
    """Gives the frames one by one, each after ``ready(index)`` has become true."""

    def __init__(self, frames, ready):
        self.frames, self.ready, self.asked, self.closed = frames, ready, 0, False

    def __iter__(self):
        for index, frame in enumerate(self.frames):
            self.asked = index + 1
            end = time.monotonic() + 5
            while not self.ready(index) and not self.closed and time.monotonic() < end:
                time.sleep(1e-3)
            yield frame

    def close(self):
        self.closed = True


def test_one_result_a_frame_in_order(overlay, frames, logits):
    results = list(overlay.stream(frames))
    assert [r.index for r in results] == list(range(len(frames)))
    assert np.array_equal(np.stack([r.logits for r in results]), logits)
    assert [r.label for r in results] == logits.argmax(axis=1).tolist()
    assert all(np.array_equal(r.frame, frame) for r, frame in zip(results, frames))
    assert list(overlay.stream([])) == []


def test_times_of_a_frame(overlay, frames):
    before = overlay.monotonic()
    results = list(overlay.stream(frames))
    for r in results:
        assert before <= r.arrived_s <= r.started_s < r.finished_s <= overlay.monotonic()
        assert r.latency_s == r.finished_s - r.arrived_s
    starts = sorted({r.started_s for r in results})
    ends = sorted({r.finished_s for r in results})
    assert all(end <= start for end, start in zip(ends, starts[1:]))  # one batch at a time in the PL
    assert all(0 < r.kernel_s <= r.finished_s - r.started_s for r in results)


def test_a_source_may_reuse_its_array(overlay, frames, logits):
    def source():
        frame = np.empty_like(frames[0])
        for pixels in frames:
            frame[:] = pixels
            yield frame
            frame[:] = 0

    assert np.array_equal(np.stack([r.logits for r in overlay.stream(source())]), logits)


def test_full_batches_while_the_kernel_works(overlay, frames, logits):
    many = np.concatenate([frames] * 8)
    with overlay.stream(many, queue_frames=len(many)) as stream:
        results = list(stream)
    report = stream.report()
    assert np.array_equal(np.stack([r.logits for r in results]), np.concatenate([logits] * 8))
    assert report.frames == len(many)
    # only while the source gets going, and at the end, may a batch be smaller
    assert report.batches <= -(-len(many) // BATCH_SIZE) + 3


class SlowSimulation:
    """The kernel's simulation, taking at least ``seconds`` of the host's time a call."""

    def __init__(self, simulation, seconds: float):
        self._simulation, self._seconds = simulation, seconds

    def __getattr__(self, name):
        return getattr(self._simulation, name)

    def start(self, *arguments):
        time.sleep(self._seconds)
        return self._simulation.start(*arguments)


@pytest.fixture
def slow_board(library):
    with open_board(make_simulation=lambda: SlowSimulation(KernelSimulation(library=library), 0.1)) as opened:
        yield opened


@pytest.mark.parametrize("queue_frames", [None, 1, 2])
def test_next_batch_is_prepared_while_the_kernel_runs(slow_board, program, frames, monkeypatch, queue_frames):
    with QsnnOverlay(batch_size=BATCH_SIZE) as overlay:
        overlay.load_model(program)
        running, pack = [], overlay.pack

        def watched(batch):
            running.append(slow_board.board.kernel.running)
            return pack(batch)

        monkeypatch.setattr(overlay, "pack", watched)
        list(overlay.stream(frames, queue_frames))
    assert running[0] is False and all(running[1:]), running


def test_packing_that_takes_longer_than_the_kernel_counts(slow_board, program, frames, monkeypatch):
    """It runs while the host simulates, and still must not come for nothing."""
    with QsnnOverlay(batch_size=BATCH_SIZE) as overlay:
        overlay.load_model(program)
        pack = overlay.pack

        def slow(batch):
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass
            return pack(batch)

        monkeypatch.setattr(overlay, "pack", slow)
        with overlay.stream(np.concatenate([frames] * 2), queue_frames=22) as stream:
            list(stream)
        report = stream.report()
    assert report.seconds >= 0.02 * (report.batches - 1)
    assert report.busy < 0.1


def test_a_slow_source_gets_each_result_at_once(overlay, frames, logits):
    """The next frame comes only after the result of the one before was seen."""
    seen = []
    source = PacedSource(frames[:5], lambda index: len(seen) >= index)
    for result in overlay.stream(source):
        seen.append(result)
    assert not any(late.arrived_s < early.finished_s for early, late in zip(seen, seen[1:]))
    assert np.array_equal(np.stack([r.logits for r in seen]), logits[:5])


@pytest.mark.parametrize("queue_frames", [1, 3, 8])
def test_back_pressure(overlay, frames, queue_frames):
    source = PacedSource(np.concatenate([frames] * 9), lambda index: True)
    with overlay.stream(source, queue_frames) as stream:
        for number in range(1, 6):
            next(stream)
            time.sleep(0.02)  # a slow consumer: the source must not run ahead
            in_flight = 2 * BATCH_SIZE  # in the PL, and finished but not looked at
            assert source.asked <= number + in_flight + queue_frames + 1


@pytest.mark.parametrize("value", [0, -1, 1.5, "4"])
def test_queue_size_refused(overlay, frames, logits, value):
    stream = overlay.stream(frames)
    first = next(stream)
    with pytest.raises(ConfigError, match="queue_frames"):
        overlay.stream(frames, value)
    assert np.array_equal([first.logits, *(r.logits for r in stream)], logits)  # the open one goes on


def test_closing_early(overlay, frames, check_right):
    source = PacedSource(np.concatenate([frames] * 9), lambda index: True)
    stream = overlay.stream(source)
    next(stream)
    stream.close()
    stream.close()
    assert source.closed and overlay._runner.running is None
    assert list(stream) == []
    check_right()


def test_leaving_a_loop_ends_the_stream_without_the_garbage_collector(overlay, frames, check_right):
    source = PacedSource(np.concatenate([frames] * 9), lambda index: True)
    gc.disable()
    try:
        for _ in overlay.stream(source):
            break
        assert source.closed and not source_threads() and overlay._runner.running is None
    finally:
        gc.enable()
    check_right()


def test_report_survives_the_end(overlay, frames):
    with overlay.stream(frames) as stream:
        nothing = stream.report()
        assert (nothing.frames, nothing.fps, nothing.busy, nothing.latency_ms_p50) == (0, None, None, None)
        take(stream, 5)
    report = stream.report()
    assert 5 <= report.frames <= len(frames) and report.method == "emulated (cycle model)"
    assert report.fps == pytest.approx(report.frames / report.seconds)
    assert report.busy == pytest.approx(report.fps / report.kernel_fps) and 0 < report.busy <= 1
    assert 0 < report.latency_ms_p50 <= report.latency_ms_p90 <= report.latency_ms_p99


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_source_raises(overlay, board, frames, logits, check_right, error):
    def source():
        yield from frames[:5]
        raise error("source")

    results = []
    with pytest.raises(error, match="source"):
        for result in overlay.stream(source()):
            results.append(result.logits)
    assert np.array_equal(np.stack(results), logits[:5])  # nothing before it is lost
    assert overlay._runner.running is None and board.loads == 1
    check_right()


def test_close_of_the_source_raises(overlay, frames):
    class Broken(PacedSource):
        def close(self):
            raise OSError("camera gone")

    with pytest.raises(OSError, match="camera gone"):
        list(overlay.stream(Broken(frames[:3], lambda index: True)))


@pytest.mark.parametrize("wrong", ["shape", "dtype", "list", "batch"])
def test_wrong_frame_in_the_middle(overlay, frames, logits, check_right, wrong):
    bad = {"shape": frames[0, :1], "dtype": frames[0].astype(int), "list": [1, 2], "batch": frames[:2]}[wrong]
    results = []
    with pytest.raises(FrameError):
        for result in overlay.stream([*frames[:3], bad, *frames[3:5]]):
            results.append(result.logits)
    assert np.array_equal(np.stack(results), logits[:3])
    check_right()


def test_consumer_raises(overlay, frames, check_right):
    with pytest.raises(ZeroDivisionError), overlay.stream(frames) as stream:
        for _ in stream:
            raise ZeroDivisionError
    check_right()


def test_kernel_hangs_in_the_middle(overlay, board, frames, logits, check_right):
    results = []
    with pytest.raises(DeviceTimeout):
        for result in overlay.stream(frames):
            if not results:
                board.faults.kernel_hangs = 1
            results.append(result.logits)
    assert np.array_equal(np.stack(results), logits[: len(results)])
    check_right()


def test_hung_kernel_and_a_source_that_waits(overlay, board, frames, check_right):
    """The deadline holds although no next batch comes that would wait for the one before."""
    board.faults.kernel_hangs = 1
    source = PacedSource(frames, lambda index: index == 0)
    begin = time.monotonic()
    with pytest.raises(DeviceTimeout):
        next(overlay.stream(source))
    assert time.monotonic() - begin < 3
    source.close()
    check_right()


def test_dma_error_in_the_middle(overlay, board, frames, check_right):
    address = overlay._model.slots[1].frames.physical_address
    stream = overlay.stream(np.concatenate([frames] * 3))
    next(stream)
    board.faults.dma_slave_error = address
    with pytest.raises(DmaError):
        list(stream)
    board.faults.dma_slave_error = None
    check_right()


def test_a_batch_that_does_not_start_loses_none_before_it(overlay, monkeypatch, frames, logits, check_right):
    sends, send = [], overlay._runner.stream.send

    def third_fails(*arguments):
        sends.append(arguments)
        if len(sends) == 3:
            raise DmaError("injected")
        send(*arguments)

    monkeypatch.setattr(overlay._runner.stream, "send", third_fails)
    results = []
    with pytest.raises(DmaError, match="injected"):
        for result in overlay.stream(frames):
            results.append(result.logits)
    finished = sum(arguments[1] for arguments in sends[:2]) // (16 * overlay.program.frame_beats)
    assert len(results) == finished >= 2 and np.array_equal(np.stack(results), logits[:finished])
    check_right()


def test_another_call_ends_the_stream(overlay, frames, logits):
    stream = overlay.stream(frames)
    next(stream)
    assert np.array_equal(overlay.execute(frames[5:]), logits[5:])
    with pytest.raises(DeviceError, match="another call"):
        list(stream)


@pytest.mark.parametrize("name", ["wait", "read_logits", "time_log", "layer_cycles"])
def test_looking_at_the_batch_that_runs_loses_nothing(overlay, frames, logits, name):
    results = []
    for result in overlay.stream(frames):
        results.append(result.logits)
        getattr(overlay, name)()
    assert np.array_equal(np.stack(results), logits)


def test_batch_that_failed_in_another_call_ends_the_stream(overlay, board, frames, check_right):
    stream = overlay.stream(np.concatenate([frames] * 2))
    board.faults.kernel_hangs = 1
    overlay.timeout_s = 0.1
    with pytest.raises(DeviceError):
        for _ in stream:
            overlay.wait()
    check_right()


def test_closing_the_overlay_ends_the_stream(overlay, frames):
    stream = overlay.stream(frames)
    next(stream)
    overlay.close()
    with pytest.raises(DeviceError):
        list(stream)


def test_forgotten_stream_does_not_disturb_a_later_call(overlay, frames, logits):
    forgotten = overlay.stream(frames)
    next(forgotten)
    overlay.write_packed(overlay.pack(frames[:2]))
    overlay.execute_on_buffers(asynch=True)
    forgotten.close()
    assert np.array_equal(overlay.read_logits(), logits[:2])


def test_source_that_blocks_is_left_behind(overlay, frames, check_right):
    """A camera that gives nothing more must not keep the overlay from ending."""
    release = threading.Event()

    def source():
        yield frames[0]
        release.wait(10)

    with overlay.stream(source()) as stream:
        next(stream)
        begin = time.monotonic()
    assert time.monotonic() - begin < 2.5
    check_right()
    release.set()


def test_keeps_the_kernel_busy(board):
    """At least 95 % of the kernel's own rate for frames of 1 ms and more, from the first start to the last end.

    A slow clock makes small frames long. What other processes take of this computer's time can only lower the figure.
    """
    rng = np.random.default_rng(5)
    shallow, deep, head = (rng.integers(-7, 8, shape, np.int8) for shape in ((32, 3, 3, 3), (32, 32, 3, 3), (5, 288)))
    layers = (
        Conv2d("shallow", "input", shallow, 4, Neuron(affine(32, 900), s_max=3), 2, padding=1),
        Conv2d("deep", "shallow", deep, 4, Neuron(affine(32, 90), s_max=3), 2, padding=1),
        Pool("pool", "deep", "maximum", 4, 4),
        Flatten("flat", "pool"),
        Head("head", "flat", head, 4, affine(5, 700)),
    )
    network = Network("frames of a millisecond", TensorType((3, 12, 12), 8, 1, 255), 4, layers)
    frames = rng.integers(0, 256, (160, 3, 12, 12), np.uint8)
    with QsnnOverlay(fclk_mhz=2.5) as overlay:
        overlay.load_model(compile_network(network))
        for _ in range(5):
            with overlay.stream(frames) as stream:
                logits = np.stack([result.logits for result in stream])
            report = stream.report()
            if report.busy >= 0.95:
                break
    assert report.kernel_fps <= 1000, "not a frame of 1 ms"
    assert 0.95 <= report.busy < 1, report
    assert np.array_equal(logits, Reference().load(network).run(frames))


def test_ctrl_c_in_a_script():
    """Ctrl-C while the kernel works: the interpreter ends at once, the buffers were freed before."""
    code = """
        from itertools import repeat
        import numpy as np
        from tiny_networks import image_network
        from pynq_qsnn.compiler import compile_network
        from pynq_qsnn.emulator import open_board
        from pynq_qsnn.runtime.driver import QsnnOverlay

        with open_board() as emulated:
            try:
                with QsnnOverlay() as overlay:
                    overlay.load_model(compile_network(image_network()))
                    for result in overlay.stream(repeat(np.zeros((3, 6, 7), np.uint8))):  # never ends
                        if result.index == 5:
                            print("running", flush=True)
            finally:
                print("bytes left allocated:", emulated.board.cma.used_bytes, flush=True)
                print("bitstream loads:", emulated.board.loads, flush=True)
    """
    here = Path(__file__).parent
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(here)!r})\n" + textwrap.dedent(code)]
    root = Path(pynq_qsnn.__file__).parents[1]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)
    try:
        assert process.stdout.readline().strip() == "running", process.stderr.read()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert output.splitlines() == ["bytes left allocated: 0", "bitstream loads: 1"]  # the batch was waited for
    assert "KeyboardInterrupt" in errors and process.returncode not in (0, -signal.SIGSEGV)
