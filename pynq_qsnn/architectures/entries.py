"""The entries of an architecture: what a network is made of, without weights and without a framework.

Bits of None are the network's; shapes follow from the input. A :class:`Linear` or a :class:`Head` flattens a map.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError

POOL_KINDS = ("max", "avg", "sum", "global")
RESIDUAL_DOMAINS = ("spike", "current", "iand")
EDGE_WEIGHT_BITS = 8  # weights of the first layer and the head, unless their words say otherwise
FLOAT_BITS = 16  # "weight bits" of weights that are not quantized
LARGEST_CODE = MAX_STEPS = 255  # what the integer network holds


@dataclass(frozen=True)
class Conv:
    """Convolution and neurons. padding None keeps the size at stride 1."""

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int | None = None
    groups: int = 1
    weight_bits: int | None = None
    spike_bits: int | None = None

    @property
    def border(self) -> int:
        """Rows and columns of zeros on each side."""
        return self.kernel // 2 if self.padding is None else self.padding


@dataclass(frozen=True)
class Linear:
    """Fully connected layer and neurons."""

    features: int
    weight_bits: int | None = None
    spike_bits: int | None = None


@dataclass(frozen=True)
class Pool:
    """kind: max | avg | sum, on codes; global: the whole map, see :func:`global_pools`. stride None is the kernel."""

    kind: str
    kernel: int = 2
    stride: int | None = None
    padding: int = 0

    @property
    def step(self) -> int:
        """The stride as a number."""
        return self.kernel if self.stride is None else self.stride


@dataclass(frozen=True)
class SelfAttention:
    """Spiking self-attention of Spikformer (arXiv 2209.15425), up to its neurons: three 1x1 convolutions make the
    spike trains Q, K and V, neurons fire on (Q K^T) V. Every pixel is a token."""

    heads: int
    weight_bits: int | None = None
    spike_bits: int | None = None


@dataclass(frozen=True)
class Residual:
    """body: Conv and SelfAttention entries, the last one a Conv.

    domain: spike | current | iand; None is the network's. shortcut None: the identity where its shape fits, else what
    the domain has in its place, see :func:`needs_shortcut`.
    """

    body: tuple
    domain: str | None = None
    shortcut: Conv | None = None

    @property
    def stride(self) -> int:
        """Rows of the input for one of the output."""
        product = 1
        for part in self.body:
            product *= getattr(part, "stride", 1)
        return product


@dataclass(frozen=True)
class Steps:
    """Another number of time steps from here on: a multiple repeats steps, a divisor sums their codes."""

    num_steps: int


@dataclass(frozen=True)
class Head:
    """Linear layer to the classes (None: the data's), without neurons: its currents are summed over the steps."""

    classes: int | None = None


Entry = Conv | Linear | Pool | SelfAttention | Residual | Steps | Head


def needs_shortcut(entry: Residual, channels: int, domain: str) -> bool:
    """Whether a block on ``channels`` has a 1x1 convolution beside it: codes are added only where shapes are equal.

    In the domain "current" the identity subsamples and appends zero channels instead (option A of arXiv 1512.03385).
    """
    return domain != "current" and (entry.stride != 1 or entry.body[-1].channels != channels)


def shortcut(entry: Residual, channels: int, domain: str) -> Conv | None:
    """The convolution beside the block's body, None for the identity."""
    if entry.shortcut is None and needs_shortcut(entry, channels, domain):
        last = entry.body[-1]
        return Conv(last.channels, 1, entry.stride, weight_bits=last.weight_bits, spike_bits=last.spike_bits)
    return entry.shortcut


def global_pools(height: int, width: int, s_max: int) -> tuple[Pool, ...]:
    """Pool of the whole map: sums where they stay codes of 8 bits, else averages.

    A side that is no power of two takes two averages, whose windows overlap. Raises ConfigError for a map that is not
    square.
    """
    if height != width:
        raise ConfigError(f"a global pool of a {height}x{width} map; it must be square")
    if s_max * height * width <= LARGEST_CODE:
        return (Pool("sum", height),)
    kernel = 1 << (height.bit_length() - 1)
    if kernel == height:
        return (Pool("avg", kernel),)
    return (Pool("avg", kernel, height - kernel), Pool("avg", 2))
