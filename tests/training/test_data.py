"""Image readers on small files that the tests make."""

import hashlib
import io
import tarfile

import numpy as np
import pytest

from pynq_qsnn.data import cifar, load_dataset
from pynq_qsnn.data.cifar import CIFAR10, CIFAR100
from pynq_qsnn.errors import ConfigError, DataError
from pynq_qsnn.files import atomic_file

# A chunk's length is 0: Pillow raises SyntaxError.
BAD_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000020000000200802000000fc18ed"
    "a30000000049444154789cedc13101000000c2a0f54fed610da00000"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PYNQ_QSNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYNQ_QSNN_DATA", raising=False)


def records(count, seed=0):
    generator = np.random.default_rng(seed)
    raw = generator.integers(0, 256, (count, CIFAR10.record_bytes), dtype=np.uint8)
    raw[:, 0] = np.arange(count) % 10
    return raw


def write_archive(path, cut=0):
    with tarfile.open(path, "w:gz") as tar:
        for index, member in enumerate(CIFAR10.members["train"] + CIFAR10.members["test"]):
            content = records(3, index).tobytes()[: CIFAR10.record_bytes * 3 - cut]
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_parquet(folder, count=4, encoding="PNG", size=32, label="label"):
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
        table = pyarrow.table({"img": rows, label: np.arange(count) % 10})
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    return pixels.transpose(0, 3, 1, 2)


def test_archive_layout(tmp_path):
    archive = write_archive(tmp_path / "a.tar.gz")
    train, test = cifar.read_archive(CIFAR10, archive, "train"), cifar.read_archive(CIFAR10, archive, "test")
    assert train.images.shape == (15, 3, 32, 32) and test.images.shape == (3, 3, 32, 32)
    first = records(3)[0]
    assert train.images[0, 0, 0, 1] == first[2] and train.images[0, 1, 0, 0] == first[1 + 1024]
    assert train.labels.tolist() == [0, 1, 2] * 5


@pytest.mark.parametrize("damage", ["truncated record", "truncated file", "not a tar", "folder", "link"])
def test_damaged_archives_are_refused(tmp_path, damage):
    archive = write_archive(tmp_path / "a.tar.gz", cut=7 if damage == "truncated record" else 0)
    if damage == "truncated file":
        archive.write_bytes(archive.read_bytes()[:5000])
    elif damage == "not a tar":
        archive.write_bytes(b"hello")
    elif damage in ("folder", "link"):
        with tarfile.open(archive, "w:gz") as tar:
            info = tarfile.TarInfo(CIFAR10.members["train"][0])
            info.type, info.linkname = tarfile.DIRTYPE if damage == "folder" else tarfile.SYMTYPE, "data_batch_1.bin"
            tar.addfile(info)
    with pytest.raises(DataError, match="a.tar.gz.*try again"):
        cifar.read_archive(CIFAR10, archive, "train")


def test_damage_within_an_archive_is_refused_or_passes_for_pixels(tmp_path):
    """tarfile turns some of zlib's errors into its own, others not."""
    archive = write_archive(tmp_path / "a.tar.gz")
    content, refused = archive.read_bytes(), 0
    for start in range(len(content) // 2, len(content) * 3 // 5, 30):
        archive.write_bytes(content[:start] + b"\xff" * 20 + content[start + 20 :])
        try:
            cifar.read_archive(CIFAR10, archive, "train")
        except DataError:
            refused += 1
    assert refused > 50


def test_cifar100_has_the_fine_labels(tmp_path, monkeypatch):
    raw = np.random.default_rng(0).integers(0, 256, (6, 2 + 3 * 32 * 32), dtype=np.uint8)
    raw[:, 0], raw[:, 1] = 19, [0, 1, 2, 97, 98, 99]
    (tmp_path / "cifar100").mkdir()
    with tarfile.open(tmp_path / "cifar100" / CIFAR100.archive, "w:gz") as tar:
        for member, rows in (("cifar-100-binary/train.bin", raw), ("cifar-100-binary/test.bin", raw[:2])):
            info = tarfile.TarInfo(member)
            info.size = rows.nbytes
            tar.addfile(info, io.BytesIO(rows.tobytes()))
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path))
    train, test = load_dataset("cifar100", "train"), load_dataset("cifar100", "test")
    assert train.labels.tolist() == [0, 1, 2, 97, 98, 99] and test.images.shape == (2, 3, 32, 32)
    assert np.array_equal(train.images[3].ravel(), raw[3, 2:])
    assert len(train.class_names) == 100
    assert [train.class_names[label] for label in (0, 50, 99)] == ["apple", "mouse", "worm"]


def test_cifar100_as_parquet(tmp_path, monkeypatch):
    pixels = write_parquet(tmp_path / "cifar100", label="fine_label")
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path))
    dataset = load_dataset("cifar100", "train")
    assert np.array_equal(dataset.images, pixels) and "CIFAR-100" in dataset.card.source
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path / "cifar100"))
    with pytest.raises(DataError, match="cifar100/cifar-100-binary.tar.gz"):
        load_dataset("cifar100", "train")
    write_parquet(tmp_path / "other", label="label")
    with pytest.raises(DataError, match="fine_label"):
        cifar.read_parquet(CIFAR100, [tmp_path / "other" / "test-00000-of-00001.parquet"])


