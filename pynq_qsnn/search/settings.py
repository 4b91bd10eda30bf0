"""What a sweep is asked for, and what comes out."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..errors import ConfigError
from ..hwspec import load_config
from ..training.options import TrainConfig
from .data import SearchData
from .objective import OBJECTIVES
from .space import Space

# Fields of the training that may differ between a sweep and its continuation.
FREE_FIELDS = ("output_dir", "checkpoint_dir", "checkpoint_every", "resume", "num_threads", "device")


@dataclass(frozen=True)
class SweepConfig:
    """One search. Results depend on nothing else; with several jobs also on the order in which they end.

    training: of every allocation; its output_dir is the sweep's folder, its init_from the shared start. Without one
    the sweep trains a start of its own, ``start_epochs`` of float weights on the same images.
    objectives: names of :data:`.objective.OBJECTIVES`.  trials: allocations to measure, None = all of the space.
    repeats: trainings of each, with the seeds from ``training.seed`` on.  held_out: share of the training images that
    chooses.  images: training images to use, None = all.  rate_frames: held-out frames that rates are taken from.
    overlay: path of a config.json.  jobs: worker processes.
    """

    training: TrainConfig
    space: Space
    objectives: tuple[str, ...] = ("accuracy", "s_ace")
    trials: int | None = None
    repeats: int = 1
    start_epochs: int = 8
    held_out: float = 0.2
    images: int | None = None
    rate_frames: int = 200
    overlay: str | None = None
    jobs: int = 1

    def __post_init__(self):
        unknown = [name for name in self.objectives if name not in OBJECTIVES]
        if unknown or len(self.objectives) < 2 or len(set(self.objectives)) < len(self.objectives):
            known = ", ".join(OBJECTIVES)
            raise ConfigError(f"objectives are two or more different ones of {known}, not {','.join(self.objectives)}")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"the held-out share must lie between 0 and 1, not {self.held_out}")

    def settings(self, data: SearchData) -> dict:
        """What must be equal for results to stand in one study."""
        training = {key: value for key, value in self.training.to_dict().items() if key not in FREE_FIELDS}
        for name in ("weight_bits", "spike_bits", "num_steps"):
            del training[name]
        own = {key: value for key, value in vars(self).items() if key not in ("training", "space", "trials", "jobs")}
        own["overlay"] = load_config(self.overlay).fingerprint
        return json.loads(json.dumps({**training, **vars(self.space), **own, **data.identity()}))


@dataclass(frozen=True)
class SweepResult:
    """rows: of every trial, in the order of their numbers.  front: rows that no other beats, with test accuracies.

    settings: what the study was made with.  data_note: of the data set's card.
    """

    rows: list[dict]
    front: list[dict]
    settings: dict
    data_note: str
