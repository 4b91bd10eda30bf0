"""CIFAR-10 from its official binary archive, or from Parquet files of encoded images.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
When the folder named by PYNQ_QSNN_DATA holds cifar10/*.parquet (columns img{bytes, path} and label), those are
decoded; otherwise the official archive is downloaded once and checked. Decoded arrays are cached as .npy.
"""

import hashlib
import io
import os
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import atomic_file, cache_dir
from ..progress import bar_file
from .types import DataCard, ImageDataset

DATA_VARIABLE = "PYNQ_QSNN_DATA"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
DOWNLOAD_TIMEOUT_S = 60
RECORD_BYTES = 1 + 3 * 32 * 32  # one label byte, then the red, green and blue planes row by row
ARCHIVE_MEMBERS = {
    "train": tuple(f"cifar-10-batches-bin/data_batch_{index}.bin" for index in range(1, 6)),
    "test": ("cifar-10-batches-bin/test_batch.bin",),
}
LICENCE = "no licence stated by the authors; cite Krizhevsky 2009"
BINARY_CARD = DataCard("cifar10", ARCHIVE_URL, LICENCE, "lossless pixels of the official binary version")


def load_cifar10(split: str) -> ImageDataset:
    """One split: images uint8 [N, 3, 32, 32], labels int64 [N].

    Raises DataError when PYNQ_QSNN_DATA names a folder without CIFAR-10, or when the download fails.
    """
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        return read_archive(download_archive(), split)
    files = sorted(Path(root, "cifar10").glob(f"{split}-*.parquet"))
    if files:
        return read_parquet(files)
    archive = Path(root, "cifar10", "cifar-10-binary.tar.gz")
    if archive.is_file():
        return read_archive(archive, split)
    raise DataError(
        f"{DATA_VARIABLE}={root} holds neither cifar10/{split}-*.parquet nor cifar10/cifar-10-binary.tar.gz; "
        f"put one there, or unset {DATA_VARIABLE} to download the official archive"
    )


def download_archive(url: str = ARCHIVE_URL, md5: str = ARCHIVE_MD5) -> Path:
    """The official archive in the cache folder, downloaded with a progress bar when absent, MD5 checked."""
    from tqdm import tqdm

    target = cache_dir() / "cifar-10-binary.tar.gz"
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
        raise DataError(
            f"cannot download {url}: {error}; set {DATA_VARIABLE} to a folder that holds cifar10/"
        ) from error
    return target


def read_archive(archive: Path, split: str) -> ImageDataset:
    """Read one split out of the official tar.gz, without unpacking it to disk."""
    blocks = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in ARCHIVE_MEMBERS[split]:
                blocks.append(_split_records(tar.extractfile(member).read(), member))
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise DataError(f"{archive} is not the CIFAR-10 binary archive: {error}; delete it and try again") from error
    images = np.concatenate([images for images, _ in blocks])
    labels = np.concatenate([labels for _, labels in blocks])
    return ImageDataset(images, labels, CLASS_NAMES, BINARY_CARD)


def _split_records(raw: bytes, member: str):
    """bytes of whole records -> (uint8 [N, 3, 32, 32], int64 [N])."""
    if len(raw) % RECORD_BYTES:
        raise DataError(f"{member}: {len(raw)} bytes is not a multiple of the {RECORD_BYTES}-byte record")
    records = np.frombuffer(raw, np.uint8).reshape(-1, RECORD_BYTES)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def read_parquet(files) -> ImageDataset:
    """Decode Parquet files with columns img{bytes, path} and label; the pixels come back from a cache if they can."""
    files = [Path(file) for file in files]
    key = hashlib.sha256()
    for file in files:
        key.update(file.read_bytes())
    stem = f"cifar10-{key.hexdigest()[:16]}"
    image_file, label_file = cache_dir() / f"{stem}-images.npy", cache_dir() / f"{stem}-labels.npy"
    if not (image_file.exists() and label_file.exists()):
        images, labels = _decode_parquet(files)
        for path, array in ((image_file, images), (label_file, labels)):
            with atomic_file(path) as stream:
                np.save(stream, array, allow_pickle=False)
    images = np.load(image_file, allow_pickle=False)
    labels = np.load(label_file, allow_pickle=False)
    return ImageDataset(images, labels, CLASS_NAMES, _parquet_card(files))


def _decode_parquet(files):
    import pyarrow
    import pyarrow.parquet as parquet
    from PIL import Image, UnidentifiedImageError
    from tqdm import tqdm

    images, labels = [], []
    for file in files:
        try:
            table = parquet.read_table(file, columns=["img", "label"])
            encoded = table.column("img").combine_chunks().field("bytes").to_pylist()
        except (pyarrow.ArrowException, OSError, KeyError) as error:
            raise DataError(f"{file} is not Parquet with columns img{{bytes, path}} and label: {error}") from error
        labels.append(table.column("label").to_numpy().astype(np.int64))
        for index, content in enumerate(tqdm(encoded, desc=f"decode {file.name}", leave=False, file=bar_file())):
            try:
                pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            except (UnidentifiedImageError, OSError, TypeError) as error:
                raise DataError(f"{file}, row {index}: not a readable image: {error}") from error
            if pixels.shape != (32, 32, 3):
                raise DataError(f"{file}, row {index}: image is {pixels.shape}, CIFAR-10 has (32, 32, 3)")
            images.append(pixels.transpose(2, 0, 1))
    if not images:
        raise DataError(f"{files[0]}: no images")
    return np.ascontiguousarray(np.stack(images)), np.concatenate(labels)


def _parquet_card(files) -> DataCard:
    """The card names the encoding, because JPEG pixels cost accuracy that PNG pixels do not."""
    import pyarrow.parquet as parquet

    first = next(parquet.ParquetFile(files[0]).iter_batches(batch_size=1, columns=["img"]))
    content = first.column(0).field("bytes")[0].as_py()
    if content[:2] == b"\xff\xd8":
        note = (
            "images are JPEG (lossy) inside Parquet: accuracies here must not be set beside figures "
            "for the lossless CIFAR-10"
        )
    else:
        note = "images are lossless inside Parquet"
    return DataCard("cifar10", "CIFAR-10 as Parquet in the Hugging Face layout", LICENCE, note)
