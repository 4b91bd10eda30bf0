"""Readers of image data sets: NumPy arrays in, nothing downloaded or decoded at import.

`load_dataset(name, split)` is the one entry; each reader lives in its own file.
"""

from ..errors import ConfigError
from .reading import read_ahead
from .types import DataCard, ImageDataset

__all__ = ["DATASET_METAVAR", "DATASET_NAMES", "DataCard", "ImageDataset", "dataset_name", "load_dataset", "read_ahead"]

DATASET_NAMES = ("digits", "cifar10")
ARRAYS_SUFFIX = ".npz"
DATASET_METAVAR = f"{{{','.join(DATASET_NAMES)},FILE{ARRAYS_SUFFIX}}}"


def dataset_name(text: str) -> str:
    """``text`` if it names a data set: one of DATASET_NAMES, or a file of images of your own. Raises ConfigError."""
    if text in DATASET_NAMES or text.endswith(ARRAYS_SUFFIX):
        return text
    raise ConfigError(f"unknown data set {text!r}; known: {', '.join(DATASET_NAMES)}, or an {ARRAYS_SUFFIX} file")


def load_dataset(name: str, split: str) -> ImageDataset:
    """Load one split ("train" or "test") of a data set by name, or of an .npz file (:mod:`pynq_qsnn.data.arrays`).

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
    from .arrays import load_arrays

    return load_arrays(dataset_name(name), split)
