"""photos/{train,test}/{bars,dots,rings}/*.png: small pictures that a network can learn to tell apart."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 20
rows, columns = np.mgrid[:SIZE, :SIZE]


def picture(kind: str, generator: np.random.Generator) -> np.ndarray:
    """uint8 [SIZE, SIZE, 3]."""
    x, y = generator.integers(6, 14, 2)
    distance = np.hypot(rows - y, columns - x)
    shape = {"bars": abs(columns - x) < 3, "dots": distance < 4, "rings": abs(distance - 5) < 1.5}[kind]
    colour = generator.integers(120, 256, 3)
    return np.where(shape[..., None], colour, generator.integers(0, 60, (SIZE, SIZE, 3))).astype(np.uint8)


for split, count in (("train", 40), ("test", 10)):
    for seed, kind in enumerate(("bars", "dots", "rings")):
        folder = Path("photos", split, kind)
        folder.mkdir(parents=True)
        generator = np.random.default_rng((seed, count))
        for index in range(count):
            Image.fromarray(picture(kind, generator)).save(folder / f"{index:03}.png")
