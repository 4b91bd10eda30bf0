"""The learning rate and the seeds, as functions of where a run stands: nothing of them has to be saved to resume."""

import hashlib
import math


def learning_rate_at(step: int, num_steps: int, warmup_steps: int, peak: float) -> float:
    """Linear warm-up to `peak`, then half a cosine to 0 (arXiv 1608.03983 without restarts)."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def epoch_rates(config, epoch: int, num_steps: int) -> list:
    """The learning rate of each of the `num_steps` steps of an epoch (0-based) of a TrainConfig."""
    total, warmup = config.epochs * num_steps, round(config.warmup_epochs * num_steps)
    steps = range(epoch * num_steps, (epoch + 1) * num_steps)
    return [learning_rate_at(step, total, warmup, config.learning_rate) for step in steps]


def seed_of(*position: int) -> int:
    """A seed of 63 bits for a position: (seed, epoch) for an epoch's order, (seed, epoch, step, rank) for a step."""
    digest = hashlib.sha256("/".join(map(str, position)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
