"""Independent check of the export: the integer network computed a second time, from the Brevitas model, in torch.

Nothing here comes from :mod:`pynq_qsnn.network`, ``neuron``, ``reference`` or the exporter: the per-channel constants
are derived again, in 50-digit decimal arithmetic from the trained parameters, and charge, fire and reset are written
as divisions of int64 tensors. If both sides agree to the bit on every code of every frame, an error would have to be
made twice, in two forms. Only the number format of the integration unit is shared knowledge: threshold 1 << 16,
multiplier below 1 << 17, shift at most 48, int32 saturation.
"""

from decimal import ROUND_FLOOR, Context, Decimal

import torch
from torch.nn import functional

from ..errors import ConfigError
from . import layers

ARITHMETIC = Context(prec=50)
HALF = Decimal("0.5")
INT32 = (-(2**31), 2**31 - 1)


class IntegerForward:
    """int64 form of a trained :class:`~pynq_qsnn.training.models.SpikingNetwork`, batch norm in evaluation form.

    logit_fraction_bits: the logits are in units of 2**-bits (the network file's ``logit_scale * T``).
    """

    def __init__(self, model, logit_fraction_bits: int = 16):
        self.image_dimensions = len(model.spec.input_shape)
        self.stages = []
        code_value = Decimal(1) / 255  # the float value of input code 1
        for module in model.layers:
            stages, code_value = _stages(module, code_value, logit_fraction_bits)
            self.stages += stages

    @torch.no_grad()
    def trace(self, frames) -> list:
        """Codes of every layer in execution order, int64 [T, N, ...]; the last item is the logits, int64 [N, classes].

        frames: uint8 [N, C, H, W] of static images, or [N, T, C, H, W], NumPy or torch.
        """
        x = torch.as_tensor(frames).to(torch.int64)
        x = x.unsqueeze(0) if x.ndim == self.image_dimensions + 1 else x.transpose(0, 1)
        tensors = [x]
        for stage in self.stages:
            tensors.append(stage(tensors))
        return tensors[1:]

    def run(self, frames, batch_size: int = 100):
        """Logits, int64 NumPy [N, classes]."""
        batches = torch.as_tensor(frames).split(batch_size)
        return torch.cat([self.trace(batch)[-1] for batch in batches]).numpy()


