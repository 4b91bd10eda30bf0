"""Layer lists: a line of words -> geometry, multiply-accumulates and weights, without any arrays.

Words, read from left to right::

    128        3x3 convolution with 128 output channels, padding 1; 128/2 with stride 2
    64v        the same without padding ("valid")
    64k7p4/2   7x7 convolution, padding 4, stride 2
    P          2x2 maximum pool; P3/2 a 3x3 one with stride 2
    R64, R64/2 residual block of two 3x3 convolutions; its first one takes the stride
    G          pool of the whole map
    F512       fully connected layer;  FC10 the head
    3xR64      three times R64
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import ConfigError

_CONVOLUTION = re.compile(r"(\d+)(?:k([1357]))?(v|p\d)?(?:/([12]))?")
_POOL = re.compile(r"P(?:(\d)/(\d))?")
_BLOCK = re.compile(r"R(\d+)(?:/([12]))?")
_DENSE = re.compile(r"(F|FC)(\d+)")


@dataclass(frozen=True)
class Word:
    """One word: kind "convolution", "pool", "block", "global", "linear" or "head", and its numbers.

    channels: outputs.  padding counts for convolutions only.
    """

    kind: str
    channels: int = 0
    kernel: int = 0
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Size:
    """Multiply-accumulates of one time step, every layer counted once, and the number of weights."""

    macs: int
    weights: int


def parse(text: str) -> tuple[Word, ...]:
    """Words of a layer list. Raises ConfigError for one that the language does not have."""
    words = []
    for item in text.split():
        times, name = re.fullmatch(r"(?:(\d+)x)?(.+)", item).groups()
        words += [_word(name)] * int(times or 1)
    if not words or words[-1].kind != "head":
        raise ConfigError(f"layer list {text!r} must end in a head such as FC10")
    return tuple(words)


def _word(text: str) -> Word:
    if match := _CONVOLUTION.fullmatch(text):
        channels, kernel, padding, stride = match.groups()
        kernel = int(kernel or 3)
        rows = 0 if padding == "v" else int(padding[1:]) if padding else kernel // 2
        return Word("convolution", int(channels), kernel, int(stride or 1), rows)
    if match := _POOL.fullmatch(text):
        kernel, stride = match.groups()
        return Word("pool", kernel=int(kernel or 2), stride=int(stride or 2))
    if match := _BLOCK.fullmatch(text):
        return Word("block", int(match[1]), 3, int(match[2] or 1), 1)
    if match := _DENSE.fullmatch(text):
        return Word("linear" if match[1] == "F" else "head", int(match[2]))
    if text == "G":
        return Word("global")
    raise ConfigError(f"{text!r} is no word of a layer list; see pynq_qsnn.benchmark_networks.layers")


def size(words: tuple[Word, ...], input_shape: tuple[int, int, int], residual: str | None) -> Size:
    """Count a layer list on an input (C, H, W). residual: domain of the blocks, which decides on their shortcuts.

    As usual in such tables, the first layer counts once a step, although a static image is convolved once a frame.
    """
    channels, height, width = input_shape
    macs = weights = 0

    def add(outputs: int, kernel: int) -> None:
        nonlocal macs, weights
        weights += outputs * channels * kernel**2
        macs += outputs * channels * kernel**2 * height * width

    for word in words:
        if word.kind in ("linear", "head"):
            channels, height, width = channels * height * width, 1, 1
            add(word.channels, 1)
            channels = word.channels
            continue
        if word.kind == "global":
            height = width = 1
            continue
        height, width = ((n + 2 * word.padding - word.kernel) // word.stride + 1 for n in (height, width))
        if word.kind == "pool":
            continue
        add(word.channels, word.kernel)
        if word.kind == "block":
            if needs_shortcut(word, channels, residual):
                add(word.channels, 1)
            channels = word.channels
            add(word.channels, word.kernel)
        channels = word.channels
    return Size(macs, weights)


def needs_shortcut(block: Word, channels: int, residual: str | None) -> bool:
    """Whether a block on ``channels`` has a 1x1 convolution beside it: codes are added only where shapes are equal.

    In the domain "current" the identity subsamples and appends zero channels instead.
    """
    return residual != "current" and (block.stride != 1 or block.channels != channels)
