"""The reference executor: an integer network in plain NumPy, written to be read. Slow; the truth for all others."""

from __future__ import annotations

import numpy as np

from .network import INPUT, WEIGHTED, Attention, Conv2d, Flatten, Head, Network, Pool, Steps
from .neuron import integrate, round_shift, scale, skip_current
from .packing import check_frames


def convolve(codes: np.ndarray, weight: np.ndarray, stride: int = 1, padding: int = 0, groups: int = 1) -> np.ndarray:
    """Exact sums int64 [B, Co, Ho, Wo] of codes uint8 [B, Ci, H, W] with weight int8 [Co, Ci / groups, kh, kw]."""
    batch, channels = codes.shape[:2]
    kh, kw = weight.shape[2:]
    padded = np.pad(codes, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(2, 3))[:, :, ::stride, ::stride]
    rows, cols = windows.shape[2:4]
    # [groups, B * Ho * Wo, Ci / groups * kh * kw]; float64 products are exact here (sums stay below 2**31 < 2**53).
    windows = windows.reshape(batch, groups, channels // groups, rows, cols, kh, kw).transpose(1, 0, 3, 4, 2, 5, 6)
    left = windows.reshape(groups, batch * rows * cols, -1).astype(np.float64)
    right = weight.reshape(groups, len(weight) // groups, -1).transpose(0, 2, 1).astype(np.float64)
    sums = (left @ right).astype(np.int64).reshape(groups, batch, rows, cols, -1)
    return np.ascontiguousarray(sums.transpose(1, 0, 4, 2, 3)).reshape(batch, len(weight), rows, cols)


def pool(codes: np.ndarray, layer: Pool) -> np.ndarray:
    """Pooled codes uint8 [B, C, Ho, Wo] of codes uint8 [B, C, H, W]."""
    size = (layer.kernel, layer.kernel)
    if layer.padding:
        codes = np.pad(codes, ((0, 0), (0, 0), *((layer.padding, layer.padding),) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(codes, size, axis=(2, 3))
    windows = windows[:, :, :: layer.stride, :: layer.stride]
    if layer.kind == "maximum":
        return windows.max(axis=(4, 5))
    sums = windows.sum(axis=(4, 5), dtype=np.int64)
    shift = layer.kernel**2 if layer.kind == "average" else 1
    return round_shift(sums, np.array(shift.bit_length() - 1)).astype(np.uint8)


def attend(query: np.ndarray, key: np.ndarray, value: np.ndarray, heads: int) -> np.ndarray:
    """Exact sums int64 [B, C, H, W] of (Q K^T) V, head by head; codes uint8 [B, C, H, W], H * W tokens."""
    split = (len(query), heads, query.shape[1] // heads, -1)  # [B, heads, channels of a head, tokens]
    q, k, v = (x.reshape(split).astype(np.int64) for x in (query, key, value))
    scores = q.transpose(0, 1, 3, 2) @ k  # [B, heads, query token, key token]
    return (v @ scores.transpose(0, 1, 3, 2)).reshape(query.shape)


def change_steps(train: np.ndarray, num_steps: int) -> np.ndarray:
    """Spike train uint8 [T', N, C, H, W] of one with T steps: each repeated, or neighbours summed (see Steps)."""
    before = len(train)
    if num_steps >= before:
        return np.repeat(train, num_steps // before, axis=0)
    return train.reshape(num_steps, before // num_steps, *train.shape[1:]).sum(axis=1, dtype=np.uint8)


class Reference:
    """Executor of a network, or of a program's network. ``trace`` keeps every spike train."""

    def load(self, model) -> Reference:
        """model: a Network, or anything with a ``network`` attribute (a Program)."""
        self.network: Network = getattr(model, "network", model)
        return self

    def run(self, frames: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Logits int32 [N, classes] of frames uint8 [N, C, H, W] (static) or [N, T, C, H, W]. Raises FrameError."""
        check_frames(frames, self.network)
        batches = (frames[i : i + batch_size] for i in range(0, len(frames), batch_size))
        return np.concatenate([self.trace(batch)[self.network.head.name] for batch in batches])

    def trace(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Every tensor by name: uint8 [T, N, C, H, W], and the head's int32 logits [N, classes]. Raises FrameError."""
        frames = check_frames(frames, self.network)
        tensors = {INPUT: frames[None] if frames.ndim == 4 else np.moveaxis(frames, 1, 0)}
        for layer in self.network.layers:
            tensors[layer.name] = self._layer(layer, tensors)
        return tensors

    def _layer(self, layer, tensors: dict[str, np.ndarray]) -> np.ndarray:
        source = tensors[layer.source]
        steps, batch = source.shape[:2]
        folded = source.reshape(steps * batch, *source.shape[2:])
        if isinstance(layer, Flatten):
            return source.reshape(steps, batch, -1, 1, 1)
        if isinstance(layer, Pool):
            out = pool(folded, layer)
            return out.reshape(steps, batch, *out.shape[1:])
        if isinstance(layer, Steps):
            return change_steps(source, layer.num_steps)
        if isinstance(layer, Attention):
            key, value = (tensors[name].reshape(folded.shape) for name in (layer.key, layer.value))
            return integrate(attend(folded, key, value, layer.heads).reshape(source.shape), layer.neuron, 2)[0]
        assert isinstance(layer, WEIGHTED)
        weight = layer.weight if layer.weight.ndim == 4 else layer.weight[:, :, None, None]
        geometry = (layer.stride, layer.padding, layer.groups) if isinstance(layer, Conv2d) else ()
        acc = convolve(folded, weight, *geometry)
        acc = acc.reshape(steps, batch, *acc.shape[1:])
        num_steps = self.network.tensors[layer.name].num_steps
        if steps < num_steps:  # a static image: its sums are computed once and replayed
            acc = np.broadcast_to(acc, (num_steps, *acc.shape[1:]))
        if isinstance(layer, Head):
            return scale(acc, layer.affine, 2).sum(axis=0)[:, :, 0, 0].astype(np.int32)
        skip = getattr(layer, "skip", None)
        extra = None
        if skip is not None and skip.domain == "current":
            k = tensors[skip.source][:, :, :, :: skip.stride, :: skip.stride]
            k = np.pad(k, ((0, 0), (0, 0), (0, acc.shape[2] - k.shape[2]), (0, 0), (0, 0)))
            extra = skip_current(k, skip.multiplier, skip.shift, 2)
        spikes, _ = integrate(acc, layer.neuron, 2, extra)
        if skip is not None and skip.domain == "spike":
            total = spikes.astype(np.int64) + tensors[skip.source]
            spikes = np.minimum(total, skip.s_max).astype(np.uint8)
        elif skip is not None and skip.domain == "iand":
            spikes = (1 - spikes) * tensors[skip.source]
        return spikes
