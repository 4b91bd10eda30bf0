"""Pictures that are decoded when they are read, because all of them do not fit into memory.

For training a picture is cropped at random to 8..100 % of its area, sides 3:4 to 4:3, and resized ("Inception" crop,
arXiv 1409.4842); elsewhere the middle 7/8 of its shorter side is taken, which is "resize to 256, cut 224".
A crop depends on (seed, epoch, index) alone.
"""

import io
import math
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy

import numpy as np

from ..errors import DataError

CENTRE_SHARE = 224 / 256
AREA_SHARES, SIDE_RATIOS = (0.08, 1.0), (3 / 4, 4 / 3)
TRIES = 10


class EncodedImages:
    """Looks like an array uint8 [N, 3, size, size]; indexing by a slice or an index array decodes with Pillow.

    source: of length N; ``source[index]`` is (where it is from, the encoded bytes).
    Raises DataError, where a picture is read, when it cannot be decoded.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, source, size: int):
        self.source, self.size = source, size
        self.shape = (len(source), 3, size, size)
        self._crops = None

    def __len__(self):
        return self.shape[0]

    def augmented(self, seed: int, epoch: int) -> "EncodedImages":
        """The same pictures with the random crops of an epoch."""
        images = copy(self)
        images._crops = (seed, epoch)
        return images

    def __getitem__(self, index) -> np.ndarray:
        indices = np.arange(len(self))[index]
        pixels = np.empty((len(indices), *self.shape[1:]), np.uint8)

        def decode(place):
            pixels[place] = self._decode(int(indices[place])).transpose(2, 0, 1)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:  # Pillow decodes outside Python's lock
            for _ in threads.map(decode, range(len(indices))):
                pass
        return pixels

    def _decode(self, index: int) -> np.ndarray:
        """uint8 [size, size, 3]."""
        from PIL import Image

        with opened(*self.source[index]) as image:
            box = _centre(*image.size) if self._crops is None else _random_crop(*image.size, (*self._crops, index))
            image = image.convert("RGB").resize((self.size, self.size), Image.BILINEAR, box)
        return np.asarray(image)


@contextmanager
def opened(name, content: bytes):
    """Pillow's picture of encoded bytes. What Pillow raises within the block becomes a DataError that has the name."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            yield image
    # Pillow's decoders raise more than OSError
    except (OSError, SyntaxError, ValueError, TypeError, NotImplementedError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is not a readable picture: {error}; replace it or take it out") from error


def _centre(width: int, height: int) -> tuple:
    side = min(width, height) * CENTRE_SHARE
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _random_crop(width: int, height: int, key: tuple) -> tuple:
    """(left, top, right, bottom) in whole pixels; the centre where no try fits, as in a very long picture."""
    rng = np.random.default_rng(key)
    for _ in range(TRIES):
        area = width * height * rng.uniform(*AREA_SHARES)
        ratio = math.exp(rng.uniform(*map(math.log, SIDE_RATIOS)))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left, top = int(rng.integers(width - across + 1)), int(rng.integers(height - down + 1))
            return left, top, left + across, top + down
    return _centre(width, height)
