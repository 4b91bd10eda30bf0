"""The words of a program: run by an interpreter of the contract, and read back field by field."""

import dataclasses

import numpy as np
import pytest
from builders import CONFIG, CONFIGS, affine, conv, head, image, random_program
from program_interpreter import Interpreter
from random_networks import random_frames, random_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import CapacityError
from pynq_qsnn.hwspec import MODES, OPCODES, PROGRAM_HEADER, PROGRAM_MAGIC, SPEC_VERSION, record_words
from pynq_qsnn.network import INPUT, Conv2d, Flatten, Head, Linear, Network, Pool, TensorType
from pynq_qsnn.neuron import Affine, Neuron
from pynq_qsnn.packing import bank_words, frame_tensor, result_beats, unpack_record
from pynq_qsnn.reference import Reference

OPCODE_NAMES = {number: name for name, (number, _) in OPCODES.items()}
SEEDS = range(30)


def runs_as_the_reference(network, config, frames, seed=0):
    """Compile, interpret on noise-filled memories, compare; returns the program."""
    program = compile_network(network, config)
    interpreter = Interpreter(program, config, seed)
    assert np.array_equal(interpreter.run(frames), Reference().load(network).run(frames))
    assert interpreter.executed == program.executions(len(frames))
    return program


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_programs_compute_what_the_reference_does(seed, config):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    runs_as_the_reference(network, config, random_frames(rng, network, 5), seed)


@pytest.mark.parametrize("words", [30, 60])
def test_bands_through_the_spill_memory_compute_the_same(words):
    """Too little memory for whole maps: rows in bands, chains of layers, and a frame that is spilled itself."""
    config = dataclasses.replace(CONFIG, name="tight", activation_bank_words=words)
    banded = refused = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        try:
            program = runs_as_the_reference(network, config, random_frames(rng, network, 3), seed)
            banded += program.spill_words > 0
        except CapacityError:
            refused += 1
    assert banded >= 5 and refused <= 15


