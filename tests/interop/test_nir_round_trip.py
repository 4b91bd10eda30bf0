"""Network -> NIR file -> network: the same spikes, bit for bit. And other tools read the file, with the same spikes."""

from dataclasses import replace

import numpy as np
import pytest
from random_networks import Limits, random_frames, random_network

nir = pytest.importorskip("nir")

from pynq_qsnn.errors import NetworkError  # noqa: E402
from pynq_qsnn.interop.nir_export import EXPORTED_THRESHOLD, export_nir, nir_graph  # noqa: E402
from pynq_qsnn.interop.nir_import import import_nir  # noqa: E402
from pynq_qsnn.network import (  # noqa: E402
    INPUT,
    SPIKING,
    Attention,
    Conv2d,
    Flatten,
    Head,
    Linear,
    Network,
    Pool,
    Skip,
    Steps,
    TensorType,
)
from pynq_qsnn.neuron import Affine, Neuron  # noqa: E402
from pynq_qsnn.reference import Reference  # noqa: E402

# What NIR can express. Saturating and padded residuals, which random networks also draw, are refused below.
EXPRESSIBLE = Limits(
    pool_kinds=("sum",),
    fused_pools=0,
    spike_bits=(1,),
    skip_domains=("current",),
    residuals=0.2,
    max_steps=6,
    extremes=0,
)


def expressible(network):
    """The network with hard resets and discharged membranes."""

    def changed(layer):
        if not isinstance(layer, SPIKING):
            return layer
        neuron = replace(layer.neuron, reset_mode="zero", initial_membrane=None)
        skip = getattr(layer, "skip", None)
        if skip is not None and (
            skip.stride > 1 or network.tensors[skip.source].shape != network.tensors[layer.name].shape
        ):
            return replace(layer, neuron=neuron, skip=None)
        return replace(layer, neuron=neuron)

    return replace(network, layers=tuple(map(changed, network.layers)))


def spikes(network, frames):
    trace = Reference().load(network).trace(frames)
    return [trace[layer.name] for layer in network.layers if isinstance(layer, SPIKING)], trace[network.head.name]


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed, tmp_path):
    rng = np.random.default_rng(seed)
    network = expressible(random_network(rng, EXPRESSIBLE))
    export_nir(network, tmp_path / "net.nir")
    back = import_nir(tmp_path / "net.nir")  # T, frames and threshold are the file's
    frames = random_frames(rng, network, 4)
    (found, logits), (expected, expected_logits) = spikes(back, frames), spikes(network, frames)
    assert back.input == network.input and back.num_steps == network.num_steps
    assert len(found) == len(expected)
    for train, same in zip(found, expected):
        assert np.array_equal(train, same)
    # The head's resolution is chosen anew: scores agree within their rounding, one unit a step on each side.
    error = np.abs(logits * back.head.logit_scale - expected_logits * network.head.logit_scale)
    unit = max(back.head.logit_scale, network.head.logit_scale)
    largest = np.abs(expected_logits * network.head.logit_scale).max()
    assert np.all(error <= 2 * network.num_steps * unit + 5e-5 * largest)


def weights(rng, *shape):
    return rng.integers(-6, 8, shape).astype(np.int8)  # a little more than zero, so that deep layers fire


def affine(rng, channels, multiplier):
    bias = rng.integers(-2000, 2000, channels)
    return Affine(np.full(channels, multiplier), np.full(channels, 4), bias)


def small_network(leak_shift, skips=True):
    """Event frames [5, 2, 8, 8]; SEW's ADD, a residual current, a subsampling convolution, two linear layers."""
    rng = np.random.default_rng(3)

    def neuron(channels, multiplier):
        return Neuron(affine(rng, channels, multiplier), 1, leak_shift, "zero")

    added = Skip("a", "spike", s_max=2) if skips else None
    current = Skip("b", "current", multiplier=np.full(6, 9001), shift=np.zeros(6, int)) if skips else None
    layers = (
        Conv2d("a", INPUT, weights(rng, 6, 2, 3, 3), 4, neuron(6, 90001), 1, 1, 1),
        Conv2d("b", "a", weights(rng, 6, 3, 3, 3), 4, neuron(6, 100001), 2, 1, 1, 2, added),
        Conv2d("c", "b", weights(rng, 6, 6, 1, 1), 4, neuron(6, 130001), 1, 1, 0, 1, current),
        Conv2d("d", "c", weights(rng, 8, 6, 3, 3), 4, neuron(8, 110001), 1, 2, 1),
        Flatten("f", "d"),
        Linear("l", "f", weights(rng, 10, 128), 4, neuron(10, 120001), 1),
        Head("head", "l", weights(rng, 4, 10), 4, affine(rng, 4, 777), 2**-16 / 5),
    )
    return Network("small", TensorType((2, 8, 8), 1, 5, 1), 5, layers)


def events(count=16):
    return np.random.default_rng(0).integers(0, 2, (count, 5, 2, 8, 8)).astype(np.uint8)


@pytest.mark.parametrize("leak_shift", [None, 2])
def test_residuals(leak_shift, tmp_path):
    network = small_network(leak_shift)
    export_nir(network, tmp_path / "net.nir")
    back = import_nir(tmp_path / "net.nir")
    assert [layer.skip and layer.skip.domain for layer in back.layers[:4]] == [None, "spike", "current", None]
    found, expected = spikes(back, events())[0], spikes(network, events())[0]
    assert all(np.array_equal(*pair) for pair in zip(found, expected)) and expected[-1].any()


