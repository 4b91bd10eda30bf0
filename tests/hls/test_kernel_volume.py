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
