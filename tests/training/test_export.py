"""Float model -> integer network: constants, structure, and equality to the bit with the independent forward."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from calibrated import MIXED, TRANSFORMER, calibrated_model, random_images  # noqa: E402

from pynq_qsnn.architectures import Conv, Head, Pool, Residual, parse  # noqa: E402
from pynq_qsnn.errors import ConfigError, NetworkError  # noqa: E402
from pynq_qsnn.fixed_point import logit_fraction_bits, to_bias, to_multiplier  # noqa: E402
from pynq_qsnn.network import Network  # noqa: E402
from pynq_qsnn.reference import Reference  # noqa: E402
from pynq_qsnn.runtime.simulator import Simulator  # noqa: E402
from pynq_qsnn.training import check, export  # noqa: E402
from pynq_qsnn.training.check import IntegerForward  # noqa: E402
from pynq_qsnn.training.export import export_network  # noqa: E402


def assert_equal_traces(model, network, frames):
    """Every code and logit of the reference equals the independent forward's."""
    expected, found = Reference().load(network).trace(frames), IntegerForward(model).trace(frames)
    assert len(found) == len(network.layers)
    for layer, tensor in zip(network.layers, found):
        assert np.array_equal(expected[layer.name].reshape(tensor.shape), tensor.numpy()), layer.name
    return expected


@pytest.mark.parametrize("weight_bits", [1, 2, 4, 8])
@pytest.mark.parametrize("spike_bits, num_steps", [(1, 4), (2, 2), (4, 1), (3, 3), (8, 1)])
def test_reference_equals_the_independent_forward(weight_bits, spike_bits, num_steps):
    model = calibrated_model(weight_bits, spike_bits, num_steps, MIXED if spike_bits < 8 and num_steps != 2 else None)
    trains = assert_equal_traces(model, export_network(model), random_images(20))
    assert all(train.any() for train in trains.values()), "a silent layer compares nothing"


@pytest.mark.parametrize("leak_shift", [None, 1, 3])
@pytest.mark.parametrize("reset_mode", ["subtract", "zero"])
def test_every_neuron_equals_the_independent_forward(leak_shift, reset_mode):
    model = calibrated_model(4, 2, 5, leak_shift=leak_shift, reset_mode=reset_mode)
    network = export_network(model)
    assert network.layers[0].neuron.leak_shift == leak_shift and network.layers[0].neuron.reset_mode == reset_mode
    assert_equal_traces(model, network, random_images(20))


def test_event_frames():
    model = calibrated_model(8, 2, 3)
    network = export_network(model, static=False)
    assert network.frame_shape == (3, 1, 8, 8)
    assert_equal_traces(model, network, random_images(12).reshape(4, 3, 1, 8, 8))


@pytest.mark.parametrize("num_steps", [1, 3])
def test_scores_follow_the_float_model(num_steps):
    """Where no spike flips by float rounding (most frames), the score error is the constants' rounding alone."""
    model, frames = calibrated_model(4, 2, num_steps, seed=1), random_images(100)
    network = export_network(model)
    scores = Reference().load(network).run(frames) * network.head.logit_scale
    expected = model(torch.from_numpy(frames).float() / 255).detach().numpy()
    error = np.abs(scores - expected).max(axis=1)
    assert np.median(error) < 1e-4 and np.mean(scores.argmax(1) == expected.argmax(1)) >= 0.99


def test_batch_norm_is_exported_in_its_evaluation_form():
    model = calibrated_model(4, 2, 2)
    evaluated = export_network(model)
    trained = export_network(model.train())
    for a, b in zip(evaluated.layers, trained.layers):
        if hasattr(a, "neuron"):
            assert np.array_equal(a.neuron.affine.bias, b.neuron.affine.bias)


def test_structure_of_the_mixed_network():
    network = export_network(calibrated_model(2, 3, 2, MIXED))
    layers = {layer.name: layer for layer in network.layers}
    assert layers["conv1"].weight_bits == 8 and layers["conv2"].weight_bits == 2 and layers["head"].weight_bits == 8
    assert layers["conv1"].spike_bits == 4 and layers["conv1"].neuron.s_max == 7
    assert layers["conv3"].skip.domain == "current" and layers["conv3"].skip.stride == 2
    assert layers["conv3"].skip.source == "conv1" and layers["conv5"].skip.source == "shortcut1"
    assert layers["conv6"].skip.domain == "spike" and layers["conv6"].skip.s_max == 7
    # Equal thresholds: one code of the residual is worth exactly one threshold.
    assert np.all(layers["conv3"].skip.multiplier == 1 << 16) and np.all(layers["conv3"].skip.shift == 0)
    assert [layers[f"pool{i}"].kind for i in (1, 2)] == ["average", "sum"]


