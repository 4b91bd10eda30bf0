"""ONNX Runtime as an executor: the integer graph equals the reference to the bit, QCDQ files fit or are refused."""

import numpy as np
import pytest
from attention_network import at_the_threshold
from random_networks import HOST_ONLY, Limits, random_frames, random_network

from pynq_qsnn.errors import ConfigError, FrameError, ModelFileError, QsnnError
from pynq_qsnn.network import Attention, Conv2d, Flatten, Head, Linear, Network, Skip, TensorType
from pynq_qsnn.neuron import INT32_MAX, INT32_MIN, RESET_MODES, THRESHOLD, Affine, Neuron
from pynq_qsnn.reference import Reference

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from pynq_qsnn.runtime.onnx_executor import OnnxExecutor, QcdqExecutor  # noqa: E402
from pynq_qsnn.runtime.onnx_graph import onnx_model  # noqa: E402


def assert_exact(network: Network, frames: np.ndarray) -> np.ndarray:
    found = OnnxExecutor().load(network).run(frames)
    expected = Reference().load(network).run(frames)
    assert found.dtype == expected.dtype and np.array_equal(found, expected)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_random_networks_are_exact(seed):
    rng = np.random.default_rng(seed)
    for _ in range(16):
        network = random_network(rng)
        assert_exact(network, random_frames(rng, network, 3))


