"""QONNX files of Brevitas as one-step networks, code by code against qonnx's executor.

Each layer is compared on the executor's own inputs, so that a difference is that layer's. Where the multiplier's 17
bits do not place a step of an activation between the right two sums, the code of such a sum is off by one; the card
counts these steps, and the tests ask that the executor's value lies at a rounding edge, within what 17 bits resolve.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
for package in ("brevitas", "brevitas_examples", "qonnx", "onnxoptimizer"):
    pytest.importorskip(package)

from brevitas_models import ResNet, calibrate, cnv, execute, export  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from pynq_qsnn.errors import ConfigError, ModelFileError, NetworkError  # noqa: E402
from pynq_qsnn.interop.onnx_file import parse  # noqa: E402
from pynq_qsnn.interop.qonnx_import import Importer, import_qonnx  # noqa: E402
from pynq_qsnn.interop.wires import Codes  # noqa: E402
from pynq_qsnn.network import Network, Pool  # noqa: E402
from pynq_qsnn.reference import Reference  # noqa: E402
from pynq_qsnn.runtime.simulator import Simulator  # noqa: E402

DOMAIN = "qonnx.custom_op.general"
EDGE = 4e-3  # of a code: 255 codes * 2**-17, twice


def images_and_frames(shape, count=12, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)
    return frames.astype(np.float32) / np.float32(255), frames


class Comparison:
    """An imported file beside the executor's tensors. ``off``: layer -> how many codes differ on equal inputs."""

    def __init__(self, path, images, frames):
        self.context, self.graph = execute(path, images), onnx.load(path).graph
        importer = Importer(str(path), *parse(path, path.read_bytes()), 1 / 255, None)
        importer.run()
        self.network = import_qonnx(path)
        self.steps = importer.steps
        wires = {name: wire for name, wire in importer.values.items() if isinstance(wire, Codes)}
        types = self.network.tensors
        self.codes = {}  # tensor of the network -> the executor's codes [1, N, C, H, W]
        self.tensor = {}  # tensor of the network -> the graph's
        for name, wire in wires.items():
            if name in self.context and types[wire.name].s_max == wire.s_max:  # else a residual joined it later
                shape = (len(frames), *types[wire.name].shape)
                scale, offset = (x.reshape(1, -1, 1, 1) for x in (wire.scale, wire.offset))
                codes = (self.context[name].reshape(shape) - offset) / scale
                assert np.abs(codes - np.rint(codes)).max() < 1e-3
                self.codes[wire.name], self.tensor[wire.name] = np.rint(codes).astype(np.uint8)[None], name
        self.codes["input"] = frames[None]
        self.off = {}
        self.logits = Reference().load(self.network).run(frames)
        for layer in self.network.layers[:-1]:
            self._compare(layer)

    def _compare(self, layer):
        needed = [layer.source] + ([layer.skip.source] if getattr(layer, "skip", None) else [])
        if layer.name not in self.codes or any(name not in self.codes for name in needed):
            return
        reference = Reference()
        reference.network = self.network
        found = reference._layer(layer, self.codes)
        different = found != self.codes[layer.name]
        self.off[layer.name] = int(different.sum())
        if different.any():
            assert np.abs(found.astype(int) - self.codes[layer.name])[different].max() == 1
            assert self._distance_to_edge(layer.name)[different[0]].max() < EDGE

    def _distance_to_edge(self, layer):
        """How far, in codes, the executor's value is from the nearest rounding edge."""
        output = self.tensor[layer]
        (node,) = (node for node in self.graph.node if output in node.output)
        if node.op_type == "MaxPool":
            return np.zeros(self.codes[layer].shape[1:])
        value, step = (self.context[name] for name in node.input[:2])
        return np.abs(value / step % 1 - 0.5).reshape(self.codes[layer].shape[1:])

    def assert_exact(self, compared):
        assert len(self.off) >= compared
        assert sum(self.off.values()) == 0
        self.assert_same_classes()

    def assert_same_classes(self):
        scores = self.logits * self.network.head.logit_scale
        expected = self.context["logits"]
        assert np.abs(scores - expected).max() <= 1e-5 * np.abs(expected).max()
        assert np.array_equal(scores.argmax(1), expected.argmax(1))


def compare(model, shape, path, dynamo=False):
    torch.manual_seed(0)
    images, frames = images_and_frames(shape)
    calibrate(model, torch.from_numpy(images))
    export(model, path, torch.from_numpy(images), dynamo)
    return Comparison(path, images, frames)


