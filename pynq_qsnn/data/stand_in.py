"""Frames that are at hand: a data set's test images, or patterns where it would have to be fetched first.

Speed, latency and exactness do not depend on what a frame shows; accuracy does, so patterns come without labels.
"""

from __future__ import annotations

import os

import numpy as np

from ..errors import DataError
from ..files import cache_dir
from . import load_dataset
from .cifar import CIFAR10, DATA_VARIABLE

NUM_PATTERNS = 512
TO_GET_CIFAR10 = (
    "for the real images, pynq_qsnn.data.load_dataset('cifar10', 'test') downloads 170 MB once; "
    f"or set {DATA_VARIABLE} to a folder with cifar10/cifar-10-binary.tar.gz"
)


def patterns(count: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Smooth coloured waves of no class, uint8 [count, C, H, W]; the same for the same arguments."""
    channels, height, width = shape
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    down, across = random.uniform(-9, 9, (2, count, channels, 1, 1))
    phase = random.uniform(0, 2 * np.pi, (count, channels, 1, 1))
    return np.round(127.5 + 127.5 * np.sin(down * rows / height + across * columns / width + phase)).astype(np.uint8)


def frames_at_hand(dataset: str, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray | None, str]:
    """(images uint8 [N, C, H, W], labels int64 [N] or None, a sentence on what they are). Downloads nothing.

    dataset: a name that ``load_dataset`` knows.  shape: (C, H, W) of the patterns that come in its place.
    """
    try:
        _refuse_download(dataset)
        test = load_dataset(dataset, "test")
    except (DataError, ModuleNotFoundError) as error:
        text = f"NO {dataset} HERE ({error}); {NUM_PATTERNS} patterns of no class stand in for its images"
        return patterns(NUM_PATTERNS, shape), None, text
    return test.images, test.labels, f"{len(test)} test images of {dataset}. {test.card.note}"


def _refuse_download(dataset: str) -> None:
    archive = cache_dir() / CIFAR10.archive
    if dataset == "cifar10" and not os.environ.get(DATA_VARIABLE) and not archive.exists():
        raise DataError(TO_GET_CIFAR10)
