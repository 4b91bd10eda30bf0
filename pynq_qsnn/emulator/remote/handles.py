"""What clients hold on the server: buffers, register windows, pins. Nothing outlives its client."""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable

import grpc

logger = logging.getLogger(__name__)
GONE_REMEMBERED = 1024


def refuse(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> None:
    """End the request with an error, which is logged; does not return."""
    logger.warning("%s: %s", code.name, message)
    context.abort(code, message)


class Handles:
    """Items by id, each with the client that made it.

    kind: for messages.  release: called with an item that its client left behind.
    An id is never used again, not even by the next server at the same address: a client of the old one gets an error.
    """

    def __init__(self, kind: str, release: Callable[[object], None] = lambda item: None):
        self._kind, self._release = kind, release
        self._token, self._numbers = secrets.token_hex(4), itertools.count()
        self._lock = threading.Lock()
        self._items: dict[str, tuple[str, object]] = {}
        self._gone: deque[str] = deque(maxlen=GONE_REMEMBERED)

    def add(self, client: str, item: object) -> str:
        """Id of a new item."""
        with self._lock:
            if client not in self._gone:
                handle = f"{self._token}-{next(self._numbers)}"
                self._items[handle] = client, item
                return handle
        self._release(item)  # the client went while its request was served
        return ""

    def find(self, handle: str, context: grpc.ServicerContext) -> object:
        """The item; ends the request with NOT_FOUND when there is none, as Xilinx's server does."""
        try:
            return self._items[handle][1]
        except KeyError:
            refuse(context, grpc.StatusCode.NOT_FOUND, f"{self._kind} {handle!r} not found: was it freed?")

    def __contains__(self, handle: str) -> bool:
        """Whether the id is in use."""
        return handle in self._items

    def remove(self, handle: str, context: grpc.ServicerContext) -> object:
        """Take the item out; ends the request as :meth:`find` does."""
        self.find(handle, context)
        with self._lock:
            return self._items.pop(handle)[1]

    def leave(self, client: str) -> None:
        """The client has gone: release what is its."""
        with self._lock:
            self._gone.append(client)
            left = [handle for handle, (owner, _) in self._items.items() if owner == client]
            items = [self._items.pop(handle)[1] for handle in left]
        for item in items:
            self._release(item)