@pytest.mark.parametrize("weight_bits, act_bits", [(1, 1), (1, 2), (2, 2), (4, 4), (8, 1)])
def test_cnv(weight_bits, act_bits, monkeypatch, tmp_path):
    """FINN's CNV: signed or bipolar activations without padding, an input quantizer, maximum pools, a tensor norm."""
    found = compare(cnv(weight_bits, act_bits, monkeypatch), (3, 32, 32), tmp_path / "cnv.onnx")
    found.assert_exact(compared=11)
    network = found.network
    assert network.num_steps == 1 and network.frame_shape == (3, 32, 32) and network.input.s_max == 255
    spiking = [layer for layer in network.layers if hasattr(layer, "neuron")]
    assert len(spiking) == 9  # the input quantizer, 6 convolutions, 2 linear layers
    assert {layer.weight_bits for layer in spiking[1:]} == {weight_bits}
    assert {layer.neuron.s_max for layer in spiking[1:]} == {max(2**act_bits - 2, 1)}  # narrow range
    assert network.card["format"] == "QONNX" and network.card["imported_from"] == "cnv.onnx"


def test_cnv_of_the_newer_exporter_and_the_fast_simulator(monkeypatch, tmp_path):
    found = compare(cnv(1, 1, monkeypatch), (3, 32, 32), tmp_path / "cnv.onnx", dynamo=True)
    found.assert_exact(compared=11)
    _, frames = images_and_frames((3, 32, 32))
    assert np.array_equal(Simulator().load(found.network).run(frames), found.logits)
    found.network.save(tmp_path / "cnv.qsnn")
    assert np.array_equal(Reference().load(Network.load(tmp_path / "cnv.qsnn")).run(frames), found.logits)


@pytest.mark.parametrize(
    "weight_bits, act_bits, pool, rounding",
    [(1, 2, "global", "ROUND"), (2, 2, "trunc", "ROUND"), (4, 4, "trunc", "ROUND"), (4, 4, "average", "FLOOR")],
)
def test_resnet(weight_bits, act_bits, pool, rounding, tmp_path):
    """Residuals of equal steps and of different ones, groups, subsampling, a padded maximum, three kinds of average."""
    model = ResNet(weight_bits, act_bits, pool, rounding)
    found = compare(model, (1, 16, 16), tmp_path / "resnet.onnx")
    found.assert_exact(compared=9)
    domains = [layer.skip.domain for layer in found.network.layers if getattr(layer, "skip", None)]
    assert domains == ["spike", "current", "spike", "current"]


@pytest.mark.parametrize("weight_bits, pool", [(1, "trunc"), (8, "global")])
def test_eight_bit_activations(weight_bits, pool, tmp_path):
    """255 steps on sums of 20 bits are more than 17 bits of multiplier place: few codes differ, by one, at an edge."""
    found = compare(ResNet(weight_bits, 8, pool), (1, 16, 16), tmp_path / "resnet.onnx")
    codes = sum(found.codes[name].size for name in found.off)
    assert sum(found.off.values()) <= 1e-4 * codes, found.off
    steps = {name: off / total for name, (off, total) in found.steps.items()}
    assert 0 < max(steps.values()) < 0.25
    card = found.network.card["activation_steps_off_by_a_sum"]
    assert card == {name: f"{off} of {total}" for name, (off, total) in found.steps.items() if off}
    # Global sums of 8-bit codes leave 8 bits: the next layer takes them in.
    assert not any(isinstance(layer, Pool) and layer.kind == "sum" for layer in found.network.layers)


# graphs made by hand


def initializer(name, values, dtype=np.float32):
    return onnx.numpy_helper.from_array(np.asarray(values, dtype), name)


def save(path, nodes, constants, shape=(1, 1, 1, 1), version=2):
    """A QONNX file that reads "x" and gives "y". constants: {name: values}, whole numbers of axes and shapes too."""
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
    ]
    tensors = [
        initializer(name, values, np.int64 if name == "axes" else np.float32) for name, values in constants.items()
    ]
    graph = helper.make_graph(nodes, "net", ports[:1], ports[1:], tensors)
    domains = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, version)]
    onnx.save(helper.make_model(graph, opset_imports=domains), path)
    return path


