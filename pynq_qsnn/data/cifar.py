"""CIFAR-10 and CIFAR-100 from their official binary archives, or from Parquet files of encoded images.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Of CIFAR-100 the fine labels.
When the folder named by PYNQ_QSNN_DATA holds cifar10/*.parquet (columns img{bytes, path} and label; cifar100/*.parquet
with fine_label), those are decoded; otherwise the official archive is downloaded once and checked. Decoded arrays are
cached as .npy.
"""

import hashlib
import os
import tarfile
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import atomic_file, cache_dir
from ..progress import bar_file
from .encoded import opened
from .parquet import encoded_rows
from .types import DataCard, ImageDataset

DATA_VARIABLE = "PYNQ_QSNN_DATA"
DOWNLOAD_TIMEOUT_S = 60
PIXEL_BYTES = 3 * 32 * 32  # the red, green and blue planes row by row, behind a record's labels
OFFICIAL_IMAGES = "50,000 (training) and 10,000 (test)"
LICENCE = "no licence stated by the authors; cite Krizhevsky 2009"


@dataclass(frozen=True)
class Cifar:
    """One of the two sets. label_bytes: of a record, the last of which counts. label_column: its name in Parquet."""

    name: str
    title: str
    archive: str
    md5: str
    members: dict
    label_bytes: int
    label_column: str
    class_names: tuple

    @property
    def url(self) -> str:
        return f"https://www.cs.toronto.edu/~kriz/{self.archive}"

    @property
    def record_bytes(self) -> int:
        return self.label_bytes + PIXEL_BYTES


CIFAR10 = Cifar(
    "cifar10",
    "CIFAR-10",
    "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
    {
        "train": tuple(f"cifar-10-batches-bin/data_batch_{index}.bin" for index in range(1, 6)),
        "test": ("cifar-10-batches-bin/test_batch.bin",),
    },
    label_bytes=1,
    label_column="label",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)
CIFAR100 = Cifar(
    "cifar100",
    "CIFAR-100",
    "cifar-100-binary.tar.gz",
    "03b5dce01913d631647c71ecec9e9cb8",
    {"train": ("cifar-100-binary/train.bin",), "test": ("cifar-100-binary/test.bin",)},
    label_bytes=2,  # coarse, fine
    label_column="fine_label",
    class_names=tuple(
        """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
    lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
    shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """.split()
    ),
)


def load_cifar(kind: Cifar, split: str) -> ImageDataset:
    """One split: images uint8 [N, 3, 32, 32], labels int64 [N].

    Raises DataError when PYNQ_QSNN_DATA names a folder without the set, or when the download fails.
    """
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        return read_archive(kind, download_archive(kind.url, kind.md5), split)
    folder = Path(root, kind.name)
    if files := sorted(folder.glob(f"{split}-*.parquet")):
        return read_parquet(kind, files)
    if (folder / kind.archive).is_file():
        return read_archive(kind, folder / kind.archive, split)
    raise DataError(
        f"{DATA_VARIABLE}={root} holds neither {kind.name}/{split}-*.parquet nor {kind.name}/{kind.archive}; "
        f"put one there, or unset {DATA_VARIABLE} to download the official archive"
    )


def download_archive(url: str, md5: str) -> Path:
    """The official archive in the cache folder, downloaded with a progress bar when absent, MD5 checked."""
    from tqdm import tqdm

    target = cache_dir() / url.rsplit("/", 1)[1]
    if target.exists():
        return target
    digest = hashlib.md5()
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_S) as reply, atomic_file(target) as stream:
            total = int(reply.headers.get("Content-Length") or 0) or None
            with tqdm(total=total, unit="B", unit_scale=True, desc=target.name, file=bar_file()) as bar:
                while chunk := reply.read(1 << 16):
                    stream.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
            if digest.hexdigest() != md5:
                raise DataError(f"{url}: MD5 is {digest.hexdigest()}, expected {md5}; nothing was kept, try again")
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise DataError(f"cannot download {url}: {error}; set {DATA_VARIABLE} to a folder that has it") from error
    return target


