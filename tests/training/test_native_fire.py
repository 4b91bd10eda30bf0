"""The neurons in C++ against their definition in torch."""

import copy

import pytest

torch = pytest.importorskip("torch")

from pynq_qsnn.errors import ToolMissing  # noqa: E402
from pynq_qsnn.training import native, native_fire  # noqa: E402
from pynq_qsnn.training.lif import MultiBitLIF, TorchFire, default_threshold  # noqa: E402
from pynq_qsnn.training.models import NetworkSpec, build_model  # noqa: E402
from pynq_qsnn.training.native_fire import NativeFire, NativeNormFire  # noqa: E402
from pynq_qsnn.training.surrogate import SURROGATES  # noqa: E402

BOTH = (NativeFire, TorchFire)


@pytest.fixture(autouse=True)
def compiler():
    if native.kernels() is None:
        pytest.skip("no C++ compiler")


def fire(function, current, weight, *arguments):
    """(codes * threshold, gradient of the current) where the output's gradient is `weight`."""
    current = current.clone().requires_grad_()
    output = function.apply(current, *arguments)
    output.backward(weight)
    return output.detach(), current.grad


@pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=SURROGATES)
@pytest.mark.parametrize("reset_mode", ["subtract", "zero"])
@pytest.mark.parametrize("leak_shift", [None, 1, 3])
@pytest.mark.parametrize("replay", [False, True])
def test_equals_torch(surrogate, reset_mode, leak_shift, replay):
    generator = torch.Generator().manual_seed(leak_shift or 0)
    for num_steps, s_max in ((1, 3), (4, 1), (5, 15), (3, 255)):
        shape = (2 if replay else 2 * num_steps, 5, 7, 11)  # 385 neurons an image: no whole vectors, no whole blocks
        # Multiples of a power of two, so that both compute the membranes without rounding.
        current = torch.randint(-2 * s_max - 8, 3 * s_max + 12, shape, generator=generator) / 32
        weight = torch.randn((2 * num_steps, 5, 7, 11), generator=generator)
        arguments = (num_steps, replay, 0.5, s_max, leak_shift, reset_mode, surrogate)
        (native, native_grad), (expected, expected_grad) = (fire(f, current, weight, *arguments) for f in BOTH)
        assert torch.equal(native, expected) and len(native.unique()) > 1
        torch.testing.assert_close(native_grad, expected_grad, rtol=1e-5, atol=2e-6)


def test_bfloat16_codes_are_those_of_float32_membranes():
    """Autocast gives bfloat16 currents: they are read as they are, and nothing in between is rounded."""
    current, weight = torch.randn(12, 3, 9, 9).bfloat16(), torch.randn(12, 3, 9, 9).bfloat16()
    arguments = (4, False, default_threshold(3), 3, 3, "subtract", SURROGATES["sigmoid"])
    output, grad = fire(NativeFire, current, weight, *arguments)
    expected, expected_grad = fire(TorchFire, current.float(), weight.float(), *arguments)
    assert output.dtype == grad.dtype == torch.bfloat16
    assert torch.equal(output.float(), expected)
    torch.testing.assert_close(grad, expected_grad.bfloat16(), rtol=1e-2, atol=1e-5)


def test_memory_formats_and_threads_change_no_bit():
    current, weight = torch.randn(8, 6, 10, 10), torch.randn(8, 6, 10, 10)
    arguments = (4, False, 1.0, 1, 3, "zero", SURROGATES["arctan"])
    output, grad = fire(NativeFire, current, weight, *arguments)
    torch.set_num_threads(2)  # conftest.py puts it back
    for variant in (current.to(memory_format=torch.channels_last), current.transpose(2, 3).contiguous().mT):
        for grad_output in (weight, weight.to(memory_format=torch.channels_last)):
            again, grad_again = fire(NativeFire, variant, grad_output, *arguments)
            assert torch.equal(again, output) and torch.equal(grad_again, grad)
    assert NativeFire.apply(current.to(memory_format=torch.channels_last), *arguments).is_contiguous(
        memory_format=torch.channels_last
    )


def test_a_gradient_without_storage_is_read_right():
    current = torch.randn(4, 3, requires_grad=True)
    NativeFire.apply(current, 2, False, 1.0, 1, 1, "subtract", SURROGATES["rectangle"]).sum().backward()
    expected = torch.autograd.grad(
        TorchFire.apply(current, 2, False, 1.0, 1, 1, "subtract", SURROGATES["rectangle"]).sum(), current
    )
    assert torch.equal(current.grad, expected[0])


def test_a_current_that_is_not_a_number_is_not_hidden():
    current = torch.tensor([float("nan"), 2.0])
    assert NativeFire.apply(current, 1, False, 1.0, 1, 1, "subtract", SURROGATES["rectangle"]).isnan().tolist() == [
        True,
        False,
    ]


