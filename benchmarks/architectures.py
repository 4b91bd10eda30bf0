"""Every named architecture, from Brevitas to the integer network: are all codes of all layers equal?

    python benchmarks/architectures.py --json results/architectures.json
    python benchmarks/architectures.py --names ResNet-20 Spikformer-4-256

Each is built with the layers that training uses, its batch norms find their statistics on random images (or event
frames), and it is exported. Then three programs that share no code run it: the reference (NumPy), the fast simulator
(C++) and the int64 forward that pynq_qsnn.training.check builds from the Brevitas model (torch). A row says how many
values were compared and how many differ, the size, and what the overlay's compiler says. Exit status 1 on a difference.

Allocations are weight bits / spike bits / T; "own" is T = 2 and gives every word of the layer list bits of its own, by
turns; where residuals join, the spike bits are 2 everywhere: a sum needs one step on both sides.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pynq_qsnn.architectures import NAMES, Architecture, Residual, architecture, with_bits, words_with_neurons
from pynq_qsnn.benchmark_networks import random_events, random_images
from pynq_qsnn.commands.common import provenance, write_json
from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import CapacityError
from pynq_qsnn.metrics import count
from pynq_qsnn.network import Network
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.simulator import Simulator
from pynq_qsnn.training.check import IntegerForward
from pynq_qsnn.training.export import export_network
from pynq_qsnn.training.models import NetworkSpec, build_model

IMAGENET = (3, 224, 224)
CASES = [(name, None) for name in NAMES[:-1]] + [
    ("Spikformer-4-256", (3, 32, 32)),
    ("Spikformer-4-384", (3, 32, 32)),
    ("Spikformer-2-256", (2, 128, 128)),
    ("Spikformer-8-384", IMAGENET),
    ("Spikformer-8-512", IMAGENET),
]
ALLOCATIONS = ("1/1/4", "4/4/1", "own")
OWN_BITS = ((8, 4), (4, 1), (2, 2), (1, 4))  # weight bits, spike bits of one layer after the other
CALIBRATION_MACS = 2e10


def trained_like(name: str, shape: tuple, allocation: str, events: bool, seed: int = 0):
    """A network whose batch norms fit its inputs, in evaluation mode."""
    entry = architecture(name, shape)
    if allocation == "own":
        layers, (weight_bits, spike_bits, num_steps) = own_bits(entry), (8, 2, 2)
    else:
        layers, (weight_bits, spike_bits, num_steps) = name, map(int, allocation.split("/"))
    torch.manual_seed(seed)
    classes = entry.entries[-1].classes or 10
    spec = NetworkSpec(layers, shape, classes, weight_bits, spike_bits, num_steps, residual=entry.residual)
    model = build_model(spec).train()
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.momentum = None  # plain means over the batches
    macs = entry.size(shape, classes=classes).macs * num_steps
    batch = int(np.clip(CALIBRATION_MACS // macs, 2, 16))
    with torch.no_grad():
        model(as_tensor(frames_of(model, events, batch, seed + 1)))
    return model.eval()


def own_bits(entry: Architecture) -> str:
    """Layer list whose words take OWN_BITS by turns."""
    joined = any(isinstance(part, Residual) for part in entry.entries)
    number = len(words_with_neurons(entry.layers))
    pairs = (OWN_BITS * number)[:number]
    return with_bits(entry.layers, [(weight_bits, None if joined else spikes) for weight_bits, spikes in pairs])


def frames_of(model, events: bool, number: int, seed: int) -> np.ndarray:
    """uint8 [N, C, H, W], or [N, T, C, H, W] of event counts; one step of those is an image."""
    spec = model.spec
    if events:
        frames = random_events(spec.input_shape, spec.num_steps, 255, number, seed)
        return frames if spec.num_steps > 1 else frames[:, 0]
    return random_images(spec.input_shape, number, seed)


def as_tensor(frames: np.ndarray):
    images = torch.from_numpy(frames).float() / 255
    return images if images.ndim == 4 else images.transpose(0, 1)


def compare(network: Network, model, frames: np.ndarray) -> dict:
    """Values compared and different: simulator and int64 forward, each against the reference."""
    expected = Reference().load(network).trace(frames)
    found = {"simulator": Simulator().load(network).trace(frames)}
    bits = round(-np.log2(network.head.logit_scale * network.tensors[network.head.name].num_steps))
    names = [layer.name for layer in network.layers]
    found["int64"] = dict(zip(names, (tensor.numpy() for tensor in IntegerForward(model, bits).trace(frames))))
    different = {
        key: sum(int(np.count_nonzero(expected[name].reshape(trains[name].shape) != trains[name])) for name in names)
        for key, trains in found.items()
    }
    silent = [name for name in names if not expected[name].any()]
    return {"values": sum(expected[name].size for name in names), "different": different, "silent_layers": silent}


def row(name: str, shape: tuple | None, allocation: str) -> dict:
    """One architecture in one allocation."""
    entry = architecture(name, shape or (3, 32, 32))
    shape, start = shape or entry.input_shape, time.perf_counter()
    model = trained_like(name, shape, allocation, entry.events)
    network = export_network(model, name=f"{name} {allocation}", static=not entry.events)
    result = compare(network, model, frames_of(model, entry.events, 1, 7))
    try:
        compile_network(network)
        overlay = "runs"
    except CapacityError as error:
        overlay = str(error)
    cost = count(network)
    sizes = {"mmac": round(cost.macs / 1e6, 2), "weights": cost.weights, "layers": len(network.layers)}
    found = {"architecture": name, "input": list(shape), "allocation": allocation, **sizes, **result}
    return {**found, "overlay": overlay, "seconds": round(time.perf_counter() - start, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="+", help="architectures (default: all)")
    parser.add_argument("--allocations", nargs="+", default=ALLOCATIONS)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    cases = [case for case in CASES if not args.names or case[0] in args.names]
    rows = []
    for name, shape in tqdm(cases):
        for allocation in args.allocations:
            found = row(name, shape, allocation)
            rows.append(found)
            tqdm.write(f"{name} {found['allocation']}: {found['values']:,} values, different {found['different']}")
            content = {**provenance(), "command": f"python benchmarks/{Path(__file__).name}", "seed": 0, "rows": rows}
            write_json(args.json, content)
    return int(any(sum(r["different"].values()) for r in rows))


if __name__ == "__main__":
    sys.exit(main())
