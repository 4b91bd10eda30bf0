"""Training steps and inference a second: pynq_qsnn.training, SpikingJelly and snnTorch on one network in one process.

    python benchmarks/training.py [--batch 32] [--rounds 15] [--threads 2] [--json FILE]
    python benchmarks/training.py --quick        # under a minute: fewer rounds, memory of the training step alone
    python benchmarks/training.py --page         # the tables of the documentation from results/training_speed.json

The network is `cifar_small` (a VGG of six convolutions) on static 32x32 images, T = 4, binary spikes, leak 1/2, reset
to zero, arctangent surrogates, cross-entropy, AdamW. SpikingJelly runs it in multi-step mode on its torch backend,
snnTorch steps through its neurons in Python. Convolution, batch norm and pooling of all steps are one call in either,
and the first layer's current, which is the same at every step, is computed once: all three compute the same function
of the same weights (tests/training/test_speed_comparison.py). Quantized means Brevitas layers with 4-bit weights in all
three.

The contestants take turns, a step each, because a busy machine changes its speed from second to second; times are
medians over the turns, ratios medians of the ratios within a turn. Theirs run in both memory formats, and the faster
counts. Peak memory is that of a fresh process, above what it had before its first step. Everything is measured (host).
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import platform
import re
import resource
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from unittest.mock import patch

warnings.filterwarnings("ignore", category=SyntaxWarning)
import snntorch  # noqa: E402
import torch  # noqa: E402
from snntorch import surrogate as snntorch_surrogate  # noqa: E402
from spikingjelly.activation_based import functional, layer, neuron, surrogate  # noqa: E402
from torch import nn  # noqa: E402
from tqdm import tqdm  # noqa: E402

from pynq_qsnn.files import atomic_file  # noqa: E402
from pynq_qsnn.progress import bar_file  # noqa: E402
from pynq_qsnn.training import native  # noqa: E402
from pynq_qsnn.training.layers import Head, MaxPool, SpikingConv  # noqa: E402
from pynq_qsnn.training.models import NetworkSpec, build_model  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
RESULT, PAGE = ROOT / "results" / "training_speed.json", ROOT / "docs" / "explanation" / "training-speed.md"
BEGIN, END = "<!-- tables: written by benchmarks/training.py --page -->", "<!-- end of tables -->"

T, CLASSES = 4, 10
WEIGHT_BITS = {"float": 16, "4-bit": 4}
MODES = ("training step", "inference")
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
OURS, TORCH_ONLY, JELLY, SNNTORCH = "pynq_qsnn", "pynq_qsnn, torch operators", "SpikingJelly", "snnTorch"
# The share of a step that no work beside the convolutions can win back bounds what is asked for.
CEILING, WITHIN_SHARE, QUANTIZED_TARGET = 1.5, 0.9, 1.2
PARTS = {"convolution": "convolution", "pooling": "pool"}  # by a part of the operator's name


class Jelly(nn.Module):
    """The network of `model` from SpikingJelly's layers, with copies of its weights and quantizers."""

    def __init__(self, model):
        super().__init__()
        self.encoder, modules = None, []
        for part in model.layers:
            if isinstance(part, SpikingConv):
                pair = copy.deepcopy([part.conv, part.norm])
                if self.encoder is None:
                    self.encoder = nn.Sequential(*pair)
                else:
                    modules.append(layer.SeqToANNContainer(*pair))
                modules.append(
                    neuron.LIFNode(
                        tau=2.0,
                        decay_input=False,
                        v_threshold=part.neuron.threshold,
                        v_reset=0.0,
                        surrogate_function=surrogate.ATan(),
                        detach_reset=True,
                    )  # fmt: skip
                )
            elif isinstance(part, MaxPool):
                modules.append(layer.MaxPool2d(part.kernel_size))
            elif isinstance(part, Head):
                self.bias = copy.deepcopy(part.bias)
                modules.append(layer.SeqToANNContainer(copy.deepcopy(part.linear)))
            else:
                modules.append(layer.Flatten())
        self.body = nn.Sequential(*modules)
        functional.set_step_mode(self.body, "m")

    def forward(self, images):
        functional.reset_net(self.body)
        current = self.encoder(images)
        return self.body(current.unsqueeze(0).expand(T, *current.shape)).mean(0) + self.bias


