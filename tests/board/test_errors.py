"""Everything that can go wrong: a typed error in bounded time, then a right run on the same overlay object."""

import signal
import time
from dataclasses import replace

import numpy as np
import pytest
from limits import TIMEOUT_S
from tiny_networks import image_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.emulator import open_board
from pynq_qsnn.errors import (
    CapacityError,
    ConfigError,
    DeviceError,
    DeviceMemoryError,
    DeviceTimeout,
    DmaError,
    OverlayMissing,
    SpecMismatch,
)
from pynq_qsnn.hwspec import PROGRAM_HEADER, record_words
from pynq_qsnn.runtime.csim import KernelSimulation
from pynq_qsnn.runtime.driver import QsnnOverlay


@pytest.fixture
def bounded():
    """Fails a test that needs much longer than the deadline."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 20 * TIMEOUT_S


def test_hung_kernel(overlay, board, frames, check_right, bounded):
    board.faults.kernel_hangs = 1
    with pytest.raises(DeviceTimeout, match="kernel busy.*reset and can be used again"):
        overlay.execute(frames)
    assert board.loads == 2  # nothing less stops a hung kernel
    check_right()


def test_open_transfers_end_before_the_bitstream_is_loaded(overlay, board, frames, monkeypatch, check_right):
    download, states = overlay.download, []

    def recorded_download():
        states.append(overlay._runner.stream.describe())
        download()

    monkeypatch.setattr(overlay, "download", recorded_download, raising=False)
    board.faults.kernel_hangs = 1
    with pytest.raises(DeviceTimeout):
        overlay.execute(frames)
    assert len(states) == 1 and "MM2S halted" in states[0] and "S2MM halted" in states[0]
    check_right()


def test_kernel_that_hangs_again_and_again(overlay, board, frames, check_right):
    for _ in range(3):
        board.faults.kernel_hangs = 1
        with pytest.raises(DeviceTimeout):
            overlay.execute(frames[:1])
    check_right()


@pytest.mark.parametrize("channel", ["mm2s", "s2mm"])
def test_hung_dma(overlay, board, frames, check_right, bounded, channel):
    board.faults.dma_stall = channel
    with pytest.raises(DeviceTimeout, match=f"{channel.upper()} busy"):
        overlay.execute(frames)
    board.faults.dma_stall = None
    check_right()


@pytest.mark.parametrize("buffer, channel", [("frames", "MM2S"), ("results", "S2MM")])
def test_dma_error_at_an_address(overlay, board, frames, check_right, bounded, buffer, channel):
    board.faults.dma_slave_error = getattr(overlay._model.slots[0], buffer).physical_address
    with pytest.raises(DmaError, match=f"{channel} halted, DMASlvErr"):
        overlay.execute(frames)
    board.faults.dma_slave_error = None
    check_right()


def test_time_goes_on_when_a_call_is_abandoned_at_once(overlay, board, check_right):
    """The board's time is frozen from ap_start on; unloading before the worker has seen the call must release it."""
    with board.lock:  # keeps the worker out
        overlay._runner.kernel.call(num_frames=0)
        board.kernel._closed = True
    overlay.download()
    before = overlay.monotonic()
    time.sleep(0.01)
    assert overlay.monotonic() >= before + 0.01
    overlay._runner.recover()
    check_right()


def test_short_result(overlay, board, frames, check_right):
    board.faults.drop_result_bytes = 16
    with pytest.raises(DeviceError, match="returned 112 bytes for 4 frames, not 128"):
        overlay.execute(frames[:4])
    check_right()


def test_batch_longer_than_the_dma_takes(overlay, board, program, check_right):
    most = ((1 << 26) - 1) // (16 * program.frame_beats)
    used = board.cma.used_bytes
    with pytest.raises(ConfigError, match=f"use at most {most}"):
        overlay.batch_size = most + 1
    with pytest.raises(ConfigError, match=f"use at most {most}"):
        QsnnOverlay(batch_size=most + 1, download=False).load_model(program)
    assert board.cma.used_bytes == used
    check_right()


def test_a_frame_longer_than_the_dma_takes(overlay, program, check_right, monkeypatch):
    most = 16 * program.frame_beats - 1
    with monkeypatch.context() as patch:
        patch.setattr(overlay._runner.stream, "max_bytes", most)
        with pytest.raises(CapacityError, match=f"a frame takes {most + 1} bytes .* the DMA moves {most} at once"):
            overlay.load_model(program)
    check_right()


def test_program_overwritten_in_device_memory(overlay, board, program, frames, check_right):
    """The kernel refuses the second instruction; frames that it has not read must not reach the next call."""
    words = record_words(PROGRAM_HEADER)
    length = (len(program.code) - words) // (program.num_instructions + 1)
    address = overlay._model.arguments()["program"] + 16 * (words + length)
    good = board.ddr.read(address, 1)
    board.ddr.write(address, b"\x63")
    with pytest.raises(DeviceError, match="BAD_OPCODE.*instruction 1 of layer 'conv'"):
        overlay.execute(frames)
    board.ddr.write(address, good)
    check_right()


