"""The multi-bit leaky integrate-and-fire neuron, in floating point, with a surrogate gradient.

Source: QSNN, arXiv 2311.10802, eq. (6) and (7), with the clip to spike_bits that they imply:

    v <- v - v / 2^leak_shift + x_t              charge (no leak term when leak_shift is None)
    k  = clip(floor(v / threshold), 0, s_max)    fire, at equality too
    v <- v - k * threshold                       reset "subtract"; "zero" sets v = 0 where k > 0

The output is k * threshold. The integer network computes the same in fixed point (pynq_qsnn.neuron).

TorchFire is the definition; native_fire.py computes the same on the CPU in one pass.
"""

import torch
from torch import nn

from ..errors import ConfigError
from . import native_fire
from .options import RESET_MODES
from .surrogate import get_surrogate


def default_threshold(s_max: int) -> float:
    """Threshold that spreads the codes over the positive half of a unit-variance current.

    Binary spikes fire at one standard deviation; s_max + 1 codes of multi-bit spikes share three of them. The
    multi-bit values k * 3 / 2^n are exact in bfloat16 up to 4 bits, so that mixed-precision training sees true codes;
    of the 256 values of 8-bit spikes it rounds 106.
    """
    return 1.0 if s_max == 1 else 3.0 / (s_max + 1)


class TorchFire(torch.autograd.Function):
    """All steps of one layer in one node: r is the membrane in thresholds, its value before reset is kept a step."""

    @staticmethod
    def forward(ctx, current, num_steps, replay, threshold, s_max, leak_shift, reset_mode, surrogate):
        """Currents [T*B, ...], or [B, ...] to replay -> codes times the threshold [T*B, ...]."""
        inputs = current / threshold
        steps = inputs.unsqueeze(0).expand(num_steps, *inputs.shape) if replay else inputs.unflatten(0, (num_steps, -1))
        membranes, outputs, r = [], [], None
        for x in steps:
            if r is None:
                r = x
            elif leak_shift is None:
                r = r + x
            else:
                r = torch.add(x, r, alpha=1.0 - 2.0**-leak_shift)
            codes = torch.floor(r).clamp_(0, s_max)
            membranes.append(r)
            if len(membranes) < num_steps:
                r = r - codes if reset_mode == "subtract" else r * (codes == 0)
            outputs.append(codes.mul_(threshold))
        ctx.save_for_backward(*membranes)
        ctx.neuron = (num_steps, replay, s_max, leak_shift, reset_mode, surrogate)
        # A concatenation copies; a single step needs none.
        return outputs[0] if num_steps == 1 else torch.cat(outputs)

    @staticmethod
    def backward(ctx, grad_output):
        """The reset is treated as a constant: its gradient would punish firing twice (see "detach reset")."""
        num_steps, replay, s_max, leak_shift, reset_mode, surrogate = ctx.neuron
        keep = 1.0 if leak_shift is None else 1.0 - 2.0**-leak_shift
        grads = grad_output.unflatten(0, (num_steps, -1))
        grad_inputs, carried = [None] * num_steps, None
        for t in reversed(range(num_steps)):
            r = ctx.saved_tensors[t]
            grad = surrogate(r, s_max).mul_(grads[t])
            if carried is not None:
                if reset_mode == "zero":
                    carried = carried * (r < 1)
                grad = grad.add_(carried, alpha=keep)
            grad_inputs[t] = carried = grad
        if replay:
            total = torch.stack(grad_inputs).sum(0) if num_steps > 1 else grad_inputs[0]
        else:
            total = torch.cat(grad_inputs) if num_steps > 1 else grad_inputs[0]
        return total, None, None, None, None, None, None, None


class MultiBitLIF(nn.Module):
    """Neurons of one layer. forward: currents [T*B, ...], step-major -> codes * threshold [T*B, ...].

    With replay=True the input is one static current [B, ...] that every step receives.
    spike_bits: 1..8, s_max = 2^spike_bits - 1.   leak_shift: int or None (no leak).   threshold: None = default.
    """

    def __init__(
        self, spike_bits, num_steps, leak_shift=1, reset_mode="subtract", surrogate="triangle", threshold=None
    ):
        super().__init__()
        if not 1 <= spike_bits <= 8:
            raise ConfigError(f"spike_bits must be 1..8, not {spike_bits}")
        if num_steps < 1:
            raise ConfigError(f"num_steps must be at least 1, not {num_steps}")
        if leak_shift is not None and not 1 <= leak_shift <= 15:
            raise ConfigError(f"leak_shift must be 1..15 or None, not {leak_shift}")
        if reset_mode not in RESET_MODES:
            raise ConfigError(f"reset_mode must be one of {', '.join(RESET_MODES)}, not {reset_mode!r}")
        self.spike_bits, self.num_steps = spike_bits, num_steps
        self.s_max = 2**spike_bits - 1
        self.leak_shift, self.reset_mode = leak_shift, reset_mode
        self.threshold = default_threshold(self.s_max) if threshold is None else float(threshold)
        self.surrogate = get_surrogate(surrogate)

    def forward(self, current, replay=False, norm=None):
        """norm: a batch norm that the current passes first."""
        settings = (
            self.num_steps, replay, self.threshold, self.s_max, self.leak_shift, self.reset_mode, self.surrogate
        )  # fmt: skip
        native = native_fire.takes(current, self.surrogate)
        if norm is not None:
            if native and native_fire.takes_norm(current, norm):
                return native_fire.NativeNormFire.apply(current, norm.weight, norm.bias, norm, *settings)
            current = norm(current)
        return (native_fire.NativeFire if native else TorchFire).apply(current, *settings)

    def extra_repr(self):
        return (
            f"spike_bits={self.spike_bits}, num_steps={self.num_steps}, threshold={self.threshold:g}, "
            f"leak_shift={self.leak_shift}, reset_mode={self.reset_mode}"
        )
