"""How boards are named, and what their processes are told."""

import socket

import pytest

from pynq_qsnn.boards.address import EMULATED, LOCAL, REMOTE, VARIABLE, parse_boards
from pynq_qsnn.errors import ConfigError


@pytest.mark.parametrize(
    "name, host",
    [
        ("192.168.2.99", "192.168.2.99"),
        ("127.0.0.1:7967", "127.0.0.1"),
        ("kria.local", "kria.local"),
        ("unix:/tmp/board", "unix:/tmp/board"),
        ("unix:///tmp/board", "unix:/tmp/board"),
        ("unix:/tmp/board:7967", "unix:/tmp/board"),
        ("fe80::1", "[fe80::1]"),
        ("[fe80::1]:7967", "[fe80::1]"),
    ],
)
def test_addresses_as_pynq_takes_them(name, host):
    (address,) = parse_boards([name])
    assert (address.name, address.kind, address.host) == (name, REMOTE, host)
    assert address.environment()[VARIABLE] == host


def test_boards_without_an_address_hide_the_users_variable(monkeypatch):
    monkeypatch.setenv(VARIABLE, "192.168.2.99")
    addresses = parse_boards(["emulated", "local", "emulated"])
    assert [a.name for a in addresses] == ["emulated-1", "local", "emulated-2"]
    assert [a.kind for a in addresses] == [EMULATED, LOCAL, EMULATED]
    assert not any(VARIABLE in a.environment() for a in addresses)


@pytest.mark.parametrize(
    "names, message",
    [
        ([], "must be a list"),
        ("emulated", "must be a list"),
        ([" "], "is no name"),
        ([7967], "is no name"),
        (["10.0.0.1,10.0.0.2"], "one by one"),
        (["10.0.0.1:8000"], "port 8000"),
        (["local", "local"], "named twice"),
        (["10.0.0.1", "10.0.0.1:7967"], "named twice"),
        (["unix:/tmp/a", "unix:/tmp/../tmp/a"], "named twice"),
    ],
)
def test_wrong_names(names, message):
    with pytest.raises(ConfigError, match=message):
        parse_boards(names)


def test_reachable_or_not(tmp_path):
    path = tmp_path / "board"
    (address,) = parse_boards([f"unix:{path}"])
    assert "nobody answers" in address.why_unreachable()
    with socket.socket(socket.AF_UNIX) as other:  # pynq's client never connects to the bare path
        other.bind(str(path))
        other.listen()
        assert "nobody answers" in address.why_unreachable()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{path}:7967")  # pynq puts its port behind any address
        assert "nobody answers" in address.why_unreachable()  # bound, and not listening
        server.listen()
        assert address.why_unreachable() is None
