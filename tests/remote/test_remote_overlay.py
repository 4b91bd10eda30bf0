"""The driver on a remote board: the same results, figures and errors as in the same process."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("grpc", reason="PYNQ.remote needs grpc")
pytest.importorskip("pynq.remote", reason="PYNQ.remote came with pynq 3.1")

from pynq import pl_server
from server_process import free_kib, wait_for

from pynq_qsnn.emulator.bitstream import write_overlay
from pynq_qsnn.errors import BoardUnreachable, DeviceError, DeviceMemoryError, DeviceTimeout, DmaError, ModelFileError
from pynq_qsnn.hwspec import load_config
from pynq_qsnn.runtime import deadline, locate, remote
from pynq_qsnn.runtime.driver import EMULATED, QsnnOverlay
from pynq_qsnn.runtime.remote import firmware_name

BATCH_SIZE = 4  # of the fixture "overlay"
ENDS_S = 30  # whatever else the machine does: only "for ever" takes longer


def test_results_equal_the_reference(overlay, frames, logits):
    assert np.array_equal(overlay.execute(frames), logits)
    with overlay.stream(frames) as results:
        assert np.array_equal([result.logits for result in results], logits)
    assert results.report().method == EMULATED


def test_it_is_called_emulated(overlay, frames):
    assert overlay.is_emulated and overlay.method == EMULATED
    assert overlay.throughput_test(frames, 2)["method"] == EMULATED
    assert Path(overlay.bitfile_name).name == "qsnn_kv260_emulated.bit"


def test_cycles_and_clock(overlay, device, program, frames):
    overlay.execute(frames[:BATCH_SIZE])
    cycles = [(row["layer"], row["cycles"]) for row in overlay.layer_cycles()]
    assert overlay.clock_mhz == 250
    with QsnnOverlay(device=device, fclk_mhz=125, batch_size=BATCH_SIZE) as slower:
        slower.load_model(program).execute(frames[:BATCH_SIZE])
        assert slower.clock_mhz == 125
        assert [(row["layer"], row["cycles"]) for row in slower.layer_cycles()] == cycles


def test_board_time_stands_still_while_the_host_simulates(device, program, frames):
    many = np.tile(frames, (300, 1, 1, 1))
    with QsnnOverlay(device=device, batch_size=len(many)) as overlay:
        overlay.load_model(program)
        overlay.write_packed(overlay.pack(many))
        wall_s, _ = _batch_seconds(overlay)
        overlay.timeout_s = wall_s / 4  # passes long before the host has simulated the batch once more
        wall_s, board_s = _batch_seconds(overlay)
        log = overlay.time_log()
        modelled_s = int(log.max() - log.min()) / (overlay.clock_mhz * 1e6)
        assert modelled_s <= board_s < wall_s / 2


def _batch_seconds(overlay) -> tuple[float, float]:
    """Wall and board seconds from the start of the batch in the buffers until its results are there."""
    overlay.execute_on_buffers(asynch=True)
    wall, board = time.monotonic(), overlay.monotonic()
    overlay.wait()
    return time.monotonic() - wall, overlay.monotonic() - board


def test_two_boards_have_a_clock_each(overlay, start, program, frames):
    other = start("second").connect()
    with QsnnOverlay(device=other, fclk_mhz=100):
        assert overlay.clock_mhz == 250
        overlay.download()
        assert overlay.clock_mhz == 250


def test_hung_kernel(overlay, server, frames, logits):
    server.set_faults(kernel_hangs=1)
    start = time.monotonic()
    with pytest.raises(DeviceTimeout, match="kernel busy.*can be used again"):
        overlay.execute(frames)
    assert time.monotonic() - start < ENDS_S
    assert np.array_equal(overlay.execute(frames), logits)


def test_dma_error(overlay, server, frames, logits):
    server.set_faults(dma_slave_error=overlay._model.slots[0].results.physical_address)
    with pytest.raises(DmaError, match="S2MM halted, DMASlvErr"):
        overlay.execute(frames)
    server.set_faults(dma_slave_error=None)
    assert np.array_equal(overlay.execute(frames), logits)


def test_a_file_that_is_no_model(overlay, tmp_path, frames, logits):
    wrong = tmp_path / "wrong.qprog"
    wrong.write_bytes(b"no program")
    with pytest.raises(ModelFileError):
        overlay.load_model(wrong)
    assert np.array_equal(overlay.execute(frames), logits)


def test_a_damaged_program(overlay, program, frames, logits):
    damaged = program.code.copy()
    damaged[1:] = np.random.default_rng(0).integers(0, 256, damaged[1:].shape, np.uint8)
    with pytest.raises(DeviceError, match="status BAD_FIELD"):
        overlay.load_model(replace(program, code=damaged))
    assert np.array_equal(overlay.execute(frames), logits)


def test_exhausted_memory(overlay, device, frames, logits):
    with pytest.raises(DeviceMemoryError, match=r"no contiguous device memory for \w+: \d+ bytes, \d+ bytes left"):
        overlay.batch_size = 80_000
    assert np.array_equal(overlay.execute(frames), logits)


def test_clients_in_sequence(server, program, frames, logits):
    for _ in range(3):
        with QsnnOverlay(device=server.connect(), batch_size=BATCH_SIZE) as overlay:
            assert np.array_equal(overlay.load_model(program).execute(frames), logits)
    assert wait_for(lambda: server.free_kib() == 64 << 10)


def test_a_bitstream_of_the_same_name_but_another_overlay(device, tmp_path):
    config = replace(load_config(), dma_length_bits=20)
    bitfile = write_overlay(tmp_path, config)
    assert bitfile.name == "qsnn_kv260_emulated.bit"
    assert firmware_name(bitfile) != firmware_name(locate.find_bitfile(None, device, load_config()))
    with pytest.raises(DeviceError, match="not the emulated bitstream of overlay 'kv260'.*same release"):
        QsnnOverlay(str(bitfile), device=device)


def test_without_an_overlay_the_registers_are_not_there(start):
    device = start("bare").connect()
    with pytest.raises(DeviceError, match="no slave answers.*is the bitstream loaded"):
        QsnnOverlay(device=device, download=False)


def test_the_server_dies(start, program, frames):
    server = start("mortal")
    overlay = QsnnOverlay(device=server.connect(), batch_size=BATCH_SIZE).load_model(program)
    overlay.write_packed(overlay.pack(frames[:BATCH_SIZE]))
    overlay.execute_on_buffers(asynch=True)
    server.process.kill()
    server.process.wait()
    begin = time.monotonic()
    with pytest.raises(BoardUnreachable, match="connection to the board is lost.*open a new QsnnOverlay"):
        overlay.wait()
    with pytest.raises(BoardUnreachable):
        overlay.execute(frames)
    overlay.close()
    assert time.monotonic() - begin < ENDS_S


def test_the_server_is_started_again(start, program, frames, logits):
    server = start("reborn")
    device = server.connect()
    old = QsnnOverlay(device=device, batch_size=BATCH_SIZE).load_model(program)
    server.stop()
    start("reborn")
    assert wait_for(lambda: _answers(device))  # gRPC tries again after a while
    with pytest.raises(DeviceError, match="not found"):
        old.execute(frames)
    with QsnnOverlay(device=device, batch_size=BATCH_SIZE) as overlay:
        assert np.array_equal(overlay.load_model(program).execute(frames), logits)
        used = free_kib(device)
        old.close()
        old.close()
        assert free_kib(device) == used  # nothing of the new one was freed


def test_an_error_of_one_buffer_keeps_no_other_allocated(device, program):
    overlay = QsnnOverlay(device=device, batch_size=BATCH_SIZE).load_model(program)
    frees = overlay._model.slots[0].frames, overlay._model._buffers["program"]
    for buffer in frees:
        buffer.freebuffer = _interrupted
    with pytest.raises(KeyboardInterrupt):
        overlay.close()
    overlay.close()
    for buffer in frees:
        del buffer.freebuffer
        buffer.freebuffer()
    assert free_kib(device) == 64 << 10


def _interrupted():
    raise KeyboardInterrupt


def _answers(device) -> bool:
    try:
        return bool(device.read_file("/proc/version"))
    except Exception:
        return False


def test_a_board_that_takes_time_to_answer_is_not_asked_without_end(monkeypatch):
    """In a time of its own, which other programs cannot lengthen."""
    now, questions = [0.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def ask() -> bool:
        sleep(0.002)
        return questions.append(None)

    virtual = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(deadline, "time", virtual)
    assert not deadline.wait_until(ask, 0.3, virtual.monotonic)
    assert 10 < len(questions) < 60  # 150 would fit in


def test_the_lock_lies_beside_the_files_that_it_guards(monkeypatch, tmp_path):
    monkeypatch.setattr(pl_server, "__file__", str(tmp_path / "pynq" / "__init__.py"))
    monkeypatch.setenv("PYNQ_QSNN_CACHE", str(tmp_path / "cache"))
    with remote._lock_file() as lock:  # pynq's folder cannot be written
        assert Path(lock.name) == tmp_path / "cache" / remote.LOCK
    (tmp_path / "pynq").mkdir()
    with remote._lock_file() as lock:
        assert Path(lock.name) == tmp_path / "pynq" / remote.LOCK


def test_boards_that_pynq_cannot_reach_are_no_reason_to_emulate_here(monkeypatch):
    monkeypatch.setenv("PYNQ_REMOTE_DEVICES", "192.0.2.1")
    with pytest.raises(BoardUnreachable, match="PYNQ_REMOTE_DEVICES=192.0.2.1.*Unset the variable"):
        QsnnOverlay()