class SnnTorch(nn.Module):
    """The network of `model` with snnTorch's neurons, with copies of its weights and quantizers."""

    def __init__(self, model):
        super().__init__()
        self.parts = nn.ModuleList()
        for part in model.layers:
            if isinstance(part, SpikingConv):
                self.parts.append(nn.Sequential(*copy.deepcopy([part.conv, part.norm])))
                self.parts.append(
                    snntorch.Leaky(
                        beta=0.5,
                        threshold=part.neuron.threshold,
                        reset_mechanism="zero",
                        spike_grad=snntorch_surrogate.atan(),
                    )  # fmt: skip
                )
            elif isinstance(part, Head):
                self.bias = copy.deepcopy(part.bias)
                self.parts.append(copy.deepcopy(part.linear))
            else:
                self.parts.append(nn.MaxPool2d(part.kernel_size) if isinstance(part, MaxPool) else nn.Flatten())

    def forward(self, images):
        x = images
        for part in self.parts:
            x = self.fire(part, x, len(images)) if isinstance(part, snntorch.Leaky) else part(x)
        return x.unflatten(0, (T, -1)).mean(0) + self.bias

    def fire(self, neurons, current, images):
        """Spikes [T * images, ...] of currents [T * images, ...], or [images, ...] that every step receives."""
        steps = [current] * T if len(current) == images else current.unflatten(0, (T, -1))
        membrane, spikes = neurons.reset_mem(), []
        for x in steps:
            spike, membrane = neurons(x, membrane)
            spikes.append(spike)
        return torch.cat(spikes)


def network(weight_bits: int) -> nn.Module:
    """Ours, from a fixed seed, with the statistics of one batch, so that its neurons fire in inference too."""
    torch.manual_seed(0)
    spec = NetworkSpec(
        "cifar_small", (3, 32, 32), CLASSES, weight_bits, 1, T, leak_shift=1, reset_mode="zero", surrogate="arctan"
    )
    model = build_model(spec)
    norms = [part.norm for part in model.layers if isinstance(part, SpikingConv)]
    momentum = norms[0].momentum
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(torch.rand(8, 3, 32, 32))
    for norm in norms:
        norm.momentum = momentum
    return model


@dataclass(frozen=True)
class Contestant:
    framework: str
    layout: str

    def build(self, weights: str) -> nn.Module:
        model = network(WEIGHT_BITS[weights])
        kind = {JELLY: Jelly, SNNTORCH: SnnTorch}.get(self.framework)
        return (kind(model) if kind else model).to(memory_format=LAYOUTS[self.layout])

    def run(self, weights: str, mode: str, batch: int) -> Callable[[], object]:
        """One training step or one inference of a batch, as a function without arguments."""
        model = self.build(weights).train(mode == MODES[0])
        images = torch.rand(batch, 3, 32, 32).contiguous(memory_format=LAYOUTS[self.layout])
        labels = torch.randint(0, CLASSES, (batch,))
        optimizer = torch.optim.AdamW(model.parameters())

        def train():
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()

        def infer():
            with torch.inference_mode():
                return model(images)

        step = train if mode == MODES[0] else infer
        return patch.object(native, "takes", lambda tensor: False)(step) if self.framework == TORCH_ONLY else step


CONTESTANTS = (
    Contestant(OURS, "channels last"),
    Contestant(TORCH_ONLY, "channels last"),
    *(Contestant(library, layout) for library in (JELLY, SNNTORCH) for layout in LAYOUTS),
)


def peak_memory_mib(contestant: Contestant, weights: str, mode: str, batch: int, threads: int) -> float:
    """What three steps add to a fresh process's memory. It is forked, so no parallel work may have run here."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_grown_mib, (contestant, weights, mode, batch, threads))


def _grown_mib(contestant, weights, mode, batch, threads):
    torch.set_num_threads(threads)
    step = contestant.run(weights, mode, batch)
    before = int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    for _ in range(3):
        step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def take_turns(steps: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each step in each round, after two rounds of warm-up."""
    times: list[list[float]] = [[] for _ in steps]
    for number in range(rounds + 2):
        for step, own in zip(steps, times):
            start = time.perf_counter()
            step()
            if number >= 2:
                own.append(time.perf_counter() - start)
    return times


