"""Proof by volume: seed -> random network and frames -> reference, host simulator and HLS kernel, bit for bit.

Seeds go in pairs, an even one A and the odd one B behind it. On one kernel: load A, run; load B, run; load A, run
again; A in pieces; B in pieces. Whatever an earlier call left in a memory, a stream or a ring would show.
``benchmarks/random_networks.py`` runs thousands of pairs; a slice of them is in the tests.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.errors import CapacityError
from pynq_qsnn.hwspec import PROGRAM_HEADER, record_words
from pynq_qsnn.network import Conv2d, Flatten, Head, Linear, Network, Pool
from pynq_qsnn.packing import unpack_record
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.simulator import Simulator

BATCHES = (1, 1, 2, 3, 4, 5, 6, 7, 9)
# (share, largest work of a batch in products of the array, what is drawn). The activation memory holds 4 banks of
# 12,288 words, the weight ring 1.31 MB.
FAMILIES = {
    "mixed": (30, 80e6, Limits(max_steps=16)),
    "tiny": (14, 20e6, Limits(max_layers=2, max_channels=20, max_size=6, max_steps=16)),
    "fused pools": (
        *(12, 80e6),
        Limits(
            max_layers=4,
            max_channels=48,
            max_size=24,
            kernels=(1, 3, 3, 5),
            strides=(1,),
            groups=0.1,
            pools=0.0,
            fused_pools=0.9,
            residuals=0.2,
        ),
    ),
    "residuals": (
        *(12, 80e6),
        Limits(min_layers=3, max_layers=7, groups=0.05, pools=0.05, fused_pools=0.05, residuals=0.95),
    ),
    "inverted residuals": (
        *(8, 80e6),
        Limits(min_layers=3, max_layers=6, spike_bits=(1,), strides=(1,), skip_domains=("iand", "spike"), groups=0.05),
    ),
    "many steps": (7, 80e6, Limits(min_steps=9, max_steps=16, max_layers=4)),
    "many channels": (
        *(7, 200e6),
        Limits(min_channels=33, max_channels=200, max_size=9, max_layers=3, max_steps=6, max_classes=100),
    ),
    "large maps": (7, 300e6, Limits(min_size=17, max_size=64, max_channels=24, max_layers=3, max_steps=4)),
    "spilled maps": (
        *(6, 700e6),
        Limits(
            min_size=64,
            max_size=108,
            min_channels=17,
            max_channels=48,
            max_layers=3,
            min_steps=4,
            max_steps=16,
            spike_bits=(1, 2, 4, 8, 8),
            kernels=(1, 1, 3),
            pools=0.0,
            groups=0.0,
            extremes=0.05,
        ),
    ),
    "streamed weights": (
        *(5, 500e6),
        Limits(
            min_size=2,
            max_size=6,
            min_channels=400,
            max_channels=640,
            max_layers=2,
            max_steps=4,
            kernels=(3,),
            strides=(1,),
            groups=0.0,
        ),
    ),
}


@dataclass(frozen=True)
class Case:
    """What a seed means."""

    seed: int
    family: str
    network: Network
    frames: np.ndarray


@dataclass
class Result:
    """Outcome of one seed: features it had, frames compared, codes compared; ``error`` is empty when all was equal.

    refused: why the compiler cannot express the network, if so; then only reference and simulator were compared.
    """

    seed: int
    family: str
    features: list[str] = field(default_factory=list)
    frames: int = 0
    codes: int = 0
    kernel_codes: int = 0
    refused: str = ""
    error: str = ""


def draw(seed: int) -> Case:
    """Network and frames of a seed; the same on every machine."""
    rng = np.random.default_rng([seed, 20])
    names = list(FAMILIES)
    shares = np.array([FAMILIES[name][0] for name in names], float)
    family = names[rng.choice(len(names), p=shares / shares.sum())]
    _, limit, limits = FAMILIES[family]
    while True:
        network = random_network(rng, limits, f"{family} {seed}")
        flattened = [network.tensors[x.source].shape[1:] for x in network.layers if isinstance(x, Flatten)]
        if any(max(shape) > limits.max_window for shape in flattened):
            continue
        count, products = int(rng.choice(BATCHES)), work(network)
        while count > 1 and products * count > limit:
            count -= 1
        if products * count <= limit:
            return Case(seed, family, network, random_frames(rng, network, count))


def work(network: Network) -> float:
    """Products of one frame in an array of 16 inputs, 32 outputs and 4 pixels, edges padded; a bound for the effort."""
    total = 0.0
    for layer in network.layers:
        if not isinstance(layer, (Conv2d, Linear, Head)):
            continue
        source = network.tensors[layer.source]
        groups = getattr(layer, "groups", 1)
        outputs, inputs = len(layer.weight), source.shape[0]
        _, rows, cols = network.tensors[layer.name].shape
        window = int(np.prod(layer.weight.shape[2:], dtype=np.int64))
        passes = -(-outputs // 32) * -(-inputs // groups // 16) * (2 if groups > 1 else 1)
        total += rows * -(-cols // 4) * 4 * source.num_steps * window * passes * 512
    return total


def features(case: Case, program=None) -> list[str]:
    """What the network exercises, for counts; with a program also what the compiler made of it."""
    network, types, found = case.network, case.network.tensors, set()
    found.add("static frames" if network.input.num_steps == 1 else "event frames")
    found.add(f"T {network.num_steps}")
    if len(case.frames) % 4:
        found.add("batch not a multiple of 4")
    for layer in network.layers:
        made = types[layer.name]
        if isinstance(layer, (Conv2d, Linear, Head)):
            found.add(f"weight bits {layer.weight_bits}")
        if isinstance(layer, (Conv2d, Linear)):
            found.add(f"spike bits {layer.spike_bits}")
            found.add(f"reset {layer.neuron.reset_mode}")
            found.add("no leak" if layer.neuron.leak_shift is None else "leak")
            if made.bits * made.num_steps % 8:
                found.add("train not whole bytes")
            if made.bits * made.num_steps % 4:
                found.add("train not whole nibbles")
        if isinstance(layer, Conv2d):
            found |= {f"kernel {layer.weight.shape[2]}", f"stride {layer.stride}"}
            if layer.groups > 1:
                found.add("depthwise" if layer.groups == types[layer.source].shape[0] else "grouped")
            if layer.skip:
                found.add(f"residual {layer.skip.domain}")
            if made.shape[1] % 2 or made.shape[2] % 2:
                found.add("odd map")
        elif isinstance(layer, Linear):
            found.add("hidden linear layer")
        elif isinstance(layer, Flatten):
            found.add("flattened map")
        elif isinstance(layer, Pool):
            found.add(f"pool {layer.kind}")
            if types[layer.name].shape[1:] == (1, 1) and layer.kernel > 1:
                found.add("global pool")
    return sorted(found | (_compiled_features(program, len(case.frames)) if program is not None else set()))


def _compiled_features(program, frames: int) -> set[str]:
    found = {f"mode {step.mode}" for step in program.steps if step.mode}
    instructions = [program.instruction(index) for index in range(program.num_instructions)]
    convolutions = [f for f, step in zip(instructions, program.steps) if step.opcode == "CONVOLVE"]
    if any(f["pooled"] for f in convolutions):
        found.add("fused 2x2 maximum")
    if any(not f["weight_resident"] for f in convolutions):
        found.add("weights read for every block")
    if any(step.opcode in ("LOAD", "SAVE") for step in program.steps) or any(f["spilled"] for f in instructions):
        found.add("spilled tensors")
    header = unpack_record(PROGRAM_HEADER, program.code[: record_words(PROGRAM_HEADER)])
    found.add("weights stay on chip" if header["weights_stay"] else "weights pass through the ring")
    executed = [
        count for index, _, count in program.executions(frames) if program.steps[index].opcode in ("CONVOLVE", "POOL")
    ]
    if max(executed) > 1:
        found.add("layers on groups of frames")
    if min(executed) == 1 < frames:
        found.add("layers on frames alone")
    return found


class Comparison:
    """Executors of one process. kernel: make the HLS kernel too; trace_every: of so many pairs one compares codes."""

    def __init__(self, kernel: bool = True, trace_every: int = 4, library=None):
        self.trace_every, self.built = trace_every, library
        self.reference, self.simulator = Reference(), Simulator(threads=1)
        self.executor = self._executor() if kernel else None

    def _executor(self):
        from pynq_qsnn.runtime.csim import CsimExecutor

        return CsimExecutor(library=self.built)

    def pair(self, seed: int) -> list[Result]:
        """Compare the even seed and the one behind it. Never raises for a difference or an executor's error."""
        first = seed - seed % 2
        cases = [draw(first), draw(first + 1)]
        results = [Result(case.seed, case.family) for case in cases]
        try:
            expected = [self._host(case, result) for case, result in zip(cases, results)]
        except Exception as error:  # a defect of either side: report it with its seed
            self._fail(results, error)
            return results
        if self.executor is not None and not any(result.error for result in results):
            try:
                self._kernel(cases, results, expected)
            except Exception as error:
                self._fail(results, error)
                self.executor = self._executor()  # what an error leaves behind is not the next pair's
        return results

    @staticmethod
    def _fail(results: list[Result], error: Exception) -> None:
        for result in results:
            result.error = result.error or f"{type(error).__name__}: {error}"

    def _host(self, case: Case, result: Result) -> dict[str, np.ndarray]:
        """Every code of reference and simulator. Returns the reference's tensors."""
        expected = self.reference.load(case.network).trace(case.frames)
        found = self.simulator.load(case.network).trace(case.frames)
        result.features, result.frames = features(case), len(case.frames)
        result.codes = sum(train.size for train in expected.values())
        wrong = [name for name, train in expected.items() if not np.array_equal(found[name], train)]
        if wrong:
            result.error = f"simulator differs from reference in {', '.join(wrong)}"
        return expected

    def _kernel(self, cases: list[Case], results: list[Result], expected: list[dict]) -> None:
        from pynq_qsnn.compiler import compile_network

        programs = []
        for case, result in zip(cases, results):
            try:
                programs.append(compile_network(case.network))
                result.features = features(case, programs[-1])
            except CapacityError as error:
                result.refused = str(error)
                programs.append(None)
        logits = [tensors[case.network.head.name] for case, tensors in zip(cases, expected)]
        for what, index, pieces in (
            ("first run", 0, False),
            ("first run", 1, False),
            ("run after another program", 0, False),
            ("run in pieces", 0, True),
            ("run in pieces after another program", 1, True),
        ):
            if programs[index] is None or results[index].error:
                continue
            frames = cases[index].frames
            cut = 1 + cases[index].seed // 2 % len(frames)
            self.executor.load(programs[index])
            parts = [frames[:cut], frames[cut:]] if pieces and cut < len(frames) else [frames]
            found = np.concatenate([self.executor.run(part) for part in parts])
            if found.shape != logits[index].shape:
                results[index].error = f"kernel's logits have shape {found.shape} in the {what}"
            elif not np.array_equal(found, logits[index]):
                frame = int(np.flatnonzero((found != logits[index]).any(axis=1))[0])
                results[index].error = f"kernel's logits differ in the {what}, frame {frame} of {len(frames)}"
        if cases[0].seed // 2 % self.trace_every == 0:
            for case, result, program, tensors in zip(cases, results, programs, expected):
                if program is not None and not result.error:
                    self._kernel_codes(case, result, program, tensors)

    def _kernel_codes(self, case: Case, result: Result, program, tensors: dict[str, np.ndarray]) -> None:
        """Codes of the first frame that the kernel leaves in its activation memory."""
        from kernel_trace import kernel_trace

        for name, found in kernel_trace(self.executor.simulation, program, case.frames[0]).items():
            result.kernel_codes += found.size
            if name in tensors and not np.array_equal(found, tensors[name][:, 0]):
                result.error = f"kernel's codes differ in {name}"
                return


def serve(connection, kernel: bool, trace_every: int, library: str | None) -> None:
    """What a process of the command does: seeds come in, results as dicts go out, None ends it."""
    comparison = Comparison(kernel, trace_every, library)
    while (seed := connection.recv()) is not None:
        connection.send([asdict(result) for result in comparison.pair(seed)])
