"""scikit-learn's hand-written digits (8x8 pixels, 10 classes): ships with the package, needs no download."""

import numpy as np

from .types import DataCard, ImageDataset

CARD = DataCard(
    name="digits",
    source="scikit-learn load_digits (UCI Optical Recognition of Handwritten Digits, test part)",
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    note="8x8 pixels, 0..16 scaled to 0..255; split of 1,437 train and 360 test images by a fixed permutation",
)
NUM_TEST = 360
SPLIT_SEED = 0


def load_digits(split: str) -> ImageDataset:
    """One split: images uint8 [N, 1, 8, 8], labels int64 [N]. Needs scikit-learn."""
    from sklearn.datasets import load_digits as sklearn_digits

    raw = sklearn_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(raw.target))
    chosen = order[:NUM_TEST] if split == "test" else order[NUM_TEST:]
    images = np.round(raw.images[chosen] * (255.0 / 16.0)).astype(np.uint8)[:, None]
    labels = raw.target[chosen].astype(np.int64)
    return ImageDataset(images, labels, tuple(str(digit) for digit in range(10)), CARD)
