"""Two processes of torchrun: the gradients of one process with two-group batch norm, exact resume, right evaluation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("sklearn")

from safetensors.torch import load_file  # noqa: E402
from two_processes import BATCH, learner_and_batch  # noqa: E402

from pynq_qsnn.errors import ConfigError  # noqa: E402
from pynq_qsnn.training.checkpoint import load_checkpoint  # noqa: E402
from pynq_qsnn.training.distributed import Processes, join  # noqa: E402
from pynq_qsnn.training.losses import classification_loss  # noqa: E402
from pynq_qsnn.training.options import TrainConfig  # noqa: E402

HERE = Path(__file__).resolve().parent
CPU = torch.device("cpu")
CONFIG = TrainConfig(
    "", epochs=2, batch_size=128, num_steps=2, spike_bits=1, crop_padding=1, mixup=0.2, ema=0.9, device="cpu"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(HERE / "two_processes.py")]
    done = subprocess.run(
        [sys.executable, *command, str(folder), json.dumps(CONFIG.to_dict())],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    return folder


class TwoGroupNorm(torch.nn.Module):
    """Batch norm [T*B, C, H, W] whose two halves of the batch have each their own statistics, in every step."""

    def __init__(self, norm):
        super().__init__()
        self.first, self.second = norm, torch.nn.BatchNorm2d(norm.num_features)
        self.second.weight, self.second.bias = norm.weight, norm.bias

    def forward(self, x):
        steps = x.unflatten(0, (-1, BATCH))  # the first layer's current is there once, the others' in each step
        halves = [
            norm(half.flatten(0, 1)).unflatten(0, (len(steps), -1))
            for norm, half in zip((self.first, self.second), steps.chunk(2, 1))
        ]
        return torch.cat(halves, 1).flatten(0, 1)


def test_gradients_are_those_of_two_group_batch_norm(folder):
    learner, images, labels = learner_and_batch(CONFIG, Processes(0, 1, CPU))
    model = learner.model.train()
    names = {parameter: name for name, parameter in model.named_parameters()}
    layers = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    for name in layers:
        model.set_submodule(name, TwoGroupNorm(layers[name]))
    classification_loss(model(images), labels).backward()
    found = [load_file(folder / f"gradients.{rank}.safetensors") for rank in range(2)]
    largest = max(parameter.grad.abs().max() for parameter in names)
    for parameter, name in names.items():
        assert torch.equal(found[0][name], found[1][name])
        torch.testing.assert_close(found[0][name], parameter.grad, rtol=1e-4, atol=float(1e-6 * largest))
    for name, norm in layers.items():  # the first process' statistics, in both
        for statistic in ("running_mean", "running_var"):
            key = f"{name}.{statistic}"
            assert torch.equal(found[0][key], found[1][key])
            torch.testing.assert_close(found[0][key], getattr(norm, statistic))


def test_one_group_would_be_told_apart(folder):
    """The comparison above can fail: plain batch norm over the whole batch gives other gradients."""
    learner, images, labels = learner_and_batch(CONFIG, Processes(0, 1, CPU))
    learner.model.train()
    classification_loss(learner.model(images), labels).backward()
    found = load_file(folder / "gradients.0.safetensors")
    assert any(
        not torch.allclose(found[name], p.grad, rtol=1e-3, atol=1e-5) for name, p in learner.model.named_parameters()
    )


def test_evaluation_is_the_same_in_any_number_of_processes(folder):
    for rank in range(2):
        found = json.loads((folder / f"evaluation.{rank}.json").read_text())
        assert found["parts"][1] == found["whole"][1]
        assert found["parts"][0] == pytest.approx(found["whole"][0], rel=1e-6)


def test_a_stopped_run_of_two_processes_resumes_exactly(folder):
    whole, resumed = (load_checkpoint(folder / run / "last.safetensors") for run in ("whole", "stopped"))
    assert [name for name in whole[0] if not torch.equal(whole[0][name], resumed[0][name])] == []
    assert len(resumed[1]["history"]) == 2


def test_the_first_process_alone_writes_and_prints(folder):
    assert (folder / "output.txt").read_text().count("epoch=2 ") == 2  # two runs, each once
    assert len((folder / "stopped" / "metrics.csv").read_text().splitlines()) == 1 + 2
    assert json.loads((folder / "whole" / "config.json").read_text())["processes"] == 2


def test_every_process_has_as_many_samples_and_all_are_others():
    order = torch.randperm(103, generator=torch.Generator().manual_seed(0))
    shares = [Processes(rank, 3, CPU).batches(order, 24) for rank in range(3)]
    assert [[len(batch) for batch in share] for share in shares] == [[8, 8, 8, 8, 2]] * 3
    taken = torch.cat([batch for share in shares for batch in share])
    assert len(set(taken.tolist())) == len(taken) == 102
    assert [len(batch) for batch in Processes(0, 1, CPU).batches(order, 51)] == [51, 51]  # one image has no variance


def test_cuda_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="--device cpu"), join("cuda"):
        pass
    with join("auto") as processes:
        assert processes == Processes(0, 1, CPU)


def test_a_batch_that_cannot_be_shared(monkeypatch, tmp_path):
    from contextlib import contextmanager

    from pynq_qsnn.training import loop

    @contextmanager
    def three(device):
        yield Processes(0, 3, CPU)

    monkeypatch.setattr(loop.distributed, "join", three)
    with pytest.raises(ConfigError, match="multiple of 3"):
        loop.train(TrainConfig(str(tmp_path), batch_size=64))
