"""`pynq-qsnn doctor` as its user sees it, on this machine and on the emulated board; commands with deadlines."""

import json
import re
import time
from pathlib import Path

import pytest

from pynq_qsnn import doctor
from pynq_qsnn.cli import main
from pynq_qsnn.doctor.clocks import PL_CONTROL, SWITCH_OFF
from pynq_qsnn.doctor.host import check_compiler, check_data
from pynq_qsnn.doctor.memory import device_bytes
from pynq_qsnn.doctor.python import release
from pynq_qsnn.doctor.report import FAILING, OK, OPTIONAL, SKIPPED, WARNING
from pynq_qsnn.doctor.system import System, run_command

KEYS = {"schema", "machine", "emulated", "groups", "exit_status", "checks", "provenance"}


def test_this_machine(tmp_path, capsys):
    status = main(["doctor", "--json", str(tmp_path / "doctor.json")])
    text, content = capsys.readouterr().out, json.loads((tmp_path / "doctor.json").read_text())
    assert set(content) == KEYS and content["schema"] == "pynq-qsnn doctor 1"
    assert all(set(check) == {"name", "group", "status", "found", "remedy"} for check in content["checks"])
    failing = [check["name"] for check in content["checks"] if check["status"] in FAILING]
    assert status == content["exit_status"] == (1 if failing else 0)
    assert {"Python", "numpy", "C++ compiler"} <= {check["name"] for check in content["checks"]}
    assert all(check["name"] in text and check["found"] in text for check in content["checks"])


def test_a_missing_compiler(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["doctor", "--group", "host"]) == 1
    assert "apt-get install g++" in capsys.readouterr().out


def test_options_that_make_no_sense(capsys):
    assert main(["doctor", "--group", "host", "--emulate"]) == 2
    assert "leave out --emulate" in capsys.readouterr().err
    assert main(["doctor", "--model", "nowhere.qprog"]) == 2
    assert "nowhere.qprog" in capsys.readouterr().err
    assert main(["doctor", "--emulate", "--bitfile", "mine.bit"]) == 2
    captured = capsys.readouterr()
    assert "--bitfile mine.bit is not what the emulated board loads" in captured.err and not captured.out


def test_a_command_that_hangs_is_ended_with_its_children():
    begin = time.monotonic()
    done = run_command(["sh", "-c", "sleep 60 & sleep 60"], deadline_s=0.2)
    assert done.status is None and "no answer within 0.2 s" in done.output
    assert time.monotonic() - begin < 5
    with pytest.raises(FileNotFoundError):
        run_command(["no-such-command-anywhere"])


def test_a_compiler_that_hangs(tmp_path):
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    system = System(environ={"CXX": str(slow)}, run=lambda command: run_command(command, 0.2))
    outcome = check_compiler(doctor.Case(system, None, "", 0, "", False))
    assert outcome.status in FAILING and "no answer" in outcome.found


def test_the_data_folder_is_looked_for_on_the_machine_that_is_examined(tmp_path, monkeypatch):
    def data_folder(root, folder):
        return check_data(doctor.Case(System(root, {"PYNQ_QSNN_DATA": folder}), None, "", 0, "", False)).status

    (tmp_path / "sets").mkdir()
    assert data_folder(tmp_path, "/sets") == OK and data_folder(tmp_path, str(tmp_path / "sets")) == WARNING
    monkeypatch.chdir(tmp_path)
    assert data_folder(Path("/"), "sets") == OK and data_folder(Path("/"), "others") == WARNING


def test_release_numbers():
    assert release("3.0.1") < release("3.1") < release("3.1.2.post1") < release("4.0.0rc1")


def test_the_remote_board_needs_pynq_3_1():
    def status(version):
        system = System(environ={"PYNQ_REMOTE_DEVICES": "10.0.0.2"}, version={"pynq": version}.get)
        (check,) = [c for c in doctor.examine(system, group="host").checks if c.name == "remote board"]
        return check.status

    assert status("3.0.1") in FAILING and status(None) in FAILING and status("3.1.2") == OK


@pytest.fixture
def emulated():
    pytest.importorskip("pynq", reason="the emulated board needs pynq")
    from pynq_qsnn.emulator import open_board

    with open_board() as opened:
        yield opened


def test_the_whole_report_on_the_emulated_board(tmp_path, capsys):
    pytest.importorskip("pynq", reason="the emulated board needs pynq")
    file = tmp_path / "doctor.json"
    main(["doctor", "--emulate", "--group", "board", "--json", str(file)])
    content = json.loads(file.read_text())
    checks = {check["name"]: check for check in content["checks"] if check["group"] == "board"}
    assert content["emulated"] and content["machine"] == "KV260 (emulated)"
    assert {name for name, check in checks.items() if check["status"] == SKIPPED} == {
        line.name for line in doctor.LINES if line.real_only
    }
    others = {name: check["status"] for name, check in checks.items() if check["status"] not in (OK, SKIPPED)}
    assert others == {"PL clocks 1-3": OPTIONAL}  # as pynq leaves them
    assert "emulated (cycle model)" in checks["overlay loads"]["found"]
    assert checks["PL clock"]["found"] == "250.00 MHz, exact"
    assert checks["bitstream checksum"]["found"] == "the .bit holds the SHA-256 of the .hwh"


def test_memory_of_a_model_is_what_the_driver_takes(emulated, sample_program):
    from pynq_qsnn.runtime.driver import QsnnOverlay

    for batch_size in (1, 16, 300):
        with QsnnOverlay(batch_size=batch_size) as overlay:
            overlay.load_model(sample_program)
            assert emulated.board.cma.used_bytes == device_bytes(sample_program, batch_size)


def test_the_line_that_switches_clocks_off(emulated):
    """What the report says to type, typed."""
    code = re.fullmatch("python3 -c '(.*)'", SWITCH_OFF)[1]
    exec(code, {})
    running = [emulated.board.read32(address) >> 24 & 1 for address in PL_CONTROL]
    assert running == [1, 0, 0, 0]