def quant(source, result, scale="one", bits="bits", signed=0, narrow=0, rounding="ROUND", kind="Quant"):
    inputs = [source, scale] if kind == "BipolarQuant" else [source, scale, "zero", bits]
    options = {} if kind == "BipolarQuant" else {"signed": signed, "narrow": narrow, "rounding_mode": rounding}
    return helper.make_node(kind, inputs, [result], domain=DOMAIN, name=f"make_{result}", **options)


CONSTANTS = {"one": 1.0, "two": 2.0, "zero": 0.0, "bits": 8.0, "w": [[[[1.0]]]], "matrix": [[1.0], [-1.0]]}
HEAD = [
    quant("matrix", "qm", signed=1, narrow=1),
    helper.make_node("Flatten", ["a"], ["f"]),
    helper.make_node("Gemm", ["f", "qm"], ["y"], transB=1),
]


def codes_of(path, frames, **options):
    """Codes uint8 [N] of the first spiking layer of a file on one-pixel frames."""
    network = import_qonnx(path, **options)
    trace = Reference().load(network).trace(np.array(frames, np.uint8).reshape(-1, 1, 1, 1))
    layer = next(layer.name for layer in network.layers if hasattr(layer, "neuron"))
    return network, trace[layer].ravel()


def test_exact_ties_round_to_even(tmp_path):
    """x / 2 of integers: every odd one is a tie. Half of the steps cannot be placed, and only ties differ."""
    nodes = [quant("w", "qw", signed=1, narrow=1), helper.make_node("Conv", ["x", "qw"], ["c"])]
    file = save(tmp_path / "ties.onnx", [*nodes, quant("c", "a", scale="two"), *HEAD], CONSTANTS)
    frames = np.arange(256)
    network, codes = codes_of(file, frames, input_scale=1.0)
    expected = np.rint(frames / 2)
    different = np.flatnonzero(codes != expected)
    assert np.all(different % 2 == 1) and len(different) == 63
    assert network.card["activation_steps_off_by_a_sum"] == {"conv1": "63 of 255"}


@pytest.mark.parametrize(
    "rounding, step, factor", [("ROUND", 4, 1), ("ROUND", 3, 1), ("ROUND", 4, -1), ("FLOOR", 4, 1)]
)
def test_a_residual_of_ties(rounding, step, factor, tmp_path):
    """round((x + factor w) / 4), x and w codes: every fourth sum is a tie, and every second of these goes down.

    The card counts pairs (w, x) at which a step lies that the unit puts elsewhere; thirds have no ties.
    """
    constants = {**CONSTANTS, "w": [[[[factor]]]], "step": float(step), "small": 4.0}
    nodes = [quant("w", "qw", signed=1, narrow=1), quant("x", "residual", bits="small")]
    nodes += [helper.make_node("Conv", ["x", "qw"], ["c"]), helper.make_node("Add", ["c", "residual"], ["s"])]
    file = save(tmp_path / "ties.onnx", [*nodes, quant("s", "a", "step", rounding=rounding), *HEAD], constants)
    frames = np.arange(256)
    network = import_qonnx(file, input_scale=1.0)
    (layer,) = (layer for layer in network.layers if getattr(layer, "skip", None))
    codes = Reference().load(network).trace(frames.astype(np.uint8).reshape(-1, 1, 1, 1))[layer.name].ravel()
    total = factor * frames + np.minimum(frames, 15)
    expected = np.maximum((np.rint if rounding == "ROUND" else np.floor)(total / step), 0)
    pairs = factor * frames + np.arange(16)[:, None]
    ties, off = ((sums > 0) & (sums % 8 == 2) & (rounding == "ROUND") & (step == 4) for sums in (total, pairs))
    assert np.array_equal(codes, expected + ties)
    counted = network.card["activation_steps_off_by_a_sum"]
    assert counted == ({layer.name: f"{off.sum()} of {255 * 16}"} if off.any() else {})


@pytest.mark.parametrize("rounding, edge", [("FLOOR", 0.0), ("CEIL", -1 + 2**-16), ("HALF_UP", -0.5)])
def test_at_a_rounding_edge(rounding, edge, tmp_path):
    """Exactly k steps: FLOOR and HALF_UP reach the code k, CEIL has passed it."""
    constants = {**CONSTANTS, "shift": [[[[edge]]]]}
    nodes = [quant("w", "qw", signed=1, narrow=1), helper.make_node("Conv", ["x", "qw"], ["c"])]
    nodes += [helper.make_node("Add", ["c", "shift"], ["d"]), quant("d", "a", rounding=rounding), *HEAD]
    network, codes = codes_of(save(tmp_path / "edge.onnx", nodes, constants), np.arange(256), input_scale=1.0)
    assert np.array_equal(codes, np.arange(256)) and not network.card["activation_steps_off_by_a_sum"]


