"""The door of the server: accepts clients, and notices when one has gone.

gRPC tells its handlers neither that a client's connection has ended nor, on a unix socket, which client calls. So each
client gets a named connection of its own to the gRPC server, which listens in a private folder, and its bytes are
passed on. It costs 0.1 ms a request; what a killed client leaves behind can be released.
"""

from __future__ import annotations

import itertools
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...errors import ConfigError
from .address import PORT, Address
from .lock import take

CHUNK_BYTES = 1 << 18
RETRY_S = 0.05
PROBE_S = 1.0


class Doorway:
    """Listens at ``address`` and connects each client to the unix socket ``inside``.

    on_leave: called with the client's name, as ``context.peer()`` tells it, after its connection has ended.
    Raises ConfigError when the address is taken.
    """

    def __init__(self, address: Address, inside: Path, on_leave: Callable[[str], None]):
        self._inside, self._on_leave, self._path = inside, on_leave, address.path
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._path_lock = _lock(address.path) if address.path else None
        try:
            self._listener = _unix_listener(address.path) if address.path else _internet_listener(address.host)
        except ConfigError:
            self._give_up_path()
            raise
        self._inode = address.path and address.path.stat().st_ino
        self._thread = threading.Thread(target=self._accept, name="doorway", daemon=True)

    def start(self) -> None:
        """Let clients in; those that came before have waited."""
        self._thread.start()

    def close(self) -> None:
        """Close every connection and remove the socket's file."""
        self._closed = True
        _shut(self._listener)
        with self._lock:
            for connection in self._open:
                _shut(connection)
        if self._path:
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:  # else somebody else's by now
                    self._path.unlink()
            self._give_up_path()

    def _give_up_path(self) -> None:
        if self._path_lock is not None:
            with suppress(FileNotFoundError):
                _lock_file(self._path).unlink()
            os.close(self._path_lock)
            self._path_lock = None

    def _accept(self) -> None:
        while not self._closed:
            try:
                outer, _ = self._listener.accept()
            except OSError:
                time.sleep(RETRY_S)  # closed, the client has gone already, or there are too many open files
                continue
            threading.Thread(target=self._serve, args=(outer,), name="client", daemon=True).start()
        self._listener.close()

    def _serve(self, outer: socket.socket) -> None:
        name = self._inside.with_name(f"client-{next(self._numbers)}")
        inner = socket.socket(socket.AF_UNIX)
        with self._lock:
            self._open |= {outer, inner}
        try:
            if outer.family != socket.AF_UNIX:
                outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            inner.bind(str(name))
            inner.connect(str(self._inside))
            back = threading.Thread(target=_pass_on, args=(inner, outer), name="client-back", daemon=True)
            back.start()
            _pass_on(outer, inner)
            back.join()
        except OSError:
            pass  # the server is closing
        finally:
            with self._lock:
                self._open -= {outer, inner}
            outer.close()
            inner.close()
            with suppress(FileNotFoundError):
                name.unlink()
            self._on_leave(f"unix:{name}")


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Copy until either side ends, then end both."""
    try:
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    except OSError:
        pass
    _shut(source)
    _shut(sink)


def _shut(connection: socket.socket) -> None:
    """End it for both sides; a thread that is blocked on it wakes up, which close() alone does not bring about."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _lock(path: Path) -> int:
    """File descriptor that keeps other servers from ``path`` as long as it is open.

    Without it, one that starts at the same time could take a socket which is bound and does not listen yet for a
    killed server's, and remove it. Raises ConfigError.
    """
    while True:
        try:
            return take(_lock_file(path), os.O_RDWR | os.O_CREAT)
        except FileNotFoundError as error:
            if not path.parent.is_dir():
                raise ConfigError(f"socket {path}: there is no folder {path.parent}; choose another path") from error
        except BlockingIOError as error:
            raise _in_use(path) from error
        except OSError as error:
            raise ConfigError(
                f"socket {path}: its lock {_lock_file(path)} cannot be taken ({error}); choose another path"
            ) from error


def _in_use(path: Path) -> ConfigError:
    return ConfigError(f"socket {path} is in use by another server; choose another path, or end that server")


def _unix_listener(path: Path) -> socket.socket:
    _clear(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)  # nobody can connect before listen()
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(f"socket {path} cannot be made: {error.strerror}; choose another path") from error
    return listener


def _clear(path: Path) -> None:
    """Remove the socket that a killed server left. Raises ConfigError for anything else."""
    if not path.exists():
        return
    if not path.is_socket():
        raise ConfigError(f"{path} is there and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except (BlockingIOError, TimeoutError) as error:  # its queue is full: it listens
            raise _in_use(path) from error
        except OSError as error:
            raise ConfigError(f"socket {path}: {error.strerror}; choose another path") from error
    raise _in_use(path)


def _internet_listener(host: str) -> socket.socket:
    family, kind, protocol, _, target = socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen at {host} port {PORT}: {error.strerror}. Another server may run there; use 127.0.0.2, ... "
            "or unix:PATH, or end it"
        ) from error
    return listener
