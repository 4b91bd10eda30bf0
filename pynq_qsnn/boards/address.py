"""What a board is called: an address of PYNQ.remote, "local" or "emulated"."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigError

LOCAL, EMULATED, REMOTE = "local", "emulated", "remote"
PYNQ_PORT = 7967  # pynq/pl_server/remote_device.py; its client takes no other, and puts it behind a socket's path too
VARIABLE = "PYNQ_REMOTE_DEVICES"
UNIX = "unix:"


@dataclass(frozen=True)
class Address:
    """name: in reports, each board's own.  kind: LOCAL, EMULATED or REMOTE.  host: value of $PYNQ_REMOTE_DEVICES."""

    name: str
    kind: str
    host: str = ""

    def environment(self) -> dict[str, str]:
        """Environment of the process that drives this board: pynq reads the variable when it is imported."""
        rest = {key: value for key, value in os.environ.items() if key != VARIABLE}
        return {**rest, VARIABLE: self.host} if self.host else rest

    def why_unreachable(self, timeout_s: float = 3.0) -> str | None:
        """Reason why nobody answers there, or None. It opens a connection and sends nothing."""
        if self.kind != REMOTE:
            return None
        try:
            if self.host.startswith(UNIX):
                _connect_unix(self.host[len(UNIX) :], timeout_s)
            else:
                socket.create_connection((self.host.strip("[]"), PYNQ_PORT), timeout_s).close()
        except OSError as error:
            return f"nobody answers at {self.name}: {error.strerror or error}"
        return None


def _connect_unix(path: str, timeout_s: float) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        connection.connect(f"{path}:{PYNQ_PORT}")


def parse_boards(names: Sequence[str]) -> list[Address]:
    """Addresses of the boards, in order. "emulated" may stand there more than once, any other board once.

    Raises ConfigError for none at all, a board that is named twice, or a port that pynq's client cannot be told.
    """
    if isinstance(names, str) or not names:
        raise ConfigError(f"boards is {names!r}, must be a list of names such as ['192.168.2.99', 'emulated']")
    addresses: list[Address] = []
    for name in names:
        address = _parse(name)
        if address.kind == EMULATED and names.count(EMULATED) > 1:
            address = Address(f"{name}-{1 + sum(a.kind == EMULATED for a in addresses)}", EMULATED)
        if any((a.kind, a.host) == (address.kind, address.host) for a in addresses) and address.kind != EMULATED:
            raise ConfigError(f"board {name} is named twice; two processes cannot share a board")
        addresses.append(address)
    return addresses


def _parse(name: str) -> Address:
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"board {name!r} is no name; use an address of PYNQ.remote, '{LOCAL}' or '{EMULATED}'")
    if name in (LOCAL, EMULATED):
        return Address(name, name)
    if "," in name:
        raise ConfigError(f"board {name!r} holds a comma; give the boards one by one")
    if name.startswith(UNIX):
        path = os.path.abspath(name[len(UNIX) :].removeprefix("//").removesuffix(f":{PYNQ_PORT}"))
        return Address(name, REMOTE, UNIX + path)
    host, colon, port = name.rpartition(":")
    if not colon or name.endswith("]") or ":" in host.strip("[]") and not host.endswith("]"):
        bare_ipv6 = ":" in name and not name.startswith("[")
        return Address(name, REMOTE, f"[{name}]" if bare_ipv6 else name)
    if port != str(PYNQ_PORT):
        raise ConfigError(f"board {name}: port {port}, but pynq's client knows {PYNQ_PORT} alone; leave the port out")
    return Address(name, REMOTE, host)
