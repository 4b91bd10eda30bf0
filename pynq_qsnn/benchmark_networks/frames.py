"""Seeded random frames like images and like event recordings. Integer arithmetic: equal on every machine."""

from __future__ import annotations

import numpy as np

from ..network import Network

ACTIVE = 0.04  # fraction of pixels and polarities with an event in a step


def random_frames(network: Network, count: int, seed: int = 0) -> np.ndarray:
    """``count`` frames for a network, uint8 [N, C, H, W] of images, or [N, T, C, H, W] of event counts."""
    if network.input.num_steps == 1 and network.input.s_max == 255:
        return random_images(network.input.shape, count, seed)
    return random_events(network.input.shape, network.input.num_steps, network.input.s_max, count, seed).reshape(
        count, *network.frame_shape
    )


def random_images(shape: tuple[int, int, int], count: int, seed: int = 0) -> np.ndarray:
    """uint8 [count, C, H, W]: smooth at every scale, correlated channels, whole range of values used."""
    channels, height, width = shape
    rng = np.random.default_rng(seed)
    images = np.empty((count, *shape), np.uint8)
    for image in images:
        common = _field(rng, height, width)
        for plane in image:
            own = 3 * common + _field(rng, height, width)
            own -= own.min()
            plane[...] = own * 255 // max(1, int(own.max()))
    return images


def random_events(shape: tuple[int, int, int], num_steps: int, s_max: int, count: int, seed: int = 0) -> np.ndarray:
    """uint8 [count, T, C, H, W]: a moving image's changes of brightness as counts 0..s_max.

    Channels take turns in polarity: even ones count rising, odd ones falling brightness. Most pixels are silent.
    """
    channels, height, width = shape
    rng = np.random.default_rng(seed)
    frames = np.empty((count, num_steps, *shape), np.uint8)
    for frame in frames:
        rows, cols = (int(n) for n in rng.integers(1, 3, 2))
        field = _field(rng, height + rows * num_steps, width + cols * num_steps)
        views = [field[t * rows :, t * cols :][:height, :width] for t in range(num_steps + 1)]
        change = np.stack([after - before for before, after in zip(views, views[1:])])
        change -= change.sum() // change.size  # both polarities alike
        rank = int(change.size * (1 - 2 * ACTIVE))
        step = max(1, int(np.partition(np.abs(change), rank, axis=None)[rank]))
        for c in range(channels):
            frame[:, c] = np.clip((change if c % 2 == 0 else -change) // step, 0, s_max)
    return frames


def _field(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """int64 [H, W]: noise of every octave, its amplitude proportional to its scale, without block edges."""
    total = np.zeros((height, width), np.int64)
    scale = 1
    while scale < max(height, width):
        coarse = rng.integers(-64, 65, (height // scale + 3, width // scale + 3)) * scale
        rows, cols = (np.arange(n) for n in (height, width))
        total += _between(_between(coarse, rows, scale).T, cols, scale).T // scale**2
        scale *= 2
    return total


def _between(values: np.ndarray, at: np.ndarray, scale: int) -> np.ndarray:
    """Linear interpolation of rows, times ``scale``: row ``i`` of the result lies at ``at[i] / scale``."""
    low, part = np.divmod(at, scale)
    return values[low] * (scale - part)[:, None] + values[low + 1] * part[:, None]
