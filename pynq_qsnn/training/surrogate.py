"""Derivatives that stand in for the derivative of the staircase k = clip(floor(r), 0, s_max).

r is the membrane in units of the threshold. The staircase climbs one code for each unit of r in (0, s_max + 1), so
every surrogate is near 1 there and falls to 0 outside; at s_max = 1 they are the binary surrogates of the literature,
widened to the interval that a two-level floor covers. Each function: tensor r, int s_max -> tensor like r.
"""

import torch

from ..errors import ConfigError

SLOPE = 4.0  # steepness of sigmoid and arctan edges, per threshold


def rectangle(r, s_max):
    """1 inside (0, s_max + 1), else 0 (straight-through estimator of a clipped staircase)."""
    return ((r > 0) & (r < s_max + 1)).to(r.dtype)


def triangle(r, s_max):
    """1 inside, with a linear ramp of one threshold on either side, so that silent neurons still learn."""
    centre = (s_max + 1) / 2
    return (r - centre).abs_().neg_().add_(centre + 1).clamp_(0, 1)


def sigmoid(r, s_max):
    """Derivative-like window: product of two logistic edges, at 0 and at s_max + 1."""
    return torch.sigmoid(SLOPE * r) * torch.sigmoid(SLOPE * (s_max + 1 - r))


def arctan(r, s_max):
    """As `sigmoid` with arctangent edges, whose tails fall as 1/r: gradient reaches far from the window."""

    def edge(x):
        return torch.atan(SLOPE * x) / torch.pi + 0.5

    return edge(r) * edge(s_max + 1 - r)


SURROGATES = {"triangle": triangle, "rectangle": rectangle, "sigmoid": sigmoid, "arctan": arctan}


def get_surrogate(name: str):
    """The surrogate by name; ConfigError lists the known ones."""
    if name not in SURROGATES:
        raise ConfigError(f"unknown surrogate {name!r}; known: {', '.join(SURROGATES)}")
    return SURROGATES[name]
