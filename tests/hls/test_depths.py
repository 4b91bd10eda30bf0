"""Streams one token deep: the kernel still comes to an end, with the same results.

The sums of a block must find room (`kPartialSumDepth`), and the tokens of the ring are its size; types.hpp says why
every other depth costs throughput only.
"""

from __future__ import annotations

import re

import numpy as np
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.hwspec import SKIP_MODES
from pynq_qsnn.paths import resource
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.csim import CsimExecutor

NEEDED = {"partial_sums", "narrow_sums", "spike_counts", "occupancy", "arrivals"}


def test_every_other_stream_may_be_one_token_deep():
    sources = "".join(resource("hls", "src", name).read_text() for name in ("top.cpp", "run_layer.cpp"))
    streams = set(re.findall(r"\bSTREAM\w*\(\w+, (\w+),", sources))
    assert len(streams) >= 17 and streams > NEEDED
    skip_modes = set()
    for seed in (*range(20), 57):  # 57 has the first IAND residual
        rng = np.random.default_rng(seed)
        network = random_network(rng, Limits())
        frames, program = random_frames(rng, network, 3), compile_network(network)
        skip_modes |= {program.instruction(index)["skip_mode"] for index in range(program.num_instructions)}
        executor = CsimExecutor().load(program)
        try:
            for name in streams - NEEDED:
                executor.simulation.set_timing(f"depth:{name}", 1)
            assert np.array_equal(executor.run(frames), Reference().load(network).run(frames)), seed
        finally:
            executor.close()
    assert skip_modes == {number for number, _ in SKIP_MODES.values()}
