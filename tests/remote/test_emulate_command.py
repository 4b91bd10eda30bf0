"""The command: what it prints, where it listens, how it ends."""

import os
import signal
import socket
import threading

import pytest

pytest.importorskip("grpc", reason="PYNQ.remote needs grpc")
pytest.importorskip("pynq.remote", reason="PYNQ.remote came with pynq 3.1")

from server_process import Server, free_kib

from pynq_qsnn.cli import main
from pynq_qsnn.emulator.board import Board
from pynq_qsnn.emulator.remote import folder as inner_folders
from pynq_qsnn.emulator.remote import process
from pynq_qsnn.emulator.remote.address import parse_address
from pynq_qsnn.emulator.remote.doorway import Doorway
from pynq_qsnn.emulator.remote.folder import PrivateFolder
from pynq_qsnn.errors import ConfigError
from pynq_qsnn.hwspec import load_config


@pytest.fixture
def command(folder):
    """Starts `pynq-qsnn emulate`, and ends it after the test."""
    servers = []

    def start(listen: str, *options: str, ready: str | None = None) -> Server:
        arguments = ["-W", "ignore", "-m", "pynq_qsnn", "emulate", "--listen", listen, *options]
        servers.append(Server(arguments, ready or listen))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def refused(capsys):
    """Runs the command, which must refuse before it serves; returns its message."""

    def run(*arguments: str) -> str:
        assert main(["emulate", *arguments]) == 2
        output, errors = capsys.readouterr()
        assert not output
        return errors

    return run


def private_loopback() -> str:
    """An address of this machine where nobody else listens at pynq's port."""
    for last in range(1, 255):
        host = f"127.77.{os.getpid() % 256}.{last}"
        with socket.socket() as probe:
            try:
                probe.bind((host, 7967))
            except OSError:
                continue
            return host
    pytest.skip("no free loopback address")


def test_a_unix_socket(command, refused, folder):
    address = f"unix:{folder}/command"
    file, lock = folder / "command:7967", folder / "command:7967.lock"
    first = command(address, "--cma-mib", "32")
    assert file.is_socket() and file.stat().st_mode & 0o077 == 0
    assert "in use by another server" in refused("--listen", address)
    assert first.free_kib() == 32 << 10
    first.stop(signal.SIGKILL)
    assert file.is_socket()  # a killed server leaves it, and the next one takes it
    second = command(address)
    assert second.stop(signal.SIGTERM) == (0, "")
    assert not file.exists() and not lock.exists() and "Traceback" not in second.errors()


def test_of_servers_that_start_together_at_one_path_one_serves(folder):
    address = parse_address(f"unix:{folder}/together")
    for _ in range(20):
        barrier, doors, refusals = threading.Barrier(4), [], []

        def open_door(barrier=barrier, doors=doors, refusals=refusals):
            barrier.wait()
            try:
                doors.append(Doorway(address, folder / "nowhere", print))
            except ConfigError as error:
                refusals.append(str(error))

        threads = [threading.Thread(target=open_door) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(doors) == 1 and all("in use by another server" in text for text in refusals)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(address.path))
        doors[0].close()


def test_folders_that_killed_servers_left_are_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(inner_folders, "PARENT", tmp_path)
    (tmp_path / f"{inner_folders.PREFIX}killed").mkdir()
    (tmp_path / f"{inner_folders.PREFIX}killed" / "server").touch()
    (tmp_path / "another program's").mkdir()
    first, second = PrivateFolder(), PrivateFolder()
    assert first.path.stat().st_mode & 0o077 == 0
    assert {path.name for path in tmp_path.iterdir()} == {first.path.name, second.path.name, "another program's"}
    first.remove()
    second.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["another program's"]


def test_a_signal_before_the_server_stands_ends_it_cleanly(monkeypatch, folder):
    """What the signal interrupts would leave its socket behind."""
    address, before = parse_address(f"unix:{folder}/early"), signal.getsignal(signal.SIGTERM)

    class Early(process.BoardServer):
        def __init__(self, *arguments):
            signal.raise_signal(signal.SIGTERM)
            super().__init__(*arguments)

    monkeypatch.setattr(process, "BoardServer", Early)
    config = load_config()
    process.serve(Board(config, lambda: None, 1 << 20), address)
    assert not address.path.exists() and signal.getsignal(signal.SIGTERM) is before


def test_a_loopback_address(command, refused):
    host = private_loopback()
    server = command(f"{host}:7967", ready=host)
    device = server.connect()
    assert "cannot listen" in refused("--listen", host)
    assert free_kib(device) == 512 << 10
    assert server.stop(signal.SIGINT) == (0, "")
    device.client.channel.close()


@pytest.mark.parametrize(
    "text, message",
    [
        ("0.0.0.0", "can be reached from other machines.*--allow-remote"),
        ("[::]", "can be reached from other machines|none of this machine's"),
        ("127.0.0.1:8000", "another port than pynq's client, 7967"),
        ("", "none of this machine's"),
        ("no such host", "none of this machine's"),
        ("127.0.0.1,127.0.0.2", "comma"),
        ("unix:/tmp/a,b", "comma"),
        ("unix:", "names no socket file"),
        ("unix:/tmp/", "names no socket file"),
        (f"unix:/tmp/{'x' * 100}", "has 110 bytes, Linux takes 107; use a shorter folder"),
    ],
)
def test_addresses_that_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_address(text)


def test_addresses():
    assert parse_address("127.0.0.1:7967").text == parse_address("127.0.0.1").text == "127.0.0.1"
    assert parse_address("localhost").host == "localhost"
    assert parse_address("0.0.0.0", allow_remote=True).host == "0.0.0.0"
    relative = parse_address("unix:board")
    assert str(relative.path) == os.path.abspath("board:7967") and relative.text == f"unix:{os.path.abspath('board')}"


def test_what_the_command_refuses(refused, folder):
    (folder / "text:7967").write_text("somebody's")
    assert "is no socket" in refused("--listen", f"unix:{folder}/text")
    assert (folder / "text:7967").read_text() == "somebody's"
    assert "choose another path" in refused("--listen", f"unix:{folder}/missing/socket")
    assert "has at most 1024" in refused("--listen", f"unix:{folder}/large", "--cma-mib", "1025")
    assert "--allow-remote" in refused("--listen", "0.0.0.0")
