"""What clients other than the driver may send: nothing of it may end the server or reach another client's memory."""

import os
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("grpc", reason="PYNQ.remote needs grpc")
pytest.importorskip("pynq.remote", reason="PYNQ.remote came with pynq 3.1")

import grpc
import pynq
from pynq.pl_server.remote_device import RemoteDevice
from pynq.remote import buffer_pb2, mmio_pb2, remote_device_pb2
from server_process import HERE, free_kib, wait_for

from pynq_qsnn.emulator.design import KERNEL
from pynq_qsnn.emulator.ps import FPGA_MANAGER
from pynq_qsnn.kv260 import CRL_APB, PL0_REF_CTRL
from pynq_qsnn.runtime.driver import QsnnOverlay


@pytest.fixture
def stubs(device):
    return device._stub


def fails(code: str, request, *arguments):
    """The request ends with this status."""
    with pytest.raises(grpc.RpcError) as caught:
        answer = request(*arguments)
        list(answer)  # of a stream
    assert caught.value.code().name == code, caught.value
    return caught.value.details()


def test_plain_pynq(device):
    mmio = pynq.MMIO(CRL_APB, 0x100, device=device)
    assert mmio.read(PL0_REF_CTRL) & 7 == 0  # from the IOPLL
    mmio.write(PL0_REF_CTRL + 12, 0x0101_1400)
    assert mmio.read(PL0_REF_CTRL + 12) == 0x0101_1400
    assert device.name == "KV260 (emulated)" and device.arch == "aarch64"


def test_a_word_with_the_highest_bit_set(device):
    pynq.MMIO(CRL_APB, 0x100, device=device).write(0xFC, 0x8000_0001)
    value = pynq.MMIO(CRL_APB, 0x100, device=device).read(0xFC)
    signed = mmio_pb2.ReadResponse.DESCRIPTOR.fields_by_name["data"].type == 5
    assert value == (0x8000_0001 - (1 << 32) if signed else 0x8000_0001)  # int32 in pynq 3.1


def test_buffers_are_not_coherent(device, stubs):
    with device.allocate((3000,), np.uint16) as buffer:
        buffer[:] = np.arange(3000)
        buffer.flush()
        zeros = buffer_pb2.BufferWriteRequest(buffer_id=buffer.buffer_id, data=bytes(6000))
        stubs["buffer"].write(iter([zeros]))  # into the cache alone: what comes from memory replaces it
        buffer.invalidate()
        assert np.array_equal(buffer, np.arange(3000))
        assert buffer.physical_address % 4096 == 0
        assert stubs["buffer"].cacheable(buffer_pb2.CacheableRequest(buffer_id=buffer.buffer_id)).cacheable


def test_large_buffers(device):
    with device.allocate((5 << 20,), np.uint8) as buffer:
        buffer[:] = contents = np.random.default_rng(0).integers(0, 256, buffer.shape, np.uint8)
        buffer.flush()
        buffer[:] = 0
        buffer.invalidate()
        assert np.array_equal(buffer, contents)


def test_exhausted_memory_is_an_empty_id(device, server):
    buffer = device.allocate((65 << 20,), np.uint8)
    assert buffer.buffer_id == ""
    assert "no 68157440 contiguous bytes, 67108864 of 67108864 are free" in server.errors()
    fails("NOT_FOUND", lambda: [buffer.physical_address])


def test_wrong_register_accesses(stubs):
    window = stubs["mmio"].get_mmio(mmio_pb2.GetMmioRequest(base_addr=CRL_APB, length=16)).mmio_id
    read, write = stubs["mmio"].read, stubs["mmio"].write
    assert "offset 0x10" in fails("OUT_OF_RANGE", read, mmio_pb2.ReadRequest(mmio_id=window, offset=16, length=4))
    fails("OUT_OF_RANGE", read, mmio_pb2.ReadRequest(mmio_id=window, offset=2, length=4))
    fails("NOT_FOUND", read, mmio_pb2.ReadRequest(mmio_id="0", length=4))
    fails("INVALID_ARGUMENT", write, mmio_pb2.WriteRequest(mmio_id=window, data=b"abc"))
    write(mmio_pb2.WriteRequest(mmio_id=window, data=bytes(range(8))))  # only the first four, as Xilinx's server
    assert read(mmio_pb2.ReadRequest(mmio_id=window, length=8)).data == 0x03020100
    assert read(mmio_pb2.ReadRequest(mmio_id=window, offset=4, length=4)).data == 0
    nowhere = stubs["mmio"].get_mmio(mmio_pb2.GetMmioRequest(base_addr=0xDEAD_0000, length=16)).mmio_id
    assert "no slave answers" in fails("FAILED_PRECONDITION", read, mmio_pb2.ReadRequest(mmio_id=nowhere))


def test_wrong_buffer_requests(device, stubs):
    with device.allocate((8,), np.uint8) as buffer:
        too_much = [buffer_pb2.BufferWriteRequest(buffer_id=buffer.buffer_id, data=bytes(5))] * 2
        assert "10 bytes to write" in fails("OUT_OF_RANGE", stubs["buffer"].write, iter(too_much))
    fails("NOT_FOUND", buffer.invalidate)
    for name, request in (("freebuffer", buffer_pb2.FreeBufferRequest), ("read", buffer_pb2.BufferReadRequest)):
        fails("NOT_FOUND", getattr(stubs["buffer"], name), request(buffer_id=buffer.buffer_id))
    for size in (0, -1, (1 << 31) - 1):
        assert not stubs["buffer"].allocate(buffer_pb2.AllocateRequest(size=size)).buffer_id
    stubs["buffer"].write(iter([]))


