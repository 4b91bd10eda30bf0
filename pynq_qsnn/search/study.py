"""The search: which allocation is next, by Optuna's ask and tell; worker processes; and what a kill leaves of both.

Trials stand in ``study.db`` (:mod:`.storage`). A worker's result is a file in the folder of its allocation. A trial
whose worker or whose sweep was killed is run again: its training goes on from its checkpoint.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from ..architectures import architecture
from ..architectures.entries import FLOAT_BITS
from ..errors import ConfigError, QsnnError
from ..progress import bar_file
from ..training.options import TrainConfig
from . import objective
from .data import SearchData
from .objective import Job
from .pareto import COLUMNS, FRONT_COLUMNS, front, write_csv
from .settings import SweepConfig, SweepResult
from .space import Allocation
from .storage import alone, open_study
from .workers import Workers, read_result

ATTEMPTS = 3  # of a trial whose process is killed from outside, each time
REPEATS_IN_A_ROW = 100  # proposals of what was tried, after which the space counts as searched


def sweep(config: SweepConfig, report: Callable[[str], None] = tqdm.write) -> SweepResult:
    """Search, and write ``trials.csv`` and ``pareto.csv`` into the output folder.

    report: takes a line for each trial.  Raises ConfigError for a folder that holds a sweep unless training.resume is
    set, or one of other settings; DataError, ToolMissing; KeyboardInterrupt leaves the study to be resumed.
    """
    folder = Path(config.training.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        return _Sweep(config, folder, report).run()


class _Sweep:
    def __init__(self, config: SweepConfig, folder: Path, report: Callable[[str], None]):
        self.config, self.folder, self.report = config, folder, report
        training = config.training
        self.data = SearchData(
            folder / "data", training.dataset, config.held_out, config.images, training.seed, training.image_size
        )
        self.study = open_study(folder / "study.db", config.objectives, config.settings(self.data), training.resume)
        # Samplers that start again propose what they did: another seed for each number of trials.
        seed = training.seed + len(self.study.get_trials(deepcopy=False))
        self.learning, self.random = optuna.samplers.TPESampler(seed=seed), optuna.samplers.RandomSampler(seed)
        self.seeds = tuple(range(training.seed, training.seed + config.repeats))
        self.killed: dict[int, int] = {}  # how often, by trial
        self.measured = {trial.user_attrs["allocation"] for trial in self._ended_trials()}

    def run(self) -> SweepResult:
        for num_steps in self.config.space.num_steps:
            self.data.file(num_steps)  # before the work, not after it: T must divide event frames
        with Workers(self.config.jobs) as workers:
            self._train_start(workers)
            self._search(workers)
            rows = [self._row(trial) for trial in self._ended_trials()]
            write_csv(self.folder / "trials.csv", rows, COLUMNS)
            done = [row for row in rows if row["state"] == "done"]
            if not done:
                raise ConfigError(f"none of {len(rows)} allocations could be measured; the last: {rows[-1]['reason']}")
            best = self._test(front(done, self.config.objectives))
        write_csv(self.folder / "pareto.csv", best, FRONT_COLUMNS)
        return SweepResult(rows, best, self.study.user_attrs["settings"], self.data.card.note)

    # ---- the shared start ----

    def _start_config(self) -> TrainConfig:
        """Few steps and wide spikes train fastest and best; weights stay float."""
        space, training = self.config.space, self.config.training
        steps = space.num_steps[0]
        return dataclasses.replace(
            training, output_dir=str(self.folder / "start"), dataset=self.data.file(steps), weight_bits=FLOAT_BITS,
            spike_bits=space.spike_bits[-1], num_steps=steps, epochs=self.config.start_epochs, resume=True,
        )  # fmt: skip

    def _train_start(self, workers: Workers) -> None:
        result = self.folder / "start" / "done.json"
        if self.config.training.init_from:
            return
        for _ in range(ATTEMPTS):
            found = read_result(result)
            if found is None:
                self.report(f"training the start of all allocations, {self.config.start_epochs} epochs")
                workers.start("start", result, objective.train_start, self._start_config())
                _, status = workers.wait()
                _need_no_exception(status, "the training of the start")
                found = read_result(result)
            if found and "refused" in found:
                result.unlink()
                raise ConfigError(found["refused"])
            if found:
                self.report(f"start: {found['accuracy']:.2f} % of the held-out images (float weights)")
                return
        raise QsnnError(f"the training of the start was killed {ATTEMPTS} times; is the memory enough?")

    # ---- trials ----

    def _search(self, workers: Workers) -> None:
        total, running = self._queue(), {}
        with tqdm(total=total, initial=len(self.measured), desc="allocations", leave=False, file=bar_file()) as bar:
            while True:
                while workers.free and len(self.measured) + len(running) < total:
                    proposal = self._propose({allocation.label for _, allocation in running.values()})
                    if proposal is None:
                        total = len(self.measured) + len(running)
                        break
                    running[proposal[0].number] = proposal
                    self._begin(workers, *proposal)
                if not running:
                    return
                number, status = workers.wait()
                trial, allocation = running[number]
                if self._end(trial, allocation, status):
                    del running[number]
                    self.measured.add(allocation.label)
                    bar.update()
                else:
                    self._begin(workers, trial, allocation)

    def _queue(self) -> int:
        """Queue what a killed sweep left, and all of a space no larger than the trials; how many there will be."""
        space = self.config.space
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)
            if "allocation" in trial.user_attrs:
                self.study.enqueue_trial(trial.params, {"allocation": trial.user_attrs["allocation"]})
        whole = list(space.choices()) if self.config.trials is None else space.up_to(self.config.trials)
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        begun = self.measured | {trial.user_attrs["allocation"] for trial in waiting}
        for answers in whole or ():
            label = space.chosen(answers).label
            if label not in begun:
                self.study.enqueue_trial(answers, {"allocation": label})
        return self.config.trials if whole is None else len(whole)

    def _propose(self, running: set[str]) -> tuple[Trial, Allocation] | None:
        """A trial of an allocation that is new; None when none is found any more."""
        for attempt in range(REPEATS_IN_A_ROW):
            # TPE sticks to the best bits of each layer alone: what it has proposed before, chance replaces.
            self.study.sampler = self.random if attempt else self.learning
            trial = self.study.ask()
            allocation = self.config.space.draw(partial(_suggest, trial))
            if allocation.label not in self.measured | running:
                trial.set_user_attr("allocation", allocation.label)
                trial.set_user_attr("bits", dataclasses.asdict(allocation))
                return trial, allocation
            self.study.tell(trial, state=TrialState.FAIL)
        return None

    def _begin(self, workers: Workers, trial: Trial, allocation: Allocation) -> None:
        result = self._result_file(allocation)
        result.parent.mkdir(parents=True, exist_ok=True)
        workers.start(trial.number, result, objective.measure, self._job(allocation))

    def _result_file(self, allocation: Allocation) -> Path:
        return self.folder / "trials" / allocation.folder / "result.json"

    def _job(self, allocation: Allocation) -> Job:
        config, training = self.config, self.config.training
        model, uniform = config.space.model_of(allocation), not config.space.per_layer
        training = dataclasses.replace(
            training,
            output_dir=str(self._result_file(allocation).parent),
            dataset=self.data.file(allocation.num_steps),
            model=model,
            residual=training.residual or architecture(config.space.model).residual,
            weight_bits=allocation.weight_bits[0] if uniform else TrainConfig.weight_bits,
            spike_bits=allocation.spike_bits[0] if uniform else TrainConfig.spike_bits,
            num_steps=allocation.num_steps,
            init_from=training.init_from or str(self.folder / "start"),
            num_threads=training.num_threads or max(1, (os.cpu_count() or 1) // config.jobs),
        )
        return Job(training, self.seeds, config.overlay, "fps" in config.objectives, config.rate_frames)

    def _end(self, trial: Trial, allocation: Allocation, status: int) -> bool:
        """Tell the study how a trial ended. False where it has to run again."""
        found = read_result(self._result_file(allocation))
        if found is None:
            _need_no_exception(status, f"allocation {allocation.label}")
            self.killed[trial.number] = self.killed.get(trial.number, 0) + 1
            if self.killed[trial.number] < ATTEMPTS:
                self.report(f"{allocation.label}: killed by signal {-status}; again, from its checkpoint")
                return False
            found = {"refused": f"killed {ATTEMPTS} times, the last time by signal {-status}"}
        trial.set_user_attr("metrics", found)
        if "refused" in found:
            self.report(f"{allocation.label}: failed: {found['refused']}")
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            values = [found[name] for name in self.config.objectives]
            texts = [f"{name} {value:,.4g}" for name, value in zip(self.config.objectives, values)]
            self.report(f"{allocation.label}: {', '.join(texts)}")
            self.study.tell(trial, values)
        return True

    def _ended_trials(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if "metrics" in trial.user_attrs]

    def _row(self, trial: FrozenTrial) -> dict:
        """A trial as plain values."""
        allocation, metrics = _allocation(trial.user_attrs["bits"]), trial.user_attrs["metrics"]
        row = {
            "trial": trial.number,
            "state": "failed" if "refused" in metrics else "done",
            "allocation": allocation.label,
            "model": self.config.space.model_of(allocation),
            **dataclasses.asdict(allocation),
            "bit_budget": allocation.bit_budget,
            "reason": metrics.get("refused"),
            **metrics,
        }
        if row["state"] == "done":
            row["accuracy_deviation"] = _deviation(row["accuracy_of_seeds"])
            row["accuracy_error"] = _binomial_error(row["accuracy"], row["held_out"])
        return row

    # ---- the front ----

    def _test(self, best: list[dict]) -> list[dict]:
        rows, splits = [], {}
        for row in tqdm(best, "test split", leave=False, file=bar_file()):
            allocation = _allocation(row)
            if allocation.num_steps not in splits:
                splits[allocation.num_steps] = self.data.test_images(allocation.num_steps)
            images, labels = splits[allocation.num_steps]
            accuracies = objective.test_accuracy(self._job(allocation), images, labels)
            tested = {"test_accuracy": float(np.mean(accuracies)), "test_deviation": _deviation(accuracies)}
            rows.append({**row, **tested, "test_images": len(labels)})
        return rows


def _allocation(fields: dict) -> Allocation:
    return Allocation(tuple(fields["weight_bits"]), tuple(fields["spike_bits"]), fields["num_steps"])


def _suggest(trial: Trial, name: str, count: int) -> int:
    return trial.suggest_int(name, 0, count - 1)


def _deviation(percents: list[float]) -> float | None:
    """Standard deviation over the seeds, None of one."""
    return float(np.std(percents, ddof=1)) if len(percents) > 1 else None


def _binomial_error(percent: float, count: int) -> float:
    """Standard error of a share of ``count`` images, in percent."""
    share = percent / 100
    return 100 * (share * (1 - share) / count) ** 0.5


def _need_no_exception(status: int, what: str) -> None:
    if status > 0:
        raise QsnnError(f"{what} ended with an exception, see the traceback above; --resume continues the sweep")
