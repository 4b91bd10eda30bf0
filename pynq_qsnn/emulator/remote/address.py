"""Where the server listens, in the words of pynq's client: what stands in PYNQ_REMOTE_DEVICES."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError

PORT = 7967  # of every PYNQ.remote server; the client appends it to whatever address it is given
UNIX = "unix:"
LONGEST_SOCKET_PATH = 107  # bytes, Linux's sun_path without its final zero
FORMS = f"use unix:/path/of.socket, or an IP address such as 127.0.0.1 (port {PORT})"


@dataclass(frozen=True)
class Address:
    """text: for PYNQ_REMOTE_DEVICES.  path: of the socket's file, or None.  host: to bind to, or None."""

    text: str
    path: Path | None = None
    host: str | None = None


def parse_address(text: str, allow_remote: bool = False) -> Address:
    """The address that ``--listen`` names. Raises ConfigError, also for an address that other machines reach.

    The client makes ``ADDRESS:7967`` of an address, of a unix socket's path too: its file is called PATH:7967.
    """
    if "," in text:
        raise ConfigError(f"address {text!r} holds a comma, which separates devices in PYNQ_REMOTE_DEVICES; {FORMS}")
    return _unix(text) if text.startswith(UNIX) else _internet(text, allow_remote)


def _unix(text: str) -> Address:
    name = text.removeprefix(UNIX)
    path = Path(f"{Path(name).absolute()}:{PORT}")
    if not name or name.endswith("/"):
        raise ConfigError(f"address {text!r} names no socket file; {FORMS}")
    if len(str(path).encode()) > LONGEST_SOCKET_PATH:
        raise ConfigError(
            f"socket path {path} has {len(str(path).encode())} bytes, Linux takes {LONGEST_SOCKET_PATH}; "
            "use a shorter folder, such as one in /tmp"
        )
    return Address(f"{UNIX}{Path(name).absolute()}", path=path)


def _internet(text: str, allow_remote: bool) -> Address:
    host = text.removesuffix(f":{PORT}")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(bare, PORT, type=socket.SOCK_STREAM)} if bare else set()
    except OSError:
        found = set()
    if not found:
        raise ConfigError(
            f"address {text!r} is none of this machine's, or has another port than pynq's client, {PORT}; {FORMS}. "
            "Several boards on one machine: 127.0.0.1, 127.0.0.2, ..., or a unix socket each"
        )
    outside = [address for address in sorted(found) if not ipaddress.ip_address(address).is_loopback]
    if outside and not allow_remote:
        raise ConfigError(
            f"address {text!r} ({', '.join(outside)}) can be reached from other machines, and PYNQ.remote has no "
            f"password: whoever connects may use the board. Use 127.0.0.1 or unix:PATH, or add --allow-remote"
        )
    return Address(host, host=bare)
