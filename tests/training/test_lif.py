"""The float neuron against a plain loop, and its surrogate gradients."""

import pytest

torch = pytest.importorskip("torch")

from pynq_qsnn.errors import ConfigError  # noqa: E402
from pynq_qsnn.training.lif import MultiBitLIF, default_threshold  # noqa: E402
from pynq_qsnn.training.options import SURROGATE_NAMES  # noqa: E402
from pynq_qsnn.training.surrogate import SURROGATES  # noqa: E402


def lif_by_hand(currents, threshold, s_max, leak_shift, reset_mode):
    v, outputs = 0.0, []
    for x in currents:
        v = v - (0 if leak_shift is None else v / 2**leak_shift) + x
        k = min(max(int(v // threshold), 0), s_max)
        outputs.append(k * threshold)
        v = v - k * threshold if reset_mode == "subtract" else (0.0 if k else v)
    return outputs


@pytest.mark.parametrize("spike_bits", [1, 2, 4, 8])
@pytest.mark.parametrize("leak_shift", [None, 1, 3])
@pytest.mark.parametrize("reset_mode", ["subtract", "zero"])
def test_equals_a_plain_loop(spike_bits, leak_shift, reset_mode):
    num_steps, threshold = 5, 0.25  # exact in binary, so both computations round alike
    neuron = MultiBitLIF(spike_bits, num_steps, leak_shift, reset_mode, threshold=threshold)
    generator = torch.Generator().manual_seed(spike_bits)
    currents = torch.randint(-24, 40, (num_steps, 7), generator=generator) / 16
    fired = neuron(currents.flatten()).view(num_steps, 7)
    for index in range(7):
        expected = lif_by_hand(currents[:, index].tolist(), threshold, 2**spike_bits - 1, leak_shift, reset_mode)
        assert fired[:, index].tolist() == expected


def test_fires_at_equality_and_not_below():
    neuron = MultiBitLIF(2, 1, threshold=0.5)
    assert neuron(torch.tensor([0.5, 0.4999, 1.0, 9.0, -1.0])).tolist() == [0.5, 0.0, 1.0, 1.5, 0.0]


def test_replay_equals_a_repeated_current():
    neuron = MultiBitLIF(2, 4)
    static = torch.randn(3, 2, 4, 4, requires_grad=True)
    repeated = static.detach().repeat(4, 1, 1, 1).requires_grad_()
    weight = torch.randn(12, 2, 4, 4)
    a, b = neuron(static, replay=True), neuron(repeated)
    assert torch.equal(a, b)
    (a * weight).sum().backward()
    (b * weight).sum().backward()
    torch.testing.assert_close(static.grad, repeated.grad.view(4, 3, 2, 4, 4).sum(0))


def test_gradient_of_one_step_is_the_surrogate():
    neuron = MultiBitLIF(2, 1, threshold=0.5)
    currents = torch.tensor([-1.0, -0.25, 0.1, 1.9, 2.25, 3.0], requires_grad=True)
    neuron(currents).sum().backward()
    torch.testing.assert_close(currents.grad, torch.tensor([0.0, 0.5, 1.0, 1.0, 0.5, 0.0]))


@pytest.mark.parametrize("reset_mode, second", [("subtract", 0.5), ("zero", 0.0)])
def test_gradient_through_time_takes_the_leak_and_stops_at_a_zero_reset(reset_mode, second):
    neuron = MultiBitLIF(1, 2, leak_shift=1, reset_mode=reset_mode, threshold=1.0)
    currents = torch.tensor([1.5, 0.6], requires_grad=True)
    neuron(currents)[1].backward()
    torch.testing.assert_close(currents.grad, torch.tensor([second, 1.0]))


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates_are_near_one_inside_and_vanish_outside(name):
    r = torch.tensor([-50.0, 2.0, 70.0])
    outside_left, inside, outside_right = SURROGATES[name](r, 3).tolist()
    assert inside > 0.8 and outside_left < 0.01 and outside_right < 0.01


def test_option_names_match_the_tables():
    assert set(SURROGATE_NAMES) == set(SURROGATES)


def test_default_threshold_keeps_codes_of_up_to_4_bits_exact_in_bfloat16():
    for spike_bits in (1, 2, 4):
        codes = torch.arange(2**spike_bits) * default_threshold(2**spike_bits - 1)
        assert torch.equal(codes, codes.bfloat16().float())
    codes = torch.arange(256) * default_threshold(255)  # more than bfloat16's 8 bits: the docstring's count
    assert (codes != codes.bfloat16().float()).sum() == 106


@pytest.mark.parametrize(
    "arguments",
    [
        {"spike_bits": 0},
        {"spike_bits": 9},
        {"num_steps": 0},
        {"leak_shift": 0},
        {"reset_mode": "half"},
        {"surrogate": "x"},
    ],
)
def test_bad_settings_are_refused(arguments):
    with pytest.raises(ConfigError):
        MultiBitLIF(**{"spike_bits": 2, "num_steps": 1, **arguments})
