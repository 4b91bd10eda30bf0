"""v == Vth, exactly: snnTorch and NIR fire above the threshold, SpikingJelly and the hardware when it is reached.

Files that the frameworks export have weights in eighths, inputs 0 or 1, thresholds 1: every membrane is exact in
float32 and in the integer neuron, and meets the threshold often. Graphs made by hand have thresholds that are no powers
of two: there the integer neuron rounds each current.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nir = pytest.importorskip("nir")
pytest.importorskip("nirtorch")

from pynq_qsnn.interop.nir_import import NirOptions, import_nir  # noqa: E402
from pynq_qsnn.reference import Reference  # noqa: E402

STEPS, INPUTS, NEURONS, FRAMES = 8, 12, 40, 200
BINARY_EVENTS = {"num_steps": STEPS, "events": True, "input_bits": 1}


def eighths(largest):
    """float32 [NEURONS, INPUTS], one weight of a row at least ``largest`` eighths."""
    rng = np.random.default_rng(1)
    weight = rng.integers(-3, 4, (NEURONS, INPUTS))
    weight[:, 0] = largest
    return (weight / 8).astype(np.float32)


def frames():
    """uint8 [FRAMES, T, INPUTS, 1, 1]."""
    return np.random.default_rng(0).integers(0, 2, (FRAMES, STEPS, INPUTS, 1, 1)).astype(np.uint8)


def integer_spikes(file, **options):
    """uint8 [T, FRAMES, NEURONS] of the first spiking layer."""
    network = import_nir(file, NirOptions(**BINARY_EVENTS, **options))
    trace = Reference().load(network).trace(frames())
    return trace[next(name for name in trace if name.startswith("linear"))][..., 0, 0]


def membranes(weight, keep, resets):
    """(spikes uint8 [T, FRAMES, NEURONS], how often v == Vth): the definition, in float64. resets(v, spike) -> v."""
    currents = np.moveaxis(frames()[..., 0, 0], 1, 0).astype(np.float64) @ weight.T.astype(np.float64)
    v, spikes, equal = np.zeros(currents.shape[1:]), [], 0
    for current in currents:
        v = keep * v + current
        equal += int(np.sum(v == 1))
        spikes.append(v > 1)
        v = resets(v, spikes[-1])
    return np.array(spikes, np.uint8), equal


def to_zero(v, spike):
    return np.where(spike, 0, v)


def subtracted(v, spike):
    return v - spike


@pytest.mark.parametrize("beta", [0.5, 0.75, 1.0])
def test_snntorch_hard_reset(beta, tmp_path):
    snn = pytest.importorskip("snntorch")
    file = tmp_path / "leaky.nir"
    net, spikes = snntorch_network(snn, eighths(5), beta, reset_mechanism="zero")
    export_snntorch(net, file)
    expected, equal = membranes(eighths(5), beta, to_zero)
    assert np.array_equal(spikes, expected) and equal > 1000
    assert np.array_equal(integer_spikes(file), spikes)
    assert not np.array_equal(integer_spikes(file, firing="reached"), spikes)  # the unit in the last place matters


@pytest.mark.parametrize("beta, delay", [(1.0, True), (0.5, False)])
def test_snntorch_soft_reset(beta, delay, tmp_path):
    """Its default. With a leak only reset_delay=False leaks what the reset left, and not what it took."""
    snn = pytest.importorskip("snntorch")
    file = tmp_path / "leaky.nir"
    weight = eighths(4)
    if beta < 1:  # small ones but the first: snnTorch undoes the reset of a membrane that stays above the threshold
        weight = np.where(np.arange(INPUTS) == 0, 0.625, weight / 4).astype(np.float32)
    net, spikes = snntorch_network(snn, weight, beta, reset_delay=delay)
    export_snntorch(net, file)
    expected, equal = membranes(weight, beta, subtracted)
    assert np.array_equal(spikes, expected) and equal > 100
    assert np.array_equal(integer_spikes(file, reset="subtract"), spikes)
    assert not np.array_equal(integer_spikes(file, reset="subtract", firing="reached"), spikes)


def snntorch_network(snn, weight, beta, **neuron):
    """(module, its spikes uint8 [T, FRAMES, NEURONS])."""
    linear = torch.nn.Linear(INPUTS, NEURONS, bias=False)
    linear.weight.data = torch.from_numpy(weight)
    # snnTorch exports the shapes that its parameters have: one value a neuron.
    parameters = {"beta": torch.full((NEURONS,), beta), "threshold": torch.ones(NEURONS)}
    net = torch.nn.Sequential(linear, snn.Leaky(**parameters, init_hidden=True, **neuron))
    steps = torch.from_numpy(np.moveaxis(frames()[..., 0, 0], 1, 0).astype(np.float32))
    with torch.no_grad():
        return net, np.array([net(step).numpy() for step in steps], np.uint8)


def export_snntorch(net, file):
    from snntorch.export_nir import export_to_nir

    nir.write(file, export_to_nir(net, torch.zeros(1, INPUTS), ignore_dims=[0]))


@pytest.mark.parametrize("kind", ["IF", "LIF", "LIF with decayed input"])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_spikingjelly(kind, reset, tmp_path):
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    file = tmp_path / "neuron.nir"
    linear, weight = layer.Linear(INPUTS, NEURONS, bias=False), eighths(5)
    linear.weight.data = torch.from_numpy(weight)
    if kind == "IF":
        node, keep = neuron.IFNode(v_reset=0.0), 1.0
    else:
        decays = kind != "LIF"
        node, keep = neuron.LIFNode(tau=2.0, decay_input=decays, v_reset=0.0), 0.5
        linear.weight.data *= 2 if decays else 1
    net = torch.nn.Sequential(linear, node)
    functional.set_step_mode(net, "m")
    steps = torch.from_numpy(np.moveaxis(frames()[..., 0, 0], 1, 0).astype(np.float32))
    export_to_nir(net, steps, save_path=file)  # refuses v_reset=None, the soft reset, so that it is chosen afterwards
    node.v_reset = None if reset == "subtract" else 0.0
    functional.reset_net(net)
    with torch.no_grad():
        spikes = net(steps).numpy().astype(np.uint8)
    assert not np.array_equal(spikes, membranes(weight, keep, to_zero if reset == "zero" else subtracted)[0])
    assert np.array_equal(integer_spikes(file, reset=reset, firing="reached"), spikes)
    assert not np.array_equal(integer_spikes(file, reset=reset), spikes)


@pytest.mark.parametrize("kind", ["IF", "LIF"])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("current", [1.0, np.float32(1 + 2**-16), np.float32(1 - 2**-16)])
def test_one_unit_around_the_threshold(kind, reset, current, tmp_path):
    """A single current that equals the threshold, and the next numbers that the neuron tells apart."""
    one = np.ones(1)
    node = nir.IF(one / 1e-4, one, 0 * one) if kind == "IF" else nir.LIF(2e-4 * one, 2 * one, 0 * one, one, 0 * one)
    graph = nir.NIRGraph.from_list(nir.Linear(np.array([[current]])), node)
    nir.write(tmp_path / "one.nir", graph)
    frame = np.ones((1, 1, 1, 1), np.uint8)
    for firing, expected in (("above", current > 1), ("reached", current >= 1)):
        options = NirOptions(num_steps=1, input_scale=1.0, reset=reset, firing=firing)
        trace = Reference().load(import_nir(tmp_path / "one.nir", options)).trace(frame)
        assert bool(trace["linear1"].item()) == expected


LONG, LARGEST_THRESHOLD, LARGEST_CURRENT = 12, 150, 40
KEEPS = {None: (1, 1), 1: (1, 2), 2: (3, 4), 3: (7, 8)}  # leak shift -> what the membrane keeps


def whole_membranes(currents, thresholds, leak, reset, firing):
    """(spikes uint8, (v - Vth) / Vth before the reset), [T, ...] each: the definition, in integers.

    currents: of each step.
    """
    kept, of = KEEPS[leak]
    one = of**LONG  # every membrane is a whole number of these
    v, threshold = np.zeros(np.broadcast_shapes(currents.shape, thresholds.shape), np.int64), thresholds * one
    spikes, distances = [], []
    for _ in range(LONG):
        v = v // of * kept + currents * one
        distances.append((v - threshold) / threshold)
        spike = v > threshold if firing == "above" else v >= threshold
        spikes.append(spike)
        v = np.where(spike, 0 if reset == "zero" else v - threshold, v)
    return np.array(spikes, np.uint8), np.array(distances)


@pytest.mark.parametrize("bias", [0, 1, -3])
@pytest.mark.parametrize("firing", ["above", "reached"])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("leak", KEEPS)
def test_thresholds_that_are_no_powers_of_two(leak, reset, firing, bias, tmp_path):
    """Every whole threshold with every whole current: 100 is met after ten steps of 10, 90 after three of 30.

    IF neurons fire as defined. With a leak membranes come closer to the threshold than the dead zone is wide: the first
    spike that differs is in it, and not at the threshold.
    """
    thresholds = np.arange(abs(bias) + 1, LARGEST_THRESHOLD + 1)
    one = np.ones(len(thresholds))
    if leak is None:
        node = nir.IF(1e4 * one, thresholds * one, 0 * one)
    else:
        node = nir.LIF(2**leak * 1e-4 * one, 2**leak * one, 0 * one, thresholds * one, 0 * one)
    nir.write(tmp_path / "net.nir", nir.NIRGraph.from_list(nir.Affine(one[:, None], bias * one), node))
    network = import_nir(tmp_path / "net.nir", NirOptions(num_steps=LONG, input_scale=1.0, reset=reset, firing=firing))
    currents = np.arange(1, LARGEST_CURRENT + 1)
    trace = Reference().load(network).trace(currents.astype(np.uint8).reshape(-1, 1, 1, 1))
    expected, distance = whole_membranes(currents[:, None] + bias, thresholds, leak, reset, firing)
    different = trace["linear1"][..., 0, 0] != expected
    assert np.sum(distance == 0) > 20
    if leak is None:
        assert not different.any()
    else:
        first = distance[different & (np.cumsum(different, axis=0) == 1)]
        side = first if firing == "above" else -first
        assert np.all((0 < side) & (side < 4 * 2**leak / 65536)) and len(first) < 0.05 * different[0].size


@pytest.mark.parametrize("firing", ["above", "reached"])
def test_a_rounded_residual_at_the_threshold(firing, tmp_path):
    """Two rounded currents a step, which meet the threshold in the third: it fires then, or in the fourth."""
    weights, residuals = (x.ravel() for x in np.meshgrid(np.arange(1, 21), np.arange(1, 21)))
    thresholds = 3 * (weights + residuals)
    one = np.ones(len(weights))
    nodes = {
        **{"input": nir.Input(np.array([1])), "spread": nir.Linear(one[:, None])},
        **{"fire": nir.IF(1e4 * one, 0.5 * one, 0 * one), "scale": nir.Scale(residuals * one)},
        **{"b": nir.Linear(np.diag(weights * one)), "if": nir.IF(1e4 * one, thresholds * one, 0 * one)},
        "output": nir.Output(np.array([len(one)])),
    }
    edges = [("input", "spread"), ("spread", "fire"), ("fire", "b"), ("fire", "scale"), ("b", "if"), ("scale", "if")]
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, [*edges, ("if", "output")]))
    network = import_nir(tmp_path / "net.nir", NirOptions(num_steps=4, input_scale=1.0, firing=firing))
    train = Reference().load(network).trace(np.ones((1, 1, 1, 1), np.uint8))["conv1"][:, 0, :, 0, 0]
    assert train.sum(axis=1).tolist() == ([0, 0, 0, len(one)] if firing == "above" else [0, 0, len(one), 0])
