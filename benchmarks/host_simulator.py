"""Frames per second and latency of the fast host simulator, and of PyTorch evaluating the same model in float.

    python benchmarks/host_simulator.py [--threads 2] [--batch 128] [--rounds 7]

Both run in this process in turns, because a busy machine changes its speed from second to second; compare medians, and
best times where other work disturbs the medians. The network is the CIFAR-10 model "cifar_small" with random weights:
speed does not depend on their values. All figures are measured (host). Without torch only the simulator is measured.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from pynq_qsnn.network import Conv2d, Flatten, Head, Network, Pool, TensorType
from pynq_qsnn.neuron import THRESHOLD, Affine, Neuron
from pynq_qsnn.runtime.simulator import Simulator

WIDTHS = ((4, 1), (2, 2), (1, 4))  # (spike_bits, num_steps)
IMAGE = (3, 32, 32)
# Output channels of 3x3 convolutions, or a maximum pool.
BODY = (32, "pool", 64, 64, "pool", 128, 128, "pool", 192)
CLASSES = 10
SINGLE_CALLS = 30  # a round; the first ones after a batch run on cold caches


def cifar_small(spike_bits: int, num_steps: int, rng: np.random.Generator) -> Network:
    """The model with weights over the whole int8 range and scales that keep every layer firing."""
    layers, source, channels, size, s_in = [], "input", IMAGE[0], IMAGE[1], 255
    s_max = 2**spike_bits - 1
    for entry in BODY:
        if entry == "pool":
            layers.append(Pool(f"pool{len(layers)}", source, "maximum", 2, 2))
            size //= 2
        else:
            weight = rng.integers(-127, 128, (entry, channels, 3, 3), dtype=np.int8)
            neuron = Neuron(_affine(weight, s_in, s_max), s_max)
            layers.append(Conv2d(f"conv{len(layers)}", source, weight, 8, neuron, spike_bits, padding=1))
            channels, s_in = entry, s_max
        source = layers[-1].name
    layers.append(Flatten("flatten", source))
    weight = rng.integers(-127, 128, (CLASSES, channels * size**2), dtype=np.int8)
    layers.append(Head("head", "flatten", weight, 8, _affine(weight, s_in, s_max)))
    name = f"cifar_small {spike_bits}-bit codes, T = {num_steps}"
    return Network(name, TensorType(IMAGE, 8, 1, 255), num_steps, tuple(layers))


def _affine(weight: np.ndarray, s_in: int, s_max: int) -> Affine:
    """About half of s_max in the mean; codes assumed uniform over 0..s_in."""
    flat = weight.reshape(len(weight), -1).astype(float)
    gain = 0.5 * THRESHOLD * s_max / (0.35 * s_in * np.sqrt((flat**2).sum(axis=1)))
    shift = (16 - np.ceil(np.log2(gain))).astype(np.int64)
    bias = 0.5 * THRESHOLD * s_max - gain * flat.sum(axis=1) * 0.5 * s_in
    return Affine(np.round(gain * 2.0**shift).astype(np.int64), shift, np.round(bias).astype(np.int64))


def multiply_accumulates(network: Network) -> int:
    """Products of one frame: the static first layer once, every other one for each step."""
    total, steps = 0, 1
    for layer in network.layers:
        if hasattr(layer, "weight"):
            _, rows, cols = network.tensors[layer.name].shape
            total += layer.weight.size * rows * cols * steps
            steps = network.num_steps
    return total


def torch_model(network: Network, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The same network in float32: scale in the convolution's weight, the steps folded into its batch."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)

    def prepare(layer):
        affine = layer.affine if isinstance(layer, Head) else layer.neuron.affine
        gain = affine.multiplier / 2.0**affine.shift / THRESHOLD
        weight = layer.weight * gain.reshape(-1, *[1] * (layer.weight.ndim - 1))
        weight = torch.tensor(weight, dtype=torch.float32)
        if weight.ndim == 4:
            weight = weight.contiguous(memory_format=torch.channels_last)
        return weight, torch.tensor(affine.bias / THRESHOLD, dtype=torch.float32)

    constants = {layer.name: prepare(layer) for layer in network.layers if hasattr(layer, "weight")}
    steps = network.num_steps

    def integrate(u, neuron, count):
        """u: [T * N, C, H, W], or [N, C, H, W] to be replayed."""
        if steps == 1:
            return u.floor_().clamp_(0, neuron.s_max)
        u = u.view(-1, count, *u.shape[1:])
        v, spikes = torch.zeros_like(u[0]), []
        for t in range(steps):
            v = v * (1 - 0.5**neuron.leak_shift) + u[t if len(u) > 1 else 0]
            s = v.floor().clamp_(0, neuron.s_max)
            v = v - s
            spikes.append(s)
        return torch.cat(spikes)

    def run(frames: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = torch.from_numpy(frames).to(torch.float32, memory_format=torch.channels_last)
            for layer in network.layers:
                if isinstance(layer, Conv2d):
                    u = functional.conv2d(x, *constants[layer.name], padding=layer.padding)
                    x = integrate(u, layer.neuron, len(frames))
                elif isinstance(layer, Pool):
                    x = functional.max_pool2d(x, layer.kernel, layer.stride)
                elif isinstance(layer, Flatten):
                    x = x.flatten(1)
                else:
                    x = functional.linear(x, *constants[layer.name]).view(steps, len(frames), -1).sum(0)
            return x.numpy()

    return run


def seconds(run: Callable[[np.ndarray], np.ndarray], frames: np.ndarray) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    run(frames)
    return time.perf_counter() - start


def measure(network: Network, threads: int, batch: int, rounds: int, rng: np.random.Generator) -> None:
    """Print one network's table."""
    simulator = Simulator(threads).load(network)
    runs = {"simulator": lambda frames: simulator.run(frames, batch)}
    try:
        runs["torch float"] = torch_model(network, threads)
    except ImportError:
        print("torch is not installed: no comparison")
    frames = rng.integers(0, 256, (batch, *IMAGE), dtype=np.uint8)
    classes = [run(frames).argmax(axis=1) for run in runs.values()]  # also the warm-up
    times: dict[tuple[str, int], list[float]] = {(name, n): [] for name in runs for n in (batch, 1)}
    for _ in range(rounds):
        for n, calls in ((batch, 1), (1, SINGLE_CALLS)):
            for name, run in runs.items():
                times[name, n] += [seconds(run, frames[:n]) for _ in range(calls)]
    macs = multiply_accumulates(network)
    print(f"\n{network.name}, {macs / 1e6:.1f} MMAC a frame: measured (host), median (best)")
    for name in runs:
        many, single = times[name, batch], times[name, 1]
        print(
            f"  {name:11s} {batch / median(many):7.0f} ({batch / min(many):5.0f}) fps,"
            f" {macs * batch / median(many) / 1e9:6.1f} ({macs * batch / min(many) / 1e9:5.1f}) GMAC/s,"
            f" one frame {median(single) * 1e3:7.3f} ({min(single) * 1e3:6.3f}) ms"
        )
    if len(runs) == 2:
        for n, what in ((batch, "in batches"), (1, "with one frame")):
            middle, best = (of(times["torch float", n]) / of(times["simulator", n]) for of in (median, min))
            print(f"  {middle:.1f} ({best:.1f}) times as fast as torch {what}")
        print(f"  the same class on {np.mean(classes[0] == classes[1]):.1%} of the frames")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, default=128, help="frames of one call")
    parser.add_argument("--rounds", type=int, default=7, help="alternations; medians over them are printed")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{args.threads} threads, batch {args.batch}, median of {args.rounds} rounds")
    for spike_bits, num_steps in WIDTHS:
        measure(cifar_small(spike_bits, num_steps, rng), args.threads, args.batch, args.rounds, rng)


if __name__ == "__main__":
    main()
