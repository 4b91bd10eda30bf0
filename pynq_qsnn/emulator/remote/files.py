"""Service ``remote_device``: the board's files, and through them the FPGA manager."""

from __future__ import annotations

import grpc
from pynq.remote import remote_device_pb2 as messages
from pynq.remote import remote_device_pb2_grpc

from ..board import FIRMWARE, Board
from ..ps import FPGA_MANAGER
from .handles import logger, refuse

CHUNK_BYTES = 1024  # of Xilinx's server
LARGEST_FILE = 64 << 20  # the KV260's bitstream has 8 MB
FIRMWARE_BYTES = 256 << 20  # of all files in /lib/firmware, their names included
FULL_BITSTREAM = b"0"


class FileService(remote_device_pb2_grpc.RemoteDeviceServicer):
    """Every file can be read that the emulated board has; writable are /lib/firmware and the FPGA manager."""

    def __init__(self, board: Board):
        self._board = board

    def set_bitstream_attrs(self, request, context):
        """Nothing to do: the client goes on through the FPGA manager's files."""
        return messages.SetBitstreamAttrsResponse(status=True)

    def _unused(self, request, context):
        refuse(context, grpc.StatusCode.UNIMPLEMENTED, "pynq's client makes no such request")

    download = set_pl_clk = shutdown = _unused

    def existsfile(self, request, context):
        """Whether a file or folder is there."""
        return messages.ExistsFileResponse(exists=self._board.files.exists(request.file_path))

    def readfile(self, request, context):
        """Stream a file."""
        try:
            content = self._board.files.read(request.file_path)
        except FileNotFoundError as error:
            refuse(context, grpc.StatusCode.NOT_FOUND, str(error))
        for start in range(0, len(content), CHUNK_BYTES):
            yield messages.ReadFileResponse(data=content[start : start + CHUNK_BYTES])

    def writefile(self, request_iterator, context):
        """Write a file; the FPGA manager's file ``firmware`` takes the name of a file there and loads it."""
        path, content = None, bytearray()
        for request in request_iterator:
            path = path or request.file_path
            content += request.data
            if len(content) > LARGEST_FILE:
                refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, f"{path}: more than {LARGEST_FILE} bytes")
        if not path:
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "no file path in the request")
        if path == f"{FPGA_MANAGER}/firmware":
            self._load(bytes(content), context)
        elif path == f"{FPGA_MANAGER}/flags":
            self._board.files.write(path, bytes(content))
        elif path.startswith(f"{FIRMWARE}/"):
            self._store(path, bytes(content), context)
        else:
            refuse(context, grpc.StatusCode.PERMISSION_DENIED, f"{path} cannot be written on the emulated board")
        return messages.WriteFileResponse()

    def _store(self, path: str, content: bytes, context) -> None:
        files = self._board.files
        with self._board.lock:
            others = [other for other in files.entries if other.startswith(f"{FIRMWARE}/") and other != path]
            used = sum(len(other) + len(files.read(other)) for other in others)
            if used + len(path) + len(content) <= FIRMWARE_BYTES:
                files.write(path, content)
                return
        message = f"no space for {len(content)} bytes: {used} of {FIRMWARE_BYTES} in {FIRMWARE} are used"
        refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, f"{message}; start the server again to empty it")

    def _load(self, name: bytes, context) -> None:
        board = self._board
        try:
            if board.files.read(f"{FPGA_MANAGER}/flags").strip() != FULL_BITSTREAM:
                raise ValueError("the emulated board takes no partial bitstreams")
            file = name.decode(errors="replace").strip()
            board.load_firmware(file, board.files.read(f"{FIRMWARE}/{file}"))
        except (ValueError, FileNotFoundError) as error:
            board.files.write(f"{FPGA_MANAGER}/state", b"write init error\n")
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, str(error))
        logger.info("loaded %s", file)
