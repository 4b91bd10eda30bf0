"""Allocations of a bit budget: one for the whole network, or one for each word of its layer list.

The bit budget of a layer is T x weight bits x spike bits (arXiv 2311.10802, Eq. 4), of the spikes that it emits, and no
layer may spend more than ``Space.budget``. The first layer and the head keep weights of 8 bits, which do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from ..architectures import Steps, architecture, with_bits, words_with_neurons
from ..architectures.entries import EDGE_WEIGHT_BITS
from ..errors import ConfigError

BITS = (1, 2, 4, 8)
BLOCKS = ("R", "B", "X")  # beginnings of words whose result is added to what enters
Choose = Callable[[str, int], int]


@dataclass(frozen=True)
class Allocation:
    """Weight bits and spike bits, for the network or a number for each word with neurons, and time steps.

    >>> Allocation((4,), (2,), 1).label, Allocation((8, 4, 2), (4, 4, 1), 2).label
    ('4/2/1', '842/441/2')
    """

    weight_bits: tuple[int, ...]
    spike_bits: tuple[int, ...]
    num_steps: int

    @property
    def label(self) -> str:
        """Weight bits / spike bits / T; of several words the digits one after the other."""
        return "/".join("".join(map(str, n)) for n in (self.weight_bits, self.spike_bits, (self.num_steps,)))

    @property
    def folder(self) -> str:
        """The same as a file name."""
        weight_bits, spike_bits, num_steps = self.label.split("/")
        return f"w{weight_bits}s{spike_bits}t{num_steps}"

    @property
    def bit_budget(self) -> int:
        """T x weight bits x spike bits of the layer that spends most, the first one left out where it has its own."""
        inner = slice(1, None) if len(self.weight_bits) > 1 else slice(None)
        return self.num_steps * max(w * s for w, s in zip(self.weight_bits[inner], self.spike_bits[inner]))


@dataclass(frozen=True)
class Space:
    """Allocations of ``model``, a name or a layer list, whose layers have a bit budget of at most ``budget``.

    per_layer: each word of the layer list has bits of its own. A word that comes with bits keeps them; residual and
    transformer blocks have the spike bits of the word before them, because codes of one step are added.
    Raises ConfigError for bits that no layer can have and for a budget that nothing fits.
    """

    model: str
    budget: int
    weight_bits: tuple[int, ...] = BITS
    spike_bits: tuple[int, ...] = BITS
    num_steps: tuple[int, ...] = (1, 2, 4)
    per_layer: bool = False

    def __post_init__(self):
        for name, known in (("weight_bits", BITS), ("spike_bits", BITS), ("num_steps", range(1, 256))):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values) or not set(values) <= set(known):
                text = ", ".join(map(str, BITS)) if known is BITS else "1..255"
                raise ConfigError(f"{name} of a sweep are different ones of {text}, not {list(values)}")
            object.__setattr__(self, name, tuple(sorted(values)))
        found = architecture(self.model)
        if any(isinstance(entry, Steps) for entry in found.entries):
            raise ConfigError(f"{self.model!r} changes its time steps itself; take its T words out for a sweep")
        if self.per_layer and len(self._words()) < 2:
            raise ConfigError(f"{self.model!r} has a single layer with neurons: there is nothing to choose per layer")
        if not self._steps():
            least = (self.weight_bits[0], self._least_spike_bits(), self.num_steps[0])
            raise ConfigError(
                f"no allocation fits a bit budget of {self.budget}: the smallest of these, "
                f"{'/'.join(map(str, least))}, spends {least[0] * least[1] * least[2]}; allow that much, or fewer bits"
            )

    def _words(self) -> list[tuple[str, int | None, int | None]]:
        return words_with_neurons(architecture(self.model).layers)

    def _least_spike_bits(self) -> int:
        """The fewest that all layers can have whose weight bits are chosen here."""
        own = [spikes for _, weights, spikes in self._words()[1:] if spikes and not weights] if self.per_layer else []
        return max([self.spike_bits[0], *own])

    def _steps(self) -> tuple[int, ...]:
        least = self.weight_bits[0] * self._least_spike_bits()
        return tuple(steps for steps in self.num_steps if steps * least <= self.budget)

    def draw(self, choose: Choose) -> Allocation:
        """An allocation. choose(name, n) -> 0..n-1 decides, for T and for the bits of each word; every one fits.

        Names and counts depend on what was chosen before: bits are chosen among those that the budget leaves.
        """
        steps = self._steps()
        num_steps = steps[choose("steps", len(steps))]
        left = self.budget // num_steps

        def spikes(name: str) -> int:
            return _choose(choose, f"{name}spikes", self.spike_bits, left // self.weight_bits[0])

        def weights(name: str, spike_bits: int) -> int:
            return _choose(choose, f"{name}weights", self.weight_bits, left // spike_bits)

        if not self.per_layer:
            spike_bits = spikes("")
            return Allocation((weights("", spike_bits),), (spike_bits,), num_steps)
        pairs: list[tuple[int, int]] = []
        for index, (word, own_weights, own_spikes) in enumerate(self._words(), 1):
            of_before = pairs[-1][1] if word.lstrip("0123456789x").startswith(BLOCKS) else None
            spike_bits = own_spikes or of_before or spikes(f"{index} ")
            edge = EDGE_WEIGHT_BITS if index == 1 else None
            pairs.append((own_weights or edge or weights(f"{index} ", spike_bits), spike_bits))
        return Allocation(*map(tuple, zip(*pairs)), num_steps)

    def model_of(self, allocation: Allocation) -> str:
        """The model that training builds for an allocation: the layer list with its bits where they are per layer."""
        if not self.per_layer:
            return self.model
        return with_bits(architecture(self.model).layers, list(zip(allocation.weight_bits, allocation.spike_bits)))

    def choices(self) -> Iterator[dict[str, int]]:
        """What ``choose`` answers for each allocation, in order; :meth:`draw` makes the allocation of it."""
        path: list[list[int]] = []  # the answer to each question so far, and how many there are
        taken: dict[str, int] = {}

        def follow(name: str, count: int) -> int:
            if len(taken) == len(path):
                path.append([0, count])
            taken[name] = path[len(taken)][0]
            return taken[name]

        while True:
            taken.clear()
            self.draw(follow)
            yield dict(taken)
            while path and path[-1][0] + 1 == path[-1][1]:
                path.pop()
            if not path:
                return
            path[-1][0] += 1

    def allocations(self) -> Iterator[Allocation]:
        """All of them. Per layer they are many."""
        return map(self.chosen, self.choices())

    def chosen(self, answers: dict[str, int]) -> Allocation:
        """The allocation of one of :meth:`choices`."""
        return self.draw(lambda name, count: answers[name])

    def up_to(self, limit: int) -> list[dict[str, int]] | None:
        """All :meth:`choices` where they are ``limit`` or fewer, else None."""
        found = list(islice(self.choices(), limit + 1))
        return found if len(found) <= limit else None


def _choose(choose: Choose, name: str, values: tuple[int, ...], limit: int) -> int:
    """One of the ascending ``values`` that are at most ``limit``."""
    allowed = [value for value in values if value <= limit]
    return allowed[choose(name, len(allowed))]
