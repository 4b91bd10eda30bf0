"""The integer neuron against an oracle of Python integers, and the vectors at its edges."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynq_qsnn import neuron as module
from pynq_qsnn.errors import NetworkError
from pynq_qsnn.hwspec import CODE_BITS
from pynq_qsnn.neuron import (
    INT32_MAX,
    INT32_MIN,
    MAXIMUM_SHIFT,
    RESET_MODES,
    THRESHOLD,
    Affine,
    Neuron,
    accumulate_planes,
    charge,
    fire,
    integrate,
    reset,
    round_shift,
    scale,
    skip_current,
)
from pynq_qsnn.reference import convolve

INT32 = st.integers(INT32_MIN, INT32_MAX)
MULTIPLIERS = st.integers(-(1 << 17), (1 << 17) - 1)
EDGES = st.sampled_from((INT32_MIN, INT32_MIN + 1, -THRESHOLD, -1, 0, 1, THRESHOLD - 1, THRESHOLD, INT32_MAX))


def make(s_max=1, leak_shift=None, reset_mode="subtract", start=0, multiplier=1, shift=0, bias=0) -> Neuron:
    """One channel whose current is the accumulator itself unless told otherwise."""
    return Neuron(Affine([multiplier], [shift], [bias]), s_max, leak_shift, reset_mode, [start])


def run(acc, neuron, extra=None) -> tuple[list[int], int]:
    """Codes of one channel over time, and the membrane at the end."""
    extra = None if extra is None else np.array(extra, np.int64)[:, None]
    spikes, membrane = integrate(np.array(acc, np.int64)[:, None], neuron, 1, extra)
    assert spikes.dtype == np.uint8 and membrane.dtype == np.int32
    return spikes[:, 0].tolist(), int(membrane[0])


def saturate(x: int) -> int:
    return max(INT32_MIN, min(INT32_MAX, x))


def oracle(acc, neuron, extra=None) -> tuple[list[int], int]:
    """The specification once more, in Python integers that cannot overflow; division in place of shifts."""
    m, sh, b = (int(x[0]) for x in (neuron.affine.multiplier, neuron.affine.shift, neuron.affine.bias))
    v, codes = int(neuron.initial_membrane[0]), []
    for t, a in enumerate(acc):
        half = 2**sh // 2
        u = saturate((int(a) * m + half) // 2**sh) + b + (0 if extra is None else int(extra[t]))
        v = saturate(v + u if neuron.leak_shift is None else v - v // 2**neuron.leak_shift + u)
        s = max(0, min(v // THRESHOLD, neuron.s_max))
        if neuron.reset_mode == "subtract":
            v -= s * THRESHOLD
        elif s:
            v = 0
        codes.append(s)
    return codes, v


def test_worked_example_of_the_docstring():
    result = doctest.testmod(module)
    assert result.attempted >= 6 and result.failed == 0


@settings(max_examples=400, deadline=None)
@given(
    acc=st.lists(INT32 | EDGES | st.integers(-300, 300), min_size=1, max_size=8),
    multiplier=MULTIPLIERS,
    shift=st.integers(0, MAXIMUM_SHIFT),
    bias=INT32 | EDGES | st.integers(-(1 << 18), 1 << 18),
    start=INT32 | EDGES,
    s_max=st.integers(1, 255),
    leak_shift=st.none() | st.integers(1, 31),
    reset_mode=st.sampled_from(RESET_MODES),
    data=st.data(),
)
def test_equals_the_oracle(acc, multiplier, shift, bias, start, s_max, leak_shift, reset_mode, data):
    neuron = make(s_max, leak_shift, reset_mode, start, multiplier, shift, bias)
    assert run(acc, neuron) == oracle(acc, neuron)
    codes = data.draw(st.lists(st.integers(0, 255), min_size=len(acc), max_size=len(acc)))
    m, sh = data.draw(MULTIPLIERS), data.draw(st.integers(0, MAXIMUM_SHIFT))
    extra = skip_current(np.array(codes)[:, None], np.array([m]), np.array([sh]), 1)[:, 0]
    assert extra.tolist() == [(k * m + 2**sh // 2) // 2**sh for k in codes]
    assert run(acc, neuron, extra) == oracle(acc, neuron, extra)


def test_channels_are_independent_on_any_axis():
    rng = np.random.default_rng(0)
    affine = Affine(rng.integers(-99, 99, 3), rng.integers(0, 9, 3), rng.integers(-THRESHOLD, THRESHOLD, 3))
    neuron = Neuron(affine, 3, 2, "zero", rng.integers(-THRESHOLD, THRESHOLD, 3))
    acc = rng.integers(-3000, 3000, (4, 2, 3, 5), dtype=np.int32)
    spikes, membrane = integrate(acc, neuron, 2)
    moved, moved_membrane = integrate(np.moveaxis(acc, 2, 3), neuron, -1)
    assert np.array_equal(np.moveaxis(spikes, 2, 3), moved)
    assert np.array_equal(np.moveaxis(membrane, 1, 2), moved_membrane)
    for c in range(3):
        one = make(
            3, 2, "zero", *(int(x[c]) for x in (neuron.initial_membrane, affine.multiplier, affine.shift, affine.bias))
        )
        assert oracle(acc[:, 1, c, 4], one) == (spikes[:, 1, c, 4].tolist(), int(membrane[1, c, 4]))


# The paper's integration units: 1/4, 4/1 and 2/2 spend the same four bits of a spike train differently.
@pytest.mark.parametrize(
    "spike_bits, num_steps, current, codes, membrane",
    [
        (1, 4, 0.75, [0, 1, 1, 1], 0.0),  # 3/4 of a threshold a step, no leak: three spikes in four steps
        (4, 1, 11.25, [11], 0.25),
        (2, 2, 2.5, [2, 3], 0.0),  # 2.5 -> 2, then 0.5 + 2.5 = 3
    ],
)
def test_the_papers_units_without_leak(spike_bits, num_steps, current, codes, membrane):
    neuron = make(2**spike_bits - 1)
    assert run([int(current * THRESHOLD)] * num_steps, neuron) == (codes, int(membrane * THRESHOLD))


@pytest.mark.parametrize(
    "spike_bits, num_steps, current, codes, membrane",
    [
        (1, 4, 0.75, [0, 1, 0, 1], 0.15625),  # v: .75 | 1.125 -> .125 | .8125 | 1.15625 -> .15625
        (4, 1, 15.5, [15], 0.5),
        (2, 2, 3.5, [3, 3], 0.75),  # the second charge starts from half of what the first left
    ],
)
def test_the_papers_units_with_tau_2(spike_bits, num_steps, current, codes, membrane):
    neuron = make(2**spike_bits - 1, leak_shift=1)
    assert run([int(current * THRESHOLD)] * num_steps, neuron) == (codes, int(membrane * THRESHOLD))


@pytest.mark.parametrize("spike_bits", CODE_BITS)
@pytest.mark.parametrize("planes_of", ["codes", "weights"])
def test_plane_serial_equals_parallel(spike_bits, planes_of):
    """Bit planes of the codes through the accumulator one by one, most significant first, against the codes at once."""
    rng = np.random.default_rng(spike_bits)
    codes = rng.integers(0, 2**spike_bits, (3, 5, 6, 6), dtype=np.uint8)
    codes[0] = 2**spike_bits - 1
    weight = rng.integers(-127, 128, (4, 5, 3, 3), dtype=np.int8)
    parallel = convolve(codes, weight, padding=1)
    if planes_of == "codes":
        planes = [convolve(codes >> bit & 1, weight, padding=1) for bit in reversed(range(spike_bits))]
        serial = accumulate_planes(np.stack(planes))
    else:  # two's complement weights: the sign plane is the most significant and counts negative
        bits = weight.view(np.uint8)
        planes = [convolve(codes, (bits >> bit & 1).astype(np.int8), padding=1) for bit in reversed(range(8))]
        serial = accumulate_planes(np.stack([-planes[0], *planes[1:]]))
    assert np.array_equal(serial, parallel)
    affine = Affine([40, -3000, 131071, 1], [2, 5, 17, 0], [0, 99, -THRESHOLD, INT32_MAX])
    neuron = Neuron(affine, 2**spike_bits - 1, 1)
    for one, other in zip(integrate(serial[None], neuron, 2), integrate(parallel[None], neuron, 2)):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("spike_bits", CODE_BITS)
def test_fires_at_the_threshold_and_not_one_below(spike_bits):
    s_max = 2**spike_bits - 1
    for level in {1, min(2, s_max), s_max}:
        assert run([level * THRESHOLD], make(s_max)) == ([level], 0)
        assert run([level * THRESHOLD - 1], make(s_max)) == ([level - 1], THRESHOLD - 1)
        assert run([level * THRESHOLD + 1], make(s_max)) == ([level], 1)
    # The same at the end of a sum: half the threshold before the step, half in it.
    assert run([THRESHOLD // 2], make(s_max, start=THRESHOLD // 2)) == ([1], 0)
    assert run([THRESHOLD // 2 - 1], make(s_max, start=THRESHOLD // 2)) == ([0], THRESHOLD - 1)


@pytest.mark.parametrize("s_max", [1, 2, 3, 5, 15, 200, 255])
def test_codes_end_at_s_max_and_subtraction_keeps_the_rest(s_max):
    over = (s_max + 2) * THRESHOLD + 7
    assert run([over, 0], make(s_max)) == ([s_max, min(2, s_max)], over - (s_max + min(2, s_max)) * THRESHOLD)
    assert run([over, 0], make(s_max, reset_mode="zero")) == ([s_max, 0], 0)


def test_reset_modes():
    v, s = np.array([3 * THRESHOLD + 5, THRESHOLD - 1, -9]), np.array([2, 0, 0])
    assert reset(v, s, "subtract").tolist() == [THRESHOLD + 5, THRESHOLD - 1, -9]
    assert reset(v, s, "zero").tolist() == [0, THRESHOLD - 1, -9]


@pytest.mark.parametrize("leak_shift", [1, 2, 7, 30, 31])
def test_leak_of_negatives_floors(leak_shift):
    # -1 >> n is -1: the smallest negative membrane leaks back to zero, where truncation would leave it.
    assert charge(np.array([-1]), np.array([0]), leak_shift).tolist() == [0]
    assert charge(np.array([-3]), np.array([0]), leak_shift).tolist() == [-3 - (-3 // 2**leak_shift)]
    assert charge(np.array([INT32_MIN]), np.array([0]), leak_shift).tolist() == [INT32_MIN + 2 ** (31 - leak_shift)]
    assert charge(np.array([3]), np.array([0]), leak_shift).tolist() == [3 - 3 // 2**leak_shift]


def test_if_neurons_do_not_leak():
    assert run([0] * 5, make(start=-7)) == ([0] * 5, -7)
    assert run([0] * 2, make(start=-7, leak_shift=1)) == ([0] * 2, -1)  # -7 + 4 = -3, -3 + 2 = -1


def test_membrane_saturates_once_per_step():
    # The int64 sum is clipped, not each term: the leak of a full membrane makes room for the current.
    assert charge(np.array([INT32_MAX]), np.array([INT32_MAX]), None).tolist() == [INT32_MAX]
    assert charge(np.array([INT32_MIN]), np.array([INT32_MIN]), None).tolist() == [INT32_MIN]
    assert charge(np.array([INT32_MAX]), np.array([1 << 29]), 1).tolist() == [(1 << 30) + (1 << 29)]
    assert charge(np.array([INT32_MIN]), np.array([INT32_MAX]), None).tolist() == [-1]
    # A current may leave int32 (saturated product plus bias); the sum with the membrane is clipped afterwards.
    assert run([INT32_MAX], make(1, multiplier=1, bias=INT32_MAX, start=INT32_MIN)) == ([1], INT32_MAX - 1 - THRESHOLD)
    assert run([INT32_MIN], make(1, multiplier=1, bias=INT32_MIN, start=INT32_MAX))[1] == INT32_MIN


def test_products_saturate_to_int32_before_the_bias():
    for acc, multiplier, edge in ((INT32_MAX, 131071, INT32_MAX), (INT32_MIN, 131071, INT32_MIN)):
        affine = Affine([multiplier], [0], [-5])
        assert scale(np.array([acc]), affine, 0).tolist() == [edge - 5]
    assert scale(np.array([INT32_MIN]), Affine([-(1 << 17)], [17], [0]), 0).tolist() == [INT32_MAX]
    assert scale(np.array([INT32_MIN]), Affine([-(1 << 17)], [18], [0]), 0).tolist() == [1 << 30]


@pytest.mark.parametrize("shift", [0, 1, 2, 16, 17, 47, 48])
def test_rounding_sends_ties_up_of_either_sign(shift):
    half, step = (1 << shift) >> 1, 1 << shift
    values = [0, half, -half, half - 1, -half - 1, step, -step, 3 * half, -3 * half, INT32_MAX * 131071]
    found = round_shift(np.array(values), np.full(len(values), shift)).tolist()
    assert found == [(x + half) // step for x in values]
    if shift:
        assert found[1] == 1 and found[2] == 0 and found[8] == -1  # 0.5 -> 1, -0.5 -> 0, -1.5 -> -1


def test_negative_membranes_never_fire():
    assert fire(np.array([-1, INT32_MIN, 0]), 255).tolist() == [0, 0, 0]
    assert fire(np.array([INT32_MAX]), 255).tolist() == [255]


@pytest.mark.parametrize("start, codes", [(THRESHOLD // 2, [1]), (THRESHOLD, [1]), (INT32_MAX, [1]), (INT32_MIN, [0])])
def test_initial_membrane_counts_at_the_first_step(start, codes):
    assert run([THRESHOLD // 2], make(start=start))[0] == codes


def test_the_call_keeps_no_state():
    neuron = make(3, 1, start=1000)
    first = run([70000, -3, 200000], neuron)
    run([INT32_MIN] * 3, neuron)
    assert run([70000, -3, 200000], neuron) == first


@pytest.mark.parametrize(
    "build, match",
    [
        (lambda: Affine([1 << 17], [0], [0]), "multiplier spans 131072..131072, the unit holds -131072..131071"),
        (lambda: Affine([1], [49], [0]), "shift spans 49..49"),
        (lambda: Affine([1], [-1], [0]), "shift spans -1..-1"),
        (lambda: Affine([1], [0], [1 << 31]), "bias spans"),
        (lambda: Affine([1, 2], [0], [0, 0]), "shift has 1 channels, the multiplier has 2"),
        (lambda: Affine([1.5], [0], [0]), "multiplier must be integers of shape \\[C\\], not float64"),
        (lambda: Affine([[1]], [0], [0]), "multiplier must be integers"),
        (lambda: make(s_max=0), "s_max is 0"),
        (lambda: make(s_max=256), "s_max is 256"),
        (lambda: make(leak_shift=0), "leak_shift is 0"),
        (lambda: make(leak_shift=32), "leak_shift is 32"),
        (lambda: make(reset_mode="hard"), "reset_mode is 'hard'"),
        (lambda: make(start=1 << 31), "initial_membrane spans"),
        (
            lambda: Neuron(Affine([1], [0], [0]), 1, initial_membrane=np.zeros(2, int)),
            "initial_membrane has 2 channels",
        ),
    ],
)
def test_bad_constants_are_refused_with_their_values(build, match):
    with pytest.raises(NetworkError, match=match):
        build()