def test_rows_that_are_no_whole_steps_are_refused():
    with pytest.raises(ValueError, match="5 rows are no 2 steps"):
        MultiBitLIF(1, 2)(torch.zeros(5, 3))


def norm_and_fire(fused, norm, current, weight, *arguments):
    """(output, gradients of the current, the norm's weight and bias, the norm afterwards)."""
    current, norm = current.clone().requires_grad_(), copy.deepcopy(norm)
    if fused:
        output = NativeNormFire.apply(current, norm.weight, norm.bias, norm, *arguments)
    else:
        output = TorchFire.apply(norm(current), *arguments)
    output.backward(weight)
    return output.detach(), (current.grad, norm.weight.grad, norm.bias.grad), norm


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize("channels, size", [(1, 20), (5, 9), (64, 6), (700, 2), (48, None)])
def test_with_the_batch_norm_before(channels, size, training, replay):
    torch.manual_seed(channels)
    images, num_steps = 6, 3
    shape = (channels,) if size is None else (channels, size, size)
    norm = (torch.nn.BatchNorm1d if size is None else torch.nn.BatchNorm2d)(channels).train(training)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    current = 3 + 2 * torch.randn(images if replay else images * num_steps, *shape)
    weight = torch.randn(images * num_steps, *shape)
    if size:
        current, weight = (x.to(memory_format=torch.channels_last) for x in (current, weight))
    assert native_fire.takes_norm(current, norm)
    # The rectangle's steps would turn the last bit of a membrane into another gradient.
    arguments = (num_steps, replay, 0.75, 3, 1, "subtract", SURROGATES["arctan"])
    output, grads, norm_a = norm_and_fire(True, norm, current, weight, *arguments)
    expected, expected_grads, norm_b = norm_and_fire(False, norm, current, weight, *arguments)
    assert (output != expected).float().mean() < 1e-4 and len(output.unique()) == 4  # a membrane at a threshold's edge
    for a, b in zip(grads, expected_grads):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    for a, b in zip(norm_a.buffers(), norm_b.buffers()):
        torch.testing.assert_close(a, b)


def test_statistics_of_a_far_mean_and_a_batch_norm_on_two_threads():
    norm = torch.nn.BatchNorm2d(3)
    current = (1000 + torch.randn(64, 3, 16, 16)).to(memory_format=torch.channels_last)
    arguments = (4, False, 1.0, 1, 1, "subtract", SURROGATES["triangle"])
    weight = torch.randn(64, 3, 16, 16)
    one, grads_one, norm_one = norm_and_fire(True, norm, current, weight, *arguments)
    torch.testing.assert_close(
        norm_one.running_var - 0.9, 0.1 * current.double().var((0, 2, 3)).float(), rtol=1e-4, atol=0
    )
    torch.set_num_threads(2)  # conftest.py puts it back
    two, grads_two, norm_two = norm_and_fire(True, norm, current, weight, *arguments)
    assert torch.equal(one, two) and torch.equal(norm_one.running_var, norm_two.running_var)
    assert all(torch.equal(a, b) for a, b in zip(grads_one, grads_two))


def test_batch_norms_of_other_kinds_are_left_to_torch():
    current = torch.randn(4, 3)
    for norm in (torch.nn.BatchNorm1d(3, affine=False), torch.nn.BatchNorm1d(3, momentum=None), torch.nn.LayerNorm(3)):
        assert not native_fire.takes_norm(current, norm)
        assert torch.equal(MultiBitLIF(1, 2)(current, norm=norm), MultiBitLIF(1, 2)(norm(current)))
    assert not native_fire.takes_norm(torch.randn(4, 3, 2, 2), torch.nn.BatchNorm2d(3))  # channels are not innermost
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        MultiBitLIF(1, 1)(torch.randn(1, 3), norm=torch.nn.BatchNorm1d(3))


def test_a_network_trains_alike_with_either(monkeypatch):
    torch.manual_seed(0)
    spec = NetworkSpec("digits_small", (1, 8, 8), 10, weight_bits=4, spike_bits=2, num_steps=2)
    fast = build_model(spec).to(memory_format=torch.channels_last)
    plain, images = copy.deepcopy(fast), torch.rand(6, 1, 8, 8)
    fast(images).square().sum().backward()
    monkeypatch.setattr(native, "takes", lambda tensor: False)
    plain(images).square().sum().backward()
    for a, b in zip(fast.parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4)


def test_without_a_compiler_torch_computes_and_says_so(monkeypatch):
    def build(*arguments):
        raise ToolMissing("fire is C++ and there is no compiler")

    monkeypatch.setattr(native, "build", build)
    native.kernels.cache_clear()
    try:
        with pytest.warns(UserWarning, match="torch's operators compute the neurons"):
            output = MultiBitLIF(1, 2)(torch.ones(4, 3))
        assert output.grad_fn is None and output.sum() == 12
    finally:
        native.kernels.cache_clear()
