"""The compiler: memory, weights and instructions read back from the words, capacity errors, packing, program files."""

import dataclasses
import json

import numpy as np
import pytest
from random_networks import Limits, random_frames, random_network

from pynq_qsnn import container
from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import CapacityError, ModelFileError, SpecMismatch
from pynq_qsnn.hwspec import (
    CHANNEL_PARAMETERS,
    CODE_BITS,
    OPCODES,
    PROGRAM_HEADER,
    PROGRAM_MAGIC,
    SPEC_VERSION,
    load_config,
    record_words,
)
from pynq_qsnn.network import INPUT, Conv2d, Flatten, Head, Linear, Network, Pool, Skip, TensorType
from pynq_qsnn.neuron import Affine, Neuron
from pynq_qsnn.packing import (
    WORD_BYTES,
    bank_words,
    pack_frames,
    pack_trains,
    pack_weight_tiles,
    result_beats,
    train_words,
    unpack_record,
    unpack_results,
    unpack_trains,
)
from pynq_qsnn.program import Program
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.csim import CsimExecutor

CONFIG = load_config()
SMALL = dataclasses.replace(CONFIG, name="small", output_lanes=16, slots=2, activation_banks=2)
CONFIGS = {"kv260": CONFIG, "small": SMALL}
OPCODE_NAMES = {number: name for name, (number, _) in OPCODES.items()}
SEEDS = range(30)


def affine(channels) -> Affine:
    return Affine(np.full(channels, 1000), np.full(channels, 4), np.zeros(channels, int))


def conv(name, source, shape, bits=8, groups=1, padding=1, stride=1, skip=None, rng=None) -> Conv2d:
    rng = rng or np.random.default_rng(0)
    weight = rng.choice(np.array((-1, 1), np.int8), shape)
    return Conv2d(name, source, weight, bits, Neuron(affine(shape[0]), 15), 4, stride, padding, groups, skip)


def head(source, channels, classes=10) -> Head:
    return Head("head", source, np.ones((classes, channels), np.int8), 8, affine(classes))


def image(channels, height, width=None) -> TensorType:
    return TensorType((channels, height, width or height), 8, 1, 255)


def random_program(seed, config=CONFIG) -> Program:
    return compile_network(random_network(np.random.default_rng(seed), Limits(max_channels=70)), config)


def physical_sources(network: Network) -> dict[str, str]:
    """Tensor name -> name of the tensor that holds its bytes: a Flatten moves nothing."""
    held = {INPUT: INPUT}
    for layer in network.layers:
        held[layer.name] = held[layer.source] if isinstance(layer, Flatten) else layer.name
    return held


# ---- the program, read back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_header_instructions_and_end(seed, config):
    program = random_program(seed, config)
    header = unpack_record(PROGRAM_HEADER, program.code[: record_words(PROGRAM_HEADER)])
    assert header == {"magic": PROGRAM_MAGIC, "version": SPEC_VERSION, "fingerprint": config.fingerprint64}
    assert program.fingerprint == config.fingerprint
    opcodes = [OPCODE_NAMES[program.instruction(i)["opcode"]] for i in range(program.num_instructions + 1)]
    assert opcodes[0] == "RECEIVE" and opcodes[-1] == "END" and "END" not in opcodes[:-1]
    assert [step.opcode for step in program.steps] == opcodes[:-1]
    assert program.frame_beats == bank_words(program.network.input, config) * config.activation_banks
    assert program.result_beats == result_beats(len(program.network.head.weight))
    assert all(step.predicted_cycles > 0 for step in program.steps)
    assert program.predicted_cycles == sum(step.predicted_cycles for step in program.steps)
    heads = [i for i in range(program.num_instructions) if program.instruction(i)["head"]]
    assert heads and heads[-1] == program.num_instructions - 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_tensors_never_overlap_while_live(seed, config):
    """Play the program on a memory that knows each word's owner: every read finds the tensor that it means."""
    program = random_program(seed, config)
    network, held = program.network, physical_sources(program.network)
    owner = np.full(config.activation_bank_words, "", object)
    layers = {layer.name: layer for layer in network.layers}

    def words(prefix, fields):
        count = fields[f"{prefix}_height"] * fields[f"{prefix}_column_groups"] * fields[f"{prefix}_channel_tiles"]
        base = fields[f"{prefix}_base"]
        assert base + count * fields[f"{prefix}_train_words"] <= config.activation_bank_words
        return slice(base, base + count * fields[f"{prefix}_train_words"])

    for index, step in enumerate(program.steps):
        fields = program.instruction(index)
        if step.opcode == "RECEIVE":
            size = fields["receive_words"] // config.activation_banks
            assert size == bank_words(network.input, config)
            owner[fields["output_base"] : fields["output_base"] + size] = INPUT
            continue
        layer = layers[step.layer]
        source = held[layer.source]
        read = words("input", fields)
        assert read.stop - read.start == bank_words(network.tensors[source], config)
        assert set(owner[read]) == {source}, f"{step.layer} reads {source}, overwritten by {set(owner[read])}"
        skip = getattr(layer, "skip", None)
        if skip is not None:
            assert set(owner[words("skip", fields)]) == {held[skip.source]}
        if not isinstance(layer, Head):
            written = words("output", fields)
            assert written.stop - written.start == bank_words(network.tensors[layer.name], config)
            owner[written] = layer.name
            assert set(owner[read]) == {source}, f"{step.layer} overwrites its own input"


