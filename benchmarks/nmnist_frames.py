"""N-MNIST recordings -> event frames in an .npz file that `--dataset` takes.

    python benchmarks/nmnist_frames.py FOLDER -o nmnist.npz

FOLDER holds Train.zip and Test.zip of SPLIT/CLASS/NUMBER.bin. An event has five bytes: x, y, a bit of polarity, and 23
bits of microseconds, big endian (Orchard et al. 2015, "Converting static image datasets to spiking neuromorphic
datasets using saccades"). A recording becomes FRAMES frames of equal time, [FRAMES, 2, 16, 16]: events of 2x2 pixels,
negative and positive, without the outermost pixels of the 34x34, times COUNT_SCALE so that training's division by 255
does not leave them tiny.
"""

import argparse
import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pynq_qsnn.files import atomic_file

FRAMES, SIDE, POOL, BORDER = 8, 34, 2, 1
FRAME_US = 40_000  # three saccades of about 105 ms; what comes later counts into the last frame
COUNT_SCALE = 4
LICENCE = "CC BY-SA 4.0 (N-MNIST, Orchard et al. 2015)"


def frames_of(content: bytes) -> np.ndarray:
    """uint8 [FRAMES, 2, 16, 16] of one recording."""
    events = np.frombuffer(content, np.uint8).reshape(-1, 5).astype(np.int64)
    x, y, polarity = events[:, 0], events[:, 1], events[:, 2] >> 7
    time_us = (events[:, 2] & 0x7F) << 16 | events[:, 3] << 8 | events[:, 4]
    counts = np.zeros((FRAMES, 2, SIDE, SIDE), np.int64)
    np.add.at(counts, (np.minimum(time_us // FRAME_US, FRAMES - 1), polarity, y, x), 1)
    inner = counts[:, :, BORDER:-BORDER, BORDER:-BORDER]
    side = inner.shape[-1] // POOL
    pooled = inner.reshape(FRAMES, 2, side, POOL, side, POOL).sum(axis=(3, 5))
    return np.minimum(pooled * COUNT_SCALE, 255).astype(np.uint8)


def read_split(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(frames [N, FRAMES, 2, 16, 16], labels [N]) of an archive, in the order of its names."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".bin"))
        frames = np.stack([frames_of(archive.read(name)) for name in tqdm(names, path.name)])
    return frames, np.array([int(name.split("/")[-2]) for name in names])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where Train.zip and Test.zip are")
    parser.add_argument("-o", "--output", required=True)
    args = parser.parse_args()
    train, test = (read_split(args.folder / f"{split}.zip") for split in ("Train", "Test"))
    with atomic_file(args.output) as stream:
        np.savez_compressed(
            stream, train_images=train[0], train_labels=train[1], test_images=test[0], test_labels=test[1],
            licence=LICENCE,
        )  # fmt: skip
    print(f"{args.output}: {len(train[1])} and {len(test[1])} recordings, frames {train[0].shape[1:]}")


if __name__ == "__main__":
    main()
