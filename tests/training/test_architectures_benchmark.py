"""The comparison behind docs/results.md's table of architectures, on the smallest of them."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import architectures

    return architectures


@pytest.mark.parametrize("name, allocation", [("digits_small", "own"), ("Spikformer-1-32", "1/1/2")])
def test_codes_are_equal_and_a_wrong_one_is_seen(script, monkeypatch, name, allocation):
    found = script.row(name, (1, 8, 8), allocation)
    assert found["values"] > 1000 and found["different"] == {"simulator": 0, "int64": 0}
    assert (found["overlay"] == "runs") == (name == "digits_small")
    assert len(found["silent_layers"]) < found["layers"] / 2

    class Wrong(script.Simulator):
        def trace(self, frames):
            trains = super().trace(frames)
            trains["conv1"] = trains["conv1"].copy()
            trains["conv1"].flat[3] ^= 1
            return trains

    monkeypatch.setattr(script, "Simulator", Wrong)
    assert script.row(name, (1, 8, 8), allocation)["different"] == {"simulator": 1, "int64": 0}


def test_every_named_architecture_was_compared(script):
    kept = json.loads((ROOT / "results" / "architectures.json").read_text())
    found = {(row["architecture"], row["allocation"]) for row in kept["rows"]}
    assert found == {(name, allocation) for name, _ in script.CASES for allocation in script.ALLOCATIONS}
    assert not any(sum(row["different"].values()) for row in kept["rows"])