def profile(step: Callable[[], object], calls: int = 3) -> dict[str, float]:
    """Shares of a step, by torch's profiler: convolution, pooling, and the rest with the profiler's own cost."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(calls):
            step()
    events = profiler.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    shares = {
        part: sum(event.self_cpu_time_total for event in events if key in event.key.lower()) / total
        for part, key in PARTS.items()
    }
    return {**shares, "rest": 1 - sum(shares.values())}


def compare(weights: str, mode: str, batch: int, rounds: int, memory: dict, bar) -> dict:
    """One table: a row a contestant, and what is asked for."""
    steps = [contestant.run(weights, mode, batch) for contestant in CONTESTANTS]
    times = take_turns(steps, rounds)
    bar.update(rounds)
    rows = [
        {
            "library": contestant.framework, "layout": contestant.layout,
            "samples_per_s": batch / median(own), "step_ms": median(own) * 1e3, "best_ms": min(own) * 1e3,
            "ratio": median(theirs / ours for theirs, ours in zip(own, times[0])),
            "shares": profile(step), "peak_mib": memory.get((contestant, weights, mode)),
        }
        for contestant, own, step in zip(CONTESTANTS, times, steps)
    ]  # fmt: skip
    share = faster(rows, JELLY)["shares"]["convolution"]
    target = min(CEILING, WITHIN_SHARE / share) if weights == "float" else QUANTIZED_TARGET
    return {"weights": weights, "mode": mode, "target": target, "rows": rows}


def faster(rows: list[dict], library: str) -> dict:
    """The row of a library in the memory format that suits it."""
    return min((row for row in rows if row["library"] == library), key=lambda row: row["step_ms"])


def measure(batch: int, rounds: int, threads: int, quick: bool) -> dict:
    """Everything, as kept in results/training_speed.json."""
    cases = [(weights, mode) for mode in MODES for weights in WEIGHT_BITS]
    native.kernels()  # compiled here, not in a measured step
    measured = [
        (contestant, weights, mode)
        for weights, mode in cases
        for contestant in CONTESTANTS
        if not quick or (mode == MODES[0] and contestant.layout == "channels last")
    ]
    with tqdm(total=len(measured) + rounds * len(cases), file=bar_file(), leave=False) as bar:
        memory = {}
        for key in measured:
            memory[key] = peak_memory_mib(*key, batch, threads)
            bar.update()
        torch.set_num_threads(threads)
        tables = [compare(*case, batch, rounds, memory, bar) for case in cases]
    return {
        "kind": "measured (host)",
        "command": shlex.join(["python", "benchmarks/training.py", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "machine": f"{_processor()}, {threads} threads, load before {os.getloadavg()[0]:.1f}",
        "versions": {name: _version(name) for name in ("torch", "brevitas", "spikingjelly", "snntorch")},
        "neurons": "C++" if native.kernels() else "torch",
        "batch": batch,
        "rounds": rounds,
        "tables": tables,
    }


def _processor() -> str:
    lines = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return lines[0] if lines else platform.machine()


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


def render(result: dict) -> str:
    """The tables as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        f"`{result['command']}` ({result['date']}; {result['machine']}; {versions}; neurons in {result['neurons']}): "
        f"{result['kind']}, batch {result['batch']}, medians of {result['rounds']} turns."
    ]
    for table in result["tables"]:
        rows = [table["rows"][0], table["rows"][1], faster(table["rows"], JELLY), faster(table["rows"], SNNTORCH)]
        lines += ["", f"{table['mode'].capitalize()}, {table['weights']} weights:", ""]
        lines += [
            "| | memory format | samples/s | ms (best) | speed-up by ours | peak MiB | convolution | pooling | rest |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for row in rows:
            peak = "" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
            shares = " | ".join(f"{share:.0%}" for share in row["shares"].values())
            lines.append(
                f"| {row['library']} | {row['layout']} | {row['samples_per_s']:.0f} | "
                f"{row['step_ms']:.1f} ({row['best_ms']:.1f}) | {row['ratio']:.2f} | {peak} | {shares} |"
            )
        lines += ["", verdict(table)]
    return "\n".join(lines) + "\n"


def verdict(table: dict) -> str:
    """Whether what is asked for was reached."""
    ours, jelly = table["rows"][0], faster(table["rows"], JELLY)
    reached = "reached" if jelly["ratio"] >= table["target"] else "not reached"
    text = f"Asked for: {table['target']:.2f} times SpikingJelly's samples/s; {jelly['ratio']:.2f}: {reached}."
    if ours["peak_mib"] is None:
        return text
    least = min(row["peak_mib"] for row in table["rows"] if row["library"] == JELLY and row["peak_mib"] is not None)
    return f"{text} Peak memory: {ours['peak_mib']:.0f} MiB against {least:.0f}."


def with_tables(page: str, result: dict) -> str:
    """The page with the tables of `result` between its marks."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{render(result)}\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, help="images of a step (default: 32, quick 16)")
    parser.add_argument("--rounds", type=int, help="turns that are timed (default: 15, quick 3)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and memory of the training step alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep everything that was measured")
    parser.add_argument("--page", action="store_true", help=f"measure nothing, write {PAGE.relative_to(ROOT)}")
    args = parser.parse_args()
    if args.page:
        page = with_tables(PAGE.read_text(), json.loads(RESULT.read_text()))
        with atomic_file(PAGE) as stream:
            stream.write(page.encode())
        return
    batch, rounds = args.batch or (16 if args.quick else 32), args.rounds or (3 if args.quick else 15)
    result = measure(batch, rounds, args.threads, args.quick)
    print(render(result), end="")
    if args.json:
        with atomic_file(args.json) as stream:
            stream.write((json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