def test_wrong_file_requests(device, stubs):
    fails("NOT_FOUND", device.read_file, "/etc/passwd")
    assert not device.exists_file("/etc/passwd").exists and device.exists_file("/proc").exists
    assert "cannot be written" in fails("PERMISSION_DENIED", device.write_file, "/proc/meminfo", b"0")
    fails("INVALID_ARGUMENT", stubs["device"].writefile, iter([]))
    fails("UNIMPLEMENTED", stubs["device"].download, iter([remote_device_pb2.DownloadRequest(buffer=b"0")]))
    huge = (remote_device_pb2.WriteFileRequest(file_path="/lib/firmware/x", data=bytes(2 << 20)) for _ in range(40))
    fails("RESOURCE_EXHAUSTED", stubs["device"].writefile, huge)


def test_files_take_no_unbounded_memory(start):
    device, content = start("files").connect(), bytes(60 << 20)
    for number in range(4):
        device.write_file(f"/lib/firmware/{number}", content)
    assert "no space for" in fails("RESOURCE_EXHAUSTED", device.write_file, "/lib/firmware/more", content)
    device.write_file("/lib/firmware/0", b"0")  # what is there may be replaced
    device.write_file("/lib/firmware/more", content)


@pytest.mark.parametrize(
    "flags, name, content, message",
    [
        (b"0", b"missing.bin", None, "no file /lib/firmware/missing.bin"),
        (b"0", b"junk.bin", b"junk", "no byte-swapped sync word"),
        (b"1", b"junk.bin", b"junk", "no partial bitstreams"),
        (b"0", b"\xff\xfe\n", None, "no file"),
    ],
)
def test_wrong_bitstreams(device, flags, name, content, message):
    if content:
        device.write_file(f"/lib/firmware/{name.decode()}", content)
    device.write_file(f"{FPGA_MANAGER}/flags", flags)
    assert message in fails("FAILED_PRECONDITION", device.write_file, f"{FPGA_MANAGER}/firmware", name)
    assert device.read_file(f"{FPGA_MANAGER}/state") == b"write init error\n"


def test_the_kernel_started_with_nonsense(device):
    """Its memory accesses end in an error status or a hang, never in the server's memory."""
    rng = np.random.default_rng(5)
    with QsnnOverlay(device=device, timeout_s=0.1) as overlay:
        for _ in range(3):
            for offset in range(0x10, 0xA0, 4):
                overlay.qsnn_0.mmio.write(offset, int(rng.integers(0, 1 << 32)))
            overlay.qsnn_0.mmio.write(0, 1)
        assert overlay.qsnn_0.mmio.base_addr == KERNEL.base
        overlay.download()
    assert device.read_file("/proc/version")


def test_noise_at_the_door(server, device):
    path = server.address.removeprefix("unix:") + ":7967"
    for data in (b"", b"\0" * 100_000, b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000)):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            try:
                client.sendall(data)
            except BrokenPipeError:
                pass
    assert device.read_file("/proc/version")


@pytest.mark.skipif(not hasattr(RemoteDevice, "get_memory"), reason="gpio came with pynq 4.0")
def test_gpio(device):
    from pynq.pl_server.remote_device import RemoteGPIO

    pin = RemoteGPIO(400, "out", device=device)
    pin.write(1)
    assert pin.is_exported()
    pin.release()
    assert not pin.is_exported()
    fails("NOT_FOUND", pin.write, 1)
    assert RemoteGPIO.get_gpio_npins(device=device) == 174


CLIENT = """
    import sys
    sys.path.append(sys.argv[1])
    import numpy as np
    from tiny_networks import image_network
    from pynq_qsnn.compiler import compile_network
    from pynq_qsnn.reference import Reference
    from pynq_qsnn.runtime.driver import QsnnOverlay

    network = image_network()
    frames = np.random.default_rng(1).integers(0, 256, (11, 3, 6, 7), np.uint8)
    overlay = QsnnOverlay(batch_size=int(sys.argv[2]))
    overlay.load_model(compile_network(network))
    print((overlay.execute(frames) == Reference().load(network).run(frames)).all(), overlay.method, flush=True)
    overlay.write_packed(overlay.pack(np.tile(frames, (40, 1, 1, 1))[: int(sys.argv[2])]))
    overlay.execute_on_buffers(asynch=True)
    print("running", flush=True)
    sys.stdin.read()
"""


def client(server, batch_size: int) -> subprocess.Popen:
    """A program of a user, who names the board as pynq documents it."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CLIENT), HERE.parent / "board", str(batch_size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYNQ_REMOTE_DEVICES": server.address},
        cwd=HERE.parents[1],
    )


def test_programs_at_the_same_time_end_cleanly_without_closing_anything(server, start):
    other = start("other")
    with client(server, 4) as first, client(other, 4) as second:
        for running in (first, second):
            output, errors = running.communicate(timeout=60)
            assert output == "True emulated (cycle model)\nrunning\n", errors
            assert running.returncode == 0 and not errors
    assert wait_for(lambda: server.free_kib() == other.free_kib() == 64 << 10)


def test_a_client_is_killed_while_the_kernel_runs(server, device, program, frames, logits):
    with client(server, 400) as running:
        assert running.stdout.readline().startswith("True")
        assert running.stdout.readline() == "running\n", running.stderr.read()
        assert free_kib(device) < 64 << 10
        running.kill()
    assert wait_for(lambda: free_kib(device) == 64 << 10)
    with QsnnOverlay(device=device, batch_size=4) as overlay:
        assert np.array_equal(overlay.load_model(program).execute(frames), logits)
