"""The emulated board itself, seen through pynq: caches, CMA, DMA registers, kernel registers, clocks, sensor."""

import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pynq
import pytest
from pynq.pl_server.device import Device

import pynq_qsnn
from pynq_qsnn.emulator import open_board
from pynq_qsnn.emulator.bitstream import bit_file
from pynq_qsnn.emulator.memory import BusError
from pynq_qsnn.emulator.ps import BoardTime
from pynq_qsnn.errors import DeviceError
from pynq_qsnn.hwspec import load_config
from pynq_qsnn.runtime import locate
from pynq_qsnn.runtime.deadline import wait_until
from pynq_qsnn.runtime.driver import QsnnOverlay
from pynq_qsnn.runtime.ip import QsnnKernel

HWMON = "/sys/class/hwmon/hwmon0"
HALTED, IDLE, INTERNAL, DECODE, COMPLETE = 0x1, 0x2, 0x10, 0x40, 0x1000


@pytest.fixture
def buffer(emulated):
    with pynq.allocate(64, np.uint8) as allocated:
        yield allocated


@pytest.fixture
def dma(overlay):
    return overlay.axi_dma_0


# memory


def test_forgotten_flush_shows(board, buffer):
    buffer[:] = 7
    assert board.ddr.read(buffer.physical_address, 64) == bytes(64)
    buffer.flush()
    assert board.ddr.read(buffer.physical_address, 64) == b"\x07" * 64


def test_forgotten_invalidate_shows(board, buffer):
    buffer[:] = 0
    board.ddr.write(buffer.physical_address, b"\x09" * 64)
    assert not buffer.any()
    buffer.invalidate()
    assert (buffer == 9).all()


def test_slices_know_their_address(board, buffer):
    part = buffer[16:24]
    assert part.physical_address == buffer.physical_address + 16
    buffer[:] = 5
    part.flush()
    assert np.flatnonzero(board.ddr.view(buffer.physical_address, 64)).tolist() == list(range(16, 24))


def test_uncached_buffer_is_the_memory(board, emulated):
    buffer = pynq.allocate(8, np.uint32, cacheable=0)
    buffer[:] = 0x01020304
    assert board.ddr.read(buffer.physical_address, 4) == b"\x04\x03\x02\x01"
    buffer.freebuffer()


def test_cma_has_pages_and_an_end(emulated, board):
    first, second = pynq.allocate(1, np.uint8), pynq.allocate(4097, np.uint8)
    assert second.physical_address - first.physical_address == 4096
    assert board.cma.used_bytes == 3 * 4096
    assert b"CmaFree:" in emulated.device.read_file("/proc/meminfo")
    with pytest.raises(MemoryError, match="free"):
        pynq.allocate(board.cma.size, np.uint8)
    first.freebuffer()
    first.freebuffer()
    del second
    assert board.cma.used_bytes == 0
    board.cma.release(board.cma.allocate(board.cma.size))  # free space has joined again


def test_unmapped_addresses(board, overlay):
    with pytest.raises(BusError, match="0x9fff0000"):
        pynq.MMIO(0x9FFF_0000, 16).read(0)
    with pytest.raises(BusError):
        board.ddr.read(board.ddr.size - 1, 2)


def test_registers_are_gone_without_a_bitstream(emulated):
    with pytest.raises(BusError, match="is the bitstream loaded"):
        QsnnOverlay(download=False)


# DMA


def status(dma, channel: str) -> int:
    return int(getattr(dma.register_map, f"{channel}_DMASR"))


def test_dma_after_a_reset(dma):
    dma.register_map.MM2S_DMACR = 4
    for channel in ("MM2S", "S2MM"):  # either bit resets both
        assert status(dma, channel) == HALTED
        assert int(getattr(dma.register_map, f"{channel}_DMACR")) == 0x10002
    dma.register_map.S2MM_LENGTH = 64  # ignored while halted
    assert status(dma, "S2MM") == HALTED
    dma.register_map.S2MM_DMACR = 1
    assert status(dma, "S2MM") == 0  # runs, not idle before its first transfer has ended


def test_dma_length_zero(dma):
    dma.register_map.MM2S_LENGTH = 0
    assert status(dma, "MM2S") & (INTERNAL | HALTED) == INTERNAL | HALTED
    dma.register_map.MM2S_DMACR = 1  # an error stays until a reset
    assert status(dma, "MM2S") & HALTED


