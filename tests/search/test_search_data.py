"""What chooses is neither trained on nor the test split; event frames are summed into the steps of an allocation."""

import numpy as np
import pytest

from pynq_qsnn.data import encoded, load_dataset
from pynq_qsnn.errors import ConfigError
from pynq_qsnn.search.data import SearchData


def write_arrays(path, images, test):
    labels = np.arange(len(images)) % 3
    np.savez(
        path, train_images=images, train_labels=labels, test_images=test, test_labels=np.arange(len(test)) % 3,
        class_names=["a", "b", "c"],
    )  # fmt: skip
    return str(path)


@pytest.fixture
def events(tmp_path):
    """30 recordings of 8 frames; the first pixel of a frame numbers it."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 60, (36, 8, 2, 4, 4)).astype(np.uint8)
    return frames, write_arrays(tmp_path / "events.npz", frames[:30], frames[30:])


def test_parts_of_static_images(tmp_path):
    images = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(4, 2).repeat(4, 3)
    name = write_arrays(tmp_path / "images.npz", images[:30], images[30:])
    data = SearchData(tmp_path / "parts", name, 0.2, 25, seed=3)
    trained, held_out = (load_dataset(data.file(4), split) for split in ("train", "test"))
    assert len(trained) == 20 and len(held_out) == 5 and data.file(1) == data.file(4)
    numbers = [set(part.images[:, 0, 0, 0].tolist()) for part in (trained, held_out)]
    assert not numbers[0] & numbers[1] and numbers[0] | numbers[1] < set(range(30))
    assert all((part.labels == part.images[:, 0, 0, 0] % 3).all() for part in (trained, held_out))
    assert trained.class_names == ("a", "b", "c")
    test, labels = data.test_images(4)
    assert test[:, 0, 0, 0].tolist() == list(range(30, 40)) and len(labels) == 10
    again = SearchData(tmp_path / "again", name, 0.2, 25, seed=3)
    assert (again.held_out == data.held_out).all() and again.identity() == data.identity()
    assert (SearchData(tmp_path / "other", name, 0.2, 25, seed=4).held_out != data.held_out).any()


def test_pictures_that_are_not_used_are_not_decoded(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    for place in ("train/a", "train/b", "val/a"):
        (tmp_path / place).mkdir(parents=True)
        for number in range(10):
            image.new("RGB", (8, 8), (20 * number, 0, 0)).save(tmp_path / place / f"{number}.png")
    data = SearchData(tmp_path / "parts", f"{tmp_path}/", 0.5, 4, seed=0, image_size=8)
    decoded, decode = [], encoded.EncodedImages._decode

    def counted(images, index):
        decoded.append(index)
        return decode(images, index)

    monkeypatch.setattr(encoded.EncodedImages, "_decode", counted)
    path = data.file(1)
    assert sorted(decoded) == sorted([*data.trained, *data.held_out])
    for split, indices in (("train", data.trained), ("test", data.held_out)):
        kept = load_dataset(path, split)
        assert (kept.images[:, 0, 0, 0] == 20 * (indices % 10)).all() and (kept.labels == indices // 10).all()


@pytest.mark.parametrize("num_steps", (1, 2, 8))
def test_event_frames_are_summed(tmp_path, events, num_steps):
    frames, name = events
    data = SearchData(tmp_path / "parts", name, 0.5, None, seed=0)
    train = load_dataset(data.file(num_steps), "train")
    assert train.num_steps == (None if num_steps == 1 else num_steps)
    sums = frames[data.trained].astype(int).reshape(15, num_steps, 8 // num_steps, 2, 4, 4).sum(2)
    assert num_steps > 1 or sums.max() > 255
    assert (train.images.reshape(sums.shape) == np.minimum(sums, 255)).all()
    assert data.test_images(num_steps)[0].shape == (6, *train.images.shape[1:])


def test_what_cannot_be_parted_is_refused(tmp_path, events):
    with pytest.raises(ConfigError, match="8 event frames .* 3 steps"):
        SearchData(tmp_path / "parts", events[1], 0.2, None, seed=0).file(3)
    for share, images in ((0.01, None), (0.99, None), (0.2, 2)):
        with pytest.raises(ConfigError, match="held out"):
            SearchData(tmp_path / "parts", events[1], share, images, seed=0)
