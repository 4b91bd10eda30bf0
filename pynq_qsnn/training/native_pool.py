"""Maximum pooling in C++ (native/pool.cc), equal to torch's bit for bit."""

import ctypes

import torch
from torch.autograd.function import once_differentiable

from . import native

LARGEST_KERNEL = 16  # a place in the window takes a byte


class _Windows(ctypes.Structure):
    """Mirror of Windows in pool.cc."""

    _fields_ = [(name, ctypes.c_int64) for name in ("images", "height", "width", "channels", "kernel", "num_threads")]


def takes(x: torch.Tensor, kernel: int, stride: int, padding: int) -> bool:
    """Whether NativeMaxPool is for x [N, C, H, W]: channels-last, and windows that cover it side by side."""
    return (
        stride == kernel <= LARGEST_KERNEL
        and padding == 0
        and x.shape[2] % kernel == x.shape[3] % kernel == 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and native.takes(x)
    )


class NativeMaxPool(torch.autograd.Function):
    """Largest value of each window of kernel x kernel."""

    @staticmethod
    def forward(ctx, x, kernel):
        """x [N, C, H, W] -> [N, C, H / kernel, W / kernel], both channels-last."""
        images, channels, height, width = x.shape[0], x.shape[1], x.shape[2] // kernel, x.shape[3] // kernel
        output = torch.empty((images, channels, height, width), dtype=x.dtype, memory_format=torch.channels_last)
        places = torch.empty(output.numel(), dtype=torch.uint8)
        ctx.windows = _Windows(images, height, width, channels, kernel, torch.get_num_threads())
        native.call("qsnn_max_pool_forward", x.dtype, ctx.windows, x, output, places)
        ctx.save_for_backward(places)
        ctx.shape = x.shape
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        (places,) = ctx.saved_tensors
        grad_output = grad_output.contiguous(memory_format=torch.channels_last)
        grad = torch.empty(ctx.shape, dtype=grad_output.dtype, memory_format=torch.channels_last)
        native.call("qsnn_max_pool_backward", grad.dtype, ctx.windows, grad_output, places, grad)
        return grad, None