@pytest.mark.parametrize("weight_bits", [1, 4])
@pytest.mark.parametrize("spike_bits, num_steps", [(1, 4), (2, 2), (4, 1)])
def test_attention_equals_the_independent_forward(weight_bits, spike_bits, num_steps):
    model = calibrated_model(weight_bits, spike_bits, num_steps, TRANSFORMER)
    network, frames = export_network(model), random_images(20)
    attention = next(layer for layer in network.layers if layer.name == "attention1")
    assert (attention.source, attention.key, attention.value, attention.heads) == ("query1", "key1", "value1", 4)
    trains = assert_equal_traces(model, network, frames)
    assert all(train.any() for train in trains.values()), "a silent layer compares nothing"
    assert_equal_simulator(network, frames)
    expected = model(torch.from_numpy(frames).float() / 255).detach().numpy()
    scores = trains["head"] * network.head.logit_scale
    assert np.median(np.abs(scores - expected).max(axis=1)) < 1e-3


@pytest.mark.parametrize("layers", ["8 6w4s2 T1 5w1s4 T2 4v A2 FC", "8s2 T1 8s4 R8s4 T4 A2 FC", "6 T8 6 T2 6 S2 FC"])
def test_other_bits_and_steps_in_each_layer(layers):
    model = calibrated_model(8, 1, 4, parse(layers))
    network, frames = export_network(model), random_images(20)
    assert len({network.tensors[layer.name].num_steps for layer in network.layers}) >= 2
    assert_equal_traces(model, network, frames)
    assert_equal_simulator(network, frames)


def assert_equal_simulator(network, frames):
    expected, found = Reference().load(network).trace(frames), Simulator().load(network).trace(frames)
    assert all(np.array_equal(expected[layer.name], found[layer.name]) for layer in network.layers)


def test_float_weights_have_no_integer_form():
    with pytest.raises(ConfigError, match="weights are float .* --weight-bits"):
        export_network(calibrated_model(16, 4, 1))


@pytest.mark.parametrize("num_steps", [1, 4])
def test_inverted_residuals(num_steps):
    """SEW IAND with and without a shortcut layer."""
    body = (Conv(8), Conv(8))
    table = (Conv(8), Residual(body, "iand"), Residual(body, "iand", Conv(8, kernel=1)), Pool("max"), Head())
    model = calibrated_model(8, 1, num_steps, table)
    network = export_network(model)
    assert [layer.skip.domain for layer in network.layers if getattr(layer, "skip", None)] == ["iand", "iand"]
    trains = assert_equal_traces(model, network, random_images(40))
    assert all(0 < train.mean() < 1 for name, train in trains.items() if name.startswith("conv"))
    frames = random_images(40)
    expected = model(torch.from_numpy(frames).float() / 255).detach().numpy()
    scores = Reference().load(network).run(frames) * network.head.logit_scale
    assert np.mean(scores.argmax(1) == expected.argmax(1)) >= 0.95


def test_exported_file_reloads(tmp_path):
    network = export_network(calibrated_model(1, 2, 2), name="tiny", card={"seed": 3})
    network.save(tmp_path / "tiny.qsnn")
    loaded = Network.load(tmp_path / "tiny.qsnn")
    assert loaded.name == "tiny" and loaded.card == {"seed": 3}
    frames = random_images(5)
    assert np.array_equal(Reference().load(loaded).run(frames), Reference().load(network).run(frames))


def test_the_check_sees_a_small_error_in_one_channel():
    """A bias that is off by a thousandth of a threshold shows in the codes of a few hundred frames."""
    model, frames = calibrated_model(8, 4, 1), random_images(300)
    network = export_network(model)
    first = network.layers[0]
    bias = first.neuron.affine.bias.copy()
    bias[0] += 65
    affine = dataclasses.replace(first.neuron.affine, bias=bias)
    changed = dataclasses.replace(first, neuron=dataclasses.replace(first.neuron, affine=affine))
    wrong = dataclasses.replace(network, layers=(changed, *network.layers[1:]))
    found = IntegerForward(model).trace(frames)[0].numpy()
    assert np.array_equal(found, Reference().load(network).trace(frames)["conv1"])
    assert not np.array_equal(found, Reference().load(wrong).trace(frames)["conv1"])