def read_archive(kind: Cifar, archive: Path, split: str) -> ImageDataset:
    """Read one split out of the official tar.gz, without unpacking it to disk."""
    blocks = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in map(tar.getmember, kind.members[split]):
                if not member.isfile():  # a folder has no content, a link may lead to itself
                    raise DataError(f"{archive}: {member.name} is no file; delete the archive and try again")
                blocks.append(_split_records(kind, tar.extractfile(member).read(), f"{archive}: {member.name}"))
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} is not {kind.archive}: {error}; delete it and try again") from error
    images = np.concatenate([images for images, _ in blocks])
    labels = np.concatenate([labels for _, labels in blocks])
    card = DataCard(kind.name, kind.url, LICENCE, "lossless pixels of the official binary version")
    return ImageDataset(images, labels, kind.class_names, card)


def _split_records(kind: Cifar, raw: bytes, name: str):
    """bytes of whole records -> (uint8 [N, 3, 32, 32], int64 [N])."""
    if len(raw) % kind.record_bytes:
        raise DataError(
            f"{name}: {len(raw)} bytes is not a multiple of the {kind.record_bytes}-byte record; "
            "delete the archive and try again"
        )
    records = np.frombuffer(raw, np.uint8).reshape(-1, kind.record_bytes)
    labels = records[:, kind.label_bytes - 1].astype(np.int64)
    return records[:, kind.label_bytes :].reshape(-1, 3, 32, 32), labels


def read_parquet(kind: Cifar, files) -> ImageDataset:
    """Decode Parquet files with columns img{bytes, path} and the label's; the pixels come from a cache if they can."""
    files = [Path(file) for file in files]
    key = hashlib.sha256()
    for file in files:
        key.update(file.read_bytes())
    stem = f"{kind.name}-{key.hexdigest()[:16]}"
    image_file, label_file = cache_dir() / f"{stem}-images.npy", cache_dir() / f"{stem}-labels.npy"
    if not (image_file.exists() and label_file.exists()):
        images, labels = _decode_parquet(kind, files)
        for path, array in ((image_file, images), (label_file, labels)):
            with atomic_file(path) as stream:
                np.save(stream, array, allow_pickle=False)
    images = np.load(image_file, allow_pickle=False)
    labels = np.load(label_file, allow_pickle=False)
    return ImageDataset(images, labels, kind.class_names, _parquet_card(kind, files, len(images)))


def _decode_parquet(kind, files):
    from tqdm import tqdm

    images, labels = [], []
    for file in files:
        rows = list(_rows(kind, file))
        for index, (content, label) in enumerate(tqdm(rows, f"decode {file.name}", leave=False, file=bar_file())):
            name = f"{file}, row {index}"
            with opened(name, content) as image:
                pixels = np.asarray(image.convert("RGB"))
            if pixels.shape != (32, 32, 3):
                raise DataError(f"{name}: image is {pixels.shape}, {kind.title} has (32, 32, 3); take it out")
            images.append(pixels.transpose(2, 0, 1))
            labels.append(label)
    if not images:
        raise DataError(f"{files[0]}: no images")
    return np.ascontiguousarray(np.stack(images)), np.array(labels, np.int64)


def _rows(kind, file):
    """(encoded picture, label) of each row."""
    for batch in encoded_rows(file, ("img",), kind.label_column):
        yield from zip(batch.column("bytes").to_pylist(), batch.column("label").to_pylist())


def _parquet_card(kind, files, count: int) -> DataCard:
    """The card names the encoding, because JPEG pixels cost accuracy that PNG pixels do not; and how many there are."""
    content, _ = next(row for file in files for row in _rows(kind, file))
    if content[:2] == b"\xff\xd8":
        note = (
            "images are JPEG (lossy) inside Parquet: accuracies here must not be set beside figures "
            f"for the lossless {kind.title}. {count:,} images; the official splits have {OFFICIAL_IMAGES}"
        )
    else:
        note = "images are lossless inside Parquet"
    return DataCard(kind.name, f"{kind.title} as Parquet in the Hugging Face layout", LICENCE, note)