def test_every_mode_is_chosen_where_it_is_the_fastest():
    def program_mode(weight_bits, spike_bits, steps, channels=64):
        rng = np.random.default_rng(0)
        size = TensorType((channels, 16, 16), spike_bits, steps, 2**spike_bits - 1)
        layer = conv("conv", INPUT, (128, channels, 3, 3), bits=weight_bits, rng=rng)
        rest = (Pool("p", "conv", "maximum", 8, 8), Flatten("f", "p"), head("f", 512))
        return compile_network(Network("n", size, steps, (layer, *rest))).steps[1].mode

    assert program_mode(8, 1, 4) == program_mode(8, 2, 2) == program_mode(8, 1, 16) == "MUX_ADD"
    assert program_mode(8, 8, 2) == program_mode(8, 4, 1) == "MULTIPLY8"
    assert program_mode(4, 4, 2) == program_mode(4, 4, 1) == "MULTIPLY4"
    assert program_mode(4, 1, 4) == "MUX_ADD"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_header_instructions_and_end(seed, config):
    program = random_program(seed, config)
    header = unpack_record(PROGRAM_HEADER, program.code[: record_words(PROGRAM_HEADER)])
    expected = {"magic": PROGRAM_MAGIC, "version": SPEC_VERSION, "fingerprint": config.fingerprint64}
    expected.update(split=program.split, group_frames=program.group_frames, weights_stay=header["weights_stay"])
    assert header == expected and 1 <= program.split <= program.num_instructions
    assert program.fingerprint == config.fingerprint
    opcodes = [OPCODE_NAMES[program.instruction(i)["opcode"]] for i in range(program.num_instructions + 1)]
    assert opcodes[0] == "RECEIVE" and opcodes[-1] == "END" and "END" not in opcodes[:-1]
    assert [step.opcode for step in program.steps] == opcodes[:-1]
    assert program.frame_beats == bank_words(frame_tensor(program.network), config) * config.activation_banks
    assert program.result_beats == result_beats(len(program.network.head.weight))
    assert all(step.predicted_cycles > 0 for step in program.steps)
    assert program.predicted_cycles == sum(step.predicted_cycles for step in program.steps)
    heads = [i for i in range(program.num_instructions) if program.instruction(i)["head"]]
    assert heads and heads[-1] == program.num_instructions - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_fields_say_what_the_layer_is(seed):
    program = random_program(seed)
    network, layers = program.network, {layer.name: layer for layer in program.network.layers}
    for index, step in enumerate(program.steps[1:], start=1):
        fields, layer = program.instruction(index), layers[step.layer]
        assert fields["input_train_words"] * 8 >= fields["input_bits"] * fields["input_steps"]
        if step.opcode == "CONVOLVE":
            assert fields["num_steps"] == network.num_steps
            assert 0 < fields["block_quadruples"] * fields["chunks"] <= CONFIG.block_groups
            nibbles = -(-fields["input_steps"] * fields["input_bits"] // 4)
            in_planes = fields["mode"] == MODES["MUX_ADD"][0]
            assert fields["chunks"] == (nibbles if in_planes else fields["input_steps"])
        if isinstance(layer, Conv2d | Linear):
            assert fields["s_max"] == layer.neuron.s_max
            assert fields["leak_enable"] == (layer.neuron.leak_shift is not None)
            assert fields["reset_mode"] == (layer.neuron.reset_mode == "zero")
            if step.tensor:
                made = network.tensors[step.tensor].shape[1:]
                scale = 2 if fields["pooled"] else 1
                assert (fields["output_height"] // scale, fields["stored_width"]) == made
        if isinstance(layer, Head):
            assert fields["head"] and fields["num_classes"] == len(layer.weight)


@pytest.mark.parametrize("seed", SEEDS)
def test_macs_are_those_of_the_layers(seed):
    """Of what is computed: a fused pool drops the odd row before it costs anything."""
    program = random_program(seed)
    network = program.network
    pools = {layer.source: layer for layer in network.layers if isinstance(layer, Pool)}
    for layer in network.layers:
        if isinstance(layer, Pool | Flatten):
            continue
        made, source = network.tensors[layer.name], network.tensors[layer.source]
        rows = made.shape[1]
        if any(
            s.layer == layer.name and s.tensor in (pools[layer.name].name,)
            for s in program.steps
            if layer.name in pools
        ):
            rows -= rows % 2
        expected = made.shape[0] * rows * made.shape[2] * int(np.prod(layer.weight.shape[1:])) * source.num_steps
        assert sum(step.macs for step in program.steps if step.layer == layer.name) == expected


@pytest.mark.parametrize(
    "groups, per_group_out, per_group_in", [(1, 70, 40), (64, 1, 1), (40, 2, 1), (3, 17, 11), (2, 48, 33)]
)
def test_grouped_tile_runs(groups, per_group_out, per_group_in):
    """A grouped layer becomes runs of output tiles that share their input tiles; together they cover each tile once."""
    channels_out, channels_in = groups * per_group_out, groups * per_group_in
    layer = conv("conv", INPUT, (channels_out, per_group_in, 3, 3), bits=1, groups=groups)
    network = Network(
        "grouped", image(channels_in, 4), 1, (layer, Pool("p", "conv", "maximum", 4, 4), head("p", channels_out))
    )
    program = compile_network(network)
    fields = [program.instruction(i) for i, step in enumerate(program.steps) if step.layer == "conv"]
    tiles = [t for f in fields for t in range(f["output_first_tile"], f["output_first_tile"] + f["output_tiles"])]
    assert tiles == list(range(-(-channels_out // CONFIG.output_lanes)))
    # A run ends only where the next output tile reads other input tiles.
    assert all(
        (a["input_first_tile"], a["input_tiles"]) != (b["input_first_tile"], b["input_tiles"])
        for a, b in zip(fields, fields[1:])
    )
    # Zeros between groups need two bits; an ungrouped 1-bit layer keeps one.
    assert {f["storage_bits"] for f in fields} == {1 if groups == 1 else 2}
    if groups == channels_in == channels_out:
        assert all(f["input_tiles"] == CONFIG.output_lanes // CONFIG.input_lanes for f in fields)


def test_a_kernel_of_the_whole_map_replaces_flatten():
    rng = np.random.default_rng(1)
    weight = rng.integers(-9, 9, (5, 3 * 4 * 2), dtype=np.int8)
    linear = Linear("linear", "flat", weight, 8, Neuron(affine(5), 3), 2)
    network = Network("flat", image(3, 4, 2), 1, (Flatten("flat", INPUT), linear, head("linear", 5)))
    fields = compile_network(network).instruction(1)
    assert (fields["kernel_height"], fields["kernel_width"], fields["quadruples"]) == (4, 2, 1)
    assert [step.layer for step in compile_network(network).steps] == [INPUT, "linear", "head"]


def test_compiling_twice_gives_the_same_words():
    one, two = random_program(3), random_program(3)
    assert np.array_equal(one.code, two.code) and np.array_equal(one.weights, two.weights)


def _flat_convolution(kernel: int, padding: int = 0) -> Network:
    """4x2x2 -> Flatten -> convolution of 16 channels -> head."""
    rng = np.random.default_rng(3)

    def affine(channels):
        return Affine(rng.integers(2000, 4000, channels), np.full(channels, 4), np.zeros(channels, np.int64))

    def weight(*shape):
        return rng.integers(-127, 128, shape).astype(np.int8)

    conv = Conv2d("conv", "flat", weight(16, 16, kernel, kernel), 8, Neuron(affine(16), s_max=3), 2, padding=padding)
    head = Head("head", "conv", weight(10, 16), 8, affine(10))
    return Network("flat", TensorType((4, 2, 2), 8, 1, 255), 1, (Flatten("flat", INPUT), conv, head))


def test_a_convolution_of_a_flattened_map_is_right_or_refused():
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 2, 2), dtype=np.uint8)
    runs_as_the_reference(_flat_convolution(1), CONFIG, frames)
    with pytest.raises(CapacityError, match="conv: .*flattened map"):
        compile_network(_flat_convolution(3, padding=1))