def test_damaged_header(overlay, board, frames, check_right):
    address = overlay._model.arguments()["program"]
    board.ddr.write(address, b"X")
    with pytest.raises(DeviceError, match="BAD_MAGIC"):
        overlay.execute(frames)
    overlay.load_model(overlay.program)
    check_right()


def test_program_for_another_contract(overlay, program, check_right):
    other = "ab" * 32
    code = program.code.copy()
    code[0, 8:16] = 0xAB
    with pytest.raises(SpecMismatch, match="Compile the network") as caught:
        overlay.load_model(replace(program, fingerprint=other, code=code))
    assert caught.value.expected == other[:16] and caught.value.found == program.fingerprint[:16]
    check_right()  # with the former model


def test_memory_exhausted(board, program, frames, logits):
    free = board.cma.free_bytes
    hog = board.cma.allocate(free - (64 << 10))
    with QsnnOverlay(batch_size=1024) as overlay:
        with pytest.raises(DeviceMemoryError, match=r"no contiguous .* \d+ bytes, \d+ bytes left .*smaller batch_size"):
            overlay.load_model(program)
        assert board.cma.free_bytes == 64 << 10
        overlay.batch_size = 4
        assert np.array_equal(overlay.load_model(program).execute(frames), logits)
        with pytest.raises(DeviceMemoryError):
            overlay.batch_size = 4096
        assert overlay.batch_size == 4
        assert np.array_equal(overlay.execute(frames), logits)
    board.cma.release(hog)
    assert board.cma.free_bytes == free


def test_interrupted_by_the_user(overlay, board, frames, check_right):
    """Ctrl-C while a hung kernel is waited for."""
    board.faults.kernel_hangs = 1
    overlay.timeout_s = 30
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            overlay.execute(frames)
    finally:
        signal.signal(signal.SIGALRM, previous)
    check_right()


def test_no_device_memory_leaks(overlay, board, program, frames):
    used = board.cma.used_bytes
    for round_ in range(6):
        overlay.load_model(program)
        overlay.execute(frames)
        board.faults.kernel_hangs = round_ % 2
        if board.faults.kernel_hangs:
            with pytest.raises(DeviceTimeout):
                overlay.execute(frames)
        overlay.batch_size = 3 + round_
        overlay.batch_size = 4
    assert board.cma.used_bytes == used


def test_clock_that_cannot_be_set(board, program):
    board.faults.clock_locked = True
    with pytest.raises(DeviceError, match="the PL clock runs at .* MHz, 250 MHz was set"):
        QsnnOverlay()
    board.faults.clock_locked = False
    with pytest.raises(ConfigError, match="not an exact division .* use one of 100, 125, 150, 187.5, 250"):
        QsnnOverlay(fclk_mhz=200)
    for too_fast in (300, 0, -5, float("nan")):
        with pytest.raises(ConfigError, match="up to 250 MHz"):
            QsnnOverlay(fclk_mhz=too_fast)
    QsnnOverlay().load_model(program).close()


def test_missing_bitstream(board, tmp_path):
    with pytest.raises(OverlayMissing, match="no bitstream .*missing.bit.*make -C overlays/kv260.*open_board"):
        QsnnOverlay("missing.bit")
    with pytest.raises(FileNotFoundError):
        QsnnOverlay(str(tmp_path / "missing.bit"))


def test_missing_hand_off_file(emulated, tmp_path):
    lonely = tmp_path / "lonely.bit"
    with open(emulated.bitfile, "rb") as source:
        lonely.write_bytes(source.read())
    with pytest.raises(OverlayMissing, match="no hardware hand-off file lonely.hwh"):
        QsnnOverlay(str(lonely))


def test_without_download_the_loaded_bitstream_is_used(overlay, board, program, frames, logits):
    with QsnnOverlay(download=False, timeout_s=TIMEOUT_S) as second:
        assert board.loads == 1
        assert np.array_equal(second.load_model(program).execute(frames), logits)
        board.faults.kernel_hangs = 1
        with pytest.raises(DeviceTimeout):
            second.execute(frames)
        assert np.array_equal(second.execute(frames), logits)


def test_deadlock_inside_the_simulated_kernel(library, program, frames, logits, caplog):
    """It looks like a hung kernel from outside; the reason is in the log."""
    broken = [True]

    class Deadlocking(KernelSimulation):
        def advance(self):
            if self.cycles and broken:  # not in the call that checks the program
                broken.clear()
                raise DeviceError("stages wait for one another")
            return super().advance()

    with open_board(make_simulation=lambda: Deadlocking(library=library)):
        with QsnnOverlay(timeout_s=TIMEOUT_S) as overlay:
            overlay.load_model(program)
            with pytest.raises(DeviceTimeout):
                overlay.execute(frames)
            assert "stages wait for one another" in caplog.text
            assert np.array_equal(overlay.execute(frames), logits)


def test_replaced_overlay(overlay, program, frames):
    with QsnnOverlay() as other:
        with pytest.raises(DeviceError, match="another overlay took its place"):
            overlay.execute(frames)
        other.load_model(compile_network(image_network(seed=3))).execute(frames)
