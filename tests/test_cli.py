"""The command line as its user sees it: the whole way on digits, the JSON files, and what bad input says."""

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from pynq_qsnn import __version__
from pynq_qsnn.cli import COMMANDS, main
from pynq_qsnn.commands.common import interrupt_afterwards
from pynq_qsnn.hwspec import DEFAULT_CONFIG
from pynq_qsnn.network import Network


def cli(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with a digits model that two epochs trained, exported and compiled through the command line."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("cli")
    assert cli("train", "--output-dir", folder / "run", "--epochs", 2, "--spike-bits", 2, "--num-steps", 2) == 0
    assert cli("export", folder / "run", "-o", folder / "digits.qsnn") == 0
    assert cli("compile", folder / "digits.qsnn", "-o", folder / "digits.qprog") == 0
    return folder


def test_help_names_every_command_and_teaches(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0 and all(f"  {name} " in text for name in COMMANDS)
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        assert len(capsys.readouterr().out.splitlines()) > 5


def test_version_and_module_entry():
    done = subprocess.run([sys.executable, "-m", "pynq_qsnn", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"pynq-qsnn {__version__}"


def test_info_shows_layers_and_cycles(trained, capsys):
    assert cli("info", trained / "digits.qsnn", "--json", trained / "info.json") == 0
    text, content = capsys.readouterr().out, json.loads((trained / "info.json").read_text())
    network = Network.load(trained / "digits.qsnn")
    assert [row["layer"] for row in content["layers"]] == [layer.name for layer in network.layers]
    assert "no board has confirmed" in text and content["card"]["seed"] == 0
    first = next(row for row in content["layers"] if row["kind"] == "Conv2d")
    assert first["bit_budget"] == 2 * first["weight_bits"] * 2


def test_simulate_run_and_reference_agree(trained, capsys):
    files = {name: trained / f"{name}.json" for name in ("fast", "reference", "board")}
    assert cli("simulate", trained / "digits.qsnn", "--frames", 40, "--json", files["fast"]) == 0
    assert cli("simulate", trained / "digits.qprog", "--reference", "--frames", 40, "--json", files["reference"]) == 0
    assert cli("run", trained / "digits.qprog", "--emulate", "--frames", 40, "--json", files["board"]) == 0
    rows = {name: json.loads(file.read_text()) for name, file in files.items()}
    assert rows["fast"]["predictions"] == rows["reference"]["predictions"] == rows["board"]["predictions"]
    assert rows["fast"]["accuracy_percent"] > 50
    assert rows["fast"]["method"] == "measured (host)" and rows["board"]["method"] == "emulated (cycle model)"


def test_bench_prints_one_labelled_table(trained, capsys):
    file = trained / "bench.json"
    arguments = ("--frames", 64, "--pl-frames", 16, "--emulate", "--json", file)
    assert cli("bench", trained / "digits.qsnn", *arguments) == 0
    text, rows = capsys.readouterr().out, json.loads(file.read_text())["rows"]
    assert {row["method"] for row in rows} == {"measured (host)", "emulated (cycle model)"}
    for row in rows:
        assert row["fps"] > 0 and 0 < row["latency_ms_p50"] <= row["latency_ms_p99"]
        assert row["agreement_percent"] == 100 and row["executor"] in text


def test_frames_from_a_file(trained, capsys):
    network = Network.load(trained / "digits.qsnn")
    np.save(trained / "frames.npy", np.zeros((3, *network.input.shape), np.uint8))
    assert cli("simulate", trained / "digits.qsnn", "--input", trained / "frames.npy") == 0
    assert "accuracy" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, pattern",
    [
        (("info", "nowhere.qsnn"), "no file nowhere.qsnn"),
        (("simulate", "{dir}/short.qsnn"), "truncated"),
        (("compile", "{dir}/digits.qprog", "-o", "{dir}/x"), "holds a program, a network was asked for"),
        (("simulate", "{dir}/digits.qsnn", "--input", "{dir}/floats.npy"), "frames are float64, must be a uint8"),
        (("simulate", "{dir}/digits.qsnn", "--input", "{dir}/short.qsnn"), "is not a .npy array"),
        (("run", "{dir}/digits.qprog", "--bitfile", "{dir}/absent.bit"), "absent.bit"),
        (("info", "{dir}/digits.qsnn", "--config", "{dir}/absent.json"), "no overlay config"),
    ],
)
def test_bad_input_is_one_readable_line(trained, capsys, arguments, pattern):
    (trained / "short.qsnn").write_bytes((trained / "digits.qsnn").read_bytes()[:1000])
    np.save(trained / "floats.npy", np.zeros((1, 1, 8, 8)))
    assert main([argument.format(dir=trained) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(pattern, error) and "Traceback" not in error
    assert error.startswith(f"pynq-qsnn {arguments[0]}: ")


def test_a_program_for_another_overlay_needs_its_config(trained, tmp_path, capsys):
    config = json.loads(DEFAULT_CONFIG.read_text())
    (tmp_path / "slow.json").write_text(json.dumps({**config, "name": "slow", "clock_mhz": 100}))
    program = tmp_path / "slow.qprog"
    assert cli("compile", trained / "digits.qsnn", "-o", program, "--config", tmp_path / "slow.json") == 0
    assert cli("info", program, "--config", tmp_path / "slow.json") == 0
    assert "at 100 MHz" in capsys.readouterr().out
    assert cli("info", program) == 2
    assert "overlay kv260: expected fingerprint" in capsys.readouterr().err


def test_json_goes_into_a_new_folder_and_an_impossible_one_is_refused_first(trained, capsys):
    assert cli("simulate", trained / "digits.qsnn", "--json", trained / "new" / "folder" / "row.json") == 0
    assert (trained / "new" / "folder" / "row.json").exists()
    with pytest.raises(SystemExit):
        cli("simulate", trained / "digits.qsnn", "--json", trained / "digits.qsnn" / "row.json")
    assert "cannot be written" in capsys.readouterr().err


def test_fine_tuning_starts_from_a_run_folder(trained, tmp_path):
    arguments = ("--init-from", trained / "run", "--epochs", 1, "--warmup-epochs", 0.5, "--spike-bits", 1)
    assert cli("train", "--output-dir", tmp_path / "tuned", *arguments) == 0


@pytest.mark.parametrize("command", ("simulate", "run", "bench"))
def test_no_frames_is_one_readable_line(trained, capsys, command):
    np.save(trained / "empty.npy", np.zeros((0, 1, 8, 8), np.uint8))
    assert cli(command, trained / "digits.qsnn", "--input", trained / "empty.npy") == 2
    assert "no frames" in capsys.readouterr().err


def test_a_folder_as_output_is_one_readable_line(trained, capsys):
    assert cli("compile", trained / "digits.qsnn", "-o", trained) == 2
    assert "is a folder" in capsys.readouterr().err


def test_interrupt_during_imports_is_kept():
    with pytest.raises(KeyboardInterrupt), interrupt_afterwards():
        try:
            signal.raise_signal(signal.SIGINT)
        except BaseException:  # what Brevitas does with it
            pass
