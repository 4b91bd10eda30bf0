"""Image readers on small files that the tests make."""

import hashlib
import io
import tarfile

import numpy as np
import pytest

from pynq_qsnn.data import cifar, load_dataset
from pynq_qsnn.errors import ConfigError, DataError
from pynq_qsnn.files import atomic_file


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PYNQ_QSNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYNQ_QSNN_DATA", raising=False)


def records(count, seed=0):
    generator = np.random.default_rng(seed)
    raw = generator.integers(0, 256, (count, cifar.RECORD_BYTES), dtype=np.uint8)
    raw[:, 0] = np.arange(count) % 10
    return raw


def write_archive(path, cut=0):
    with tarfile.open(path, "w:gz") as tar:
        for index, member in enumerate(cifar.ARCHIVE_MEMBERS["train"] + cifar.ARCHIVE_MEMBERS["test"]):
            content = records(3, index).tobytes()[: cifar.RECORD_BYTES * 3 - cut]
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_parquet(folder, count=4, encoding="PNG", size=32):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    image = pytest.importorskip("PIL.Image")
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    rows = []
    for sample in pixels:
        stream = io.BytesIO()
        image.fromarray(sample).save(stream, encoding)
        rows.append({"bytes": stream.getvalue(), "path": "x"})
    for split in ("train", "test"):
        table = pyarrow.table({"img": rows, "label": np.arange(count) % 10})
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    return pixels.transpose(0, 3, 1, 2)


def test_archive_layout(tmp_path):
    archive = write_archive(tmp_path / "a.tar.gz")
    train, test = cifar.read_archive(archive, "train"), cifar.read_archive(archive, "test")
    assert train.images.shape == (15, 3, 32, 32) and test.images.shape == (3, 3, 32, 32)
    first = records(3)[0]
    assert train.images[0, 0, 0, 1] == first[2] and train.images[0, 1, 0, 0] == first[1 + 1024]
    assert train.labels.tolist() == [0, 1, 2] * 5


@pytest.mark.parametrize("damage", ["truncated record", "truncated file", "not a tar"])
def test_damaged_archives_are_refused(tmp_path, damage):
    archive = write_archive(tmp_path / "a.tar.gz", cut=7 if damage == "truncated record" else 0)
    if damage == "truncated file":
        archive.write_bytes(archive.read_bytes()[:5000])
    elif damage == "not a tar":
        archive.write_bytes(b"hello")
    with pytest.raises(DataError):
        cifar.read_archive(archive, "train")


def test_download_checks_and_keeps_the_archive(tmp_path):
    source = write_archive(tmp_path / "source.tar.gz")
    md5 = hashlib.md5(source.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="MD5"):
        cifar.download_archive(source.as_uri(), "0" * 32)
    assert list((tmp_path / "cache").iterdir()) == []
    kept = cifar.download_archive(source.as_uri(), md5)
    source.unlink()
    assert cifar.download_archive(source.as_uri(), md5) == kept
    assert len(cifar.read_archive(kept, "test")) == 3


def test_failed_download_names_the_remedy(tmp_path):
    with pytest.raises(DataError, match="PYNQ_QSNN_DATA"):
        cifar.download_archive((tmp_path / "absent").as_uri())


@pytest.mark.parametrize("encoding, word", [("PNG", "lossless"), ("JPEG", "JPEG")])
def test_parquet_layout_and_cache(tmp_path, monkeypatch, encoding, word):
    pixels = write_parquet(tmp_path / "cifar10", encoding=encoding)
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path))
    for _ in range(2):  # decoded, then from the cache
        dataset = load_dataset("cifar10", "test")
        assert dataset.images.shape == pixels.shape and word in dataset.card.note
        assert dataset.labels.tolist() == [0, 1, 2, 3]
        if encoding == "PNG":
            assert np.array_equal(dataset.images, pixels)


def test_data_folder_may_hold_the_archive(tmp_path, monkeypatch):
    (tmp_path / "cifar10").mkdir()
    write_archive(tmp_path / "cifar10" / "cifar-10-binary.tar.gz")
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path))
    assert len(load_dataset("cifar10", "train")) == 15


