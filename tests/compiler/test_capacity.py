"""What does not fit is refused with numbers, what just fits is compiled, memory is reused."""

import dataclasses

import numpy as np
import pytest
from builders import CONFIG, affine, conv, head, image

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import CapacityError
from pynq_qsnn.network import INPUT, Attention, Flatten, Head, Network, Pool, Skip, Steps, TensorType
from pynq_qsnn.neuron import Affine, Neuron
from pynq_qsnn.packing import bank_words


def small_head(source, channels):
    """Few enough and small enough weights for int32 logits over 32 steps."""
    return Head(
        "head", source, np.ones((2, channels), np.int8), 8, Affine(np.ones(2, int), np.zeros(2, int), np.zeros(2, int))
    )


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
            lambda: Network(
                "row",
                TensorType((2048, 16, 16), 8, 32, 255),
                32,
                (conv("c", INPUT, (1, 2048, 1, 1), padding=0), Flatten("f", "c"), small_head("f", 256)),
            ),
            r"c: one row needs 16448 activation words a bank \(64 for c .*, 16384 for input .*\), 0 of 12288",
        ),
        (
            lambda: Network("long", image(1, 1, 4096), 1, (Flatten("f", INPUT), head("f", 4096))),
            "input: a 1 x 4096 map; the overlay's fields hold 4095",
        ),
        (
            lambda: Network("pool", image(1, 20), 1, (Pool("p", INPUT, "maximum", 17, 17), head("p", 1))),
            "p: window 17, stride 17; the overlay pools windows up to 16 with strides up to 15",
        ),
        (
            lambda: Network(
                "flat", TensorType((66000, 1, 1), 1, 1, 1), 1, (Flatten("f", INPUT), small_head("f", 66000))
            ),
            r"head: input_channel_tiles is 4125 \(.*\); the overlay's instructions hold 4095. Use fewer channels",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_numbers(build, match):
    with pytest.raises(CapacityError, match=match):
        compile_network(build())


def test_kinds_without_an_instruction_are_refused_all_at_once():
    attention = Attention("attend", "conv", "conv", "p", 2, Neuron(affine(8), 15), 4)
    layers = (conv("conv", INPUT, (8, 2, 3, 3)), Pool("p", "conv", "maximum", 3, 1, 1), attention)
    network = Network("n", image(2, 4), 2, (*layers, Steps("more", "attend", 6), Flatten("f", "more"), head("f", 128)))
    with pytest.raises(CapacityError) as caught:
        compile_network(network)
    message = str(caught.value)
    for part in ("p (a pool with padding 1)", "attend (spiking self-attention)", "more (T = 6 from here on)"):
        assert part in message
    assert "conv" not in message and "overlay kv260" in message and "pynq-qsnn simulate" in message


@pytest.mark.parametrize("changed", [Steps("x", INPUT, 1), Steps("x", INPUT, 2), Pool("x", INPUT, "maximum", 2, 1, 1)])
def test_one_such_layer_is_enough(changed):
    cells = 25 if isinstance(changed, Pool) else 16
    network = Network("n", image(2, 4), 2, (changed, Flatten("f", "x"), head("f", 2 * cells)))
    with pytest.raises(CapacityError, match=r"^x \("):
        compile_network(network)


def test_the_refusal_counts_a_row_in_the_middle_of_the_map():
    """The first row reads less, because of the padding: its words would say that it fits."""
    network = Network("n", image(16, 9), 1, (conv("c", INPUT, (16, 16, 3, 3)), Flatten("f", "c"), head("f", 16 * 81)))
    config = dataclasses.replace(CONFIG, name="tight", activation_bank_words=11)
    with pytest.raises(CapacityError, match=r"c: one row needs 12 .*\(3 for c .*, 9 for input .*\), 0 of 11"):
        compile_network(network, config)


def test_one_word_less_takes_bands():
    pool = Pool("p", "conv", "maximum", 10, 10)
    ending = (pool, Flatten("f", "p"), head("f", 16 * 81))
    network = Network("n", image(16, 90), 1, (conv("conv", INPUT, (16, 16, 3, 3)), *ending))
    words = 2 * bank_words(network.input, CONFIG)
    whole = compile_network(network, dataclasses.replace(CONFIG, activation_bank_words=words))
    assert whole.spill_words == 0
    banded = compile_network(network, dataclasses.replace(CONFIG, activation_bank_words=words - 1))
    opcodes = [step.opcode for step in banded.steps]
    assert banded.spill_words > 0 and "LOAD" in opcodes or opcodes.count("CONVOLVE") > 2


def test_imagenet_sized_maps_compile():
    """224 x 224 pixels, 112 x 112 x 64 behind the first layer, a 3x3 maximum with stride 2."""
    first = conv("conv", INPUT, (64, 3, 7, 7), padding=3, stride=2)
    layers = (first, Pool("p", "conv", "maximum", 3, 2), conv("c2", "p", (64, 64, 3, 3)))
    rest = (Pool("q", "c2", "maximum", 11, 11), Flatten("f", "q"), head("f", 64 * 25))
    program = compile_network(Network("imagenet", image(3, 224), 4, (*layers, *rest)))
    assert program.spill_words > 0
    assert sum(s.macs for s in program.steps if s.layer == "conv") == 64 * 147 * 111 * 112  # the pool reads 111 rows


def test_dead_tensors_give_their_place_back():
    deep = [conv("c0", INPUT, (16, 2, 3, 3))] + [conv(f"c{i}", f"c{i - 1}", (16, 16, 3, 3)) for i in range(1, 9)]
    network = wide(1, 90, 16, *deep)
    program = compile_network(network)  # nine maps of 2070 words in 12288
    assert len({program.instruction(i)["output_base"] for i in range(1, 10)}) < 5
    # A residual keeps its source alive over all layers between.
    kept = dataclasses.replace(deep[-1], skip=Skip("c0", "spike", 15))
    bases = [compile_network(wide(1, 90, 16, *deep[:-1], kept)).instruction(i)["output_base"] for i in range(1, 9)]
    assert bases.count(bases[0]) == 1
