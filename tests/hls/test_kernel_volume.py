"""A slice of the proof by volume on the kernel; benchmarks/random_networks.py runs thousands of the same pairs."""

import pytest
import volume

SEEDS = range(20_000, 20_060, 2)  # pairs; not those of the command


@pytest.fixture(scope="module")
def comparison(library):
    return volume.Comparison(trace_every=5, library=library)


@pytest.mark.parametrize("seed", SEEDS)
def test_reference_simulator_and_kernel_agree(comparison, seed):
    for result in comparison.pair(seed):
        assert not result.error, f"seed {result.seed}: {result.error}"
        assert not result.refused, f"seed {result.seed}: {result.refused}"


def test_differences_of_the_kernel_are_reported(comparison, monkeypatch):
    """In a later run only, and in the codes only."""
    head, trace = 0, volume.Comparison._kernel_codes
    run = comparison.executor.run
    calls = []

    def second_differs(frames):
        calls.append(len(frames))
        logits = run(frames)
        logits[-1, head] += len(calls) == 3
        return logits

    monkeypatch.setattr(comparison.executor, "run", second_differs)
    first, second = comparison.pair(20_000)
    last = first.frames - 1
    assert first.error == f"kernel's logits differ in the run after another program, frame {last} of {first.frames}"
    assert not second.error
    monkeypatch.undo()

    def other_codes(self, case, result, program, tensors):
        name = next(step.tensor for step in program.steps if step.tensor in tensors and step.tensor != "input")
        changed = {**tensors, name: tensors[name] ^ 1}
        trace(self, case, result, program, changed)

    monkeypatch.setattr(volume.Comparison, "_kernel_codes", other_codes)
    assert all(result.error.startswith("kernel's codes differ in ") for result in comparison.pair(20_000))


def test_an_error_of_the_kernel_fails_its_pair_only(comparison, monkeypatch):
    monkeypatch.setattr(comparison.executor, "run", lambda frames: 1 / 0)
    assert [result.error for result in comparison.pair(20_002)] == ["ZeroDivisionError: division by zero"] * 2
    assert [result.error for result in comparison.pair(20_002)] == ["", ""]
