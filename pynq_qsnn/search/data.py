"""What a sweep trains on and what it chooses by: parts of the training split. The test split is for the front alone.

A sweep that chose by test accuracy would report it too high, because the best of many is partly luck. Event frames are
summed into as many steps as an allocation has, so that the same recording can be spread over T or packed into it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..data import DataCard, ImageDataset, load_dataset
from ..errors import ConfigError
from ..files import atomic_file

LARGEST_COUNT = 255


def in_steps(dataset: ImageDataset, num_steps: int, index=slice(None)) -> np.ndarray:
    """Images [N, C, H, W] as they are; event frames [N, F, C, H, W] summed into [N, num_steps, C, H, W], at most 255.

    One step of event frames is an image [N, C, H, W], as everywhere.
    index: a slice or an index array of the samples; the others are not read, and not decoded where they are pictures.
    Raises ConfigError where num_steps does not divide the frames.
    """
    if dataset.num_steps is None:
        return dataset.images[index]
    if dataset.num_steps % num_steps:
        raise ConfigError(
            f"{dataset.card.name} has {dataset.num_steps} event frames a recording, which cannot be summed into "
            f"{num_steps} steps; choose divisors as --num-steps"
        )
    frames = dataset.images[index]
    grouped = frames.reshape(len(frames), num_steps, -1, *frames.shape[2:])
    summed = grouped[:, :, 0].copy()
    for part in range(1, grouped.shape[2]):  # one at a time in uint8: a sum of all needs a multiple of the memory
        summed += np.minimum(grouped[:, :, part], LARGEST_COUNT - summed)
    return summed[:, 0] if num_steps == 1 else summed


class SearchData:
    """The files of one sweep: an .npz of training and held-out images for static images, one a T for event frames.

    share: of the training images that are held out.  images: how many of the training split are used, None = all.
    seed: of the order in which they are taken.  image_size: of :func:`pynq_qsnn.data.load_dataset`.
    Raises ConfigError for a share that leaves one side empty, DataError where the data cannot be had.
    """

    def __init__(
        self, folder: Path, name: str, share: float, images: int | None, seed: int, image_size: int | None = None
    ):
        self.folder, self.name, self.image_size = folder, name, image_size
        self.source = load_dataset(name, "train", image_size)
        order = np.random.default_rng(seed).permutation(len(self.source))[:images]
        count = round(share * len(order))
        if not 1 <= count <= len(order) - 2:
            raise ConfigError(
                f"a share of {share} of {len(order)} training images holds out {count}; "
                "at least 1 must be held out and 2 must be left to train on"
            )
        self.held_out, self.trained = np.sort(order[:count]), np.sort(order[count:])

    @property
    def card(self) -> DataCard:
        """Of the data set, not of the files made of it."""
        return self.source.card

    def identity(self) -> dict:
        """What tells another data set: its source and how much of it is used."""
        return {
            "source": self.card.source,
            "trained_images": len(self.trained),
            "held_out_images": len(self.held_out),
            "shape": list(self.source.images.shape[1:]),
        }

    def file(self, num_steps: int) -> str:
        """The .npz for allocations of ``num_steps``; written when it is not there."""
        static = self.source.num_steps is None
        path = self.folder / ("images.npz" if static else f"events_t{num_steps}.npz")
        if not path.exists():
            train, test = (in_steps(self.source, num_steps, part) for part in (self.trained, self.held_out))
            with atomic_file(path) as stream:
                np.savez(
                    stream,
                    train_images=train,
                    train_labels=self.source.labels[self.trained],
                    test_images=test,
                    test_labels=self.source.labels[self.held_out],
                    class_names=np.array(self.source.class_names),
                    licence=np.array(self.card.licence),
                )
        return os.fspath(path)

    def test_images(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """(images, labels) of the real test split."""
        test = load_dataset(self.name, "test", self.image_size)
        return in_steps(test, num_steps), test.labels
