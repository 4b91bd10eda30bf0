"""A run that is killed, interrupted or stopped between two steps ends with the weights of an uninterrupted one."""

import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("sklearn")
pytest.importorskip("kornia")

from pynq_qsnn.errors import ConfigError, ModelFileError  # noqa: E402
from pynq_qsnn.training import loop  # noqa: E402
from pynq_qsnn.training.card import model_card  # noqa: E402
from pynq_qsnn.training.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from pynq_qsnn.training.learner import Learner  # noqa: E402
from pynq_qsnn.training.loop import load_model, train  # noqa: E402
from pynq_qsnn.training.options import TrainConfig, command_line  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = TrainConfig(
    output_dir="", epochs=3, batch_size=128, num_steps=2, spike_bits=1, crop_padding=1, flip=True, cutout=2,
    auto_augment="trivial", mixup=0.4, ema=0.9, clip_norm=1.0, loss="tet", checkpoint_every=3, num_threads=1,
    device="cpu",
)  # fmt: skip
STEPS = 3 * 12  # of 1,437 images in batches of 128


def settings(folder, **changes):
    return dataclasses.replace(EVERYTHING, output_dir=str(folder), **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(settings(tmp_path_factory.mktemp("whole")))


def assert_same(result, whole):
    tensors, again = load_checkpoint(whole.checkpoint)[0], load_checkpoint(result.checkpoint)[0]
    assert tensors.keys() == again.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], again[name])] == []
    times = ("train_s", "test_s")
    for expected, row in zip(whole.history, result.history, strict=True):
        assert {k: v for k, v in row.items() if k not in times} == {k: v for k, v in expected.items() if k not in times}


