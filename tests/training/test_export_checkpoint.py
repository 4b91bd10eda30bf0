"""From a training run to a .qsnn file: card, accuracies, agreement, and the same bits on every executor."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytest.importorskip("sklearn")

from pynq_qsnn.data import load_dataset  # noqa: E402
from pynq_qsnn.errors import ConfigError, NetworkError  # noqa: E402
from pynq_qsnn.network import Network  # noqa: E402
from pynq_qsnn.reference import Reference  # noqa: E402
from pynq_qsnn.training import export  # noqa: E402
from pynq_qsnn.training.evaluate import evaluate  # noqa: E402
from pynq_qsnn.training.export import export_checkpoint, export_network, load_checkpoint  # noqa: E402
from pynq_qsnn.training.loop import train  # noqa: E402
from pynq_qsnn.training.options import TrainConfig  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short digits run whose checkpoint lies in another folder than its log."""
    folder = tmp_path_factory.mktemp("run")
    config = TrainConfig(
        str(folder / "log"), checkpoint_dir=str(folder / "weights"), weight_bits=4, spike_bits=2, num_steps=2, epochs=3
    )
    train(config)
    return folder


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", "test")


def test_integer_network_keeps_the_accuracy_and_every_executor_agrees(run, digits):
    from pynq_qsnn.runtime.simulator import Simulator

    model, _ = load_checkpoint(run / "log")
    network = export_network(model)
    executors = {"reference": Reference().load(network), "simulator": Simulator().load(network)}
    result = evaluate(model, network, digits, executors, progress=False)
    assert result["frames"] == 360 and result["integer_executor"] == "reference"
    assert result["argmax_agreement"] >= 0.99
    assert abs(result["accuracy_float"] - result["accuracy_integer"]) <= 0.003
    assert result["accuracy_float"] > 0.9
    codes = sum(int(np.prod(network.tensors[layer.name].shape)) for layer in network.layers[:-1]) * 2 + 10
    for name in ("simulator", "int64"):
        assert result["compared"][name] == {"frames": 360, "values": 360 * codes, "different": 0}
    assert json.loads(json.dumps(result)) == result


def test_evaluate_counts_differences_and_limits_the_independent_frames(run, digits):
    model, _ = load_checkpoint(run / "weights" / "last.safetensors")
    network = export_network(model)
    head = network.head
    moved = dataclasses.replace(head, affine=dataclasses.replace(head.affine, bias=head.affine.bias + 1))
    other = dataclasses.replace(network, layers=(*network.layers[:-1], moved))
    executors = {"reference": Reference().load(network), "moved": Reference().load(other)}
    few = dataclasses.replace(digits, images=digits.images[:130], labels=digits.labels[:130])
    result = evaluate(model, network, few, executors, independent_frames=110, progress=False)
    assert result["compared"]["moved"]["different"] == 130 * 10  # every logit, no code
    assert result["compared"]["int64"]["frames"] == 110 and result["compared"]["int64"]["different"] == 0
    with pytest.raises(ConfigError):
        evaluate(model, network, few, {}, progress=False)


def test_file_and_card(run, tmp_path):
    network = export_checkpoint(run / "log", tmp_path / "digits.qsnn")
    card = Network.load(tmp_path / "digits.qsnn").card
    assert card == network.card
    assert card["dataset"] == "digits" and card["seed"] == 0 and card["epochs"] == card["epochs_planned"] == 3
    assert "CC BY" in card["data_licence"] and card["data_source"] and card["data_note"]
    assert card["command"].startswith("pynq-qsnn train --output-dir")
    assert card["test_frames"] == 360 and card["argmax_agreement"] >= 0.99
    assert abs(card["accuracy_float"] - card["accuracy_integer"]) <= 0.003
    assert set(card["versions"]) == {"pynq_qsnn", "python", "torch", "brevitas", "numpy"}


def test_no_file_when_the_check_fails(run, tmp_path, monkeypatch):
    real = export.to_bias
    monkeypatch.setattr(export, "to_bias", lambda offset, name: real(np.asarray(offset) + 40.0, name))
    with pytest.raises(NetworkError, match="independent forward"):
        export_checkpoint(run / "log", tmp_path / "digits.qsnn")
    assert not list(tmp_path.iterdir())


def test_moved_run_names_what_is_missing(run, tmp_path):
    from pynq_qsnn.errors import ModelFileError

    shutil.copy(run / "log" / "config.json", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["config"]["checkpoint_dir"] = str(tmp_path / "gone")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match="gone"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("kind", ["qcdq", "qonnx"])
def test_onnx_beside_the_network(run, tmp_path, kind):
    pytest.importorskip("onnxoptimizer")
    export_checkpoint(run / "log", tmp_path / "digits.qsnn", onnx=kind)
    assert {file.name for file in tmp_path.iterdir()} == {"digits.qsnn", f"digits.{kind}.onnx"}


@pytest.mark.parametrize("layers, num_steps", [("4 P T2 8 FC", 1), ("4 P T1 8 FC", 2), ("4 P T4 FC", 2)])
def test_a_head_with_another_t_than_the_network_is_exported(tmp_path, layers, num_steps):
    from pynq_qsnn.training.export import export_checkpoint
    from pynq_qsnn.training.loop import train
    from pynq_qsnn.training.options import TrainConfig

    bits = {"spike_bits": 1, "num_steps": num_steps, "epochs": 1, "warmup_epochs": 0, "batch_size": 256}
    train(TrainConfig(output_dir=str(tmp_path), model=layers, num_threads=1, **bits))
    network = export_checkpoint(tmp_path, tmp_path / "model.qsnn")
    assert network.card["argmax_agreement"] > 0.95
    assert f"but for the words of '{layers}'" in network.card["allocation"]
