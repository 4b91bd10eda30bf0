"""Readers of image data sets: NumPy arrays in, nothing downloaded or decoded at import.

`load_dataset(name, split)` is the one entry; each reader lives in its own file.
"""

from ..errors import ConfigError
from .types import DataCard, ImageDataset

__all__ = ["DATASET_NAMES", "DataCard", "ImageDataset", "load_dataset"]

DATASET_NAMES = ("digits", "cifar10")


def load_dataset(name: str, split: str) -> ImageDataset:
    """Load one split ("train" or "test") of a data set by name.

    Raises ConfigError for an unknown name or split, DataError when the data cannot be had or is damaged.
    """
    if split not in ("train", "test"):
        raise ConfigError(f"split must be 'train' or 'test', not {split!r}")
    if name == "digits":
        from .digits import load_digits

        return load_digits(split)
    if name == "cifar10":
        from .cifar import load_cifar10

        return load_cifar10(split)
    raise ConfigError(f"unknown data set {name!r}; known: {', '.join(DATASET_NAMES)}")
