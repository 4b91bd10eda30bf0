"""Images of your own: one .npz file of arrays that holds both splits.

    train_images, test_images    uint8 [N, C, H, W], 0..255, all of one size; or event frames [N, T, C, H, W], counts
    train_labels, test_labels    whole numbers [N], 0 for the first class
    class_names                  optional: names in the order of the labels
    licence                      optional: a text, copied into the model card

Written by ``numpy.savez_compressed``. Nothing in it is unpickled.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from ..errors import DataError
from .types import DataCard, ImageDataset

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def load_arrays(path: str | Path, split: str) -> ImageDataset:
    """One split, "train" or "test", of an .npz file. Raises DataError when it is missing, damaged or incomplete."""
    path = Path(path)
    try:
        content = path.read_bytes()
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise DataError(
            f"no file {path}; write it with numpy.savez_compressed({path}, train_images=..., ...)"
        ) from None
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not an .npz file of plain arrays: {error}") from error
    if missing := [name for name in ARRAYS if name not in found]:
        raise DataError(f"{path} has no {', '.join(missing)}; it holds {', '.join(found) or 'nothing'}")
    for name in ("train_labels", "test_labels"):
        if not np.issubdtype(found[name].dtype, np.integer):
            raise DataError(f"{path}: {name} is {found[name].dtype}, must be whole numbers")
    shapes = [found[f"{name}_images"].shape[1:] for name in ("train", "test")]
    if shapes[0] != shapes[1]:
        raise DataError(f"{path}: training images are {shapes[0]}, test images {shapes[1]}; make them one size")
    images = found[f"{split}_images"]
    return ImageDataset(
        images[:, 0] if images.ndim == 5 and images.shape[1] == 1 else images,  # event frames of one step are images
        found[f"{split}_labels"].astype(np.int64),
        _class_names(found),
        _card(path, content, found),
    )


def _class_names(found) -> tuple:
    """The file's names, else "0", "1", ... up to the largest label of either split."""
    if "class_names" in found:
        return tuple(str(name) for name in found["class_names"])
    labels = np.concatenate([found["train_labels"], found["test_labels"]])
    return tuple(str(label) for label in range(int(labels.max(initial=0)) + 1))


def _card(path: Path, content: bytes, found) -> DataCard:
    digest = hashlib.sha256(content).hexdigest()
    return DataCard(str(path), f"{path.name}, SHA-256 {digest}", str(found.get("licence", "not stated")))