def test_zero_is_positive_for_a_bipolar_quantizer(tmp_path):
    constants = {**CONSTANTS, "shift": [[[[-100.0]]]]}
    nodes = [quant("w", "qw", kind="BipolarQuant"), helper.make_node("Conv", ["x", "qw"], ["c"])]
    nodes += [helper.make_node("Add", ["c", "shift"], ["d"]), quant("d", "a", kind="BipolarQuant"), *HEAD]
    _, codes = codes_of(save(tmp_path / "sign.onnx", nodes, constants), [99, 100, 101], input_scale=1.0)
    assert codes.tolist() == [0, 1, 1]


def same_scores(path, shape):
    images, frames = images_and_frames(shape)
    network = import_qonnx(path)
    scores = Reference().load(network).run(frames) * network.head.logit_scale
    expected = np.concatenate([execute(path, image[None])["logits"] for image in images])
    assert np.ptp(expected, axis=0).max() > 0
    assert np.allclose(scores, expected.reshape(scores.shape), atol=1e-5 * np.abs(expected).max())
    return network


def test_operators_that_brevitas_models_do_not_need(tmp_path):
    """A maximum before its quantizer, constants on both sides of - and /, a mean by axes, a channel's own scales."""
    rng = np.random.default_rng(0)
    constants = {
        **CONSTANTS,
        **{"w": rng.normal(size=(5, 2, 3, 3)) * 9, "w2": rng.normal(size=(3, 5)) * 9, "axes": [2, 3]},
        **{"half": 0.5, "gains": rng.uniform(1, 2, (1, 5, 1, 1)), "small": 0.01, "steps": rng.uniform(4, 6, (5, 1, 1))},
    }
    nodes = [
        quant("w", "qw", signed=1, narrow=1),
        helper.make_node("Sub", ["half", "x"], ["centred"]),
        helper.make_node("Conv", ["centred", "qw"], ["c"]),
        helper.make_node("Mul", ["gains", "c"], ["g"]),
        helper.make_node("MaxPool", ["g"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Relu", ["p"], ["r"]),
        quant("r", "a", scale="half", bits="bits"),
        helper.make_node("Div", ["a", "two"], ["d"]),
        helper.make_node("ReduceMean", ["d", "axes"], ["m"], keepdims=0),
        quant("w2", "qw2", signed=1, narrow=1),
        helper.make_node("Gemm", ["m", "qw2"], ["s"], transB=1),
        helper.make_node("Sub", ["s", "small"], ["y"]),
    ]
    same_scores(save(tmp_path / "net.onnx", nodes, constants, shape=(1, 2, 10, 10)), (2, 10, 10))


def test_a_convolution_as_the_last_layer(tmp_path):
    rng = np.random.default_rng(0)
    nodes = [quant("w", "qw", signed=1, narrow=1), helper.make_node("Conv", ["x", "qw"], ["y"])]
    constants = {**CONSTANTS, "w": rng.normal(size=(4, 2, 3, 3)) * 9}
    network = same_scores(save(tmp_path / "net.onnx", nodes, constants, shape=(1, 2, 3, 3)), (2, 3, 3))
    assert network.head.weight.shape == (4, 18)
    with pytest.raises(NetworkError, match="or map follows"):
        import_qonnx(save(tmp_path / "map.onnx", nodes, constants, shape=(1, 2, 4, 4)))


def test_the_older_trunc(tmp_path):
    """Version 1 says how many bits go; FINN's first releases wrote it."""
    trunc = helper.make_node(
        "Trunc", ["a", "half", "zero", "bits", "four"], ["t"], domain=DOMAIN, rounding_mode="FLOOR"
    )
    nodes = [quant("x", "a", scale="half"), trunc, quant("matrix", "qm", signed=1, narrow=1)]
    nodes += [helper.make_node("Flatten", ["t"], ["f"]), helper.make_node("Gemm", ["f", "qm"], ["y"], transB=1)]
    constants = {**CONSTANTS, "half": 0.01, "four": 4.0}
    same_scores(save(tmp_path / "net.onnx", nodes, constants, version=1), (1, 1, 1))


def test_scales_of_single_channels_before_a_convolution(tmp_path):
    nodes = [quant("x", "a", scale="steps"), quant("w", "qw", signed=1, narrow=1)]
    constants = {**CONSTANTS, "w": np.ones((1, 2, 1, 1)), "steps": np.reshape([0.1, 0.2], (1, 2, 1, 1))}
    nodes += [helper.make_node("Conv", ["a", "qw"], ["y"])]
    with pytest.raises(NetworkError, match="a scale of its own in each channel"):
        import_qonnx(save(tmp_path / "net.onnx", nodes, constants, shape=(1, 2, 1, 1)))


def test_vectors_and_free_dimensions(tmp_path):
    nodes = [quant("m", "qm", signed=1, narrow=1), helper.make_node("Gemm", ["x", "qm"], ["y"], transB=1)]
    constants = {**CONSTANTS, "m": np.eye(12)[:3]}
    file = save(tmp_path / "vector.onnx", nodes, constants, shape=("batch", 12))
    assert import_qonnx(file).frame_shape == (12, 1, 1)
    network = import_qonnx(file, input_shape=(3, 2, 2))
    assert network.frame_shape == (3, 2, 2) and network.num_steps == 1
    frame = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
    scores = Reference().load(network).run(frame) * network.head.logit_scale
    assert np.allclose(scores * 255, [[0, 1, 2]], atol=1e-3)
    with pytest.raises(NetworkError, match="do not fit"):
        import_qonnx(file, input_shape=(3, 2, 3))
    with pytest.raises(NetworkError, match="do not fit"):
        import_qonnx(save(tmp_path / "free.onnx", HEAD, CONSTANTS, shape=(1, 3, "h", "w")))
    with pytest.raises(ConfigError, match="input scale"):
        import_qonnx(file, input_scale=0.0)


CONV = [quant("w", "qw", signed=1, narrow=1), helper.make_node("Conv", ["x", "qw"], ["c"], name="conv")]
SIGNED = [*CONV, quant("c", "s", signed=1)]
WIDE = {"w": np.ones((1, 1, 3, 3)), "w2": np.ones((1, 1, 3, 3))}
REFUSED = {
    "Sigmoid .* has no integer form; known are": [helper.make_node("Sigmoid", ["x"], ["y"])],
    "weights are not quantized": [helper.make_node("Conv", ["x", "w"], ["a"]), *HEAD],
    "input is not quantized": [*CONV, helper.make_node("Conv", ["c", "qw"], ["a"]), *HEAD],
    "span -128..127, .* narrow_range=True": [
        *[quant("low", "qw", signed=1), helper.make_node("Conv", ["x", "qw"], ["c"]), quant("c", "a"), *HEAD]
    ],
    "pads with 1 zeros, but its input codes mean -128": [
        *SIGNED,
        helper.make_node("Conv", ["s", "qw"], ["p"], pads=[1, 1, 1, 1]),
    ],
    "equal pads on all sides": [quant("w", "qw"), helper.make_node("Conv", ["x", "qw"], ["y"], pads=[0, 0, 1, 1])],
    "no dilation": [quant("w", "qw"), helper.make_node("Conv", ["x", "qw"], ["y"], dilations=[2, 2])],
    "65536 levels; activations have 2 to 256": [*CONV, quant("c", "a", bits="sixteen"), *HEAD],
    "rounding mode 'STOCHASTIC'": [*CONV, quant("c", "a", rounding="STOCHASTIC"), *HEAD],
    "0.5 bits|2.5 bits": [*CONV, quant("c", "a", bits="fraction"), *HEAD],
    "1e.09 bits": [*CONV, quant("c", "a", bits="billion"), *HEAD],
    "scale .* must be positive": [*CONV, quant("c", "a", scale="zero"), *HEAD],
    "weights are not finite": [quant("nan", "qw", signed=1), helper.make_node("Conv", ["x", "qw"], ["y"])],
    "a constant is not a number": [*CONV, helper.make_node("Mul", ["c", "nan"], ["d"]), quant("d", "a"), *HEAD],
    "reads 'c', which nothing before it defines": [quant("c", "a"), *HEAD, *CONV],
    "ReLU behind a signed activation": [*SIGNED, helper.make_node("Relu", ["s"], ["a"]), *HEAD],
    "is always 1; so Brevitas writes": [
        *CONV,
        *[helper.make_node("Relu", ["c"], ["r"]), quant("r", "a", kind="BipolarQuant"), *HEAD],
    ],
    "no neuron has read": [*CONV, helper.make_node("Add", ["c", "c"], ["d"]), quant("d", "a"), *HEAD],
    "joins two activations": [*SIGNED, helper.make_node("Mul", ["s", "s"], ["a"]), *HEAD],
    "difference of two activations": [*SIGNED, helper.make_node("Sub", ["s", "x"], ["a"]), *HEAD],
    "divides by an activation": [*SIGNED, helper.make_node("Div", ["two", "s"], ["a"]), *HEAD],
    "ceil_mode": [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], ceil_mode=1)],
    "needs: 'kernel_shape'": [helper.make_node("MaxPool", ["x"], ["y"])],
    "its inputs or attributes are not what it needs": [helper.make_node("Conv", ["x"], ["y"])],
    "only .N, 1. is known": [helper.make_node("Reshape", ["x", "three"], ["y"])],
    "evaluated; known are": [helper.make_node("Erf", ["w"], ["y"])],
    "does not depend on the input": [helper.make_node("Mul", ["w", "w"], ["y"])],
    "do not fit a tensor": [quant("wide", "qw", signed=1), helper.make_node("Conv", ["x", "qw"], ["y"])],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_integer_form_is_named(message, tmp_path):
    constants = {
        **CONSTANTS,
        **{"low": [[[[-128.0]]], [[[127.0]]]], "sixteen": 16.0, "fraction": 2.5, "billion": 1e9},
        **{"nan": [[[[np.nan]]]], "three": [1.0, 1.0, 1.0], "wide": np.ones((1, 5, 1, 1))},
    }
    with pytest.raises(NetworkError, match=message):
        import_qonnx(save(tmp_path / "net.onnx", REFUSED[message], constants))


def test_several_outputs(tmp_path):
    file = save(tmp_path / "net.onnx", [*CONV, quant("c", "a"), *HEAD], CONSTANTS)
    model = onnx.load(file)
    model.graph.output.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, None))
    onnx.save(model, file)
    with pytest.raises(NetworkError, match="1 inputs and 2 outputs"):
        import_qonnx(file)


