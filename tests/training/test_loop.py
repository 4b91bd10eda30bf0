"""Training on digits: it learns, resumes to the same weights after a kill, and starts from another allocation."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("sklearn")

from pynq_qsnn.data import load_dataset  # noqa: E402
from pynq_qsnn.errors import ConfigError, ModelFileError  # noqa: E402
from pynq_qsnn.training.augment import augment_batch  # noqa: E402
from pynq_qsnn.training.checkpoint import load_checkpoint  # noqa: E402
from pynq_qsnn.training.loop import evaluate, load_model, train  # noqa: E402
from pynq_qsnn.training.options import TrainConfig  # noqa: E402
from pynq_qsnn.training.schedule import learning_rate_at  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
RUN = (
    "import json, sys; from pynq_qsnn.training.loop import train; from pynq_qsnn.training.options import TrainConfig; "
)


def config(folder, **changes):
    base = {"epochs": 3, "batch_size": 128, "crop_padding": 1, "num_threads": 1, "seed": 3}
    return TrainConfig(output_dir=str(folder), **{**base, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(config(tmp_path_factory.mktemp("run")))


def test_digits_are_learnt_and_logged(trained):
    assert trained.accuracy >= 0.9
    folder = trained.checkpoint.parent
    assert len((folder / "metrics.csv").read_text().splitlines()) == 1 + 3
    card = json.loads((folder / "config.json").read_text())
    assert card["command"].startswith("pynq-qsnn train") and card["data"]["licence"]
    assert json.loads((folder / "result.json").read_text())["test_accuracy"] == trained.accuracy


def test_checkpoint_reproduces_the_accuracy(trained):
    model, state = load_model(trained.checkpoint)
    assert evaluate(model, load_dataset("digits", "test"))[1] == trained.accuracy
    assert state["network"]["spike_bits"] == 4


def test_resume_after_kill_gives_the_same_weights(tmp_path):
    settings = config(tmp_path / "killed", epochs=6)
    whole = train(dataclasses.replace(settings, output_dir=str(tmp_path / "whole")))
    checkpoint = tmp_path / "killed" / "last.safetensors"
    code = f"{RUN} train(TrainConfig(**json.loads(sys.argv[1])))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps(settings.to_dict())], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not checkpoint.exists() and time.monotonic() < deadline:
            assert process.poll() in (None, 0)
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(load_checkpoint(checkpoint)[1]["history"]) < 6, "the run ended before it could be killed"
    resumed = train(dataclasses.replace(settings, resume=True))
    tensors, again = load_checkpoint(whole.checkpoint)[0], load_checkpoint(resumed.checkpoint)[0]
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)


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


def test_augmentation_crops_flips_and_erases():
    image = torch.arange(1, 65, dtype=torch.uint8).view(1, 1, 8, 8)
    batch = image.expand(64, 1, 8, 8)
    torch.manual_seed(0)
    assert torch.equal(augment_batch(batch), batch.float() / 255)
    flipped = augment_batch(batch, flip=True) * 255
    kinds = {tuple(sample.flatten().round().int().tolist()) for sample in flipped}
    assert kinds == {tuple(image.flatten().tolist()), tuple(image.flip(3).flatten().tolist())}
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))[0, 0]
    windows = {tuple(padded[y : y + 8, x : x + 8].flatten().tolist()) for y in range(5) for x in range(5)}
    for sample in augment_batch(batch, crop_padding=2) * 255:
        assert tuple(sample.flatten().round().int().tolist()) in windows
    erased = (augment_batch(batch, cutout=4) == 0).sum((1, 2, 3))
    assert erased.max() <= 16 and erased.min() >= 1


def test_a_finished_run_is_not_overwritten(tmp_path):
    config = TrainConfig(output_dir=str(tmp_path), epochs=1, warmup_epochs=0.5)
    train(config)
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(ConfigError, match="--resume"):
        train(config)
    assert (tmp_path / "last.safetensors").read_bytes() == before
