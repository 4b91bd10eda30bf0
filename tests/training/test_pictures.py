"""Pictures that are decoded while training goes on: folders, lists and Parquet that the tests make."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

image = pytest.importorskip("PIL.Image")

from pynq_qsnn.data import load_dataset, read_ahead  # noqa: E402
from pynq_qsnn.data.encoded import _random_crop  # noqa: E402
from pynq_qsnn.errors import ConfigError, DataError  # noqa: E402

COLOURS = {"n01": (250, 10, 10), "n02": (10, 250, 10), "n03": (10, 10, 250)}
SHARED = Path(os.environ.get("PYNQ_QSNN_DATA", "/absent")) / "imagenet1000" / "one_per_class_128.parquet"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PYNQ_QSNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYNQ_QSNN_DATA", raising=False)


def picture(colour, width=40, height=30, seed=0):
    """A colour with some noise, so that crops differ."""
    noise = np.random.default_rng(seed).integers(-9, 10, (height, width, 3))
    return image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    """imagenet/train and imagenet/val: three classes of one colour each, four pictures to train on and two to test."""
    for split, count in (("train", 4), ("val", 2)):
        for name, colour in COLOURS.items():
            path = tmp_path / "imagenet" / split / name
            path.mkdir(parents=True)
            for number in range(count):
                suffix = "JPEG" if number else "png"
                picture(colour, 40 + number, 30, number).save(path / f"{name}_{number}.{suffix}")
            (path / "readme.txt").write_text("no picture")
        (path.parent / ".cache").mkdir()
    return tmp_path / "imagenet"


def test_class_folders(folder, monkeypatch):
    train, test = load_dataset(f"{folder}", "train", 16), load_dataset(f"{folder}", "test", 16)
    assert train.images.shape == (12, 3, 16, 16) and test.images.shape == (6, 3, 16, 16)
    assert train.class_names == test.class_names == ("n01", "n02", "n03")
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    pixels = train.images[np.array([0, 5, 11])]
    assert pixels.dtype == np.uint8 and pixels.mean((2, 3)).argmax(1).tolist() == [0, 1, 2]
    assert load_dataset(f"{folder}", "test").images.shape[2:] == (224, 224)
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(folder.parent))
    named = load_dataset("imagenet", "test", 16)
    assert np.array_equal(named.images[:], test.images[:]) and "ILSVRC" in named.card.source


def test_evaluation_takes_the_middle(tmp_path):
    """Resize the shorter side to 256, cut 224: of 64 x 32 pixels the middle 28 x 28."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[2:30, 18:46] = 255
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        image.fromarray(pixels).save(tmp_path / split / "a" / "0.png")
    test = load_dataset(f"{tmp_path}", "test", 28)
    assert np.array_equal(test.images[:], np.full((1, 3, 28, 28), 255))


def test_crops_depend_on_seed_epoch_and_index_alone(folder):
    train = load_dataset(f"{folder}", "train", 16)
    crops = train.epoch_images(7, 3)
    assert not np.array_equal(crops[:], train.images[:])
    order = np.random.default_rng(0).permutation(12)
    batches = list(read_ahead(train.epoch_images(7, 3), [order[:5], order[5:6], order[6:]]))
    assert np.array_equal(np.concatenate(batches), crops[:][order])
    assert not np.array_equal(train.epoch_images(7, 4)[:], crops[:])
    assert not np.array_equal(train.epoch_images(8, 3)[:], crops[:])


