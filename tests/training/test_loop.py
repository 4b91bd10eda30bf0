"""Training on digits: it learns, and starts from another allocation."""

import dataclasses
import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("sklearn")

from pynq_qsnn.data import load_dataset  # noqa: E402
from pynq_qsnn.errors import ConfigError, DataError, ModelFileError  # noqa: E402
from pynq_qsnn.training.checkpoint import load_checkpoint  # noqa: E402
from pynq_qsnn.training.loop import evaluate, load_model, train  # noqa: E402
from pynq_qsnn.training.options import TrainConfig  # noqa: E402
from pynq_qsnn.training.schedule import learning_rate_at  # noqa: E402


def config(folder, **changes):
    base = {"epochs": 3, "batch_size": 128, "crop_padding": 1, "num_threads": 1, "seed": 3}
    return TrainConfig(output_dir=str(folder), **{**base, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(config(tmp_path_factory.mktemp("run")))


def test_digits_are_learnt_and_logged(trained):
    assert trained.accuracy >= 0.85  # ten classes, three epochs
    folder = trained.checkpoint.parent
    assert len((folder / "metrics.csv").read_text().splitlines()) == 1 + 3
    card = json.loads((folder / "config.json").read_text())
    assert card["command"].startswith("pynq-qsnn train") and card["data"]["licence"]
    assert json.loads((folder / "result.json").read_text())["test_accuracy"] == trained.accuracy


def test_checkpoint_reproduces_the_accuracy(trained):
    model, state = load_model(trained.checkpoint)
    assert evaluate(model, load_dataset("digits", "test"))[1] == trained.accuracy
    assert state["network"]["spike_bits"] == 4


def test_a_run_that_its_caller_ends_goes_on(tmp_path):
    rows = []

    def stop_after_two(row):
        rows.append(row["epoch"])
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    settings = config(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(settings, on_epoch=stop_after_two)
    assert len(load_checkpoint(tmp_path / "last.safetensors")[1]["history"]) == 2
    train(dataclasses.replace(settings, resume=True), on_epoch=stop_after_two)
    assert rows == [1, 2, 3]


def test_resume_refuses_other_settings(trained):
    with pytest.raises(ConfigError, match="learning_rate"):
        train(config(trained.checkpoint.parent, learning_rate=1e-3, resume=True))


def test_init_from_another_allocation(trained, tmp_path):
    result = train(
        config(tmp_path, weight_bits=8, spike_bits=2, num_steps=2, epochs=1, warmup_epochs=0.2,
               init_from=str(trained.checkpoint))
    )  # fmt: skip
    assert result.accuracy >= 0.85  # one epoch from random weights ends lower


def test_bf16_trains(tmp_path):
    assert train(config(tmp_path, precision="bf16")).accuracy >= 0.85


def test_damaged_checkpoints_are_refused(trained, tmp_path):
    content = trained.checkpoint.read_bytes()
    damaged = tmp_path / "damaged.safetensors"
    for bad in (b"", content[:100], content[:-10], b"\0" * 64):
        damaged.write_bytes(bad)
        with pytest.raises(ModelFileError):
            load_model(damaged)
    with pytest.raises(ModelFileError, match="no checkpoint"):
        load_model(tmp_path / "absent.safetensors")


def test_another_topology_is_refused(trained, tmp_path):
    settings = config(tmp_path, model="cifar_small", init_from=str(trained.checkpoint))
    with pytest.raises((ModelFileError, ConfigError)):
        train(settings)


def test_learning_rate_warms_up_and_ends_near_zero():
    rates = [learning_rate_at(step, 100, 10, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0 and rates[-1] < 1e-3
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_finished_run_is_not_overwritten(tmp_path):
    config = TrainConfig(output_dir=str(tmp_path), epochs=1, warmup_epochs=0.5)
    train(config)
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="--resume"):
        train(config)
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_a_log_whose_checkpoint_lies_elsewhere_is_kept(tmp_path):
    first = config(tmp_path / "log", checkpoint_dir=str(tmp_path / "a"), epochs=1, warmup_epochs=0.0)
    train(first)
    before = (tmp_path / "log" / "metrics.csv").read_bytes()
    for resume in (False, True):
        with pytest.raises(ConfigError, match="metrics.csv is the log of a run .* --checkpoint-dir"):
            train(dataclasses.replace(first, checkpoint_dir=str(tmp_path / "b"), resume=resume))
    assert (tmp_path / "log" / "metrics.csv").read_bytes() == before


def test_weights_that_are_not_finite_are_refused(trained, tmp_path):
    from pynq_qsnn.training.checkpoint import save_checkpoint

    tensors, state = load_checkpoint(trained.checkpoint)
    name = next(name for name in tensors if name.startswith("model.") and name.endswith("weight"))
    tensors[name].view(-1)[0] = float("nan")
    save_checkpoint(tmp_path / "nan.safetensors", tensors, state)
    with pytest.raises(ModelFileError, match="weight is not finite"):
        load_model(tmp_path / "nan.safetensors")


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_that_no_generator_takes(tmp_path, seed):
    with pytest.raises(ConfigError, match="seed must be"):
        config(tmp_path, seed=seed)


def test_an_epoch_is_safe_before_its_test_pass(tmp_path, monkeypatch):
    from pynq_qsnn.training import loop

    settings = config(tmp_path / "broken", epochs=1, warmup_epochs=0.0)
    whole = train(dataclasses.replace(settings, output_dir=str(tmp_path / "whole")))

    def unreadable(*_):
        raise DataError("a test image")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate", unreadable)
        with pytest.raises(DataError):
            train(settings)
    trained_steps = []
    step = loop._step
    monkeypatch.setattr(loop, "_step", lambda *args: trained_steps.append(1) or step(*args))
    resumed = train(dataclasses.replace(settings, resume=True))
    assert not trained_steps and resumed.accuracy == whole.accuracy