def test_download_checks_and_keeps_the_archive(tmp_path):
    source = write_archive(tmp_path / CIFAR10.archive)
    md5 = hashlib.md5(source.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="MD5"):
        cifar.download_archive(source.as_uri(), "0" * 32)
    assert list((tmp_path / "cache").iterdir()) == []
    kept = cifar.download_archive(source.as_uri(), md5)
    source.unlink()
    assert cifar.download_archive(source.as_uri(), md5) == kept
    assert len(cifar.read_archive(CIFAR10, kept, "test")) == 3


def test_failed_download_names_the_remedy(tmp_path):
    with pytest.raises(DataError, match="PYNQ_QSNN_DATA"):
        cifar.download_archive((tmp_path / "absent").as_uri(), "")


@pytest.mark.parametrize("encoding, word", [("PNG", "lossless"), ("JPEG", "JPEG")])
def test_parquet_layout_and_cache(tmp_path, monkeypatch, encoding, word):
    pixels = write_parquet(tmp_path / "cifar10", encoding=encoding)
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path))
    for _ in range(2):  # decoded, then from the cache
        dataset = load_dataset("cifar10", "test")
        assert dataset.images.shape == pixels.shape and word in dataset.card.note
        assert dataset.labels.tolist() == [0, 1, 2, 3]
        assert encoding == "PNG" or "4 images; the official splits have 50,000 (training)" in dataset.card.note
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
        cifar.read_parquet(CIFAR10, (tmp_path / "small").glob("test-*"))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(DataError):
        cifar.read_parquet(CIFAR10, [broken])


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"img": [b"x"], "label": [1]}, "with img{bytes, path} and label.*column img is binary.*Hugging Face"),
        ({"img": [{"path": "x"}], "label": [1]}, "with img{bytes, path} and label"),
        ({"img": [{"bytes": b"x"}], "label": ["cat"]}, "label, whole numbers: column label is string"),
        ({"img": [{"bytes": b"x"}] * 300, "label": [1] * 299 + [None]}, "row 299 has no label"),
        ({"img": [{"bytes": b"x"}], "label": [1]}, "row 0 is not a readable picture.*take it out"),
        ({"img": [{"bytes": None}], "label": [1]}, "row 0 is not a readable picture"),
        ({"img": [{"bytes": BAD_PNG}], "label": [1]}, "row 0 is not a readable picture"),
    ],
)
def test_parquet_of_other_columns_is_refused(tmp_path, monkeypatch, columns, message):
    """The same columns in the file of CIFAR-10 and in a folder of pictures."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("PIL.Image")
    (tmp_path / "cifar10").mkdir()
    parquet.write_table(pyarrow.table(columns), tmp_path / "cifar10" / "train-0.parquet")
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path))
    with pytest.raises(DataError, match=message):
        load_dataset("cifar10", "train")
    with pytest.raises(DataError, match=message.replace("img{", "image{")):
        load_dataset(f"{tmp_path}/cifar10/", "train", 8).images[:]


def test_a_parquet_file_without_rows_is_passed_over(tmp_path):
    """It may be one of several, the first too."""
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "some")
    full = parquet.read_table(tmp_path / "some" / "train-00000-of-00001.parquet")
    for index in (0, 1):
        parquet.write_table(full.slice(0, 4 * index), tmp_path / f"train-{index}.parquet")
    assert len(cifar.read_parquet(CIFAR10, sorted(tmp_path.glob("train-*")))) == 4
    assert len(load_dataset(f"{tmp_path}/", "train", 8)) == 4
    (tmp_path / "train-1.parquet").unlink()
    with pytest.raises(DataError, match="hold no rows"):
        load_dataset(f"{tmp_path}/", "train", 8)
    with pytest.raises(DataError, match="no images"):
        cifar.read_parquet(CIFAR10, [tmp_path / "train-0.parquet"])


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
        ({"train_images": np.zeros((9, 2, 1, 4, 4), np.uint8)}, "make them one size"),
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


def test_event_frames_of_one_step_are_images(tmp_path):
    counts = np.arange(12 * 2 * 8 * 8, dtype=np.uint8).reshape(12, 1, 2, 8, 8)
    name = own_images(tmp_path / "events.npz", train_images=counts[:9], test_images=counts[9:])
    found = load_dataset(str(name), "test")
    assert found.num_steps is None and np.array_equal(found.images, counts[9:, 0])


def test_training_on_event_frames_reaches_the_integer_network(tmp_path):
    pytest.importorskip("torch")
    from pynq_qsnn.cli import main

    counts = np.random.default_rng(0).integers(0, 256, (12, 3, 2, 4, 4), np.uint8)  # [N, T, C, H, W]
    name = own_images(tmp_path / "events.npz", train_images=counts[:9], test_images=counts[9:])
    assert load_dataset(name, "train").num_steps == 3
    words = ["train", "--dataset", name, "--epochs", "2", "--spike-bits", "1", "--flip", "--crop-padding", "1"]
    assert main([*words, "--output-dir", str(tmp_path / "other"), "--num-steps", "2"]) == 2
    assert main([*words, "--output-dir", str(tmp_path / "run"), "--num-steps", "3"]) == 0
    assert main(["export", str(tmp_path / "run"), "-o", str(tmp_path / "events.qsnn")]) == 0
    assert main(["simulate", str(tmp_path / "events.qsnn")]) == 0