def test_dma_address_without_memory(dma, board):
    dma.register_map.MM2S_SA = board.ddr.size - 32
    dma.register_map.MM2S_LENGTH = 64
    assert status(dma, "MM2S") & (DECODE | HALTED) == DECODE | HALTED


def test_dma_result_longer_than_its_buffer(overlay, dma, frames):
    overlay.write_packed(overlay.pack(frames[:1]))
    slot = overlay._model.slots[0]
    dma.recvchannel.transfer(slot.results, nbytes=16)
    log = slot.log.physical_address
    overlay.qsnn_0.call(**overlay._model.arguments(), log=log, num_frames=1, log_entries=4)
    dma.sendchannel.transfer(slot.frames, nbytes=slot.frame_bytes)
    assert wait_until(lambda: status(dma, "S2MM") & INTERNAL, 1.0)


def test_dma_reads_back_the_bytes_received(overlay, dma, frames):
    overlay.execute(frames[:3])
    assert int(dma.register_map.S2MM_LENGTH) == 3 * overlay.program.result_beats * 16
    assert status(dma, "S2MM") & (IDLE | COMPLETE) == IDLE | COMPLETE
    dma.register_map.S2MM_DMASR = COMPLETE  # write one to clear
    assert status(dma, "S2MM") == IDLE


def test_dma_addresses_have_40_bits(board, dma):
    dma.register_map.MM2S_SA_MSB = 0xFFFF_FFFF
    dma.register_map.MM2S_SA = 0x1234
    assert int(dma.register_map.MM2S_SA_MSB) == 0xFF and board.dma.mm2s.address == 0xFF_0000_1234


def test_pynq_itself_refuses_what_exceeds_26_bits(overlay, dma):
    assert dma.buffer_max_size == (1 << 26) - 1
    with pytest.raises(ValueError, match="maximum DMA buffer size"):
        dma.sendchannel.transfer(overlay._model.slots[0].frames, nbytes=1 << 26)


# kernel, processing system, session


def test_kernel_registers(overlay, frames):
    kernel = overlay.qsnn_0
    assert isinstance(kernel, QsnnKernel)
    overlay.execute(frames[:2])
    assert kernel.idle and not int(kernel.register_map.CTRL) & 2  # done was read, which clears it
    assert int(kernel.register_map.status_ctrl) == 1  # ap_vld, clears on read
    assert int(kernel.register_map.status_ctrl) == 0
    assert kernel.output("fingerprint") == load_config().fingerprint64
    assert kernel.output("log_count") == len(overlay.program.executions(2))
    kernel.register_map.weights_even_2 = 0xF
    kernel.write(overlay.ip_dict["qsnn_0"]["registers"]["status"]["address_offset"], 9)  # outputs ignore writes
    assert kernel.output("status") == 0


def test_interrupt_register_toggles(overlay, frames):
    registers = overlay.qsnn_0.register_map
    registers.IP_IER = 1
    overlay.execute(frames[:1])
    assert int(registers.IP_ISR) == 1
    registers.IP_ISR = 1
    assert int(registers.IP_ISR) == 0


def test_clocks_as_pynq_reads_them(overlay):
    assert overlay.clock_mhz == load_config().clock_mhz
    assert pynq.Clocks.fclk0_mhz == pytest.approx(load_config().clock_mhz, rel=1e-4)
    pynq.Clocks.fclk0_mhz = 100
    assert overlay.clock_mhz == 100


def test_power_sensor(emulated, board):
    read = emulated.device.read_file
    assert read(f"{HWMON}/name") == b"ina260_u14\n"
    idle = int(read(f"{HWMON}/power1_input"))
    assert idle == round(board.power.idle_w * 1e6) and idle % 10_000 == 0
    volts, amperes = int(read(f"{HWMON}/in1_input")) / 1e3, int(read(f"{HWMON}/curr1_input")) / 1e3
    assert volts * amperes == pytest.approx(idle / 1e6, rel=0.01)
    with pytest.raises(FileNotFoundError, match="/etc/passwd"):
        read("/etc/passwd")


def test_everything_a_user_sees_is_named_emulated(emulated):
    assert "emulated" in emulated.device.name and "emulated" in emulated.bitfile
    assert b"_emulated;" in bit_file(load_config(), "")[:100]
    with QsnnOverlay() as overlay:
        assert "emulated" in overlay.bitfile_name and overlay.is_emulated


