"""Service ``mmio``: register windows."""

from __future__ import annotations

from pynq.remote import mmio_pb2 as messages
from pynq.remote import mmio_pb2_grpc

from ..board import Board
from ..memory import BusError
from .handles import Handles, logger

WORD_BYTES = 4


def _is_signed() -> bool:
    """pynq 3.1 declares what a read returns as int32, 4.0 as uint32."""
    data = messages.ReadResponse.DESCRIPTOR.fields_by_name["data"]
    return data.type == data.TYPE_INT32


class MmioService(mmio_pb2_grpc.MmioServicer):
    """Always one 32-bit access, whatever length is asked for, as in Xilinx's server.

    Where a real board would hang or crash its server, an error message comes back, which pynq raises as RuntimeError.
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
        try:
            value = self._board.read32(self._address(request, context))
        except BusError as error:
            return messages.ReadResponse(msg=_told(error))
        signed = value - (1 << 32) if self._signed and value >> 31 else value
        return messages.ReadResponse(status=True, data=signed)

    def write(self, request, context):
        """Write one register: the first four bytes of the data."""
        try:
            if len(request.data) < WORD_BYTES:
                raise BusError(f"{len(request.data)} bytes to write, a register takes {WORD_BYTES}")
            address = self._address(request, context)
            self._board.write32(address, int.from_bytes(request.data[:WORD_BYTES], "little"))
        except BusError as error:
            return messages.WriteResponse(msg=_told(error))
        return messages.WriteResponse(status=True)

    def _address(self, request, context) -> int:
        base, length = self.handles.find(request.mmio_id, context)
        if request.offset % WORD_BYTES or request.offset + WORD_BYTES > length:
            raise BusError(f"offset {request.offset:#x} is not a register of the window {base:#x}+{length:#x}")
        return base + request.offset


def _told(error: BusError) -> str:
    logger.warning("register access: %s", error)
    return str(error)