@pytest.mark.parametrize(
    "content", [b"", b"not ONNX at all" * 50, b"\x80\x04\x95pickle"], ids=["empty", "text", "pickle"]
)
def test_files_that_are_not_onnx(content, tmp_path):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ModelFileError, match="not an ONNX file"):
        import_qonnx(tmp_path / "net.onnx")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated(share, tmp_path):
    file = save(tmp_path / "net.onnx", [*CONV, quant("c", "a"), *HEAD], CONSTANTS)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises((ModelFileError, NetworkError)):
        import_qonnx(file)


def edited(tmp_path, edit):
    file = save(tmp_path / "net.onnx", [*CONV, quant("c", "a"), *HEAD], CONSTANTS)
    model = onnx.load(file)
    edit(next(tensor for tensor in model.graph.initializer if tensor.name == "w"))
    file.write_bytes(model.SerializeToString())
    return file


def lies_elsewhere(tensor):
    onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")
    tensor.ClearField("raw_data")


def claims_more(tensor):
    tensor.dims[:] = [1 << 20, 1 << 20]


def claims_a_little_more(tensor):
    tensor.dims[:] = [2, 1, 1, 1]


def negative(tensor):
    tensor.dims[:] = [-1, 1, 1, 1]


@pytest.mark.parametrize("edit", [lies_elsewhere, claims_more, claims_a_little_more, negative])
def test_hostile_constants(edit, tmp_path):
    with pytest.raises(ModelFileError, match="lies in another file|claims|damaged"):
        import_qonnx(edited(tmp_path, edit))


def test_constants_that_would_fill_the_memory(tmp_path):
    constants = {**CONSTANTS, "row": np.ones((1, 1 << 16)), "column": np.ones((1 << 16, 1))}
    nodes = [helper.make_node("Mul", ["row", "column"], ["big"]), helper.make_node("Mul", ["x", "big"], ["y"])]
    with pytest.raises(NetworkError, match="a constant of 4294967296 elements"):
        import_qonnx(save(tmp_path / "net.onnx", nodes, constants))
