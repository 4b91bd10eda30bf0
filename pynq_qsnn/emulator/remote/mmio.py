"""Service ``mmio``: register windows."""

from __future__ import annotations

import grpc
from pynq.remote import mmio_pb2 as messages
from pynq.remote import mmio_pb2_grpc

from ..board import Board
from ..memory import BusError
from .handles import Handles, refuse

WORD_BYTES = 4


def _is_signed() -> bool:
    """pynq 3.1 declares what a read returns as int32, 4.0 as uint32."""
    data = messages.ReadResponse.DESCRIPTOR.fields_by_name["data"]
    return data.type == data.TYPE_INT32


class MmioService(mmio_pb2_grpc.MmioServicer):
    """Always one 32-bit access, whatever length is asked for, as in Xilinx's server.

    Where a real board would hang or crash its server, the request fails with what is wrong.
    """

    def __init__(self, board: Board):
        self._board, self._signed = board, _is_signed()
        self.handles = Handles("register window")

    def get_mmio(self, request, context):
        """Map a window."""
        handle = self.handles.add(context.peer(), (request.base_addr, request.length))
        return messages.GetMmioResponse(status=True, mmio_id=handle)

    def read(self, request, context):
        """Read one register."""
        address = self._address(request, context)
        value = self._access(context, self._board.read32, address)
        signed = value - (1 << 32) if self._signed and value >> 31 else value
        return messages.ReadResponse(status=True, data=signed)

    def write(self, request, context):
        """Write one register: the first four bytes of the data."""
        address = self._address(request, context)
        if len(request.data) < WORD_BYTES:
            message = f"{len(request.data)} bytes to write, a register takes {WORD_BYTES}"
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, message)
        value = int.from_bytes(request.data[:WORD_BYTES], "little")
        self._access(context, self._board.write32, address, value)
        return messages.WriteResponse(status=True)

    @staticmethod
    def _access(context, access, *arguments):
        try:
            return access(*arguments)
        except BusError as error:
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, str(error))

    def _address(self, request, context) -> int:
        base, length = self.handles.find(request.mmio_id, context)
        if request.offset % WORD_BYTES or request.offset + WORD_BYTES > length:
            message = f"offset {request.offset:#x} is no register of the window {base:#x}+{length:#x}"
            refuse(context, grpc.StatusCode.OUT_OF_RANGE, message)
        return base + request.offset
