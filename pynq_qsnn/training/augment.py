"""Batches of images: uint8 on the way in, float 0..1 on the way out. Random numbers are those of torch's own generator.

They are drawn on the CPU wherever the images are, so that CPU and GPU see the same crops.
"""

import torch
from torch.nn import functional

from ..errors import ConfigError

SAME_OPERATION = 4  # images that share an operation of a policy; one at a time takes four times as long


class Augmentation:
    """What a training batch goes through: crop, flip and cutout, a policy, mixup. Built from a TrainConfig.

    Called with uint8 [B, C, H, W] or event frames [B, T, C, H, W] and int64 [B]; gives what the model takes and the
    targets of :func:`losses.classification_loss`. The frames of one sample get the same crop, flip and cutout.
    """

    def __init__(self, config, sample_shape: tuple, num_classes: int):
        if config.auto_augment != "none" and (len(sample_shape) != 3 or sample_shape[0] not in (1, 3)):
            raise ConfigError(
                f"auto_augment {config.auto_augment!r} is for images of 1 or 3 channels, not for samples of shape "
                f"{sample_shape}; leave it at 'none'"
            )
        self.config, self.num_classes = config, num_classes
        self.policy = _policy(config.auto_augment)

    def __call__(self, images, labels):
        config = self.config
        planes = images.flatten(1, -3)
        batch = augment_batch(planes, config.crop_padding, config.flip, config.cutout)
        if self.policy is not None:
            # some operations of RandAugment want three channels; alike, they stay alike
            coloured = batch.expand(-1, 3, -1, -1)
            parts = [self.policy(part) for part in coloured.split(SAME_OPERATION)]
            batch = torch.cat(parts)[:, : batch.shape[1]]
        targets = labels
        if config.mixup:
            batch, targets = mixup(batch, labels, self.num_classes, config.mixup)
        return as_model_input(batch.unflatten(1, images.shape[1:-2])), targets


def augment_batch(images, crop_padding=0, flip=False, cutout=0):
    """uint8 [B, C, H, W] -> float32 [B, C, H, W] in 0..1, channels-last in memory. Borders are zero."""
    count, _, height, width = images.shape
    rows = torch.arange(height).expand(count, height)
    cols = torch.arange(width).expand(count, width)
    if crop_padding:
        images = functional.pad(images, (crop_padding,) * 4)
        rows = rows + torch.randint(0, 2 * crop_padding + 1, (count, 1))
        offset = torch.randint(0, 2 * crop_padding + 1, (count, 1))
    if flip:
        mirrored = torch.rand((count, 1)) < 0.5
        cols = torch.where(mirrored, width - 1 - cols, cols)
    if crop_padding:
        cols = cols + offset
    # One gather does crop and flip; indexing around the channel axis yields [B, H, W, C].
    picked = images[torch.arange(count)[:, None, None], :, rows[:, :, None], cols[:, None, :]]
    batch = to_unit_range(picked.permute(0, 3, 1, 2))
    if cutout:
        top = torch.randint(0, height, (count, 1))
        left = torch.randint(0, width, (count, 1))
        hit_rows = (torch.arange(height) - top).abs() * 2 < cutout
        hit_cols = (torch.arange(width) - left).abs() * 2 < cutout
        erased = (hit_rows[:, :, None] & hit_cols[:, None, :])[:, None]
        batch = batch.masked_fill(erased.to(batch.device), 0)
    return batch


def mixup(batch, labels, num_classes, alpha):
    """mixup (arXiv 1710.09412): float [B, C, H, W], int64 [B] -> mixed batch and float targets [B, classes].

    An image keeps the larger share of a Beta(alpha, alpha) draw and takes the rest from its neighbour in the batch.
    """
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    share = max(share, 1 - share)
    targets = functional.one_hot(labels, num_classes).float()
    return batch.lerp(batch.roll(1, 0), 1 - share), targets.lerp(targets.roll(1, 0), 1 - share)


def to_unit_range(images):
    """uint8 -> float32 / 255. No mean or deviation: batch norm absorbs both, and zero padding stays black."""
    return images.to(torch.float32).div_(255)


def as_model_input(batch):
    """[B, C, H, W] channels-last, or event frames [B, T, C, H, W] -> [T, B, C, H, W]."""
    if batch.ndim == 5:
        return batch.transpose(0, 1)
    return batch.contiguous(memory_format=torch.channels_last)


# The operations of TrivialAugment (arXiv 2103.10158, "wide"), as kornia measures their strength. Its own table is not
# used: it posterizes to 0 bits and adds up to 0.9 to the brightness, which leaves one image in eight without content.
_TRIVIAL_AUGMENT = [
    [("auto_contrast", 0, 1)],
    [("equalize", 0, 1)],
    [("rotate", -30.0, 30.0)],
    [("posterize", 2.0, 8.0)],
    [("solarize", 0.0, 1.0)],
    [("contrast", 0.1, 1.9)],
    [("brightness", 0.5, 1.5)],
    [("sharpness", 0.1, 1.9)],
    [("shear_x", -0.3, 0.3)],
    [("shear_y", -0.3, 0.3)],
    [("translate_x", -0.5, 0.5)],
    [("translate_y", -0.5, 0.5)],
]


def _policy(name: str):
    """The kornia module of an ``auto_augment`` policy, or None: float [B, C, H, W] in 0..1 -> the same."""
    if name == "none":
        return None
    from kornia.augmentation.auto import RandAugment, TrivialAugment

    # RandAugment: two operations of strength 9 of 30 (arXiv 1909.13719, the setting for ResNet-50)
    return TrivialAugment(_TRIVIAL_AUGMENT) if name == "trivial" else RandAugment(n=2, m=9)