def test_crops_have_the_published_shares():
    boxes = np.array([_random_crop(400, 300, (0, 0, index)) for index in range(2000)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    share, ratio = width * height / (400 * 300), width / height
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 400 and boxes[:, 3].max() <= 300
    assert 0.07 < share.min() < 0.1 and share.max() > 0.9 and 0.4 < share.mean() < 0.6
    assert 0.74 < ratio.min() < 0.78 and 1.28 < ratio.max() < 1.35
    left, top, right, bottom = _random_crop(4000, 20, (0, 0, 0))  # nothing fits: the middle
    assert (right - left, bottom - top) == (17.5, 17.5)


def test_a_flat_folder_with_a_list(folder):
    lines = []
    for label, name in enumerate(COLOURS):
        for file in sorted((folder / "val" / name).glob("*_*")):
            file.rename(folder / "val" / file.name)
            lines.append(f"{file.name} {label}")
        (folder / "val" / name / "readme.txt").unlink()
        (folder / "val" / name).rmdir()
    with pytest.raises(DataError, match="val.txt"):
        load_dataset(f"{folder}", "test")
    (folder / "val.txt").write_text("\n".join(reversed(lines)) + "\n")
    test = load_dataset(f"{folder}", "test", 8)
    assert test.labels.tolist() == [2, 2, 1, 1, 0, 0]
    assert test.images[:].mean((2, 3)).argmax(1).tolist() == test.labels.tolist()
    for bad in ("n01_0.png 3", "n01_0.png", "n01_0.png one", "n01\0.png 0", f"n01_0.png {'9' * 5000}"):
        (folder / "val.txt").write_text(f"{lines[0]}\n{bad}\n")
        with pytest.raises(DataError, match="line 2.*label of 0..2"):
            load_dataset(f"{folder}", "test")
    (folder / "val.txt").write_bytes(f"{lines[0]}\nn01_\xe9.png 0\n".encode("latin-1"))
    with pytest.raises(DataError, match="val.txt, line 2 is not UTF-8.*write the list in UTF-8"):
        load_dataset(f"{folder}", "test")
    (folder / "val.txt").write_text("gone.JPEG 0\n")
    with pytest.raises(DataError, match="gone.JPEG cannot be read"):
        load_dataset(f"{folder}", "test").images[:]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_unreadable_pictures_are_named(folder, damage):
    file = folder / "train" / "n02" / "n02_2.JPEG"
    content = file.read_bytes()
    file.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"no picture"}[damage])
    train = load_dataset(f"{folder}", "train", 16)
    with pytest.raises(DataError, match="n02_2.JPEG is not a readable picture.*take it out"):
        train.images[:]


def test_missing_folders_are_named(folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="absent/"):
        load_dataset("absent", "train")
    with pytest.raises(DataError, match="no folder"):
        load_dataset(f"{tmp_path}/absent", "train")
    with pytest.raises(DataError, match="image-net.org"):
        load_dataset("imagenet", "train")
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path / "empty"))
    with pytest.raises(DataError, match="no folder .*empty/imagenet"):
        load_dataset("imagenet", "train")
    (folder / "val" / "n09").mkdir()
    with pytest.raises(DataError, match="n09"):
        load_dataset(f"{folder}", "test")
    for part, message in (("val", "neither val nor test"), ("train", "no subfolders")):
        (folder / part).rename(folder / f"former {part}")
        with pytest.raises(DataError, match=message):
            load_dataset(f"{folder}", "test")