def test_steps_after_which_a_run_may_stop(whole, tmp_path, monkeypatch):
    """Runs that are stopped twice, at steps that the seed chooses; the last has a checkpoint an epoch alone."""
    generator, step = random.Random(0), Learner.step

    def stopping(learner, loss, rate):
        step(learner, loss, rate)
        budget[0] -= 1
        if budget[0] == 0:
            raise KeyboardInterrupt

    for run, every in enumerate((5, 0)):
        config = settings(tmp_path / str(run), checkpoint_every=every, resume=True)
        monkeypatch.setattr(Learner, "step", stopping)
        for _ in range(2):
            budget = [generator.randrange(1, STEPS // 2)]
            with pytest.raises(KeyboardInterrupt):
                train(config)
        monkeypatch.setattr(Learner, "step", step)
        assert_same(train(config), whole)


def test_a_run_may_stop_while_it_is_evaluated(whole, tmp_path, monkeypatch):
    config = settings(tmp_path, checkpoint_every=1, resume=True)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert load_checkpoint(tmp_path / "last.safetensors")[1]["steps"] == STEPS // 3
    assert_same(train(config), whole)


def test_a_run_may_stop_between_its_last_checkpoint_and_its_last_row(whole, tmp_path):
    for name in ("last.safetensors", "config.json"):
        shutil.copy(whole.checkpoint.parent / name, tmp_path)
    train(settings(tmp_path, resume=True))
    for name in ("metrics.csv", "result.json"):
        assert (tmp_path / name).read_text() == (whole.checkpoint.parent / name).read_text()


def test_kills_at_random_moments(whole, tmp_path):
    """SIGKILL at moments that the seed chooses, as long as there is work left."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pynq_qsnn.training.loop"])  # imports once, no run before the fork
    config, generator, begun = settings(tmp_path, resume=True), random.Random(1), 0
    for _ in range(4):
        process = context.Process(target=train, args=(config,))
        process.start()
        deadline = time.monotonic() + 60
        while not (tmp_path / "last.safetensors").exists() and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.5))
        begun += process.is_alive()
        process.kill()
        process.join()
        load_checkpoint(tmp_path / "last.safetensors")
    assert begun >= 2, "the runs ended before they could be killed"
    assert_same(train(config), whole)


def test_ctrl_c_leaves_a_whole_checkpoint(whole, tmp_path):
    config = settings(tmp_path)
    words = [sys.executable, "-m", *command_line(config).replace("pynq-qsnn", "pynq_qsnn").split()]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "last.safetensors").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".last")]
    assert_same(train(dataclasses.replace(config, resume=True)), whole)


def test_a_run_may_go_on_elsewhere_but_not_otherwise(whole):
    folder = whole.checkpoint.parent
    train(settings(folder, resume=True, checkpoint_every=0, device="auto", num_threads=2))
    for changes in ({"ema": 0.5}, {"mixup": 0.0}, {"loss": "ce"}, {"clip_norm": 2.0}, {"auto_augment": "rand"}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            train(settings(folder, resume=True, **changes))


def test_checkpoints_with_former_names_and_fields_load(whole, tmp_path):
    """What was written before a name or field changed: the surrogate's name, the position within an epoch."""
    tensors, state = load_checkpoint(whole.checkpoint)
    state["config"] = {**state["config"], "surrogate": "triangular", "output_dir": str(tmp_path), "epochs": 3}
    state["network"] = {**state["network"], "surrogate": "triangular"}
    del state["config"]["residual"], state["steps"], state["sums"], state["seconds"]
    save_checkpoint(tmp_path / "last.safetensors", tensors, state)
    model, loaded = load_model(tmp_path / "last.safetensors")
    assert model.spec.surrogate == loaded["config"]["surrogate"] == "triangle"
    assert train(settings(tmp_path, resume=True)).history == whole.history


def test_another_number_of_processes_is_refused(whole, tmp_path):
    tensors, state = load_checkpoint(whole.checkpoint)
    assert state.pop("processes") == 1
    save_checkpoint(tmp_path / "last.safetensors", tensors, {**state, "processes": 2})
    with pytest.raises(ConfigError, match="processes: 2 -> 1.*new run"):
        train(settings(tmp_path, resume=True))
    save_checkpoint(tmp_path / "last.safetensors", tensors, state)  # an older one does not say
    assert train(settings(tmp_path, resume=True)).history == whole.history


def test_a_start_may_be_named_again_where_a_run_goes_on(whole, tmp_path):
    shutil.copy(whole.checkpoint, tmp_path)
    assert_same(train(settings(tmp_path, resume=True, init_from="absent.safetensors")), whole)


def test_checkpoints_that_only_have_weights_are_no_run_to_continue(whole, tmp_path):
    tensors, state = load_checkpoint(whole.checkpoint)
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
    save_checkpoint(tmp_path / "last.safetensors", weights, state)
    load_model(tmp_path / "last.safetensors")
    with pytest.raises(ModelFileError, match="last.safetensors has no state of the optimizer.*--init-from"):
        train(settings(tmp_path, resume=True))


@pytest.mark.parametrize("part, kind", [("config", "TrainConfig"), ("network", "NetworkSpec")])
def test_checkpoints_of_newer_versions_are_refused(whole, tmp_path, part, kind):
    tensors, state = load_checkpoint(whole.checkpoint)
    save_checkpoint(tmp_path / "last.safetensors", tensors, {**state, part: {**state[part], "dendrites": 3}})
    with pytest.raises(ModelFileError, match=f"{kind}.*dendrites.*version of pynq_qsnn"):
        if part == "config":
            train(settings(tmp_path, resume=True))
        else:
            load_model(tmp_path / "last.safetensors")


def test_no_card_is_made_of_settings_of_a_newer_version(whole):
    _, state = load_checkpoint(whole.checkpoint)
    with pytest.raises(ModelFileError, match="TrainConfig.*dendrites"):
        model_card({**state, "config": {**state["config"], "dendrites": 3}}, None, {})


@pytest.mark.parametrize("state", ["5", "[]", '{"network": 1, "config": 2}'])
def test_checkpoints_of_another_state_are_refused(whole, tmp_path, state):
    tensors, _ = load_checkpoint(whole.checkpoint)
    save_checkpoint(tmp_path / "last.safetensors", tensors, json.loads(state))
    with pytest.raises(ModelFileError, match="not a checkpoint"):
        load_model(tmp_path / "last.safetensors")
