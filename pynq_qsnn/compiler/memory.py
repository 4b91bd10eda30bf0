"""First-fit placement in the activation memory."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ActivationMap:
    """Areas in use, name -> (first bank word, words). ``place`` returns None where there is no room."""

    capacity: int
    areas: dict[str, tuple[int, int]] = field(default_factory=dict)

    def place(self, name: str, words: int) -> int | None:
        """First bank word of a new area, the lowest that fits."""
        base = 0
        for start, length in sorted(self.areas.values()):
            if base + words <= start:
                break
            base = max(base, start + length)
        if base + words > self.capacity:
            return None
        self.areas[name] = (base, words)
        return base

    def free(self, name: str) -> None:
        """Give an area back."""
        self.areas.pop(name, None)

    def base(self, name: str) -> int:
        """First bank word of an area."""
        return self.areas[name][0]

    def copy(self) -> ActivationMap:
        """Independent map with the same areas, to try something."""
        return ActivationMap(self.capacity, dict(self.areas))

    @property
    def used(self) -> int:
        """Bank words in use."""
        return sum(words for _, words in self.areas.values())
