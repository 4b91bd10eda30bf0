"""A slice of the proof by volume without the kernel, and the command's bookkeeping."""

import argparse
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import volume

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def command():
    """benchmarks/random_networks.py as a module: its name is that of a module of the tests."""
    path = ROOT / "benchmarks" / "random_networks.py"
    spec = importlib.util.spec_from_file_location("volume_command", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(tmp_path, **changes) -> argparse.Namespace:
    values = {"count": 8, "first_seed": 0, "processes": 2, "no_kernel": True, "trace_every": 8}
    paths = {"json": str(tmp_path / "summary.json"), "progress": str(tmp_path / "runs" / "progress.jsonl")}
    return argparse.Namespace(**{**values, **paths, **changes})


def test_reference_equals_simulator_on_a_slice():
    comparison = volume.Comparison(kernel=False)
    results = [result for seed in range(10_000, 10_080, 2) for result in comparison.pair(seed)]
    assert [result.error for result in results if result.error] == []
    seen = {feature for result in results for feature in result.features}
    domains = {f"residual {domain}" for domain in ("spike", "current", "iand")}
    widths = {f"{kind} bits {bits}" for kind in ("weight", "spike") for bits in (1, 2, 4, 8)}
    kernels = {f"kernel {n}" for n in (1, 3, 5, 7)} | {f"pool {kind}" for kind in ("maximum", "sum", "average")}
    rest = {"depthwise", "stride 2", "global pool", "hidden linear layer", "train not whole nibbles", "event frames"}
    assert domains | widths | kernels | rest <= seen


def test_a_seed_means_one_case():
    for seed in range(6):
        one, same = volume.draw(seed), volume.draw(seed)
        assert np.array_equal(one.frames, same.frames) and one.family == same.family
        assert one.network.to_parts()[0] == same.network.to_parts()[0]


def test_a_difference_is_reported_with_its_seed(monkeypatch):
    comparison = volume.Comparison(kernel=False)
    trace = comparison.simulator.trace

    def wrong(frames):
        found = trace(frames)
        found[comparison.simulator.network.head.name][0, 0] += 1
        return found

    monkeypatch.setattr(comparison.simulator, "trace", wrong)
    head = volume.draw(4).network.head.name
    first, second = comparison.pair(5)  # the odd seed of a pair means the pair
    assert (first.seed, second.seed) == (4, 5) and first.error == f"simulator differs from reference in {head}"
    monkeypatch.setattr(comparison.simulator, "trace", lambda frames: 1 / 0)
    assert comparison.pair(4)[1].error == "ZeroDivisionError: division by zero"


def test_the_command_goes_on_where_it_stopped(command, tmp_path, capsys):
    assert command.volume(options(tmp_path, count=4)) == 0
    lines = (tmp_path / "runs" / "progress.jsonl").read_text().splitlines()
    assert len(lines) == 3 and {json.loads(line)["seed"] for line in lines[1:]} == {0, 2}
    torn = "\n".join([*lines, '{"seed": 4, "res'])
    (tmp_path / "runs" / "progress.jsonl").write_text(torn)
    assert command.volume(options(tmp_path)) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["networks"] == summary["equal"] == 8 and summary["seeds"] == [0, 7]
    assert summary["features"]["static frames"] + summary["features"]["event frames"] == 8
    lines = (tmp_path / "runs" / "progress.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["seed"] for line in lines[1:]) == [0, 2, 4, 6]
    capsys.readouterr()
    assert command.volume(options(tmp_path, trace_every=3, count=2)) == 0
    assert "of other programs or options, started again" in capsys.readouterr().out


def test_a_process_that_dies_fails_its_pair_only(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "serve", die_on_seed_two)
    assert command.volume(options(tmp_path, count=6)) == 1
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [failure["seed"] for failure in summary["failures"]] == [2, 3] and summary["equal"] == 4
    assert summary["failures"][0]["error"] == "the process died with exit status 7"
    assert summary["failures"][0]["repro"] == "python benchmarks/random_networks.py --seed 2 --no-kernel"
    assert "seed 2: the process died" in capsys.readouterr().out


def die_on_seed_two(connection, kernel, trace_every, library):
    """In place of :func:`volume.serve`."""
    while (seed := connection.recv()) is not None:
        if seed == 2:
            os._exit(7)
        result = {"features": [], "frames": 1, "codes": 0, "kernel_codes": 0, "refused": "", "error": ""}
        connection.send([{"seed": s, "family": "", **result} for s in (seed, seed + 1)])
