"""How faithful an exported network is: to the float model by its classes, to its other executors by every bit."""

import time

import numpy as np
from tqdm import tqdm

from ..errors import ConfigError
from ..progress import bar_file
from .check import IntegerForward
from .loop import predict_logits

BATCH = 100


def evaluate(model, network, dataset, executors: dict, independent_frames: int | None = None, progress=True) -> dict:
    """Run the float model and every executor over a data set.

    dataset: an ImageDataset.  executors: name -> object with ``trace(frames)``, the network already loaded; the first
    is compared with the float model, and all others with it.
    independent_frames: how many frames also pass the int64 torch forward of :mod:`check` (None = all, 0 = none).

    Returns plain values. Accuracies and ``argmax_agreement`` are shares 0..1; ``largest_score_difference`` is in units
    of the float scores; ``compared`` counts, for each other executor, the frames, all codes and logits that were
    compared and how many differ; ``seconds`` is the time that each took.
    """
    if not executors:
        raise ConfigError("evaluate needs at least one executor")
    start = time.perf_counter()
    scores = predict_logits(model, dataset.images).numpy()
    seconds = {"float": time.perf_counter() - start}
    counter = _Comparison(model, network, executors, len(dataset) if independent_frames is None else independent_frames)
    starts = range(0, len(dataset), BATCH)
    bar = tqdm(starts, "executors", disable=not progress, file=bar_file())
    logits = [counter.batch(dataset.images[i : i + BATCH], i) for i in bar]
    logits = np.concatenate(logits)
    float_class, integer_class = scores.argmax(axis=1), logits.argmax(axis=1)
    return {
        "frames": len(dataset),
        "accuracy_float": float(np.mean(float_class == dataset.labels)),
        "accuracy_integer": float(np.mean(integer_class == dataset.labels)),
        "argmax_agreement": float(np.mean(float_class == integer_class)),
        "largest_score_difference": float(np.abs(scores - logits * network.head.logit_scale).max()),
        "largest_score": float(np.abs(scores).max()),
        "integer_executor": next(iter(executors)),
        "compared": counter.counts,
        "seconds": {name: round(value, 1) for name, value in {**seconds, **counter.seconds}.items()},
    }


class _Comparison:
    """Counts differing codes batch by batch; only one batch of spike trains is in memory."""

    def __init__(self, model, network, executors: dict, independent_frames: int):
        self.executors = dict(executors)
        self.names = [layer.name for layer in network.layers]
        self.limits = dict.fromkeys(executors, None)
        self.first = next(iter(executors))
        if independent_frames:
            self.executors["int64"] = _NamedForward(model, network)
            self.limits["int64"] = independent_frames
        self.counts = {
            name: {"frames": 0, "values": 0, "different": 0} for name in self.executors if name != self.first
        }
        self.seconds = dict.fromkeys(self.executors, 0.0)

    def batch(self, frames, index: int):
        """Compare one batch that starts at frame ``index``; returns the first executor's logits."""
        truth = None
        for name, executor in self.executors.items():
            limit = self.limits[name]
            chosen = frames if limit is None else frames[: max(0, limit - index)]
            if len(chosen) == 0:
                continue
            start = time.perf_counter()
            tensors = executor.trace(chosen)
            self.seconds[name] += time.perf_counter() - start
            if truth is None:
                truth = tensors
            else:
                self._count(self.counts[name], truth, tensors, len(chosen))
        return truth[self.names[-1]]

    def _count(self, counts: dict, truth: dict, tensors: dict, frames: int):
        counts["frames"] += frames
        for name in self.names:
            expected = truth[name][:frames] if name == self.names[-1] else truth[name][:, :frames]
            counts["values"] += expected.size
            counts["different"] += _different(expected, tensors[name])


class _NamedForward:
    """The independent forward with the network's tensor names, in their shapes."""

    def __init__(self, model, network):
        num_steps = network.tensors[network.head.name].num_steps  # another than the network's behind a Steps
        fraction_bits = round(-np.log2(network.head.logit_scale * num_steps))
        self.forward = IntegerForward(model, fraction_bits)
        self.names = [layer.name for layer in network.layers]

    def trace(self, frames) -> dict:
        return {name: tensor.numpy() for name, tensor in zip(self.names, self.forward.trace(frames))}


def _different(a, b) -> int:
    """Number of unequal values; a vector [.., C] equals the map [.., C, 1, 1]."""
    return int(np.count_nonzero(a.reshape(b.shape) != b))
