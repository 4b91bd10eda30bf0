"""`bench --paper`: what an interrupted, extended or failed run leaves behind."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest

from pynq_qsnn.benchmark_networks import budgets
from pynq_qsnn.cli import main
from pynq_qsnn.commands import paper
from pynq_qsnn.errors import DeviceError
from pynq_qsnn.paper import Row

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def rows_of(name: str, label: str, args) -> list[dict]:
    """What the process of an allocation returns, without running it."""
    budget = next(b for b in budgets(name) if b.label == label)
    bits = (1, budget.weight_bits, budget.spike_bits, budget.num_steps)
    figures = (1.0, 1.0, 0.5, "compute", "emulated (cycle model)", None, None, None, None, "")
    return [
        Row(name, budget.bit_budget, budget.note, *bits, batch, clock, *figures).values()
        for clock in args.clocks
        for batch in args.batches
    ]


@pytest.fixture
def ran(monkeypatch):
    """Allocations that were run; the runs are made up."""
    calls = []

    def fake(processes, name, label, args, kernel):
        calls.append((name, label))
        return rows_of(name, label, args)

    monkeypatch.setattr(paper, "_run_process", fake)
    monkeypatch.setattr("pynq_qsnn.runtime.csim.build_library", lambda **_: Path("kernel.so"))
    return calls


def bench(file, *arguments) -> list[dict]:
    assert main(["bench", "--paper", "--json", str(file), *map(str, arguments)]) == 0
    return json.loads(file.read_text())["rows"]


def test_a_later_run_adds_to_the_file(ran, tmp_path, capsys):
    file, labels = tmp_path / "paper.json", len(budgets("CNV"))
    assert len(bench(file, "--networks", "SNN7", "--clocks", 250, "--batches", 1)) == labels
    assert len(bench(file, "--networks", "CNV", "--clocks", 250, "--batches", 1)) == 2 * labels
    rows = bench(file, "--networks", "CNV", "--clocks", 300, "--batches", 1, 1)
    assert len(rows) == 3 * labels and len({paper._key(row) for row in rows}) == 3 * labels
    assert len(ran) == 3 * labels
    capsys.readouterr()
    assert len(bench(file, "--networks", "CNV", "--clocks", 300, "--batches", 1)) == 3 * labels
    assert len(ran) == 3 * labels  # nothing is run again
    text = capsys.readouterr().out
    assert text.count("CNV ") == labels and "SNN7" not in text


@pytest.mark.parametrize("key", ["kernel", "software", "seed"])
def test_rows_of_another_state_are_not_kept(ran, tmp_path, key):
    file = tmp_path / "paper.json"
    arguments = ("--networks", "SNN7", "--clocks", 250, "--batches", 1)
    bench(file, *arguments)
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, key: "another"}))
    count = len(ran)
    bench(file, *arguments)
    assert len(ran) == 2 * count


def test_after_a_failure_nothing_more_starts(ran, tmp_path, monkeypatch, capsys):
    def failing(processes, name, label, args, kernel):
        ran.append(label)
        if len(ran) == 2:
            raise DeviceError("no more")
        if len(ran) > 2:
            processes.run(SLEEP)
        return rows_of(name, label, args)

    monkeypatch.setattr(paper, "_run_process", failing)
    start = time.monotonic()
    assert main(["bench", "--paper", "--networks", "H1", "--json", str(tmp_path / "p.json")]) == 2
    assert time.monotonic() - start < 20 and len(ran) <= 3
    assert "no more" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "p.json").read_text())["rows"]) == 4  # of the allocation before


def test_processes_end_with_the_command():
    processes, found = paper._Processes(), []
    thread = threading.Thread(target=lambda: found.append(processes.run(SLEEP)[0]))
    thread.start()
    while not processes._running:
        time.sleep(0.01)
    processes.end()
    thread.join(10)
    assert found and found[0] < 0
    with pytest.raises(DeviceError, match="interrupted"):
        processes.run(SLEEP)


def test_a_negative_seed_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--paper", "--seed", "-1"])
    assert "at least 0" in capsys.readouterr().err