def write_parquet(path, column="image", names=True, rows=None):
    """Six pictures of the three colours in Hugging Face's layout."""

    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    if rows is None:
        rows = []
        for number, colour in enumerate(list(COLOURS.values()) * 2):
            stream = io.BytesIO()
            picture(colour, seed=number).save(stream, "JPEG")
            rows.append({"bytes": stream.getvalue(), "path": "x"})
    table = pyarrow.table({column: rows, "label": np.arange(len(rows)) % 3})
    if names:
        features = {"info": {"features": {"label": {"names": list(COLOURS), "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(table, path, row_group_size=2)


@pytest.mark.parametrize("column, split", [("image", "validation"), ("img", "test")])
def test_parquet(tmp_path, column, split):
    for number in range(2):
        write_parquet(tmp_path / f"train-0000{number}-of-00002.parquet", column)
    write_parquet(tmp_path / f"{split}-00000-of-00001.parquet", column)
    train, test = load_dataset(f"{tmp_path}", "train", 16), load_dataset(f"{tmp_path}", "test", 16)
    assert len(train) == 12 and len(test) == 6 and train.class_names == test.class_names == tuple(COLOURS)
    pixels = train.images[np.array([11, 3, 1])]
    assert pixels.mean((2, 3)).argmax(1).tolist() == [2, 0, 1] == train.labels[[11, 3, 1]].tolist()
    again = load_dataset(f"{tmp_path}", "train", 16)  # from the cache
    assert np.array_equal(again.images[:], train.images[:])


def test_a_damaged_copy_in_the_cache_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PYNQ_QSNN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "train-0.parquet", "image")
    load_dataset(str(tmp_path / "data"), "train", 16)
    (copy,) = (tmp_path / "cache").glob("*.arrow")
    copy.write_bytes(copy.read_bytes()[:100])
    with pytest.raises(DataError, match="arrow, the copy of .*train-0.parquet, is damaged: .*; delete the copy"):
        load_dataset(str(tmp_path / "data"), "train", 16)


def test_damaged_parquet(tmp_path):
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="train-0.parquet is not Parquet"):
        load_dataset(f"{tmp_path}", "train")
    with pytest.raises(DataError, match="validation-"):
        load_dataset(f"{tmp_path}", "test")
    write_parquet(tmp_path / "train-0.parquet", "photo")
    with pytest.raises(DataError, match="image{bytes, path}"):
        load_dataset(f"{tmp_path}", "train")
    write_parquet(tmp_path / "train-0.parquet", names=False, rows=[{"bytes": b"no picture", "path": "x"}])
    train = load_dataset(f"{tmp_path}", "train", 8)
    assert train.class_names == ("0",)
    with pytest.raises(DataError, match="row 0 is not a readable picture"):
        train.images[:]


def test_training_on_a_folder_resumes_and_reaches_the_integer_network(folder, tmp_path):
    pytest.importorskip("brevitas")
    from pynq_qsnn.cli import main
    from pynq_qsnn.network import Network
    from pynq_qsnn.training.checkpoint import load_checkpoint
    from pynq_qsnn.training.loop import train
    from pynq_qsnn.training.options import TrainConfig

    def config(name):
        return TrainConfig(
            str(tmp_path / name), dataset=f"{folder}", image_size=16, epochs=3, batch_size=4, flip=True, resume=True
        )

    def stop(row):
        raise KeyboardInterrupt

    whole = train(config("whole"))
    with pytest.raises(KeyboardInterrupt):
        train(config("stopped"), stop)
    resumed = train(config("stopped"))
    tensors, again = load_checkpoint(whole.checkpoint)[0], load_checkpoint(resumed.checkpoint)[0]
    assert all(np.array_equal(tensors[name], again[name]) for name in tensors)
    assert main(["export", str(tmp_path / "whole"), "-o", str(tmp_path / "own.qsnn")]) == 0
    assert main(["simulate", str(tmp_path / "own.qsnn")]) == 0
    assert Network.load(tmp_path / "own.qsnn").input.shape == (3, 16, 16)


@pytest.mark.parametrize("name, size", [("digits", 16), ("own.npz", 8)])
def test_other_data_sets_have_a_size_of_their_own(tmp_path, name, size):
    pytest.importorskip("brevitas")
    pytest.importorskip("sklearn")
    from test_data import own_images

    from pynq_qsnn.training.loop import train
    from pynq_qsnn.training.options import TrainConfig

    dataset = own_images(tmp_path / name) if name.endswith(".npz") else name
    with pytest.raises(ConfigError, match=f"image_size is {size}"):
        train(TrainConfig(str(tmp_path / "run"), dataset=dataset, image_size=size))


def test_real_pictures():
    if not SHARED.is_file():
        pytest.skip("$PYNQ_QSNN_DATA has no imagenet1000/one_per_class_128.parquet")
    pytest.importorskip("pyarrow")
    from pynq_qsnn.data.encoded import EncodedImages
    from pynq_qsnn.data.parquet import ParquetRows

    rows = ParquetRows([SHARED])
    assert len(rows) == 1000 and rows.labels.tolist() == list(range(1000)) and len(rows.class_names) == 1000
    images = EncodedImages(rows, 112)
    pixels = images[np.array([0, 500, 999])]
    assert np.array_equal(pixels[1], images[500:501][0])
    expected = image.open(io.BytesIO(rows[500][1])).convert("RGB").crop((8, 8, 120, 120))
    assert np.array_equal(pixels[1], np.asarray(expected).transpose(2, 0, 1))  # 128 pixels: the middle 112, unscaled