HOST_ONLY_FAMILIES = {
    "any": Limits(**HOST_ONLY),
    "attention, bytes": Limits(attentions=0.7, spike_bits=(8,), max_layers=3, extremes=0.5),
    "steps": Limits(**{**HOST_ONLY, "steps": 0.6}, spike_bits=(1, 2), max_steps=12),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", HOST_ONLY_FAMILIES)
def test_networks_that_only_the_host_runs_are_exact(family, seed):
    rng = np.random.default_rng([seed, *family.encode()])
    for _ in range(10):
        network = random_network(rng, HOST_ONLY_FAMILIES[family])
        assert_exact(network, random_frames(rng, network, 3))


@pytest.mark.parametrize("s_max", [1, 15, 255])  # products of the scale beyond 53 bits with the last one
@pytest.mark.parametrize("size, heads", [((3, 3), 1), ((16, 16), 1), ((4, 5), 7)])
def test_attention_at_and_one_below_the_threshold_is_exact(s_max, size, heads):
    assert_exact(*at_the_threshold(s_max, size, heads))


def test_products_of_57_bits_round_as_integers_do():
    """Scaled sums at a multiple of 2**shift and one below, where float64 has steps of 16.

    All queries are 255, so that acc = 255 * sum over tokens of (sum of its key) * value; the keys of most tokens sum to
    16320, of one to 64 and of one to 1, and the values make any wanted sum of that.
    """
    channels, tokens, rng = 64, 32 * 32, np.random.default_rng(0)
    frames = np.zeros((1, 3, channels, tokens), np.uint8)
    query, key, value = frames[0]
    query[:], key[:, 2:], key[:, 0], key[0, 1] = 255, 255, 1, 1
    shift = rng.integers(26, 31, channels)
    multiplier, bias = rng.integers(1 << 16, 1 << 17, channels) | 1, np.empty(channels, np.int64)
    for c in range(channels):
        size = 1 << int(shift[c])
        # acc * multiplier + half: a multiple of 2**shift in even channels, one below in odd ones.
        wanted = (-size // 2 - c % 2) * pow(255 * int(multiplier[c]), -1, size) % size
        total = wanted + (tokens - 3) * 16320 * 255 // size * size - size
        steps, rest = divmod(total, 16320)
        value[c, 2:] = steps // (tokens - 2) + (np.arange(tokens - 2) < steps % (tokens - 2))
        value[c, 0], value[c, 1] = divmod(rest, 64)
        bias[c] = THRESHOLD - ((255 * total * int(multiplier[c]) + size // 2 + c % 2) >> int(shift[c]))
    one = Affine(np.full(channels, THRESHOLD), np.zeros(channels, int), np.zeros(channels, int))
    parts = np.eye(3 * channels, dtype=np.int8).reshape(3, channels, 3 * channels, 1, 1)
    constants = Affine(np.array([1]), np.array([0]), np.array([0]))
    layers = (
        *(Conv2d(name, "input", weight, 2, Neuron(one, 255), 8) for name, weight in zip("qkv", parts)),
        Attention("attention", *"qkv", 1, Neuron(Affine(multiplier, shift, bias), 1), 1),
        Flatten("flat", "attention"),
        Head("head", "flat", np.ones((1, channels * tokens), np.int8), 2, constants),
    )
    network = Network("long", TensorType((3 * channels, 32, 32), 8, 1, 255), 1, layers)
    logits = assert_exact(network, frames.reshape(1, 3 * channels, 32, 32))
    assert logits.tolist() == [[channels // 2 * tokens]]  # the even channels fire


def saturating(reset_mode: str, leak_shift: int | None) -> Network:
    """8-bit codes into the largest scales: currents, biases, start and membranes reach both ends of int32."""
    rng = np.random.default_rng(4)
    weight = rng.choice(np.array([-127, 127], np.int8), (6, 4, 3, 3))
    weight[:2] = 127
    affine = Affine(
        np.array([131071, -131072, 131071, 90000, -90000, 7]),
        np.array([0, 0, 3, 8, 10, 0]),
        np.array([INT32_MIN, INT32_MAX, INT32_MAX, -5, INT32_MIN, 0]),
    )
    start = np.array([INT32_MAX, INT32_MIN, 0, INT32_MAX, -7, INT32_MIN])
    neuron = Neuron(affine, 255, leak_shift, reset_mode, start)
    first = Conv2d("first", "input", weight, 8, neuron, 8, padding=1)
    skip = Skip("first", "current", multiplier=np.full(8, -131072), shift=np.zeros(8, int), stride=2)
    wide = rng.integers(-127, 128, (8, 6, 3, 3), dtype=np.int8)
    scales = Affine(np.full(8, 131071), np.full(8, 2), np.zeros(8, int))
    second = Conv2d("second", "first", wide, 8, Neuron(scales, 15, leak_shift, reset_mode), 4, 2, 1, skip=skip)
    head = rng.integers(-127, 128, (5, 8 * 3 * 3), dtype=np.int8)
    constants = Affine(np.full(5, 3), np.full(5, 1), np.arange(5))
    layers = (first, second, Flatten("flat", "second"), Head("head", "flat", head, 8, constants))
    return Network("saturating", TensorType((4, 6, 6), 8, 1, 255), 4, layers)


@pytest.mark.parametrize("leak_shift", [None, 1, 5])
@pytest.mark.parametrize("reset_mode", RESET_MODES)
def test_saturation_is_exact(reset_mode, leak_shift):
    network = saturating(reset_mode, leak_shift)
    logits = assert_exact(network, np.random.default_rng(1).integers(0, 256, (6, 4, 6, 6), np.uint8))
    assert len(np.unique(logits)) > 10


def test_a_saturated_membrane_comes_back_sooner():
    """Three steps of -2**30 end at -2**31 instead of below; of three steps of 2**30 the last one then fires."""
    affine = Affine(np.array([-131072]), np.array([0]), np.array([1 << 30]))
    hidden = Linear("hidden", "flat", np.full((1, 4), 127, np.int8), 8, Neuron(affine, 255, None), 8)
    head = Head("head", "hidden", np.ones((1, 1), np.int8), 8, Affine(np.array([1]), np.array([0]), np.array([0])))
    network = Network("back", TensorType((4, 1, 1), 8, 6, 255), 6, (Flatten("flat", "input"), hidden, head))
    frames = np.zeros((2, 6, 4, 1, 1), np.uint8)
    frames[0, :3] = 255
    assert assert_exact(network, frames).tolist() == [[255], [6 * 255]]


@pytest.mark.parametrize("static", [True, False])
def test_each_weight_appears_once_whatever_the_steps(static):
    limits = Limits(min_layers=2, max_layers=2, min_steps=4, max_steps=4, static_input=static, event_input=not static)
    network = random_network(np.random.default_rng(1), limits)
    model = onnx_model(network)
    sums = [node for node in model.graph.node if node.op_type in ("ConvInteger", "MatMulInteger")]
    weighted = [layer for layer in network.layers if hasattr(layer, "weight")]
    pools = [layer for layer in network.layers if getattr(layer, "kind", "maximum") != "maximum"]
    assert len(sums) == len(weighted) + len(pools)
    assert {opset.domain for opset in model.opset_import} == {""}  # standard operators only


def test_wrong_frames_and_no_network():
    rng = np.random.default_rng(0)
    network = random_network(rng)
    with pytest.raises(QsnnError, match="no network is loaded"):
        OnnxExecutor().run(random_frames(rng, network, 1))
    with pytest.raises(FrameError):
        OnnxExecutor().load(network).run(np.zeros((1, 2, 3), np.uint8))


def qcdq_file(path, shape: list, weight: np.ndarray):
    """images float32 ``shape`` -> mean over all but the batch, times ``weight`` [1, classes]."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    axes = [axis for axis in range(len(shape)) if axis != len(shape) - 4]
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["logits"]),
    ]
    constants = {"axes": np.array(axes), "column": np.array([-1, 1]), "weight": weight.astype(np.float32)}
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("logits", kind, [shape[-4], weight.shape[1]])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("static", [True, False])
def test_a_qcdq_file_gets_images_of_0_to_1(tmp_path, static):
    limits = Limits(min_steps=3, max_steps=3, static_input=static, event_input=not static)
    network = random_network(np.random.default_rng(2), limits)
    shape = [*([] if static else [3]), "batch", *network.input.shape]
    file = qcdq_file(tmp_path / "m.onnx", shape, np.array([[1.0, -2.0]]))
    frames = random_frames(np.random.default_rng(3), network, 4)
    means = frames.reshape(4, -1).mean(axis=1) / 255
    logits = QcdqExecutor(file, network).run(frames)
    assert logits.dtype == np.float32 and np.allclose(logits, np.stack([means, -2 * means], axis=1), atol=1e-5)


def test_files_that_do_not_fit_are_refused(tmp_path):
    network = random_network(np.random.default_rng(2), Limits(event_input=False))
    channels, height, width = network.input.shape
    with pytest.raises(ModelFileError, match="no file"):
        QcdqExecutor(tmp_path / "absent.onnx", network)
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ModelFileError, match="cannot load"):
        QcdqExecutor(tmp_path / "junk.onnx", network)
    other = qcdq_file(tmp_path / "other.onnx", ["batch", channels, height + 1, width], np.ones((1, 2)))
    with pytest.raises(ConfigError, match="its input is"):
        QcdqExecutor(other, network)
    fixed = qcdq_file(tmp_path / "fixed.onnx", [3, channels, height, width], np.ones((1, 2)))
    with pytest.raises(ConfigError, match="batch is fixed to 3"):
        QcdqExecutor(fixed, network)
