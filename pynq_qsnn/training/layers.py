"""Building blocks of a trained network. Every tensor is [T*B, ...], step-major, and holds codes times a threshold."""

import torch
from brevitas import nn as qnn
from torch import nn
from torch.nn import functional

from . import native_pool
from .quantizers import weight_quantizer


class SpikingConv(nn.Module):
    """Quantized convolution -> batch norm -> neurons.

    The batch norm stays a per-channel affine on export: folded into low-bit weights it would need its own scale.
    """

    def __init__(self, in_channels, channels, kernel, stride, padding, groups, weight_bits, neuron):
        super().__init__()
        self.conv = qnn.QuantConv2d(
            in_channels, channels, kernel, stride=stride, padding=padding, groups=groups, bias=False,
            **weight_quantizer(weight_bits),
        )  # fmt: skip
        self.norm = nn.BatchNorm2d(channels)
        self.neuron = neuron
        self.weight_bits = weight_bits

    def forward(self, x, replay=False, skip=None):
        """skip: a current [T*B, C', H', W'] added before firing; subsampled and zero-padded to this layer's shape."""
        current = self.conv(x)
        if skip is None:
            return self.neuron(current, replay, self.norm)
        return self.neuron(self.norm(current) + match_shape(skip, current.shape), replay)


class SelfAttention(nn.Module):
    """Spiking self-attention (Spikformer, arXiv 2209.15425): neurons on the batch norm of (Q K^T) V, without softmax.

    The original multiplies by a fixed 1/8 in place of the norm, which suits binary spikes alone. query, key, value:
    SpikingConv modules with a 1x1 kernel; every pixel is a token.
    """

    def __init__(self, query, key, value, heads, neuron):
        super().__init__()
        self.query, self.key, self.value, self.heads = query, key, value, heads
        # A silent head has no variance. The integer neuron holds gains below 2 thresholds for one coincidence of query,
        # key and value: with this eps a silent channel stays below it up to a norm's weight of 4.
        coincidence = query.neuron.threshold * key.neuron.threshold * value.neuron.threshold
        self.norm = nn.BatchNorm2d(value.conv.out_channels, eps=(2 * coincidence / neuron.threshold) ** 2)
        self.neuron = neuron

    def forward(self, x):
        return self.neuron(attend(self.query(x), self.key(x), self.value(x), self.heads), norm=self.norm)


def attend(query, key, value, heads):
    """(Q K^T) V head by head, float32 [B, C, H, W] of codes [B, C, H, W]; associated the cheaper way round."""
    with torch.autocast(query.device.type, enabled=False):  # bfloat16 would round the sums
        q, k, v = (x.float().unflatten(1, (heads, -1)).flatten(3) for x in (query, key, value))  # [B, heads, d, N]
        if k.shape[3] < k.shape[2]:
            out = v @ (k.transpose(2, 3) @ q)
        else:
            out = (v @ k.transpose(2, 3)) @ q
    return out.reshape(query.shape)


class SpikingLinear(nn.Module):
    """Quantized linear -> batch norm -> neurons, on features [T*B, F]."""

    def __init__(self, in_features, features, weight_bits, neuron):
        super().__init__()
        self.linear = qnn.QuantLinear(in_features, features, bias=False, **weight_quantizer(weight_bits))
        self.norm = nn.BatchNorm1d(features)
        self.neuron = neuron
        self.weight_bits = weight_bits

    def forward(self, x, replay=False):
        return self.neuron(self.linear(x), replay, self.norm)


class Head(nn.Module):
    """Quantized linear with a float bias a class: [T*B, F] -> logits [B, classes], averaged over the steps.

    With per_step=True each step keeps its own: [T, B, classes].
    """

    def __init__(self, in_features, num_classes, weight_bits, num_steps):
        super().__init__()
        self.linear = qnn.QuantLinear(in_features, num_classes, bias=False, **weight_quantizer(weight_bits))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.num_steps = num_steps
        self.weight_bits = weight_bits

    def forward(self, x, per_step=False):
        logits = self.linear(x).unflatten(0, (self.num_steps, -1)).float()
        return (logits if per_step else logits.mean(0)) + self.bias


class MaxPool(nn.MaxPool2d):
    """Maximum of the codes, after firing."""

    def forward(self, x):
        if native_pool.takes(x, self.kernel_size, self.stride, self.padding):
            return native_pool.NativeMaxPool.apply(x, self.kernel_size)
        return super().forward(x)


class SumPool(nn.Module):
    """Sum of the codes of a window: exact, but widens the codes by log2(kernel^2) bits."""

    def __init__(self, kernel, stride):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x):
        # Not divisor_override=1: the ONNX exporters ignore it without a word.
        return functional.avg_pool2d(x, self.kernel, self.stride) * self.kernel**2


class Steps(nn.Module):
    """Another number of time steps: each step repeated, or the codes of neighbouring steps summed."""

    def __init__(self, before, after):
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x):
        if self.after >= self.before:
            return x.unflatten(0, (self.before, -1)).repeat_interleave(self.after // self.before, 0).flatten(0, 1)
        return x.unflatten(0, (self.after, self.before // self.after, -1)).sum(1).flatten(0, 1)


class _RoundHalfUp(torch.autograd.Function):
    """floor(x + 1/2) with gradient 1."""

    @staticmethod
    def forward(ctx, x):
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output


class AvgPool(nn.Module):
    """Mean of the codes, rounded half up to a code, as the hardware does: (sum + n/2) div n."""

    def __init__(self, kernel, stride, threshold):
        super().__init__()
        self.kernel, self.stride, self.threshold = kernel, stride, threshold

    def forward(self, x):
        # The sum is rounded to whole codes first: dividing by the threshold may miss an exact tie by one ulp.
        sums = functional.avg_pool2d(x, self.kernel, self.stride) * self.kernel**2 / self.threshold
        return _RoundHalfUp.apply(_RoundHalfUp.apply(sums) / self.kernel**2) * self.threshold


class Residual(nn.Module):
    """A body and a shortcut.

    domain "spike":   SEW ADD (arXiv 2102.04159): min(body + shortcut, s_max), after firing.
    domain "iand":    SEW IAND: the shortcut's spike passes where the body is silent, after firing; 1-bit codes.
    domain "current": ResNet: the shortcut joins the current of the body's last layer, before it fires.
    """

    def __init__(self, body, shortcut, domain, ceiling):
        super().__init__()
        self.body, self.shortcut = nn.ModuleList(body), shortcut
        self.domain, self.ceiling = domain, ceiling

    def forward(self, x):
        skip = x if self.shortcut is None else self.shortcut(x)
        for layer in self.body[:-1]:
            x = layer(x)
        if self.domain == "current":
            return self.body[-1](x, skip=skip)
        if self.domain == "iand":
            return (1 - self.body[-1](x) / self.ceiling) * skip  # the ceiling is the one spike's value
        return (self.body[-1](x) + skip).clamp(max=self.ceiling)


def match_shape(skip, shape):
    """Option A of ResNet (arXiv 1512.03385): subsample rows and columns, zero-pad channels to `shape`."""
    stride = -(-skip.shape[2] // shape[2])
    if stride > 1:
        skip = skip[:, :, ::stride, ::stride]
    missing = shape[1] - skip.shape[1]
    return functional.pad(skip, (0, 0, 0, 0, 0, missing)) if missing else skip