def test_a_real_bitstream_is_refused(emulated, tmp_path):
    real = tmp_path / "real.bit"
    real.write_bytes(bit_file(load_config(), "another hand-off file"))
    with open(emulated.bitfile.replace(".bit", ".hwh")) as hwh:
        real.with_suffix(".hwh").write_text(hwh.read())
    with pytest.raises(DeviceError, match="not a bitstream of the emulated board"):
        QsnnOverlay(str(real))


def test_the_emulated_bitstream_is_refused_on_a_real_board(emulated):
    with pytest.raises(DeviceError, match="this is a real board"):
        locate.find_bitfile(emulated.bitfile, Device("real board"), load_config())


def test_firmware_must_be_a_bitstream(board):
    with pytest.raises(ValueError, match="sync word"):
        board.load_firmware("text.bin", b"no bitstream" * 100)


def test_closing_leaves_no_trace(library):
    before = vars(Device).get("_active_device"), pynq.ps.CPU_ARCH, threading.active_count()
    opened = open_board()
    overlay = QsnnOverlay()
    overlay.close()
    opened.close()
    opened.close()
    assert (vars(Device).get("_active_device"), pynq.ps.CPU_ARCH, threading.active_count()) == before


def test_boards_can_be_nested(emulated, program, frames, logits):
    with open_board() as inner:
        assert Device.active_device is inner.device
        with QsnnOverlay() as overlay:
            assert np.array_equal(overlay.load_model(program).execute(frames), logits)
    assert Device.active_device is emulated.device
    with QsnnOverlay() as overlay:
        assert np.array_equal(overlay.load_model(program).execute(frames), logits)


def test_without_a_device_the_overlay_brings_its_own_board(program, frames, logits):
    assert locate.find_device() is None
    with QsnnOverlay() as overlay:
        assert overlay.is_emulated
        assert np.array_equal(overlay.load_model(program).execute(frames), logits)
    assert locate.find_device() is None
    with pytest.raises(DeviceError, match="leave bitfile_name out"):
        QsnnOverlay("qsnn_kv260.bit")


def test_a_script_may_end_without_closing(tmp_path, program):
    path = tmp_path / "tiny.qprog"
    program.save(path)
    script = f"""
        import numpy as np
        from pynq_qsnn.runtime.driver import QsnnOverlay
        overlay = QsnnOverlay(batch_size=160).load_model({str(path)!r})
        stream = overlay.stream(np.zeros((320, 3, 6, 7), np.uint8))  # long enough to run still when the script ends
        print(next(stream).logits.shape)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(pynq_qsnn.__file__).parents[1])
    assert (done.returncode, done.stdout) == (0, "(5,)\n"), done.stderr
    assert "Error" not in done.stderr and "not created" not in done.stderr


class TestBoardTime:
    """What the CPU works beside a call overlaps it; what it waits does not count."""

    @staticmethod
    def work(seconds: float) -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    def run_call(self, cpu_s: float, modelled_s: float) -> float:
        clock = BoardTime()
        before = clock.now()
        clock.start()
        self.work(cpu_s)
        clock.look()
        time.sleep(0.05)  # the host simulates
        clock.thaw(modelled_s)
        (start, end), *others = clock.busy
        assert not others and end - start == pytest.approx(modelled_s, abs=1e-6)
        assert start == pytest.approx(before, abs=5e-3)
        return clock.now() - before

    def test_a_long_call_hides_the_work(self):
        assert self.run_call(0.01, 0.2) == pytest.approx(0.2, abs=5e-3)

    def test_work_longer_than_the_call_counts(self):
        assert self.run_call(0.03, 0.001) == pytest.approx(0.03, abs=8e-3)

    def test_it_never_goes_back(self):
        clock = BoardTime()
        marks = [clock.now()]
        for modelled in (None, 0.0, 1e-3):
            clock.start()
            marks.append(clock.now())
            self.work(1e-3)
            marks.append(clock.now())
            clock.thaw(modelled)
            marks.append(clock.now())
        assert marks == sorted(marks)

    def test_a_thread_that_has_ended(self):
        clock = BoardTime()
        thread = threading.Thread(target=clock.start)
        thread.start()
        thread.join()
        before = clock.now()
        clock.thaw(1e-3)
        assert clock.now() - before == pytest.approx(1e-3, abs=5e-3)