def test_bad_parquet_is_refused(tmp_path):
    write_parquet(tmp_path / "small", size=16)
    with pytest.raises(DataError, match="16"):
        cifar.read_parquet((tmp_path / "small").glob("test-*"))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(DataError):
        cifar.read_parquet([broken])


def test_empty_data_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="PYNQ_QSNN_DATA"):
        load_dataset("cifar10", "train")


def test_digits_split_is_fixed_and_disjoint():
    pytest.importorskip("sklearn")
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    assert train.images.shape == (1437, 1, 8, 8) and test.images.shape == (360, 1, 8, 8)
    assert train.images.max() == 255
    assert np.array_equal(test.labels, load_dataset("digits", "test").labels)
    assert len(set(test.labels.tolist())) == 10


def test_unknown_names_are_refused():
    for name, split in (("mnist", "train"), ("digits", "validation")):
        with pytest.raises(ConfigError):
            load_dataset(name, split)


def test_atomic_file_leaves_nothing_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "x") as stream:
        stream.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def own_images(path, **changes):
    """An .npz file of 1-channel 4x4 images in three classes."""
    generator = np.random.default_rng(0)
    arrays = {
        "train_images": generator.integers(0, 256, (9, 1, 4, 4), np.uint8),
        "train_labels": np.arange(9, dtype=np.uint8) % 3,
        "test_images": generator.integers(0, 256, (3, 1, 4, 4), np.uint8),
        "test_labels": np.arange(3),
        **changes,
    }
    np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


def test_own_images_come_from_one_file(tmp_path):
    name = own_images(tmp_path / "own.npz", class_names=np.array(["a", "b", "c"]), licence=np.array("CC0"))
    train, test = load_dataset(name, "train"), load_dataset(name, "test")
    assert (len(train), len(test), train.labels.dtype) == (9, 3, np.int64)
    assert train.class_names == ("a", "b", "c") and test.card.licence == "CC0"
    assert "SHA-256" in test.card.source and test.card.name == name
    unnamed = own_images(tmp_path / "unnamed.npz", test_labels=np.array([0, 1, 4]))
    assert load_dataset(unnamed, "train").class_names == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"test_labels": None}, "has no test_labels"),
        ({"train_labels": np.zeros(9, np.float32)}, "train_labels is float32, must be whole numbers"),
        ({"test_images": np.zeros((3, 1, 8, 8), np.uint8)}, "make them one size"),
        ({"train_images": np.zeros((9, 1, 4, 4), np.float32)}, "must be uint8"),
        ({"class_names": np.array(["a"])}, "labels must lie in 0..0"),
        ({"class_names": np.array([{}])}, "not an .npz file of plain arrays"),  # a pickle inside
    ],
)
def test_bad_own_images_are_refused(tmp_path, changes, message):
    name = own_images(tmp_path / "own.npz", **changes)
    with pytest.raises(DataError, match=message):
        load_dataset(name, "train")


def test_a_missing_or_damaged_file_of_own_images(tmp_path):
    with pytest.raises(DataError, match="no file"):
        load_dataset(str(tmp_path / "absent.npz"), "test")
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(DataError, match="not an .npz file"):
        load_dataset(str(tmp_path / "text.npz"), "test")
    np.save(tmp_path / "single.npy", np.zeros(3))
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    with pytest.raises(DataError, match="not an .npz file"):
        load_dataset(str(tmp_path / "single.npz"), "test")


def test_training_on_own_images_reaches_the_integer_network(tmp_path):
    pytest.importorskip("torch")
    from pynq_qsnn.cli import main

    name = own_images(tmp_path / "own.npz")
    assert main(["train", "--output-dir", str(tmp_path / "run"), "--dataset", name, "--epochs", "2"]) == 0
    assert main(["export", str(tmp_path / "run"), "-o", str(tmp_path / "own.qsnn")]) == 0
    assert main(["simulate", str(tmp_path / "own.qsnn")]) == 0