def test_the_check_shares_no_code_with_what_it_checks():
    source = Path(check.__file__)
    imported = {
        f"{'.' * node.level}{node.module or ''}.{alias.name}"
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not any(word in name for name in imported for word in ("neuron", "network", "reference", "fixed", "export"))


# --- constants -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "factor, multiplier, shift",
    [
        (1.0, 1 << 16, 16),
        (-1.0, -(1 << 16), 16),
        (65536.0, 1 << 16, 0),
        (1.5, 3 << 15, 16),
        (2**-40, 1 << 8, 48),  # the shift ends at 48
        (0.0, 0, 48),
        (131071 / 2**20, 131071, 20),
        (131071.5 / 2**20, 1 << 16, 19),  # rounds up to 2**17: one shift less
        (2.5 * 2**-48, 3, 48),  # halves toward +infinity
        (-2.5 * 2**-48, -2, 48),
    ],
)
def test_multiplier_by_hand(factor, multiplier, shift):
    m, sh = to_multiplier(np.array([factor]), "layer")
    assert (m[0], sh[0]) == (multiplier, shift)


def test_multipliers_are_normalised_and_near():
    factor = np.exp(np.random.default_rng(0).uniform(np.log(2**-31), np.log(131071), 5000))
    factor *= np.where(np.arange(5000) % 2, 1, -1)
    m, sh = to_multiplier(factor, "layer")
    assert np.all((np.abs(m) >= 1 << 16) & (np.abs(m) < 1 << 17)) and np.all((sh >= 0) & (sh <= 48))
    assert np.max(np.abs(np.ldexp(m.astype(float), -sh) / factor - 1)) <= 2**-17


@pytest.mark.parametrize("factor", [131072.0, -200000.0, 131071.75, np.inf, np.nan])
def test_factor_that_does_not_fit_names_layer_and_channel(factor):
    with pytest.raises(NetworkError, match=r"conv7.*1"):
        to_multiplier(np.array([1.0, factor]), "conv7")


@pytest.mark.parametrize("offset", [2.0**31, -(2.0**31), np.nan])
def test_offset_that_does_not_fit(offset):
    assert to_bias(np.array([2.5, -2.5, -0.25]), "conv").tolist() == [3, -2, 0]
    with pytest.raises(NetworkError, match=r"conv7.*1"):
        to_bias(np.array([0.0, offset]), "conv7")


def test_logits_that_would_leave_int32_get_a_coarser_unit():
    assert logit_fraction_bits(np.array([10.0]), 4) == 16
    bits = logit_fraction_bits(np.array([30000.0]), 8)
    assert bits == 13 and 30000 * 8 * 2**bits < 2**31
    model = calibrated_model(8, 8, 8)
    with torch.no_grad():
        model.layers[-1].linear.weight *= 2000
    network = export_network(model)
    bits = round(-np.log2(network.head.logit_scale * 8))
    assert bits < 16
    frames = random_images(10)
    found = IntegerForward(model, bits).run(frames)
    assert np.array_equal(found, Reference().load(network).run(frames))
    scores = model(torch.from_numpy(frames).float() / 255).detach().numpy()
    assert np.abs(found * network.head.logit_scale - scores).max() < 1e-2 * np.abs(scores).max()


# --- bad input -----------------------------------------------------------------------------------------------------


def test_unknown_layer_is_refused():
    model = calibrated_model(8, 4, 1)
    model.layers.insert(1, torch.nn.ReLU())
    with pytest.raises(ConfigError, match="ReLU"):
        export_network(model)
    with pytest.raises(ConfigError, match="ReLU"):
        IntegerForward(model)


def test_dead_channel_is_refused():
    model = calibrated_model(1, 4, 1)
    with torch.no_grad():
        model.layers[2].norm.running_var[5] = 0
    with pytest.raises(NetworkError, match=r"conv2.*channel 5"):
        export_network(model)


def test_diverged_training_is_refused():
    model = calibrated_model(8, 4, 1)
    with torch.no_grad():
        model.layers[2].norm.bias[3] = float("nan")
    with pytest.raises(NetworkError, match=r"conv2.*3 is not finite"):
        export_network(model)


def test_residual_of_another_step_is_refused():
    model = calibrated_model(8, 4, 1)
    model.layers[2].neuron.threshold = 0.5
    with pytest.raises(ConfigError, match="step"):
        export_network(model)


def test_folder_without_checkpoint(tmp_path):
    from pynq_qsnn.errors import ModelFileError

    with pytest.raises(ModelFileError, match=r"neither last.safetensors nor a config.json"):
        export.load_checkpoint(tmp_path)
    with pytest.raises(ModelFileError, match="no checkpoint"):
        export.load_checkpoint(tmp_path / "absent.safetensors")
