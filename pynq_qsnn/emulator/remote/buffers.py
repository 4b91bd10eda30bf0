"""Service ``buffer``: contiguous memory, behind caches that are not coherent."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import numpy as np
from pynq.remote import buffer_pb2 as messages
from pynq.remote import buffer_pb2_grpc

from ..board import Board
from ..memory import UNDEFINED_BYTE
from .handles import Handles, logger, refuse

CHUNK_BYTES = 1 << 20  # of Xilinx's server; gRPC refuses messages of more than 4 MiB


@dataclass
class Allocation:
    """A buffer: its physical address, and the CPU's view of it, uint8 [size]."""

    address: int
    cached: np.ndarray
    cacheable: bool


class BufferService(buffer_pb2_grpc.RemoteBufferServicer):
    """``write`` and ``read`` see the CPU's copy, ``flush`` and ``invalidate`` move it to and from the DDR.

    Exhausted memory is no error here: the id is empty, as in Xilinx's server, and the log says why.
    """

    def __init__(self, board: Board):
        self._board = board
        self.handles = Handles("buffer", self._release)

    def _release(self, allocation: Allocation) -> None:
        with self._board.lock:
            length = self._board.cma.release(allocation.address)
            self._board.ddr.discard(allocation.address, length)

    def allocate(self, request, context):
        """Allocate ``size`` bytes."""
        try:
            if request.size <= 0:
                raise MemoryError(f"CMA: {request.size} bytes asked for")
            with self._board.lock:
                address = self._board.cma.allocate(request.size)
        except MemoryError as error:
            logger.warning("allocate: %s", error)
            return messages.AllocateResponse(msg=str(error))
        cached = np.full(request.size, UNDEFINED_BYTE, np.uint8)
        handle = self.handles.add(context.peer(), Allocation(address, cached, request.cacheable))
        return messages.AllocateResponse(buffer_id=handle)

    def write(self, request_iterator, context):
        """Fill from the start with the data of all requests; the first one names the buffer."""
        allocation, end = None, 0
        for request in request_iterator:
            if allocation is None:
                allocation = self._find(request, context)
            start, end = end, end + len(request.data)
            if end > len(allocation.cached):
                size = len(allocation.cached)
                refuse(context, grpc.StatusCode.OUT_OF_RANGE, f"{end} bytes to write, the buffer holds {size}")
            allocation.cached[start:end] = np.frombuffer(request.data, np.uint8)
        return messages.BufferWriteResponse()

    def read(self, request, context):
        """Stream the contents."""
        cached = self._find(request, context).cached
        for start in range(0, len(cached), CHUNK_BYTES):
            yield messages.BufferReadResponse(data=cached[start : start + CHUNK_BYTES].tobytes())

    def freebuffer(self, request, context):
        """Free the memory."""
        self._release(self.handles.remove(request.buffer_id, context))
        return messages.FreeBufferResponse()

    def flush(self, request, context):
        """The CPU's copy to DDR."""
        allocation = self._find(request, context)
        self._board.ddr.write(allocation.address, allocation.cached.data)
        return messages.FlushResponse()

    def invalidate(self, request, context):
        """DDR to the CPU's copy."""
        allocation = self._find(request, context)
        allocation.cached[:] = self._board.ddr.view(allocation.address, len(allocation.cached))
        return messages.InvalidateResponse()

    def physical_address(self, request, context):
        """Where the PL finds it."""
        return messages.AddressResponse(address=self._find(request, context).address)

    def virtual_address(self, request, context):
        """Where the server's process finds it."""
        return messages.AddressResponse(address=self._find(request, context).cached.ctypes.data)

    def cacheable(self, request, context):
        """As it was allocated."""
        return messages.CacheableResponse(cacheable=self._find(request, context).cacheable)

    def _find(self, request, context) -> Allocation:
        return self.handles.find(request.buffer_id, context)
