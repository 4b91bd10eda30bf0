"""The neurons of lif.py in C++ (native/fire.cc), alone or with the batch norm before them.

One pass over the currents forward (two with statistics), two backward. Membranes are float32 also where the currents
are bfloat16, where torch's operators round after each operation; a current of the batch norm is not rounded to bfloat16
either. The surrogates agree with surrogate.py to 1e-6.
"""

import ctypes

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from . import native

SURROGATES = ("triangle", "rectangle", "sigmoid", "arctan")  # in the order of fire.cc


class _Neuron(ctypes.Structure):
    """Mirror of Neuron in fire.cc."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "channels", "num_steps", "replay")),
        *((name, ctypes.c_float) for name in ("threshold", "s_max", "keep")),
        *((name, ctypes.c_int64) for name in ("reset_to_zero", "surrogate", "num_threads")),
    ]


def takes(current: torch.Tensor, surrogate) -> bool:
    """Whether NativeFire is for these neurons."""
    return surrogate.__name__ in SURROGATES and native.takes(current)


def takes_norm(current: torch.Tensor, norm: nn.Module) -> bool:
    """Whether NativeNormFire is for this batch norm: torch's own, with weights and running statistics."""
    return (
        type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d)
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and norm.weight.dtype == torch.float32
        and _channels_are_innermost(current)
        and current.shape[1] == norm.num_features  # where not, torch's error says what is wrong; as for a single value
        and current.numel() // norm.num_features > 1
    )


class NativeFire(torch.autograd.Function):
    """Arguments and result of lif.TorchFire."""

    @staticmethod
    def forward(ctx, current, *settings):
        """Currents [T*B, ...], or [B, ...] to replay -> codes times the threshold [T*B, ...]."""
        layout = torch.channels_last if current.ndim == 4 and _channels_are_innermost(current) else None
        ctx.layout = layout or torch.contiguous_format
        current = current.contiguous(memory_format=ctx.layout)
        ctx.neuron = _neuron(current, 1, *settings)
        one, zero = torch.ones(1), torch.zeros(1)
        ctx.save_for_backward(current, one, zero)
        return _fire(ctx, current, one, zero)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        current, one, zero = ctx.saved_tensors
        grad, _ = _gradients(ctx, current, grad_output, one, zero, zero)
        return grad, *[None] * 7


class NativeNormFire(torch.autograd.Function):
    """Neurons of norm(current): current, the norm's weight and bias, the norm, settings of lif.TorchFire."""

    @staticmethod
    def forward(ctx, current, weight, bias, norm, *settings):
        """Currents [T*B, C, ...], or [B, C, ...] to replay -> codes of their norm times the threshold [T*B, C, ...]."""
        ctx.layout = torch.channels_last if current.ndim == 4 else torch.contiguous_format
        channels = current.shape[1]
        ctx.neuron = _neuron(current, channels, *settings)
        ctx.training = norm.training
        mean, variance = _statistics(current, norm) if norm.training else (norm.running_mean, norm.running_var)
        inverse = (variance + norm.eps).rsqrt()
        scale = weight * inverse
        shift = bias - mean * scale
        # Clones: evaluation mode must not see what a later step does to the running statistics.
        ctx.save_for_backward(current, scale, shift, mean if norm.training else mean.clone(), inverse)
        return _fire(ctx, current, scale, shift)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        """Ioffe and Szegedy, arXiv 1502.03167, section 3, with the neurons' gradient in place of a layer's."""
        current, scale, shift, mean, inverse = ctx.saved_tensors
        grad, (sums, moments) = _gradients(ctx, current, grad_output, scale, shift, mean)
        grad_weight, grad_bias = moments * inverse, sums
        slope, offset = torch.zeros_like(scale), torch.zeros_like(scale)
        rows = current.numel() // len(scale)
        if ctx.training:
            slope = -scale * inverse * grad_weight / rows
            offset = -scale * grad_bias / rows - slope * mean
        native.call(
            "qsnn_combine",
            current.dtype,
            grad,
            current,
            rows,
            len(scale),
            torch.get_num_threads(),
            scale,
            slope,
            offset,
        )
        return grad, grad_weight, grad_bias, *[None] * 8


def _channels_are_innermost(tensor):
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.ndim in (2, 4) and tensor.is_contiguous(memory_format=layout)


def _neuron(current, channels, num_steps, replay, threshold, s_max, leak_shift, reset_mode, surrogate):
    if not replay and len(current) % num_steps:
        raise ValueError(f"{len(current)} rows are no {num_steps} steps of equally many images")
    return _Neuron(
        rows=current.numel() // channels // (1 if replay else num_steps), channels=channels, num_steps=num_steps,
        replay=replay, threshold=threshold, s_max=s_max, keep=1.0 if leak_shift is None else 1.0 - 2.0**-leak_shift,
        reset_to_zero=reset_mode == "zero", surrogate=SURROGATES.index(surrogate.__name__),
        num_threads=torch.get_num_threads(),
    )  # fmt: skip


def _statistics(current, norm):
    """(mean, variance of the batch); takes them into the norm's running statistics."""
    channels = current.shape[1]
    rows = current.numel() // channels
    mean, variance = torch.empty(channels), torch.empty(channels)
    native.call("qsnn_moments", current.dtype, current, rows, channels, torch.get_num_threads(), mean, variance)
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (rows / (rows - 1)), norm.momentum)
    return mean, variance


def _fire(ctx, current, scale, shift):
    images = len(current) * (ctx.neuron.num_steps if ctx.neuron.replay else 1)
    output = torch.empty((images, *current.shape[1:]), dtype=current.dtype, memory_format=ctx.layout)
    native.call("qsnn_fire_forward", current.dtype, ctx.neuron, scale, shift, current, output)
    return output


def _gradients(ctx, current, grad_output, scale, shift, centre):
    """(gradient of current * scale + shift, float32 [2, C]: its sums, and those of it times (current - centre))."""
    grad_output = grad_output.contiguous(memory_format=ctx.layout)
    grad = torch.empty_like(current, memory_format=ctx.layout)
    sums = torch.empty(2, len(scale), dtype=torch.float64)
    native.call("qsnn_fire_backward", current.dtype, ctx.neuron, scale, shift, centre, current, grad_output, grad, sums)
    return grad, sums.float()
