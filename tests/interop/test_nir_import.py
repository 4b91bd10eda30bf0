"""NIR files that SpikingJelly and snnTorch export, and graphs made by hand, as integer networks."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nir = pytest.importorskip("nir")
pytest.importorskip("nirtorch")

from pynq_qsnn.errors import ConfigError, ModelFileError, NetworkError  # noqa: E402
from pynq_qsnn.interop.nir_import import NirOptions, import_nir  # noqa: E402
from pynq_qsnn.interop.weights import quantize_weight  # noqa: E402
from pynq_qsnn.network import Conv2d, Network  # noqa: E402
from pynq_qsnn.reference import Reference  # noqa: E402
from pynq_qsnn.runtime.simulator import Simulator  # noqa: E402

STEPS = 6


def save(graph, tmp_path):
    nir.write(tmp_path / "net.nir", graph)
    return tmp_path / "net.nir"


def lif(shape=(1,), tau=2.0, threshold=1.0, v_reset=0.0, v_leak=0.0, r=None, dt=1e-4):
    full = [np.full(shape, x) for x in (tau * dt, tau if r is None else r, v_leak, threshold, v_reset)]
    return nir.LIF(*full)


def spikes_of(network, frames):
    """Spike trains of the layers with neurons, in order."""
    trace = Reference().load(network).trace(frames)
    return [trace[layer.name] for layer in network.layers if hasattr(layer, "neuron")]


@pytest.fixture(scope="module")
def digits():
    """Digits uint8 [80, 1, 8, 8]."""
    pytest.importorskip("sklearn")
    from pynq_qsnn.data import load_dataset

    return load_dataset("digits", "test").images[:80]


class Residual(torch.nn.Module):
    """SEW's ADD: both readers of `a` see binary spikes, the second convolution's reader their sum."""

    def __init__(self, layer, neuron):
        super().__init__()
        self.conv1, self.fire1 = layer.Conv2d(1, 6, 3, padding=1), neuron()
        self.conv2, self.fire2 = layer.Conv2d(6, 6, 3, padding=1, bias=False), neuron()
        self.pool, self.flatten = layer.AvgPool2d(2, 2), layer.Flatten()
        self.linear, self.fire3, self.last = layer.Linear(96, 20), neuron(), layer.Linear(20, 10)

    def forward(self, x):
        a = self.fire1(self.conv1(x))
        a = self.pool(a + self.fire2(self.conv2(a)))
        return self.last(self.fire3(self.linear(self.flatten(a))))


def round_weights(net, bits):
    for module in net.modules():
        if hasattr(module, "weight"):
            rounded = quantize_weight(module.weight.detach().numpy(), bits, "layer")
            scale = rounded.scale.reshape(-1, *[1] * (module.weight.ndim - 1))
            module.weight.data = torch.from_numpy((rounded.integers * scale).astype(np.float32))


@pytest.mark.parametrize(
    "bits, trained_so, agreement", [(8, False, 0.95), (4, False, 0.8), (8, True, 0.9995), (2, True, 0.9995)]
)
@pytest.mark.parametrize("v_reset", [0.0, -0.1])
def test_spikingjelly_network(bits, trained_so, agreement, v_reset, digits, tmp_path):
    """trained_so: the weights lie on a grid already, as quantization-aware training leaves them."""
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    torch.manual_seed(0)
    net = Residual(layer, lambda: neuron.LIFNode(tau=2.0, decay_input=False, v_reset=v_reset, v_threshold=0.2)).eval()
    if trained_so:
        round_weights(net, bits)
    functional.set_step_mode(net, "m")
    images = torch.from_numpy(digits.astype(np.float32) / 255).expand(STEPS, *digits.shape)
    export_to_nir(net, images[:, :1], save_path=tmp_path / "net.nir")
    functional.reset_net(net)
    found, nodes = {}, [net.fire1, net.fire2, net.fire3]
    for index, node in enumerate(nodes):
        node.register_forward_hook(lambda module, inputs, output, index=index: found.update({index: output.numpy()}))
    with torch.no_grad():
        scores = net(images).mean(0).numpy()

    # Eight bits are allowed; a grid of fewer levels is found.
    options = NirOptions(num_steps=STEPS, weight_bits=8 if trained_so else bits, firing="reached")
    network = import_nir(tmp_path / "net.nir", options)
    assert network.num_steps == STEPS and network.frame_shape == (1, 8, 8)
    assert [layer.weight_bits for layer in network.layers if hasattr(layer, "weight")] == [bits] * 4
    first, second, third = spikes_of(network, digits)
    for expected, train in ((found[0], first), (found[0] + found[1], second), (found[2], third)):
        assert np.mean(train == expected.reshape(train.shape)) > agreement and expected.any()
    logits = Reference().load(network).run(digits)
    error = np.abs(logits * network.head.logit_scale - scores).mean() / np.abs(scores).mean()
    assert error < (1e-3 if trained_so else 2 * (1 - agreement))
    assert np.array_equal(Simulator().load(network).run(digits), logits)
    card = network.card
    assert card["imported_from"] == "net.nir" and len(card["sha256"]) == 64
    assert set(card["weight_error"]) == {"conv1", "conv2", "linear1", "head"}
    largest = 1e-6 if trained_so else {8: 0.01, 4: 0.15}[bits]
    assert all((trained_so or largest / 20 < error) and error < largest for error in card["weight_error"].values())
    network.save(tmp_path / "net.qsnn")
    assert Network.load(tmp_path / "net.qsnn").card == card


def test_snntorch_network_on_event_frames(tmp_path):
    snn = pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)

    def leaky(*shape):
        parameters = {"beta": torch.full(shape, 0.75), "threshold": torch.full(shape, 0.25)}
        return snn.Leaky(**parameters, init_hidden=True, reset_mechanism="zero")

    net = torch.nn.Sequential(
        *(torch.nn.Conv2d(2, 5, 3, stride=2), leaky(5, 4, 4), torch.nn.AvgPool2d(2), torch.nn.Flatten()),
        *(torch.nn.Linear(20, 7), leaky(7)),
    )
    nir.write(tmp_path / "net.nir", export_to_nir(net, torch.zeros(1, 2, 9, 9), ignore_dims=[0]))
    events = np.random.default_rng(0).integers(0, 4, (50, STEPS, 2, 9, 9)).astype(np.uint8)
    with torch.no_grad():
        expected = np.array([net(torch.from_numpy(events[:, t].astype(np.float32))).numpy() for t in range(STEPS)])
    network = import_nir(tmp_path / "net.nir", NirOptions(num_steps=STEPS, events=True, input_bits=2))
    assert network.frame_shape == (STEPS, 2, 9, 9) and network.input.s_max == 3
    last = spikes_of(network, events)[-1][..., 0, 0]
    assert np.mean(last == expected) > 0.98 and 0.05 < expected.mean() < 0.95
    # The network ends in spikes: a class scores the share of steps in which it fired.
    logits = Reference().load(network).run(events)
    assert np.allclose(logits * network.head.logit_scale, last.mean(axis=0))


def test_thresholds_and_scales_of_channels(tmp_path):
    """What differs between channels moves into the constants: Vth 1 and 2, a scale node, a constant current."""
    weight = np.array([[1.0], [1.0], [0.5]])
    node = nir.LIF(*(np.array(x) for x in ([2e-4] * 3, [2.0] * 3, [0, 0, 0.5], [1.0, 2.0, 1.0], [0.0] * 3)))
    graph = nir.NIRGraph.from_list(nir.Linear(weight), nir.Scale(np.array([1.0, 2.0, 1.0])), node)
    network = import_nir(save(graph, tmp_path), NirOptions(num_steps=4, input_scale=1.0, firing="reached"))
    (train,) = spikes_of(network, np.ones((1, 1, 1, 1), np.uint8))
    # Channels 0 and 1 are the same neuron in other units. Channel 2 charges 0.5 and leaks towards 0.5: 0.75, 1.125.
    assert train[:, 0, :, 0, 0].T.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 0, 1]]


def test_grouped_convolution_and_sum_pool(tmp_path):
    weight = np.ones((4, 1, 1, 1)) * np.array([1, -1, 2, 1])[:, None, None, None]
    conv = nir.Conv2d((4, 4), weight, 1, 0, 1, 4, np.zeros(4))
    nodes = {
        "input": nir.Input(np.array([4, 4, 4])),
        "conv": conv,
        "if": nir.IF(np.full((4, 4, 4), 1e4), np.full((4, 4, 4), 1.0)),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flatten": nir.Flatten(np.array([4, 2, 2]), 0),
        "output": nir.Output(np.array([16])),
    }
    edges = [(a, b) for a, b in zip(list(nodes), list(nodes)[1:])]
    file = save(nir.NIRGraph(nodes, edges, type_check=False), tmp_path)
    network = import_nir(file, NirOptions(num_steps=2, input_scale=1.0, firing="reached"))
    assert network.layers[0].groups == 4 and network.layers[0].weight_bits == 4
    scores = Reference().load(network).run(np.ones((1, 4, 4, 4), np.uint8)) * network.head.logit_scale
    assert scores.reshape(4, 4)[:, 0].tolist() == [4, 0, 4, 4]


def test_vectors_take_images_and_steps_come_from_the_options(tmp_path):
    graph = nir.NIRGraph.from_list(nir.Linear(np.eye(12)[:3]), lif((3,)), nir.Linear(np.ones((2, 3))))
    file = save(graph, tmp_path)
    with pytest.raises(ConfigError, match="how many steps"):
        import_nir(file)
    assert import_nir(file, NirOptions(num_steps=2)).frame_shape == (12, 1, 1)
    assert import_nir(file, NirOptions(num_steps=2, input_shape=(3, 2, 2))).frame_shape == (3, 2, 2)
    with pytest.raises(NetworkError, match="shape must fit"):
        import_nir(file, NirOptions(num_steps=2, input_shape=(3, 2, 3)))
    for wrong in ({"reset": "half"}, {"firing": "below"}, {"dt": 0.0}, {"input_bits": 3}, {"weight_bits": 3}):
        with pytest.raises(ConfigError):
            import_nir(file, NirOptions(num_steps=2, **wrong))
    with pytest.raises(NetworkError, match="num_steps"):
        import_nir(file, NirOptions(num_steps=999))


def chain(*nodes, shape=(1,)):
    return nir.NIRGraph.from_list(nir.Input(np.array(shape)), *nodes, type_check=False)


ONE = np.ones((1, 1))
REFUSED = {
    "keeps 0.9 .* train with 0.875": chain(nir.Linear(ONE), lif(tau=10)),
    "train with 0.5": chain(nir.Linear(ONE), lif(tau=1.2)),
    "the same in a layer": chain(
        nir.Linear(np.ones((2, 1))), nir.LIF(*map(np.array, ([2e-4, 4e-4], [2, 4], [0, 0], [1, 1])))
    ),
    "threshold 0.1 is not above v_reset 0.5": chain(nir.Linear(ONE), lif(threshold=0.1, v_reset=0.5)),
    "'cubalif' is a CubaLIF": chain(nir.Linear(ONE), nir.CubaLIF(*[np.ones(1)] * 5)),
    "'li' is a LI, .* known are": chain(nir.Linear(ONE), nir.LI(*[np.ones(1)] * 3)),
    "no neuron stands between": chain(nir.Linear(ONE), nir.Linear(ONE), lif()),
    "weights are not finite": chain(nir.Linear(ONE * np.inf), lif()),
    "weight is not a number": chain(nir.Linear(ONE * np.nan), lif()),
    "r is not a number": chain(nir.Linear(ONE), lif(r=np.nan)),
    "v_reset is infinite": chain(nir.Linear(ONE), lif(threshold=np.inf, v_reset=np.inf)),
    "do not fit a tensor": chain(nir.Linear(np.ones((2, 3))), lif((2,))),
    "v_reset of shape": chain(nir.Linear(ONE), lif((3,))),
    "differs between the pixels": chain(
        nir.Conv2d((2, 2), np.ones((1, 1, 1, 1)), 1, 0, 1, 1, np.zeros(1)),
        nir.IF(np.full((1, 2, 2), 1e4), np.arange(1.0, 5).reshape(1, 2, 2)),
        shape=(1, 2, 2),
    ),
    "must be square": chain(nir.Conv2d((4, 4), np.ones((1, 1, 3, 1)), 1, 0, 1, 1, np.zeros(1)), shape=(1, 4, 4)),
    "dilation": chain(nir.Conv2d((9, 9), np.ones((1, 1, 3, 3)), 1, 0, 2, 1, np.zeros(1)), shape=(1, 9, 9)),
    "window does not fit": chain(nir.Conv2d((2, 2), np.ones((1, 1, 3, 3)), 1, 0, 1, 1, np.zeros(1)), shape=(1, 2, 2)),
    "without a batch dimension": chain(nir.Linear(ONE), shape=(1, 1, 8, 8)),
    "classifier has one value a class": chain(nir.Scale(np.ones((1, 2, 2))), shape=(1, 2, 2)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_integer_form_is_named(message, tmp_path):
    with pytest.raises(NetworkError, match=message):
        import_nir(save(REFUSED[message], tmp_path), NirOptions(num_steps=2))


def test_soft_reset_has_no_v_reset(tmp_path):
    file = save(chain(nir.Linear(ONE), lif(v_reset=-0.5)), tmp_path)
    with pytest.raises(NetworkError, match="subtraction has none"):
        import_nir(file, NirOptions(num_steps=2, reset="subtract"))


def recurrent():
    nodes = {"input": nir.Input(np.array([1])), "w": nir.Linear(ONE), "lif": lif(), "output": nir.Output(np.array([1]))}
    edges = [("input", "w"), ("w", "lif"), ("lif", "w"), ("lif", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def test_recurrent_graphs_are_named(tmp_path):
    with pytest.raises(NetworkError, match="recurrent"):
        import_nir(save(recurrent(), tmp_path), NirOptions(num_steps=2))
    inner = chain(nir.Linear(ONE), nir.NIRGraph.from_list(lif(), type_check=False), nir.Linear(ONE))
    with pytest.raises(NetworkError, match="is a NIRGraph"):
        import_nir(save(inner, tmp_path), NirOptions(num_steps=2))


def test_edges_and_ends_that_are_missing(tmp_path):
    nodes = {"input": nir.Input(np.array([1])), "w": nir.Linear(ONE), "output": nir.Output(np.array([1]))}
    for edges, message in (
        ([("input", "w"), ("x", "output")], "names no node"),
        ([("input", "w"), ("w", "output"), ("w", "output")], "two edges 'w' -> 'output'"),
        ([("w", "output")], "'w': nothing leads to it"),
    ):
        with pytest.raises(NetworkError, match=message):
            import_nir(save(nir.NIRGraph(nodes, edges, type_check=False), tmp_path), NirOptions(num_steps=2))
    del nodes["output"]
    with pytest.raises(NetworkError, match="0 Output nodes"):
        import_nir(save(nir.NIRGraph(nodes, [("input", "w")], type_check=False), tmp_path), NirOptions(num_steps=2))


def test_two_sums_into_one_neuron(tmp_path):
    nodes = {
        **{"input": nir.Input(np.array([1])), "a": nir.Linear(ONE), "b": nir.Linear(ONE)},
        **{"lif": lif(), "output": nir.Output(np.array([1]))},
    }
    edges = [("input", "a"), ("input", "b"), ("a", "lif"), ("b", "lif"), ("lif", "output")]
    with pytest.raises(NetworkError, match="no neuron has read"):
        import_nir(save(nir.NIRGraph(nodes, edges), tmp_path), NirOptions(num_steps=2))


def test_a_residual_current(tmp_path):
    """Spikes that join the sums of a later layer: a skip of the current domain."""
    nodes = {
        **{"input": nir.Input(np.array([2])), "a": nir.Linear(np.eye(2)), "fire": lif((2,))},
        **{"b": nir.Linear(np.array([[0.25, 0], [0, 0.5]])), "scale": nir.Scale(np.array([0.5, 0.5]))},
        **{"lif": lif((2,)), "output": nir.Output(np.array([2]))},
    }
    edges = [("input", "a"), ("a", "fire"), ("fire", "b"), ("fire", "scale"), ("b", "lif"), ("scale", "lif")]
    file = save(nir.NIRGraph(nodes, [*edges, ("lif", "output")]), tmp_path)
    network = import_nir(file, NirOptions(num_steps=1, input_scale=1.0, firing="reached"))
    assert isinstance(network.layers[1], Conv2d) and network.layers[1].skip.domain == "current"
    first, second = spikes_of(network, np.ones((1, 2, 1, 1), np.uint8))
    assert first.ravel().tolist() == [1, 1] and second.ravel().tolist() == [0, 1]


DAMAGED = {
    "not HDF5": lambda content: b"not HDF5 " * 100,
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "a zip": lambda content: b"PK\x03\x04" + content,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files(damage, tmp_path):
    file = save(chain(nir.Linear(ONE), lif()), tmp_path)
    file.write_bytes(DAMAGED[damage](file.read_bytes()))
    with pytest.raises(ModelFileError, match="not a NIR file"):
        import_nir(file, NirOptions(num_steps=2))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ModelFileError, match="no file"):
        import_nir(tmp_path / "none.nir")
    with pytest.raises(ModelFileError, match="cannot be read"):
        import_nir(tmp_path)


def edited(tmp_path, edit):
    """A good file after ``edit`` of its HDF5 group of nodes."""
    h5py = pytest.importorskip("h5py")
    file = save(chain(nir.Linear(ONE), lif()), tmp_path)
    with h5py.File(file, "a") as content:
        edit(content["node/nodes"], h5py)
    return file


def remove_weights(nodes, h5py):
    del nodes["linear/weight"]


def claim_a_huge_weight(nodes, h5py):
    del nodes["linear/weight"]
    nodes["linear"].create_dataset("weight", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1024, 1024))


def link_elsewhere(nodes, h5py):
    del nodes["linear/weight"]
    nodes["linear/weight"] = h5py.ExternalLink("/etc/passwd", "/")


def store_elsewhere(nodes, h5py):
    del nodes["linear/weight"]
    nodes["linear"].create_dataset("weight", shape=(1, 1), dtype="u1", external=[("/etc/passwd", 0, 1)])


def unknown_kind(nodes, h5py):
    del nodes["lif/type"]
    nodes["lif/type"] = "Quantum"


def text_for_numbers(nodes, h5py):
    del nodes["lif/tau"]
    nodes["lif/tau"] = "fast"


def a_group_inside_itself(nodes, h5py):
    nodes["linear/again"] = nodes["linear"]


def no_shape(nodes, h5py):
    del nodes["input/shape"]
    nodes["input/shape"] = [np.nan]


def a_huge_frame(nodes, h5py):
    del nodes["input/shape"]
    nodes["input/shape"] = [1 << 20, 1 << 20, 1 << 20]


def steps_of_text(nodes, h5py):
    nodes.parent["metadata/pynq_qsnn/input_bits"] = "many"


def no_whole_shape(nodes, h5py):
    del nodes["input/shape"]
    nodes["input/shape"] = [1.5]


@pytest.mark.parametrize(
    "edit, message",
    [
        (remove_weights, "not a NIR file"),
        (claim_a_huge_weight, "unpacks to more than"),
        (link_elsewhere, "is a link"),
        (store_elsewhere, "lies in another file"),
        (unknown_kind, "not a NIR file"),
        (text_for_numbers, "not a NIR file"),
        (a_group_inside_itself, "not a NIR file"),
        (no_shape, "shape is nan, must be a number"),
        (no_whole_shape, "shape is 1.5, must be a whole number"),
        (a_huge_frame, "codes, limit"),
        (steps_of_text, "input_bits is .*, must be a number"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_hostile_files(edit, message, tmp_path):
    with pytest.raises((ModelFileError, NetworkError), match=message):
        import_nir(edited(tmp_path, edit), NirOptions(num_steps=2))


@pytest.mark.parametrize(
    "name, value",
    [("num_steps", 2.5), ("num_steps", True), ("events", 0.5), ("input_bits", 4.5), ("s_max", 3.5), ("s_max", True)],
)
def test_metadata_that_must_be_whole(name, value, tmp_path):
    def edit(nodes, h5py):
        nodes.parent[f"metadata/pynq_qsnn/{name}"] = value

    with pytest.raises(ModelFileError, match=f"{name} is .*{value}.*, must be a whole number"):
        import_nir(edited(tmp_path, edit), NirOptions(num_steps=None if name == "num_steps" else 2))
