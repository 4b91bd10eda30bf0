"""Readers of image data sets: NumPy arrays in, nothing downloaded or decoded at import.

`load_dataset(name, split)` is the one entry; each reader lives in its own file.
"""

import os

from ..errors import ConfigError
from .reading import read_ahead
from .types import DataCard, ImageDataset

__all__ = ["DATASET_METAVAR", "DATASET_NAMES", "DataCard", "ImageDataset", "dataset_name", "load_dataset", "read_ahead"]

DATASET_NAMES = ("digits", "cifar10", "cifar100", "imagenet")
ARRAYS_SUFFIX = ".npz"
DATASET_METAVAR = f"{{{','.join(DATASET_NAMES)},FILE{ARRAYS_SUFFIX},FOLDER/}}"


def dataset_name(text: str) -> str:
    """``text`` if it names a data set: one of DATASET_NAMES, a file or a folder of your own. Raises ConfigError."""
    if text in DATASET_NAMES or text.endswith(ARRAYS_SUFFIX) or "/" in text or os.path.isdir(text):
        return text
    raise ConfigError(
        f"unknown data set {text!r}; known: {', '.join(DATASET_NAMES)}, an {ARRAYS_SUFFIX} file, or a folder of "
        f"pictures: {text}/"
    )


def load_dataset(name: str, split: str, image_size: int | None = None) -> ImageDataset:
    """Load one split ("train" or "test") of a data set.

    name: one of DATASET_NAMES, an .npz file (:mod:`pynq_qsnn.data.arrays`) or a folder of pictures
    (:mod:`pynq_qsnn.data.folders`).  image_size: side in pixels to which pictures of a folder are brought, None = 224;
    the other data sets have a size of their own.
    Raises ConfigError for an unknown name or split, DataError when the data cannot be had or is damaged.
    """
    if split not in ("train", "test"):
        raise ConfigError(f"split must be 'train' or 'test', not {split!r}")
    if name == "digits":
        from .digits import load_digits

        return load_digits(split)
    if name in ("cifar10", "cifar100"):
        from .cifar import CIFAR10, CIFAR100, load_cifar

        return load_cifar(CIFAR10 if name == "cifar10" else CIFAR100, split)
    if name == "imagenet":
        from .folders import load_imagenet

        return load_imagenet(split, image_size)
    if dataset_name(name).endswith(ARRAYS_SUFFIX):
        from .arrays import load_arrays

        return load_arrays(name, split)
    from .folders import load_folder

    return load_folder(name, split, image_size)