@pytest.mark.parametrize("leak_shift", [None, 1, 3])
def test_spikingjelly_runs_the_file(leak_shift, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("nirtorch")
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    network = small_network(leak_shift, skips=False)
    export_nir(network, tmp_path / "net.nir")
    expected = Reference().load(network).trace(events())
    module = import_from_nir(tmp_path / "net.nir", step_mode="m")
    found = {}
    for name, part in module.named_modules():
        if name in ("a", "b", "c", "d", "l"):
            part.register_forward_hook(lambda module, inputs, out, name=name: found.update({name: out[0].numpy()}))
    with torch.no_grad():
        scores, _ = module(torch.from_numpy(np.moveaxis(events(), 1, 0).astype(np.float32)))
    assert len(found) == 5
    for name, train in found.items():
        assert np.array_equal(train.reshape(expected[name].shape), expected[name]) and train.any(), name
    assert np.allclose(scores.numpy().mean(0), expected["head"] * network.head.logit_scale, atol=1e-5)


def test_snntorch_runs_the_file(tmp_path):
    """One frame at a time: its importer flattens the batch too. It reads leaks, not NIR's IF."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("nirtorch")
    snn = pytest.importorskip("snntorch")
    from snntorch.import_nir import import_from_nir

    network = small_network(2, skips=False)
    export_nir(network, tmp_path / "net.nir")
    expected = Reference().load(network).trace(events(3))
    for index, frame in enumerate(events(3)):
        module = import_from_nir(nir.read(tmp_path / "net.nir"))
        found = {}
        for name, part in module.named_modules():
            if isinstance(part, snn.Leaky):
                found[name] = []
                part.register_forward_hook(lambda part, inputs, out, train=found[name]: train.append(spike_of(out)))
        with torch.no_grad():
            for step in frame:
                module(torch.from_numpy(step.astype(np.float32)))
        assert len(found) == 5
        for name, train in found.items():
            assert np.array_equal(np.reshape(train, expected[name][:, index].shape), expected[name][:, index]), name


def spike_of(output):
    return (output[0] if isinstance(output, tuple) else output).numpy()


def test_the_threshold_lies_between_two_membranes():
    graph = nir_graph(small_network(None))
    threshold = graph.nodes["a"].v_threshold
    assert np.all(threshold == EXPORTED_THRESHOLD) and np.all(np.float32(threshold) == threshold)
    assert 65535 / 65536 < EXPORTED_THRESHOLD < 1


def with_layer(network, name, **changes):
    layers = [replace(layer, **changes) if layer.name == name else layer for layer in network.layers]
    return replace(network, layers=tuple(layers))


def with_neuron(network, name, **changes):
    (layer,) = (layer for layer in network.layers if layer.name == name)
    return with_layer(network, name, neuron=replace(layer.neuron, **changes))


def inserted(*layers):
    """The small network with other layers between "d" and the flattened map."""
    network = small_network(2, skips=False)
    flat = Flatten("f", layers[-1].name)
    size = int(np.prod(replace_tail(network, [*network.layers[:4], *layers]).tensors[layers[-1].name].shape))
    linear = replace(network.layers[5], weight=weights(np.random.default_rng(0), 10, size))
    return replace(network, layers=(*network.layers[:4], *layers, flat, linear, network.head))


def replace_tail(network, layers):
    """A valid network that ends in ``layers``, a flattened map and a head."""
    size = {"average": 32, "maximum": 32}.get(getattr(layers[-1], "kind", None), 128)
    flat, head = Flatten("f", layers[-1].name), replace(network.head, source="f")
    return replace(network, layers=(*layers, flat, replace(head, weight=weights(np.random.default_rng(0), 4, size))))


def attention():
    rng = np.random.default_rng(0)
    return Attention("attention", "d", "d", "d", 2, Neuron(affine(rng, 8, 9001), 1, 2, "zero"), 1)


SMALL = small_network(2)
REFUSED = {
    "b: emits codes up to 3": with_layer(with_neuron(SMALL, "b", s_max=3), "b", skip=None),
    "c: resets by subtraction": with_neuron(SMALL, "c", reset_mode="subtract"),
    "d: starts with a charged membrane": with_neuron(SMALL, "d", initial_membrane=np.arange(8)),
    "b: .* no a residual that saturates at 1": with_layer(SMALL, "b", skip=Skip("a", "spike", s_max=1)),
    "b: .* no an IAND residual": with_layer(SMALL, "b", skip=Skip("a", "iand"), spike_bits=1),
    "pool: NIR has no maximum pool": inserted(Pool("pool", "d", "maximum", 2, 2)),
    "pool: NIR has no average": inserted(Pool("pool", "d", "average", 2, 2)),
    "steps: NIR has no Steps": inserted(Steps("steps", "d", 10)),
    "attention: NIR has no Attention": inserted(attention()),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_nir_cannot_express_names_the_layer(message, tmp_path):
    with pytest.raises(NetworkError, match=message):
        export_nir(REFUSED[message], tmp_path / "net.nir")
    assert not (tmp_path / "net.nir").exists()


def test_subsampled_residual_is_refused(tmp_path):
    skip = Skip("c", "current", multiplier=np.full(8, 9), shift=np.zeros(8, int), stride=2)
    with pytest.raises(NetworkError, match="d: its residual .* subsampled"):
        export_nir(with_layer(SMALL, "d", skip=skip), tmp_path / "net.nir")
