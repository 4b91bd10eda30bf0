"""QCDQ in ONNX Runtime and QONNX in qonnx compute what PyTorch computes."""

import logging
import warnings
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxoptimizer")

from calibrated import MIXED, calibrated_model  # noqa: E402

from pynq_qsnn.errors import ConfigError, NetworkError  # noqa: E402
from pynq_qsnn.training import onnx_export  # noqa: E402
from pynq_qsnn.training.onnx_export import export_onnx  # noqa: E402

FRAMES = 60
TOLERANCE = 1e-4  # float32 sums in another order; a score is about 1


@pytest.fixture(scope="module")
def images():
    """Digits, float32 [60, 1, 8, 8]."""
    pytest.importorskip("sklearn")
    from pynq_qsnn.data import load_dataset

    return load_dataset("digits", "test").images[:FRAMES].astype(np.float32) / 255


def scores(model, images):
    with torch.no_grad():
        return model(torch.from_numpy(images)).numpy()


def run_qcdq(path, images):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images})[0]


def run_qonnx(path, images):
    pytest.importorskip("qonnx")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # qonnx warns where a stored shape is wrong
        return execute_onnx(ModelWrapper(str(path)), {"images": images})["logits"]


def assert_same_scores(found, expected):
    """A sum that float rounding moves across a threshold flips one spike: rare, and small in the scores."""
    error = np.abs(found - expected).max(axis=1)
    assert np.mean(error < TOLERANCE) >= 0.95 and error.max() < 0.2, error
    assert np.array_equal(found.argmax(1), expected.argmax(1))


@pytest.mark.parametrize("weight_bits", [1, 2, 4, 8])
@pytest.mark.parametrize("spike_bits, num_steps", [(1, 4), (4, 1)])
def test_qcdq_in_onnxruntime(weight_bits, spike_bits, num_steps, images, tmp_path):
    model = calibrated_model(weight_bits, spike_bits, num_steps)
    export_onnx(model, tmp_path / "m.onnx", "qcdq")
    assert_same_scores(run_qcdq(tmp_path / "m.onnx", images), scores(model, images))
    assert_same_scores(run_qcdq(tmp_path / "m.onnx", images[:7]), scores(model, images[:7]))  # the batch is free
    graph = onnx.load(tmp_path / "m.onnx").graph
    weights = [onnx.numpy_helper.to_array(t) for t in graph.initializer if len(t.dims) == 4]
    assert len(weights) == 4 and all(weight.dtype == np.int8 for weight in weights)
    if weight_bits == 1:
        assert sum(set(np.unique(weight)) == {-1, 1} for weight in weights) == 3  # all but the first layer


@pytest.mark.parametrize("weight_bits, spike_bits, num_steps", [(1, 4, 1), (2, 1, 3), (4, 2, 2), (8, 1, 2)])
def test_qonnx_in_qonnx(weight_bits, spike_bits, num_steps, images, tmp_path):
    model = calibrated_model(weight_bits, spike_bits, num_steps)
    export_onnx(model, tmp_path / "m.onnx", "qonnx", batch_size=FRAMES)
    assert_same_scores(run_qonnx(tmp_path / "m.onnx", images), scores(model, images))
    counts = Counter(node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node)
    assert (counts["Quant"], counts["BipolarQuant"]) == ((2, 3) if weight_bits == 1 else (5, 0))


def test_every_layer_and_binary_linear(images, tmp_path):
    model = calibrated_model(1, 2, 2, MIXED)
    export_onnx(model, tmp_path / "m.onnx", "qcdq")
    assert_same_scores(run_qcdq(tmp_path / "m.onnx", images), scores(model, images))


def test_event_frames(images, tmp_path):
    model = calibrated_model(4, 2, 3)
    frames = np.ascontiguousarray(images.reshape(3, 20, 1, 8, 8))
    export_onnx(model, tmp_path / "m.onnx", "qcdq", static=False)
    assert_same_scores(run_qcdq(tmp_path / "m.onnx", frames), scores(model, frames))


def test_model_is_left_as_it_was(images, tmp_path):
    model = calibrated_model(1, 2, 2).train()
    names = [name for name, _ in model.named_modules()]
    export_onnx(model, tmp_path / "m.onnx", "qcdq")
    assert model.training and names == [name for name, _ in model.named_modules()]
    assert logging.root.manager.disable == logging.NOTSET


def test_lost_quantizers_are_an_error(tmp_path, monkeypatch):
    """As when the exporter falls back to primitive operators without saying so."""
    monkeypatch.setattr(onnx_export, "WEIGHT_NODES", {"qcdq": ("Quant",)})
    with pytest.raises(NetworkError, match="0 quantized weights, the model 5"):
        export_onnx(calibrated_model(8, 4, 1), tmp_path / "m.onnx", "qcdq")
    assert not (tmp_path / "m.onnx").exists()


def test_unknown_format(tmp_path):
    with pytest.raises(ConfigError, match="tflite"):
        export_onnx(calibrated_model(8, 4, 1), tmp_path / "m.onnx", "tflite")