def decode_tiles(program: Program, fields: dict[str, int], config) -> tuple[np.ndarray, np.ndarray]:
    """Parameter records [channels of the tiles] (as dicts) and weights [rows, lanes of the input tiles, kh, kw]."""
    lanes, rows = config.input_lanes, config.output_lanes
    kh, kw, bits = fields["kernel_height"], fields["kernel_width"], fields["storage_bits"]
    words = program.weights[fields["weight_offset"] : fields["weight_offset"] + fields["weight_words"]]
    channels = fields["output_tiles"] * rows
    parameters = [unpack_record(CHANNEL_PARAMETERS, words[c : c + 1]) for c in range(channels)]
    stream = np.unpackbits(words[channels:].reshape(-1), bitorder="little")
    tile_bits = fields["output_tiles"] * kh * kw * fields["input_tiles"] * rows * lanes * bits
    assert len(stream) == -(-tile_bits // 128) * 128
    codes = stream[:tile_bits].reshape(-1, bits).astype(np.int64) @ (1 << np.arange(bits))
    values = codes * 2 - 1 if bits == 1 else np.where(codes >> (bits - 1), codes - (1 << bits), codes)
    tiles = values.reshape(fields["output_tiles"], kh, kw, fields["input_tiles"], rows, lanes)
    return parameters, tiles.transpose(0, 4, 3, 5, 1, 2).reshape(channels, -1, kh, kw)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_weights_and_parameters_read_back_from_the_words(seed, config):
    """Every weight of every layer stands once where its output and input channel say; all others are without effect."""
    program = random_program(seed, config)
    network, held = program.network, physical_sources(program.network)
    layers, used = {layer.name: layer for layer in network.layers}, 0
    done: dict[str, list[int]] = {}
    for index, step in enumerate(program.steps):
        if step.opcode != "CONVOLVE":
            continue
        fields, layer = program.instruction(index), layers[step.layer]
        assert fields["weight_offset"] == used
        used += fields["weight_words"]
        parameters, tiles = decode_tiles(program, fields, config)
        shape = network.tensors[held[layer.source]].shape
        groups = getattr(layer, "groups", 1)
        weight = layer.weight if isinstance(layer, Conv2d) else layer.weight.reshape(-1, *shape)
        full = np.zeros((len(weight), shape[0], *weight.shape[2:]), np.int64)
        for c in range(len(weight)):
            start = c // (len(weight) // groups) * weight.shape[1]
            full[c, start : start + weight.shape[1]] = weight[c]
        first_channel = fields["output_first_tile"] * config.output_lanes
        first_input = fields["input_first_tile"] * config.input_lanes
        lanes = slice(first_input, min(first_input + tiles.shape[1], shape[0]))
        constants = layer.affine if isinstance(layer, Head) else layer.neuron.affine
        for row, record in enumerate(parameters):
            channel = first_channel + row
            if channel >= len(weight):
                # A lane without channel: no current and no start, so it never fires and its codes stay zero.
                assert not any(record.values())
                continue
            done.setdefault(layer.name, []).append(channel)
            assert np.array_equal(tiles[row, : lanes.stop - first_input], full[channel, lanes])
            outside = np.delete(full[channel], np.arange(lanes.start, lanes.stop), axis=0)
            assert not outside.any(), f"{layer.name}: channel {channel} reads input channels that are not fetched"
            assert record["multiplier"] == constants.multiplier[channel] % (1 << 18)
            assert record["shift"] == constants.shift[channel]
            assert record["bias"] == constants.bias[channel] % (1 << 32)
            if not isinstance(layer, Head):
                assert record["initial_membrane"] == layer.neuron.initial_membrane[channel] % (1 << 32)
            skip = getattr(layer, "skip", None)
            if skip is not None and skip.domain == "current":
                assert record["skip_multiplier"] == skip.multiplier[channel] % (1 << 18)
                assert record["skip_shift"] == skip.shift[channel]
    assert used == len(program.weights)
    for name, channels in done.items():
        assert channels == list(range(len(layers[name].weight)))


@pytest.mark.parametrize("seed", SEEDS)
def test_fields_say_what_the_layer_is(seed):
    program = random_program(seed)
    network, layers = program.network, {layer.name: layer for layer in program.network.layers}
    for index, step in enumerate(program.steps[1:], start=1):
        fields, layer = program.instruction(index), layers[step.layer]
        held = network.tensors[physical_sources(network)[layer.source]]
        assert (fields["input_height"], fields["input_width"]) == held.shape[1:]
        assert fields["input_bits"] == held.bits and fields["input_steps"] == held.num_steps
        assert fields["input_train_words"] * 8 >= held.bits * held.num_steps > (fields["input_train_words"] - 1) * 8
        if step.opcode == "CONVOLVE":
            assert fields["num_steps"] == network.num_steps
            assert 0 < fields["block_quadruples"] * fields["input_steps"] <= CONFIG.block_groups
            whole = fields["block_quadruples"] * (fields["blocks"] - 1)
            assert whole < fields["quadruples"] <= whole + fields["block_quadruples"]
            tile = fields["output_tiles"] * fields["kernel_height"] * fields["kernel_width"] * fields["input_tiles"]
            fits = tile * CONFIG.weight_tile_beats <= CONFIG.weight_buffer_words
            assert fields["weight_resident"] == fits
        if isinstance(layer, Conv2d | Linear):
            assert fields["s_max"] == layer.neuron.s_max
            assert fields["leak_enable"] == (layer.neuron.leak_shift is not None)
            assert fields["reset_mode"] == (layer.neuron.reset_mode == "zero")
            assert (fields["output_height"], fields["output_width"]) == network.tensors[layer.name].shape[1:]
        if isinstance(layer, Head):
            assert fields["head"] and fields["num_classes"] == len(layer.weight)


@pytest.mark.parametrize("seed", SEEDS)
def test_macs_are_those_of_the_layers(seed):
    program = random_program(seed)
    network = program.network
    for layer in network.layers:
        if isinstance(layer, Pool | Flatten):
            continue
        made, source = network.tensors[layer.name], network.tensors[layer.source]
        expected = int(np.prod(made.shape)) * int(np.prod(layer.weight.shape[1:])) * source.num_steps
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


# ---- capacity -----------------------------------------------------------------------------------------------------


def wide(num_steps, height, channels, *layers) -> Network:
    """Large maps; a pool makes them small enough for the head's window."""
    pool = Pool("p", layers[-1].name, "maximum", 10, 10)
    ending = (pool, Flatten("f", "p"), head("f", channels * (height // 10) ** 2))
    return Network("wide", image(2, height), num_steps, (*layers, *ending))


@pytest.mark.parametrize(
    "build, match",
    [
        (
            lambda: wide(33, 10, 8, conv("conv", INPUT, (8, 2, 3, 3))),
            "T = 33, overlay kv260 runs at most 32 steps",
        ),
        (
            lambda: Network("long", image(1, 17), 1, (Flatten("f", INPUT), head("f", 289))),
            "head: a 17x17 window; the overlay's largest is 16. Pool before flattening",
        ),
        (
            lambda: Network(
                "broad", image(1, 1), 1, (conv("conv", INPUT, (2049, 1, 1, 1), padding=0), head("conv", 2049))
            ),
            "conv: .* channels take 2080 lanes, the overlay holds 2048",
        ),
        (
            lambda: Network("frame", image(16, 182), 1, (Pool("p", INPUT, "maximum", 182, 182), head("p", 16))),
            r"input: 8372 activation words a bank for shape \(16, 182, 182\), T = 1, 8 bits; 0 of 8192 are in use",
        ),
        (
            lambda: wide(8, 100, 16, conv("conv", INPUT, (16, 2, 3, 3))),
            r"conv: 10000 activation words a bank for shape \(16, 100, 100\), T = 8, 4 bits; 2500 of 8192 are in use",
        ),
        (
            lambda: Network("pool", image(1, 20), 1, (Pool("p", INPUT, "maximum", 17, 17), head("p", 1))),
            "p: window 17, stride 17; the overlay pools windows up to 16 with strides below 16",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_numbers(build, match):
    with pytest.raises(CapacityError, match=match):
        compile_network(build())


def test_the_last_word_of_the_memory_is_used():
    network = wide(1, 90, 16, conv("conv", INPUT, (16, 2, 3, 3)))
    words = bank_words(network.input, CONFIG) + bank_words(network.tensors["conv"], CONFIG)
    exact = dataclasses.replace(CONFIG, activation_bank_words=words)
    compile_network(network, exact)
    with pytest.raises(CapacityError, match=f"of {words - 1} are in use"):
        compile_network(network, dataclasses.replace(CONFIG, activation_bank_words=words - 1))


def test_dead_tensors_give_their_place_back():
    deep = [conv("c0", INPUT, (16, 2, 3, 3))] + [conv(f"c{i}", f"c{i - 1}", (16, 16, 3, 3)) for i in range(1, 9)]
    network = wide(1, 90, 16, *deep)
    program = compile_network(network)  # nine maps of 2070 words in 8192
    assert len({program.instruction(i)["output_base"] for i in range(1, 10)}) < 5
    # A residual keeps its source alive over all layers between.
    kept = dataclasses.replace(deep[-1], skip=Skip("c0", "spike", 15))
    bases = [compile_network(wide(1, 90, 16, *deep[:-1], kept)).instruction(i)["output_base"] for i in range(1, 9)]
    assert bases.count(bases[0]) == 1


# ---- packing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", CODE_BITS)
@pytest.mark.parametrize("num_steps", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("shape", [(1, 1, 1), (16, 3, 4), (17, 2, 5), (33, 1, 9)])
def test_trains_round_trip_and_lie_where_the_contract_says(bits, num_steps, shape):
    rng = np.random.default_rng(bits * num_steps)
    tensor = TensorType(shape, bits, num_steps, 2**bits - 1)
    codes = rng.integers(0, 2**bits, (2, num_steps, *shape), dtype=np.uint8)
    for config in CONFIGS.values():
        words = pack_trains(codes, tensor, config)
        assert words.shape == (2, bank_words(tensor, config), config.activation_banks, WORD_BYTES)
        assert np.array_equal(unpack_trains(words, tensor, config), codes)
        banks, per_word = config.activation_banks, train_words(tensor)
        tiles, columns = -(-shape[0] // 16), -(-shape[2] // banks)
        for _ in range(10):  # the address formula of hwspec's docstring
            n, t, c, row, col = (int(rng.integers(size)) for size in codes.shape)
            w, slot = divmod(t * bits, 8)
            address = ((row * columns + col // banks) * tiles + c // 16) * per_word + w
            byte = words[n, address, col % banks, c % 16]
            assert byte >> slot & (1 << bits) - 1 == codes[n, t, c, row, col]
        # What no code fills is zero.
        assert words.astype(np.int64).sum() == sum(
            int(codes[:, t].astype(np.int64).sum()) << t * bits % 8 for t in range(num_steps)
        )


@pytest.mark.parametrize("bits", CODE_BITS)
def test_weight_tiles_pack_from_bit_0(bits):
    rng = np.random.default_rng(bits)
    low, high = {1: (-1, 1), 2: (-2, 1), 4: (-8, 7), 8: (-127, 127)}[bits]
    tiles = rng.integers(low, high + 1, (3, 32, 16), dtype=np.int8)
    tiles[tiles == 0] = 1 if bits == 1 else 0
    words = pack_weight_tiles(tiles, bits)
    assert words.shape == (3 * 32 * 16 * bits // 128, WORD_BYTES)
    number = int.from_bytes(words.tobytes(), "little")
    for index, value in enumerate(tiles.reshape(-1).tolist()):
        code = number >> index * bits & (1 << bits) - 1
        assert code == (int(value > 0) if bits == 1 else value % (1 << bits))


@pytest.mark.parametrize("seed", range(10))
def test_frames_become_beats(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, Limits(max_layers=1))
    frames = random_frames(rng, network, 3)
    beats = pack_frames(frames, network, CONFIG)
    assert beats.shape == (3, compile_network(network).frame_beats, WORD_BYTES)
    assert beats.flags.c_contiguous and beats.dtype == np.uint8
    codes = unpack_trains(beats, network.input, CONFIG)
    assert np.array_equal(codes[:, 0] if frames.ndim == 4 else codes, frames)


@pytest.mark.parametrize("classes", [1, 3, 4, 5, 100])
def test_results_unpack(classes):
    rng = np.random.default_rng(classes)
    network = Network("n", image(1, 1), 1, (head(INPUT, 1, classes),))
    logits = rng.integers(-(1 << 31), 1 << 31, (4, classes))
    beats = np.zeros((4, result_beats(classes) * 4), "<i4")
    beats[:, :classes] = logits
    found = unpack_results(beats.view(np.uint8).reshape(4, -1, WORD_BYTES), network)
    assert found.dtype == np.int32 and np.array_equal(found, logits)


# ---- program files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_program_files_round_trip(seed, tmp_path):
    program = random_program(seed)
    program.save(tmp_path / "p.qprog")
    loaded = Program.load(tmp_path / "p.qprog")
    assert container.kind(tmp_path / "p.qprog") == "program"
    assert np.array_equal(loaded.code, program.code) and np.array_equal(loaded.weights, program.weights)
    assert loaded.steps == program.steps and loaded.fingerprint == program.fingerprint
    assert (loaded.frame_beats, loaded.result_beats) == (program.frame_beats, program.result_beats)
    again = compile_network(loaded.network)
    assert np.array_equal(again.code, program.code) and np.array_equal(again.weights, program.weights)


def test_truncated_program_files(tmp_path):
    random_program(0).save(tmp_path / "p.qprog")
    data = (tmp_path / "p.qprog").read_bytes()
    for length in {*range(0, len(data), 997), len(data) - 1}:
        (tmp_path / "cut.qprog").write_bytes(data[:length])
        with pytest.raises(ModelFileError, match="cut.qprog"):
            Program.load(tmp_path / "cut.qprog")


def test_a_network_file_is_no_program_and_the_reverse(tmp_path):
    program = random_program(0)
    program.save(tmp_path / "p.qprog")
    program.network.save(tmp_path / "n.qsnn")
    with pytest.raises(ModelFileError, match="holds a network, a program was asked for"):
        Program.load(tmp_path / "n.qsnn")
    with pytest.raises(ModelFileError, match="holds a program, a network was asked for"):
        Network.load(tmp_path / "p.qprog")


def resaved(tmp_path, change) -> None:
    """Write a program file whose parts ``change`` has altered, with right checksums."""
    random_program(0).save(tmp_path / "p.qprog")
    meta, arrays = container.load(tmp_path / "p.qprog", "program")
    meta, arrays = change(json.loads(json.dumps(meta)), dict(arrays)) or (meta, arrays)
    container.save(tmp_path / "bad.qprog", "program", meta, arrays)


def without(key):
    return lambda meta, arrays: (
        {k: v for k, v in meta.items() if k != key},
        {k: v for k, v in arrays.items() if k != key},
    )


def with_array(key, build):
    return lambda meta, arrays: (meta, {**arrays, key: build(arrays[key])})


def with_meta(**changes):
    return lambda meta, arrays: ({**meta, **changes}, arrays)


@pytest.mark.parametrize(
    "change, match",
    [
        (without("code"), "KeyError"),
        (without("weights"), "KeyError"),
        (without("fingerprint"), "KeyError"),
        (without("network"), "KeyError"),
        (with_array("code", lambda a: a[:-1]), "code words for .* instructions"),
        (with_array("code", lambda a: a.astype(np.int32)), "code is int32"),
        (with_array("weights", lambda a: a[:, :8]), "weights is uint8 of shape .*, must be uint8 \\[N, 16\\]"),
        (with_array("weights", lambda a: a.reshape(-1)), "weights is uint8"),
        (with_meta(steps=[]), "code words for 0 instructions"),
        (with_meta(steps=None), "bad.qprog"),
        (with_meta(steps=[{"layer": "a"}]), "bad.qprog"),
        (with_meta(frame_beats="many"), "bad.qprog"),
        (with_meta(frame_beats=1), "frame_beats is 1"),
        (with_meta(result_beats=99), "result_beats is 99"),
        (with_meta(network=[]), "bad.qprog"),
    ],
)
def test_altered_program_files(tmp_path, change, match):
    resaved(tmp_path, change)
    with pytest.raises(ModelFileError, match=match):
        Program.load(tmp_path / "bad.qprog")


def test_a_program_of_other_arithmetic(tmp_path):
    def other(meta, arrays):
        meta["network"]["numerics"] = "1" * 64
        return meta, arrays

    resaved(tmp_path, other)
    with pytest.raises(SpecMismatch, match="1" * 64):
        Program.load(tmp_path / "bad.qprog")


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
    network = _flat_convolution(1)
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 2, 2), dtype=np.uint8)
    executor = CsimExecutor().load(compile_network(network))
    assert np.array_equal(executor.run(frames), Reference().load(network).run(frames))
    executor.close()
    with pytest.raises(CapacityError, match="conv: .*flattened map"):
        compile_network(_flat_convolution(3, padding=1))
