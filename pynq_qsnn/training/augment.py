"""Batches of images: uint8 on the way in, float 0..1 on the way out; crop, flip and cutout without torchvision."""

import torch


def augment_batch(images, generator, crop_padding=0, flip=False, cutout=0):
    """uint8 [B, C, H, W] -> float32 [B, C, H, W] in 0..1, channels-last in memory. Borders are zero."""
    count, _, height, width = images.shape
    rows = torch.arange(height).expand(count, height)
    cols = torch.arange(width).expand(count, width)
    if crop_padding:
        images = torch.nn.functional.pad(images, (crop_padding,) * 4)
        rows = rows + torch.randint(0, 2 * crop_padding + 1, (count, 1), generator=generator)
        offset = torch.randint(0, 2 * crop_padding + 1, (count, 1), generator=generator)
    if flip:
        mirrored = torch.rand((count, 1), generator=generator) < 0.5
        cols = torch.where(mirrored, width - 1 - cols, cols)
    if crop_padding:
        cols = cols + offset
    # One gather does crop and flip; indexing around the channel axis yields [B, H, W, C].
    picked = images[torch.arange(count)[:, None, None], :, rows[:, :, None], cols[:, None, :]]
    batch = to_unit_range(picked.permute(0, 3, 1, 2))
    if cutout:
        top = torch.randint(0, height, (count, 1), generator=generator)
        left = torch.randint(0, width, (count, 1), generator=generator)
        hit_rows = (torch.arange(height) - top).abs() * 2 < cutout
        hit_cols = (torch.arange(width) - left).abs() * 2 < cutout
        batch = batch.masked_fill((hit_rows[:, :, None] & hit_cols[:, None, :])[:, None], 0)
    return batch


def to_unit_range(images):
    """uint8 -> float32 / 255. No mean or deviation: batch norm absorbs both, and zero padding stays black."""
    return images.to(torch.float32).div_(255)
