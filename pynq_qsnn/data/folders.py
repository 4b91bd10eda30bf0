"""Folders of pictures: ImageNet as its archives unpack, or pictures of your own.

    FOLDER/train/<class>/*.JPEG      a folder a class; the sorted names of the folders are the classes
    FOLDER/val/<class>/*.JPEG        what is tested on; "test" will do for "val"
    FOLDER/val/*.JPEG, FOLDER/val.txt    or a flat folder with a list of "file label" lines, labels from 0 in that order
    FOLDER/*.parquet                 or Parquet (:mod:`pynq_qsnn.data.parquet`)

``imagenet`` is the folder $PYNQ_QSNN_DATA/imagenet. Pictures are decoded while training goes on.
"""

import os
import re
from pathlib import Path

import numpy as np

from ..errors import DataError
from .cifar import DATA_VARIABLE
from .encoded import EncodedImages
from .types import DataCard, ImageDataset

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")
IMAGE_SIZE = 224
LABEL = re.compile("[0-9]{1,9}")
IMAGENET_CARD = DataCard(
    "imagenet", "ImageNet, ILSVRC 2012 (image-net.org)", "for non-commercial research and education, image-net.org"
)


class Files:
    """The source of pictures that lie in files."""

    def __init__(self, paths: list):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index: int):
        try:
            return self.paths[index], Path(self.paths[index]).read_bytes()
        except OSError as error:
            raise DataError(f"{self.paths[index]} cannot be read: {error.strerror}") from error


def load_imagenet(split: str, size: int | None = None) -> ImageDataset:
    """One split of $PYNQ_QSNN_DATA/imagenet. Raises DataError, see :func:`load_folder`."""
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise DataError(
            "ImageNet is not downloaded for you: get ILSVRC 2012 from image-net.org, unpack it as "
            f"imagenet/train/<class>/ and imagenet/val/<class>/, and set {DATA_VARIABLE} to the folder around it"
        )
    return load_folder(Path(root, "imagenet"), split, size, IMAGENET_CARD)


def load_folder(folder: str | Path, split: str, size: int | None = None, card: DataCard | None = None) -> ImageDataset:
    """One split, "train" or "test", as images uint8 [N, 3, size, size] that are decoded when they are read.

    size None is 224. Raises DataError on a missing folder, class or list; a picture that cannot be decoded raises it
    when it is read.
    """
    folder = Path(folder)
    card = card or DataCard(str(folder), f"pictures of {folder}", "not stated")
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; it holds train/<class>/ and val/<class>/ with pictures, or *.parquet")
    if any(folder.glob("*.parquet")):
        from .parquet import load_parquet

        source, labels, names = load_parquet(folder, split)
    else:
        names = _subfolders(folder / "train") if (folder / "train").is_dir() else ()
        if not names:
            raise DataError(f"{folder / 'train'} has no subfolders; put the pictures of each class into one")
        files, labels = _list_split(folder, split, names)
        source, labels = Files(files), np.array(labels, np.int64)
    return ImageDataset(EncodedImages(source, size or IMAGE_SIZE), labels, names, card)


def _list_split(folder: Path, split: str, names: tuple):
    """(paths, labels) of one split."""
    if split == "train":
        return _list_classes(folder / "train", names)
    held_out = folder / "val" if (folder / "val").is_dir() else folder / "test"
    if not held_out.is_dir():
        raise DataError(f"{folder} has neither val nor test, whose pictures are not trained on")
    present = _subfolders(held_out)
    if unknown := sorted(set(present) - set(names)):
        raise DataError(f"{held_out} has classes that {folder / 'train'} has not: {', '.join(unknown[:5])}")
    if present:
        return _list_classes(held_out, names)
    return _read_list(held_out, folder / f"{held_out.name}.txt", len(names))


def _subfolders(folder: Path) -> tuple:
    """Names of the class folders, sorted, without hidden ones."""
    return tuple(sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")))


def _list_classes(folder: Path, names):
    files, labels = [], []
    for label, name in enumerate(names):
        if (folder / name).is_dir():
            found = sorted(e.path for e in os.scandir(folder / name) if e.name.lower().endswith(SUFFIXES))
            files += found
            labels += [label] * len(found)
    if not files:
        raise DataError(f"{folder} has no pictures ({', '.join(SUFFIXES)}) in its subfolders")
    return files, labels


def _read_list(folder: Path, listing: Path, num_classes: int):
    """A list of "file label" lines, as published with ILSVRC 2012 for Caffe (val.txt)."""
    try:
        lines = listing.read_bytes().splitlines()
    except OSError:
        raise DataError(
            f"{folder} has no class folders, and there is no list {listing} of lines 'file label'; add one of them"
        ) from None
    files, labels = [], []
    for number, line in enumerate(lines, 1):
        try:
            line = line.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{listing}, line {number} is not UTF-8: {error.reason}; write the list in UTF-8") from None
        if not line.strip():
            continue
        name, _, label = line.rpartition(" ")
        if not name or "\0" in name or not LABEL.fullmatch(label) or int(label) >= num_classes:
            raise DataError(f"{listing}, line {number}: {line!r} is not a file and a label of 0..{num_classes - 1}")
        files.append(str(folder / name))
        labels.append(int(label))
    return files, labels
