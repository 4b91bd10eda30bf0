"""The gRPC server around a board: pynq.remote's services, and the door to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from pynq.remote import buffer_pb2_grpc, mmio_pb2_grpc, remote_device_pb2_grpc

from ...errors import ConfigError
from ..board import Board
from .address import Address
from .buffers import BufferService
from .doorway import Doorway
from .files import FileService
from .folder import PrivateFolder
from .mmio import MmioService

WORKERS = 8


class BoardServer:
    """Serves ``board`` at ``address`` from construction to :meth:`close`. Raises ConfigError when it is taken.

    Buffers of a client whose connection has ended are freed, however it ended.
    """

    def __init__(self, board: Board, address: Address):
        self._board, self.address = board, address
        self._folder = PrivateFolder()
        inside = self._folder.path / "server"
        self._server = grpc.server(ThreadPoolExecutor(WORKERS))
        buffers, mmio = BufferService(board), MmioService(board)
        self._handles = [buffers.handles, mmio.handles]
        buffer_pb2_grpc.add_RemoteBufferServicer_to_server(buffers, self._server)
        mmio_pb2_grpc.add_MmioServicer_to_server(mmio, self._server)
        remote_device_pb2_grpc.add_RemoteDeviceServicer_to_server(FileService(board), self._server)
        self._add_gpio()
        try:
            self._doorway = Doorway(address, inside, self._leave)
        except ConfigError:
            self._folder.remove()
            raise
        self._server.add_insecure_port(f"unix:{inside}")
        self._server.start()
        self._doorway.start()

    def _add_gpio(self) -> None:
        try:
            from pynq.remote import gpio_pb2_grpc
        except ImportError:  # pynq 3.1
            return
        from .gpio import GpioService

        gpio = GpioService()
        self._handles.append(gpio.handles)
        gpio_pb2_grpc.add_GpioServicer_to_server(gpio, self._server)

    def _leave(self, client: str) -> None:
        for handles in self._handles:
            handles.leave(client)

    def close(self) -> None:
        """Cut every connection, remove the socket's file and unload the PL, which waits for what it computes."""
        self._doorway.close()
        self._server.stop(grace=None)
        self._folder.remove()
        self._board.unload()