def _stages(module, code_value: Decimal, logit_bits: int):
    """Functions of the tensors so far -> tensor, for one module, and the float value of its output code 1."""
    if isinstance(module, (layers.SpikingConv, layers.SpikingLinear)):
        return [_Spiking(module, code_value)], Decimal(module.neuron.threshold)
    if isinstance(module, layers.Residual):
        return _residual_stages(module, code_value)
    if isinstance(module, layers.Head):
        return [_Head(module, code_value, logit_bits)], code_value
    if isinstance(module, torch.nn.Flatten):
        return [lambda tensors: tensors[-1].flatten(2)], code_value
    if isinstance(module, layers.MaxPool):
        return [lambda tensors: _windows(tensors[-1], module.kernel_size, module).amax(-1)], code_value
    if isinstance(module, layers.SumPool):
        return [lambda tensors: _windows(tensors[-1], module.kernel, module).sum(-1)], code_value
    if isinstance(module, layers.AvgPool):
        # (sum + n/2) div n: the mean, halves upwards.
        count = module.kernel**2
        return [
            lambda tensors: (_windows(tensors[-1], module.kernel, module).sum(-1) + count // 2) // count
        ], code_value
    if isinstance(module, layers.Steps):
        return [lambda tensors: _change_steps(tensors[-1], module.before, module.after)], code_value
    if isinstance(module, layers.SelfAttention):
        return _attention_stages(module, code_value, -1)
    raise ConfigError(f"no integer form of {type(module).__name__} is known")


def _attention_stages(module, code_value: Decimal, source: int):
    """Query, key, value, attention. source: where the input lies when the first of them runs, counted from the end."""
    parts = (module.query, module.key, module.value)
    stages = [_Spiking(part, code_value, source - index) for index, part in enumerate(parts)]
    scale = Decimal(1)
    for part in parts:
        scale *= Decimal(part.neuron.threshold)
    return [*stages, _Attention(module, scale)], Decimal(module.neuron.threshold)


def _residual_stages(module, code_value: Decimal):
    stages = []
    skip_value = code_value
    # With a shortcut, the body's first layer reads the tensor before it.
    source = -1 if module.shortcut is None else -2
    if module.shortcut is not None:
        stages.append(_Spiking(module.shortcut, code_value))
        skip_value = Decimal(module.shortcut.neuron.threshold)
    body = []
    for part in module.body:
        if isinstance(part, layers.SelfAttention):
            added, code_value = _attention_stages(part, code_value, source)
        else:
            added, code_value = [_Spiking(part, code_value, source)], Decimal(part.neuron.threshold)
        body += added
        source = -1
    distance = len(body)  # how many tensors back the residual lies when the last body layer runs
    stages += body
    last = stages[-1]
    if module.domain == "current":
        last.skip = (-distance, *_multiplier(ARITHMETIC.divide(skip_value, code_value) * 2**16))
    elif module.domain == "iand":
        last.iand_skip = -distance
    else:
        last.spike_skip = (-distance, round(module.ceiling / float(code_value)))
    return stages, code_value


class _Weighted:
    """Exact integer sums of a Brevitas convolution or linear layer."""

    def __init__(self, layer):
        quantized = layer.quant_weight()
        scale = quantized.scale.detach().double().flatten()
        shape = (-1,) + (1,) * (quantized.value.ndim - 1)
        # Brevitas stores integer * scale in float32; the quotient is the integer up to float32 rounding.
        self.weight = torch.round(quantized.value.detach().double() / scale.view(shape))
        self.scale = [Decimal(value) for value in scale.tolist()]
        self.convolution = (
            (layer.stride, layer.padding, layer.dilation, layer.groups) if self.weight.ndim == 4 else None
        )

    def sums(self, codes):
        """int64 [S, N, Co, ...] of codes int64 [S, N, Ci, ...].

        torch has no integer convolution. In float64 every product and every partial sum is an integer below 2**53
        (the sums themselves fit int32), so nothing rounds, whatever order the library adds in.
        """
        folded = codes.flatten(0, 1).double()
        if self.convolution is None:
            sums = folded @ self.weight.T
        else:
            stride, padding, dilation, groups = self.convolution
            sums = functional.conv2d(folded, self.weight, None, stride, padding, dilation, groups)
        return sums.long().unflatten(0, codes.shape[:2])


class _Neurons:
    """Batch norm and neurons of a module on exact sums. sum_scales: float value of one unit of a sum, a channel."""

    def __init__(self, module, sum_scales):
        self.neuron = module.neuron
        threshold, norm = Decimal(module.neuron.threshold), module.norm
        parameters = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        rows = zip(sum_scales, *([Decimal(v) for v in p.detach().double().tolist()] for p in parameters))
        constants = []
        for sum_scale, gamma, beta, mean, variance in rows:
            # (gamma (scale acc - mean) / sqrt(var + eps) + beta) / threshold * 2**16
            deviation = ARITHMETIC.sqrt(variance + Decimal(norm.eps))
            slope = ARITHMETIC.divide(gamma * sum_scale * 2**16, deviation * threshold)
            level = ARITHMETIC.divide((beta * deviation - gamma * mean) * 2**16, deviation * threshold)
            constants.append((*_multiplier(slope), _nearest(level)))
        self.constants = [torch.tensor(column) for column in zip(*constants)]

    def _fire(self, current):
        """Leaky multi-bit integrate and fire over the steps: currents int64 [T, N, ...] -> codes int64 [T, N, ...]."""
        lif, membrane, codes = self.neuron, torch.zeros_like(current[0]), []
        for step in current:
            if lif.leak_shift is not None:
                membrane = membrane - torch.div(membrane, 2**lif.leak_shift, rounding_mode="floor")
            membrane = (membrane + step).clamp(*INT32)
            code = torch.div(membrane, 2**16, rounding_mode="floor").clamp(0, lif.s_max)
            membrane = membrane - code * 2**16 if lif.reset_mode == "subtract" else membrane * (code == 0)
            codes.append(code)
        return torch.stack(codes)


class _Spiking(_Neurons):
    """Convolution or linear layer, batch norm and neurons."""

    def __init__(self, module, code_value: Decimal, source: int = -1):
        self.weighted = _Weighted(module.conv if isinstance(module, layers.SpikingConv) else module.linear)
        super().__init__(module, [scale * code_value for scale in self.weighted.scale])
        self.source = source
        self.skip = self.spike_skip = self.iand_skip = None

    def __call__(self, tensors):
        current = _current(self.weighted.sums(tensors[self.source]), *self.constants)
        if self.skip is not None:
            index, multiplier, shift = self.skip
            residual = layers.match_shape(tensors[index].flatten(0, 1), current.flatten(0, 1).shape)
            current = current + _scaled(residual.unflatten(0, current.shape[:2]), multiplier, shift)
        # One step of current is a static image: every step receives it.
        codes = self._fire(current.expand(self.neuron.num_steps, *current.shape[1:]))
        if self.spike_skip is not None:
            index, ceiling = self.spike_skip
            codes = torch.minimum(codes + tensors[index], torch.tensor(ceiling))
        if self.iand_skip is not None:
            codes = torch.where(codes == 0, tensors[self.iand_skip], 0)
        return codes


class _Attention(_Neurons):
    """Spiking self-attention on the last three tensors: Q, K and V, int64 [T, N, C, H, W]."""

    def __init__(self, module, scale: Decimal):
        super().__init__(module, [scale] * module.norm.num_features)
        self.heads = module.heads

    def __call__(self, tensors):
        query, key, value = (x.unflatten(2, (self.heads, -1)).flatten(4) for x in tensors[-3:])  # [T, N, heads, d, n]
        scores = torch.einsum("tnhdi,tnhdj->tnhij", query, key)
        sums = torch.einsum("tnhij,tnhdj->tnhdi", scores, value)
        return self._fire(_current(sums.reshape(tensors[-1].shape), *self.constants))


class _Head:
    """Logits: currents of the classes, summed over the steps."""

    def __init__(self, module, code_value: Decimal, fraction_bits: int):
        self.weighted = _Weighted(module.linear)
        unit = Decimal(2) ** fraction_bits
        biases = [Decimal(value) for value in module.bias.detach().double().tolist()]
        constants = [
            (*_multiplier(ARITHMETIC.multiply(scale * code_value, unit)), _nearest(bias * unit))
            for scale, bias in zip(self.weighted.scale, biases)
        ]
        self.constants = [torch.tensor(column) for column in zip(*constants)]
        self.num_steps = module.num_steps

    def __call__(self, tensors):
        current = _current(self.weighted.sums(tensors[-1]), *self.constants)
        return current.expand(self.num_steps, *current.shape[1:]).sum(0)


def _nearest(x: Decimal) -> int:
    return int((x + HALF).to_integral_value(ROUND_FLOOR))


def _multiplier(x: Decimal) -> tuple[int, int]:
    """The finest shift whose multiplier stays below 2**17 in magnitude, found by trying from 48 downwards."""
    for shift in range(48, -1, -1):
        multiplier = _nearest(x * 2**shift)
        if abs(multiplier) < 2**17:
            return multiplier, shift
    raise ConfigError(f"a channel scale of {x:.6g} membrane units does not fit the 18-bit multiplier")


def _scaled(x, multiplier, shift):
    """floor(x * multiplier / 2**shift + 1/2), int64; channels are axis 2."""
    divisor = torch.as_tensor(2**shift if isinstance(shift, int) else torch.pow(2, shift))
    half = torch.div(divisor, 2, rounding_mode="floor")
    if divisor.ndim:
        shape = (-1,) + (1,) * (x.ndim - 3)
        multiplier, divisor, half = (value.view(shape) for value in (multiplier, divisor, half))
    return torch.div(x * multiplier + half, divisor, rounding_mode="floor")


def _current(sums, multiplier, shift, bias):
    return _scaled(sums, multiplier, shift).clamp(*INT32) + bias.view((-1,) + (1,) * (sums.ndim - 3))


def _windows(codes, kernel: int, pool):
    """Windows of a pool module, zeros around the map where it has a border: [T, N, C, H', W', k * k]."""
    border = getattr(pool, "padding", 0)
    codes = functional.pad(codes, (border,) * 4)
    return codes.unfold(3, kernel, pool.stride).unfold(4, kernel, pool.stride).flatten(5)


def _change_steps(codes, before: int, after: int):
    """[before, N, ...] -> [after, N, ...]: steps repeated, or sums over runs of steps."""
    if after >= before:
        return torch.stack([codes[t * before // after] for t in range(after)])
    run = before // after
    return torch.stack([codes[t * run : (t + 1) * run].sum(0) for t in range(after)])
