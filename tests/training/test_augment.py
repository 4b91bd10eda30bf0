"""What a training batch goes through; every random number is that of torch's seed."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pynq_qsnn.errors import ConfigError  # noqa: E402
from pynq_qsnn.training.augment import SAME_OPERATION, Augmentation, augment_batch, mixup  # noqa: E402
from pynq_qsnn.training.options import TrainConfig  # noqa: E402


def pictures(count, channels=3, side=16):
    """Smooth uint8 pictures [N, C, H, W] with some contrast."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side] / side
    phase, down, across = rng.uniform(0, 6, (3, count, channels, 1, 1))
    return torch.from_numpy((127.5 + 127.5 * np.sin(down * rows + across * columns + phase)).astype(np.uint8))


def augmentation(shape=(3, 16, 16), **changes):
    return Augmentation(TrainConfig("", **changes), shape, 5)


def test_augmentation_crops_flips_and_erases():
    image = torch.arange(1, 65, dtype=torch.uint8).view(1, 1, 8, 8)
    batch = image.expand(64, 1, 8, 8)
    torch.manual_seed(0)
    assert torch.equal(augment_batch(batch), batch.float() / 255)
    flipped = augment_batch(batch, flip=True) * 255
    kinds = {tuple(sample.flatten().round().int().tolist()) for sample in flipped}
    assert kinds == {tuple(image.flatten().tolist()), tuple(image.flip(3).flatten().tolist())}
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))[0, 0]
    windows = {tuple(padded[y : y + 8, x : x + 8].flatten().tolist()) for y in range(5) for x in range(5)}
    for sample in augment_batch(batch, crop_padding=2) * 255:
        assert tuple(sample.flatten().round().int().tolist()) in windows
    erased = (augment_batch(batch, cutout=4) == 0).sum((1, 2, 3))
    assert erased.max() <= 16 and erased.min() >= 1


def test_mixup_mixes_images_and_targets_alike():
    batch, labels = torch.eye(5).reshape(5, 1, 5, 1), torch.arange(5)
    shares = []
    for seed in range(200):
        torch.manual_seed(seed)
        mixed, targets = mixup(batch, labels, 5, 0.4)
        torch.testing.assert_close(mixed[:, 0, :, 0], targets)
        torch.testing.assert_close(targets.sum(1), torch.ones(5))
        assert torch.equal(targets.argmax(1), labels)
        shares.append(targets.max().item())
    assert min(shares) < 0.6 and max(shares) > 0.99  # Beta(0.4, 0.4) likes the ends, and has a middle


@pytest.mark.parametrize("policy", ["trivial", "rand"])
def test_policies_repeat_and_keep_pictures(policy):
    pytest.importorskip("kornia")
    images, labels = pictures(64), torch.zeros(64, dtype=torch.int64)
    augment = augmentation(auto_augment=policy)
    same = 0
    for seed in range(20):
        results = []
        for _ in range(2):
            torch.manual_seed(seed)
            results.append(augment(images, labels)[0])
        assert torch.equal(*results)
        batch = results[0]
        assert batch.shape == images.shape and batch.dtype == torch.float32
        assert batch.min() >= 0 and batch.max() <= 1
        assert (batch.flatten(1).std(1) < 0.02).float().mean() < 0.05  # few are left without content
        same += (batch == images / 255.0).flatten(1).all(1).sum().item()
    assert same < 128  # of 1,280


@pytest.mark.parametrize("policy", ["trivial", "rand"])
def test_grey_pictures_change_as_coloured_ones_of_three_equal_planes(policy):
    pytest.importorskip("kornia")
    grey, labels = pictures(16, 1), torch.zeros(16, dtype=torch.int64)
    for seed in range(8):  # some operations alone want three channels
        results = []
        for images in (grey, grey.expand(-1, 3, -1, -1)):
            torch.manual_seed(seed)
            results.append(augmentation(images.shape[1:], auto_augment=policy)(images, labels)[0])
        assert results[0].shape == grey.shape and not torch.equal(results[0], grey / 255.0)
        assert torch.equal(results[0].expand(-1, 3, -1, -1), results[1])


def test_operations_differ_within_a_batch():
    pytest.importorskip("kornia")
    images = pictures(1).expand(64, 3, 16, 16)
    torch.manual_seed(0)
    batch, _ = augmentation(auto_augment="rand")(images, torch.zeros(64, dtype=torch.int64))
    kinds = {tuple(sample.flatten().tolist()) for sample in batch}
    assert 64 // SAME_OPERATION // 2 < len(kinds)


def test_frames_of_a_sample_share_their_crop():
    frames = pictures(8, 2)[:, None].expand(8, 4, 2, 16, 16)  # [B, T, C, H, W], all steps alike
    torch.manual_seed(0)
    batch, targets = augmentation((4, 2, 16, 16), crop_padding=2, flip=True)(frames, torch.arange(8))
    assert batch.shape == (4, 8, 2, 16, 16) and torch.equal(targets, torch.arange(8))
    assert all(torch.equal(step, batch[0]) for step in batch)
    assert not torch.equal(batch[0], frames[:, 0] / 255.0)


@pytest.mark.parametrize("shape", [(4, 2, 16, 16), (2, 16, 16)])
def test_policies_are_for_pictures(shape):
    with pytest.raises(ConfigError, match="auto_augment"):
        augmentation(shape, auto_augment="trivial")
