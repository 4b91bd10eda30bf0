"""A whole sweep of three tiny trainings: its tables, what is refused, and what is left after kills at any moment."""

import csv
import dataclasses
import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("optuna")
pytest.importorskip("sklearn")

from pynq_qsnn.cli import main
from pynq_qsnn.errors import ConfigError
from pynq_qsnn.metrics import count
from pynq_qsnn.network import Network
from pynq_qsnn.search import study
from pynq_qsnn.search.pareto import COLUMNS, FRONT_COLUMNS
from pynq_qsnn.search.settings import SweepConfig
from pynq_qsnn.search.space import Space
from pynq_qsnn.search.study import sweep
from pynq_qsnn.training.options import TrainConfig

MODEL = "4 P 8 P FC"
DEADLINE_S = 90


def settings(folder, resume=False, **changes):
    training = TrainConfig(
        str(folder), model=MODEL, epochs=1, warmup_epochs=0, num_threads=1, device="cpu", resume=resume
    )
    space = Space(MODEL, 2, weight_bits=(1, 2), spike_bits=(1, 2), num_steps=(1,))
    objectives = ("accuracy", "s_ace", "fps")
    return dataclasses.replace(
        SweepConfig(training, space, objectives, start_epochs=1, images=200, rate_frames=20), **changes
    )


