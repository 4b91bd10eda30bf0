"""What every image reader returns."""

from dataclasses import dataclass

import numpy as np

from ..errors import DataError


@dataclass(frozen=True)
class DataCard:
    """Where images come from and on which terms; copied into logs and model files.

    note holds what a reader of an accuracy figure must know, e.g. that the pixels went through JPEG.
    """

    name: str
    source: str
    licence: str
    note: str = ""


@dataclass(frozen=True)
class ImageDataset:
    """One split.

    images: uint8 [N, C, H, W], 0..255, or event frames [N, T, C, H, W] of counts. A NumPy array, or what can be used
    like one: ``shape``, ``dtype``, ``len`` and indexing by a slice or an index array (:mod:`pynq_qsnn.data.encoded`).
    labels: int64 [N], 0..len(class_names)-1.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple
    card: DataCard

    def __post_init__(self):
        if self.images.dtype != np.uint8 or len(self.images.shape) not in (4, 5):
            raise DataError(
                "images must be uint8 [N, C, H, W], or event frames [N, T, C, H, W], "
                f"not {self.images.dtype} {self.images.shape}"
            )
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(f"labels must be int64 [{len(self.images)}], not {self.labels.dtype} {self.labels.shape}")
        if len(self.labels) == 0:
            raise DataError(f"{self.card.name}: the split holds no images")
        if self.labels.min() < 0 or self.labels.max() >= len(self.class_names):
            raise DataError(
                f"labels must lie in 0..{len(self.class_names) - 1}, found {self.labels.min()}..{self.labels.max()}"
            )

    def __len__(self):
        return len(self.labels)

    def epoch_images(self, seed: int, epoch: int):
        """What an epoch of training reads: the images, or, where they are decoded when read, random crops of them."""
        augmented = getattr(self.images, "augmented", None)
        return self.images if augmented is None else augmented(seed, epoch)

    @property
    def num_steps(self) -> int | None:
        """T of event frames, None for static images."""
        return self.images.shape[1] if len(self.images.shape) == 5 else None
