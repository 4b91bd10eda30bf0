"""Mean and spread of repeated figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Of repeated figures: mean, sample standard deviation (None for a single one), smallest, largest, number.

    >>> Spread.of([1.0, 2.0, 3.0])
    Spread(mean=2.0, std=1.0, min=1.0, max=3.0, count=3)
    """

    mean: float
    std: float | None
    min: float
    max: float
    count: int

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread:
        """Spread of at least one figure."""
        values = np.array(list(figures), np.float64)
        std = float(values.std(ddof=1)) if len(values) > 1 else None
        return cls(float(values.mean()), std, float(values.min()), float(values.max()), len(values))