def without_times(rows):
    return [{key: value for key, value in row.items() if key not in ("trial", "seconds")} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("sweep"), []
    return folder, sweep(settings(folder), lines.append), lines


def one_allocation(config):
    """The same, of 1/1/1 alone."""
    return dataclasses.replace(config, space=dataclasses.replace(config.space, weight_bits=(1,), spike_bits=(1,)))


def from_start_of(whole, config):
    """The same weights to start from, without training them again."""
    return dataclasses.replace(config, training=dataclasses.replace(config.training, init_from=f"{whole[0]}/start"))


def wait_for(condition):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_rows_are_what_the_exported_networks_cost(whole):
    folder, result, lines = whole
    assert [row["allocation"] for row in result.rows] == ["1/1/1", "2/1/1", "1/2/1"]
    assert len(lines) == 2 + 3 and all(row["state"] == "done" for row in result.rows)
    for row in result.rows:
        network = Network.load(
            folder / "trials" / "w{}s{}t{}".format(*row["allocation"].split("/")) / "seed0/model.qsnn"
        )
        cost = count(network)
        assert row["s_ace"] == cost.s_ace and row["bytes"] == sum(layer.weight_bytes for layer in cost.layers)
        assert row["accuracy"] == 100 * network.card["accuracy_integer"] and row["held_out"] == 40
        assert 0 < row["ns_ace"] <= row["s_ace"] and row["fps"] > 0 and 0 <= min(row["rates"].values())
    best = {row["allocation"] for row in result.front}
    assert "1/1/1" in best and all(row["test_images"] == 360 for row in result.front)


def test_tables(whole):
    folder, result, _ = whole
    for name, columns, rows in (("trials", COLUMNS, result.rows), ("pareto", FRONT_COLUMNS, result.front)):
        with open(folder / f"{name}.csv", newline="") as stream:
            read = list(csv.DictReader(stream))
        assert [row["allocation"] for row in read] == [row["allocation"] for row in rows]
        assert tuple(read[0]) == columns and float(read[0]["s_ace"]) == rows[0]["s_ace"]


def test_the_command_shows_the_front(whole, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    folder, result, _ = whole
    words = f"--output-dir {folder} --budget 2 --weight-bits 1,2 --spike-bits 1,2 --num-steps 1 --epochs 1 --resume"
    words += f" --warmup-epochs 0 --start-epochs 1 --images 200 --rate-frames 20 --json {tmp_path / 'sweep.json'}"
    assert main(["sweep", *words.split(), "--model", MODEL, "--objective", "accuracy,s_ace,fps"]) == 0
    printed = capsys.readouterr().out
    assert "Pareto front of 3 allocations" in printed and "40 held-out images chose" in printed
    assert (folder / "pareto.png").stat().st_size > 10_000
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert without_times(content["rows"]) == json.loads(json.dumps(without_times(result.rows)))
    assert content["settings"]["budget"] == 2 and "8x8 pixels" in content["data_note"]


def test_a_folder_is_of_one_sweep(whole, tmp_path):
    folder, _, _ = whole
    with pytest.raises(ConfigError, match="--resume"):
        sweep(settings(folder))
    for changes in ({"rate_frames": 30}, {"repeats": 2}, {"images": 201}, {"objectives": ("accuracy", "bytes")}):
        name = "trained_images" if "images" in changes else next(iter(changes))
        with pytest.raises(ConfigError, match=name):
            sweep(settings(folder, resume=True, **changes))
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ConfigError, match="not empty"):
        sweep(settings(tmp_path))
    (tmp_path / "study.db").write_text("no database")
    with pytest.raises(ConfigError, match="no study"):
        sweep(settings(tmp_path, resume=True))


@pytest.mark.parametrize("objectives", (("accuracy",), ("accuracy", "accuracy"), ("accuracy", "beauty")))
def test_objectives_are_known(tmp_path, objectives):
    with pytest.raises(ConfigError, match="two or more different ones of accuracy"):
        settings(tmp_path, objectives=objectives)


def test_a_killed_worker_runs_again(whole, tmp_path):
    """The first training of an allocation is killed; its trial keeps its number and gives what it would have given."""
    lines = []

    def kill():
        wait_for((tmp_path / "trials/w1s1t1/seed0/config.json").exists)
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    result = sweep(from_start_of(whole, one_allocation(settings(tmp_path))), lines.append)
    killer.join()
    assert [line for line in lines if "killed by signal 9" in line]
    assert without_times(result.rows) == without_times(whole[1].rows[:1])


def test_a_killed_sweep_goes_on(whole, tmp_path):
    """SIGKILL of the sweep itself, with two workers at work: another sweep measures what is missing."""
    config = from_start_of(whole, settings(tmp_path, jobs=2))
    process = multiprocessing.get_context("forkserver").Process(target=sweep, args=(config, str))
    process.start()
    wait_for((tmp_path / "trials/w2s1t1/seed0/config.json").exists)
    process.kill()
    process.join()
    again = from_start_of(whole, settings(tmp_path, resume=True, jobs=2))
    rows = sorted(sweep(again, str).rows, key=lambda row: row["allocation"])
    assert without_times(rows) == without_times(sorted(whole[1].rows, key=lambda row: row["allocation"]))


def test_a_sampled_sweep_repeats_no_allocation(whole, tmp_path):
    space = Space(MODEL, 4, num_steps=(1, 2), per_layer=True)
    config = settings(tmp_path, space=space, objectives=("accuracy", "ns_ace"), trials=1)
    config = from_start_of(whole, config)
    first = sweep(config, str)
    more = dataclasses.replace(config, trials=3, training=dataclasses.replace(config.training, resume=True))
    result = sweep(more, str)
    assert result.rows[:1] == first.rows
    assert len({row["allocation"] for row in result.rows}) == 3
    for row in result.rows:
        assert row["model"].split()[2] == "8w{}s{}".format(row["weight_bits"][1], row["spike_bits"][1])
        assert row["num_steps"] * row["weight_bits"][1] * row["spike_bits"][1] <= 4


def test_what_the_overlay_cannot_run_is_not_trained(tmp_path):
    lines = []
    config = one_allocation(settings(tmp_path, objectives=("accuracy", "fps")))
    model = "4 P3p1/2 8 P FC"  # a pool with a border
    training = dataclasses.replace(config.training, model=model, init_from="not read")
    config = dataclasses.replace(config, training=training, space=dataclasses.replace(config.space, model=model))
    with pytest.raises(ConfigError, match="none of 1 allocations"):
        sweep(config, lines.append)
    assert "failed" in lines[-1] and "padding" in lines[-1]
    assert not (tmp_path / "trials/w1s1t1/seed0").exists()


def test_proposals_that_repeat_are_replaced(tmp_path):
    """Where one end of every choice is best, the sampler proposes it again and again."""
    space = Space(MODEL, 16, per_layer=True)
    search = study._Sweep(settings(tmp_path, space=space, trials=16, objectives=("accuracy", "bytes")), tmp_path, str)
    found = set()
    for _ in range(16):  # TPE alone finds 12
        trial, allocation = search._propose(found)
        found.add(allocation.label)
        search.study.tell(trial, [sum(allocation.weight_bits), allocation.num_steps])
    assert len(found) == 16
