"""Where every tensor lives and in which order and pieces the operations run.

A tensor lives in the activation memory, or in the spill memory where it is too large for it. Operations whose tensors
are all on chip run whole. The others run in bands of rows: LOAD the rows that a band reads, compute, SAVE what it
writes. A chain of such operations shares its bands, so that the tensors between them never leave the chip; the rows
that two bands share are computed twice.

From operation ``split`` on, a group of frames runs as one: their tensors lie one behind the other, so that a small map
still fills the array and its weights are read once a group.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import CapacityError
from ..hwspec import HardwareConfig
from ..network import INPUT, TensorType
from ..packing import bank_words, row_words
from .graph import Operation
from .memory import ActivationMap

LONGEST_CHAIN = 3


@dataclass(frozen=True)
class Area:
    """Rows ``first_row ...`` of a tensor from bank word ``base`` on; frames of a group ``frame_words`` apart."""

    base: int
    first_row: int = 0
    frame_words: int = 0


@dataclass(frozen=True)
class Job:
    """Stored rows first..last-1 of an operation. fresh: how many of them no earlier band has computed."""

    operation: Operation
    rows: tuple[int, int]
    fresh: int
    source: Area
    output: Area | None
    skip: Area | None = None


@dataclass(frozen=True)
class Transfer:
    """RECEIVE, LOAD or SAVE of rows first..last-1 of a tensor; spill: its first word there, or None."""

    opcode: str
    name: str
    tensor: TensorType
    rows: tuple[int, int]
    area: Area
    spill: int | None = None


@dataclass
class Schedule:
    """Items in order; those from index ``split`` on run once a group of ``group_frames``."""

    items: list[Job | Transfer] = field(default_factory=list)
    split: int = 0
    group_frames: int = 1
    spill_words: int = 0

    @property
    def is_banded(self) -> bool:
        """True when a tensor does not fit on chip."""
        return any(isinstance(item, Transfer) and item.opcode != "RECEIVE" for item in self.items)


def candidates(operations: list[Operation], frame: TensorType, config: HardwareConfig, cost) -> list[Schedule]:
    """Every schedule that fits, one for each split and place of the frame. Raises CapacityError when there is none.

    cost: function of a list of items, their clocks.
    """
    found, error = [], None
    for spill_frame in (False, True):
        for split in range(len(operations) + 1):
            try:
                found.append(_Scheduler(operations, frame, config, cost, split, spill_frame).run())
            except CapacityError as refusal:
                error = refusal
        if found and not any(schedule.is_banded for schedule in found):
            break  # the frame has room: spilling it gains nothing
    if not found:
        raise error
    return found


class _Scheduler:
    def __init__(self, operations, frame: TensorType, config: HardwareConfig, cost, split: int, spill_frame: bool):
        self.operations, self.config, self.cost = operations, config, cost
        self.split, self.spill_frame = split, spill_frame
        self.group = config.group_frames if split < len(operations) else 1
        self.types = {INPUT: frame, **{o.name: o.tensor for o in operations}}
        self.last_use = {}
        for index, operation in enumerate(operations):
            for name in _read(operation):
                self.last_use[name] = index
        self.made = {INPUT: -1, **{o.name: i for i, o in enumerate(operations)}}
        self.map = ActivationMap(config.activation_bank_words)
        self.spilled: dict[str, int] = {}  # name -> first word in the spill memory
        self.schedule = Schedule(group_frames=self.group)

    def run(self) -> Schedule:
        """Walk the operations once."""
        self._place_crossing()
        self._receive()
        index = 0
        while index < len(self.operations):
            if index == self.split:
                self.schedule.split = len(self.schedule.items)
            done = self._whole(index) or self._bands(index)
            for operation in self.operations[index : index + done]:
                for name in _read(operation):
                    if self.last_use[name] < index + done:
                        self.map.free(name)
            index += done
        if self.split == len(self.operations):
            self.schedule.split = len(self.schedule.items)
        return self.schedule

    def _words(self, name: str) -> int:
        return bank_words(self.types[name], self.config)

    def _place_crossing(self) -> None:
        """Tensors that are made frame by frame and read by the whole group: in place from the first frame on."""
        self.crossing = {
            name for name, use in self.last_use.items() if self.group > 1 and self.made[name] < self.split <= use
        }
        for name in sorted(self.crossing):
            first_use = min(i for i, o in enumerate(self.operations) if name in _read(o))
            if first_use < self.split:
                raise CapacityError(f"{name} is read before and after the split of the group")  # no field moves it
            if name == INPUT and self.spill_frame:
                raise CapacityError("a spilled frame cannot wait for its group")
            if self.map.place(name, self.group * self._words(name)) is None:
                raise self._full(name, self.group)

    def _receive(self) -> None:
        tensor = self.types[INPUT]
        area, spill = Area(0), None
        if self.spill_frame:
            spill = self._spill(INPUT)
        else:
            if INPUT not in self.crossing and self.map.place(INPUT, self._words(INPUT)) is None:
                raise self._full(INPUT, 1)
            area = self._area(INPUT)
        self.schedule.items.append(Transfer("RECEIVE", INPUT, tensor, (0, tensor.shape[1]), area, spill))

    def _area(self, name: str) -> Area:
        return Area(self.map.base(name), frame_words=self._frame_words(name))

    def _frame_words(self, name: str) -> int:
        """Distance of the frames of a group, 0 for what only one frame at a time has."""
        stacked = name in self.crossing or (self.group > 1 and self.made[name] >= self.split)
        return self._words(name) if stacked else 0

    def _spill(self, name: str) -> int:
        self.spilled[name] = self.schedule.spill_words
        self.schedule.spill_words += self._words(name) * self.config.activation_banks
        return self.spilled[name]

    def _full(self, name: str, frames: int) -> CapacityError:
        tensor, capacity = self.types[name], self.config.activation_bank_words
        several = f" for each of {frames} frames" if frames > 1 else ""
        return CapacityError(
            f"{name}: {self._words(name)} activation words a bank{several} for shape {tensor.shape}, "
            f"T = {tensor.num_steps}, {tensor.bits} bits; {self.map.used} of {capacity} are in use. "
            "Use fewer steps, spike bits or channels, or pool earlier"
        )

    def _no_band(self, operation: Operation) -> CapacityError:
        """Not even the rows of one output row fit together."""
        bands = [self._band([operation], row, row + 1) for row in range(operation.tensor.shape[1])]
        needs = {
            name: max(band[name][1] - band[name][0] for band in bands) * row_words(self.types[name], self.config)
            for name in bands[0]
            if name not in self.map.areas and not (operation.is_head and name == operation.name)
        }
        parts = ", ".join(f"{words} for {name} {self.types[name].shape}" for name, words in needs.items())
        return CapacityError(
            f"{operation.name}: one row needs {sum(needs.values())} activation words a bank ({parts}), "
            f"{self.map.used} of {self.config.activation_bank_words} are in use. "
            "Use fewer steps, spike bits or channels, or pool earlier"
        )

    def _whole(self, index: int) -> int:
        """Run one operation on chip; 1 if it fits."""
        operation = self.operations[index]
        if operation.source in self.spilled or operation.skip_source in self.spilled:
            return 0
        frames = self.group if index >= self.split else 1
        output = None
        if not operation.is_head:
            name = operation.name
            if name not in self.crossing and self.map.place(name, frames * self._words(name)) is None:
                return 0
            output = self._area(name)
        rows = (0, operation.tensor.shape[1])
        skip = operation.skip_source
        self.schedule.items.append(
            Job(operation, rows, rows[1], self._area(operation.source), output, skip and self._area(skip))
        )
        return 1

    def _bands(self, index: int) -> int:
        """Run a chain in bands of rows; returns its length. The chain with the least overhead is taken."""
        if index >= self.split and self.group > 1:
            raise self._full(self.operations[index].name, self.group)
        best = None
        for last in range(index, min(index + LONGEST_CHAIN, len(self.operations), max(self.split, index + 1))):
            chain = self.operations[index : last + 1]
            if last > index and not self._continues(chain):
                break
            for to_spill in (False, True):
                attempt = self._band_chain(chain, to_spill)
                if attempt is None:
                    continue
                # What is spilled will be loaded again.
                again = [i for i in attempt[0] if isinstance(i, Transfer) and i.opcode == "SAVE"]
                overhead = self.cost(attempt[0] + again) / self.cost(self._ideal(chain))
                if best is None or overhead < best[0]:
                    best = (overhead, len(chain), to_spill, *attempt)
        if best is None:
            raise self._no_band(self.operations[index])
        _, length, to_spill, items, base = best
        final = self.operations[index + length - 1]
        if not final.is_head:
            if to_spill:
                self._spill(final.name)
            elif final.name not in self.crossing:
                self.map.areas[final.name] = (base, self._words(final.name))
        self.schedule.items += items
        return length

    def _continues(self, chain: list[Operation]) -> bool:
        """The last operation reads the one before it alone, and nobody else does; its residual is from outside."""
        *before, last = chain
        made = {o.name for o in before}
        readers = [o for o in self.operations if before[-1].name in _read(o)]
        return last.source == before[-1].name and len(readers) == 1 and last.skip_source not in made

    def _ideal(self, chain: list[Operation]) -> list[Job]:
        return [Job(o, (0, o.tensor.shape[1]), o.tensor.shape[1], Area(0), Area(0), Area(0)) for o in chain]

    def _band_chain(self, chain: list[Operation], to_spill: bool) -> tuple[list[Job | Transfer], int] | None:
        """Items of a chain with the fewest bands that fit, and the base of its last tensor; None if none fits."""
        final = chain[-1]
        if (final.is_head and to_spill) or (final.name in self.crossing and to_spill):
            return None
        height = final.tensor.shape[1]
        for count in range(1, height + 1):
            step = -(-height // count)
            if count > 1 and step == -(-height // (count - 1)):
                continue
            bands = [self._band(chain, first, min(first + step, height)) for first in range(0, height, step)]
            areas = self._band_areas(chain, bands, to_spill)
            if areas is not None:
                return self._band_items(chain, bands, to_spill, areas), areas.get(final.name, 0)
        return None

    def _band(self, chain: list[Operation], first: int, last: int) -> dict[str, tuple[int, int]]:
        """Rows of every tensor that the rows first..last-1 of the last one need."""
        rows = {chain[-1].name: (first, last)}
        for operation in reversed(chain):
            need = {operation.source: operation.input_rows(*rows[operation.name])}
            if operation.skip_source is not None:
                low, high = operation.skip_rows(*rows[operation.name])
                known = need.get(operation.skip_source, (low, high))  # a residual may be the source itself
                need[operation.skip_source] = (min(low, known[0]), max(high, known[1]))
            for name, (low, high) in need.items():
                low, high = max(low, 0), min(high, self.types[name].shape[1])
                known = rows.get(name, (low, high))
                rows[name] = (min(low, known[0]), max(high, known[1]))
        return rows

    def _band_areas(self, chain, bands, to_spill: bool) -> dict[str, int] | None:
        """Base of every tensor that needs a place for its band, or for the whole when it is to stay on chip."""
        trial = self.map.copy()
        final = chain[-1]
        areas = {}
        for name in bands[0]:
            stays = name == final.name and not to_spill
            if (name in self.map.areas and name != final.name) or (stays and (final.is_head or name in self.crossing)):
                continue
            rows = self.types[name].shape[1] if stays else max(b[name][1] - b[name][0] for b in bands)
            base = trial.place(name, rows * row_words(self.types[name], self.config))
            if base is None:
                return None
            areas[name] = base
        return areas

    def _band_items(self, chain, bands, to_spill: bool, areas: dict[str, int]) -> list[Job | Transfer]:
        items: list[Job | Transfer] = []
        final, computed = chain[-1], dict.fromkeys([o.name for o in chain], 0)
        for rows in bands:

            def area(name: str, rows=rows) -> Area:
                whole = name not in areas or (name == final.name and not to_spill)
                base = areas[name] if name in areas else self.map.base(name)
                return Area(base, 0 if whole else rows[name][0], self._frame_words(name))

            for name in rows:
                if name in self.spilled:
                    tensor = self.types[name]
                    items.append(Transfer("LOAD", name, tensor, rows[name], area(name), self.spilled[name]))
            for operation in chain:
                first, last = rows[operation.name]
                fresh = max(0, last - max(first, computed[operation.name]))
                computed[operation.name] = max(computed[operation.name], last)
                output = None if operation.is_head else area(operation.name)
                skip = operation.skip_source and area(operation.skip_source)
                items.append(Job(operation, (first, last), fresh, area(operation.source), output, skip))
            if to_spill:
                spill = self.schedule.spill_words  # where _spill will put it
                items.append(Transfer("SAVE", final.name, final.tensor, rows[final.name], area(final.name), spill))
        return items


def _read(operation: Operation) -> list[str]:
    """Tensors that an operation reads."""
    return [name for name in (operation.source, operation.skip_source) if name is not None]
