"""Maximum pooling in C++ against torch's."""

import pytest

torch = pytest.importorskip("torch")

from pynq_qsnn.training import native, native_pool  # noqa: E402
from pynq_qsnn.training.layers import MaxPool  # noqa: E402


@pytest.fixture(autouse=True)
def compiler():
    if native.kernels() is None:
        pytest.skip("no C++ compiler")


@pytest.mark.parametrize("dtype", native.DTYPES)
@pytest.mark.parametrize("kernel, channels, height, width", [(2, 3, 4, 6), (2, 300, 2, 2), (3, 8, 9, 3), (4, 1, 4, 4)])
def test_equals_torch(dtype, kernel, channels, height, width):
    codes = torch.randint(0, 4, (5, channels, height, width)).to(dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(5, channels, height // kernel, width // kernel, dtype=dtype)
    a, b = codes.clone().requires_grad_(), codes.clone().requires_grad_()
    assert native_pool.takes(a, kernel, kernel, 0)
    native_output, output = MaxPool(kernel)(a), torch.nn.functional.max_pool2d(b, kernel)
    assert type(native_output.grad_fn).__name__.startswith("NativeMaxPool")
    assert torch.equal(native_output, output) and native_output.stride() == output.stride()
    native_output.backward(weight)
    output.backward(weight)
    assert torch.equal(a.grad, b.grad)  # of equal maxima, both take the first


def test_what_is_not_a_number_is_passed_on():
    x = torch.zeros(1, 1, 2, 4)
    x[0, 0, 0, 1] = float("nan")
    assert MaxPool(2)(x.to(memory_format=torch.channels_last)).isnan().flatten().tolist() == [True, False]


@pytest.mark.parametrize("arguments", [(3, 2, 1), (2, 1, 0), (4, 4, 0)])
def test_other_windows_are_left_to_torch(arguments):
    x = torch.randn(2, 3, 6, 6).to(memory_format=torch.channels_last)
    assert not native_pool.takes(x, *arguments)
    assert torch.equal(MaxPool(*arguments)(x), torch.nn.functional.max_pool2d(x, *arguments))
