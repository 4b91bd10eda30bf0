"""Networks of brevitas.nn, calibrated but not trained, and their QONNX files."""

import importlib
import logging
import warnings

import brevitas.nn as qnn
import torch
from brevitas.core.restrict_val import FloatToIntImplType
from brevitas.export import export_qonnx
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat, Int32Bias, TruncTo8bit
from brevitas_examples.bnn_pynq.models.common import CommonWeightQuant
from torch import nn


def calibrate(model, images):
    """Batch norms with random slopes whose statistics fit, in evaluation mode. images: float32 [N, C, H, W]."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, -0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.8)
            module.momentum = None
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(images)
    return model.eval()


def cnv(weight_bits, act_bits, monkeypatch, channels=8):
    """The CNV of brevitas_examples (FINN's), with fewer channels; [3, 32, 32] images of 0..1."""
    module = importlib.import_module("brevitas_examples.bnn_pynq.models.CNV")
    pools = (False, True, False, True, False, False)
    monkeypatch.setattr(module, "CNV_OUT_CH_POOL", [(channels + 2 * i, pool) for i, pool in enumerate(pools)])
    last = channels + 10
    monkeypatch.setattr(module, "INTERMEDIATE_FC_FEATURES", [(last, 24), (24, 20)])
    monkeypatch.setattr(module, "LAST_FC_IN_FEATURES", 20)
    return module.CNV(10, weight_bits, act_bits, 8, 3)


def weight_quantizer(bits, per_channel=True):
    """Keywords of a layer with ``bits``-bit weights."""
    if bits == 1:
        return {"weight_quant": CommonWeightQuant, "weight_bit_width": 1}
    return {
        "weight_quant": Int8WeightPerChannelFloat if per_channel else Int8WeightPerTensorFloat,
        "weight_bit_width": bits,
    }


class Block(nn.Module):
    """A residual block as FINN wants it: both sides of the sum behind a ReLU, with one scale or with two."""

    def __init__(self, inputs, outputs, stride, weight_bits, shared, **relu):
        super().__init__()
        conv = dict(bias=False, **weight_quantizer(weight_bits))
        self.conv1 = qnn.QuantConv2d(inputs, outputs, 3, stride=stride, padding=1, **conv)
        self.conv2 = qnn.QuantConv2d(outputs, outputs, 3, padding=1, groups=2, **conv)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.relu1, self.relu_out = qnn.QuantReLU(**relu), qnn.QuantReLU(**relu)
        self.shortcut = nn.Identity()
        self.relu2 = shared
        if stride > 1 or inputs != outputs:
            self.relu2 = qnn.QuantReLU(**relu)
            conv1 = qnn.QuantConv2d(inputs, outputs, 1, stride=stride, **conv)
            self.shortcut = nn.Sequential(conv1, nn.BatchNorm2d(outputs), self.relu2)

    def forward(self, x):
        out = self.relu1(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        out = out if self.relu2 is None else self.relu2(out)  # None: a current, before the neuron
        return self.relu_out(out + self.shortcut(x))


class ResNet(nn.Module):
    """Blocks on [1, 16, 16] images: codes of equal steps added, a residual current, subsampling, unequal steps."""

    def __init__(self, weight_bits, act_bits, pool="trunc", rounding="ROUND"):
        super().__init__()
        relu = {"bit_width": act_bits, "float_to_int_impl_type": getattr(FloatToIntImplType, rounding)}
        relu["return_quant_tensor"] = True
        self.conv = qnn.QuantConv2d(1, 8, 3, padding=1, bias=False, **weight_quantizer(8, per_channel=False))
        self.norm, self.relu, self.maximum = nn.BatchNorm2d(8), qnn.QuantReLU(**relu), nn.MaxPool2d(3, 2, 1)
        self.blocks = nn.Sequential(
            Block(8, 8, 1, weight_bits, self.relu, **relu),
            Block(8, 8, 1, weight_bits, None, **relu),
            Block(8, 12, 2, weight_bits, None, **relu),
            Block(12, 12, 1, weight_bits, qnn.QuantReLU(**{**relu, "return_quant_tensor": False}), **relu),
        )
        pools = {
            "trunc": lambda: qnn.TruncAvgPool2d(4, trunc_quant=TruncTo8bit, float_to_int_impl_type="FLOOR"),
            "average": lambda: nn.AvgPool2d(4),
            "global": lambda: nn.AdaptiveAvgPool2d(1),
        }
        self.pool = pools[pool]()
        bias = Int32Bias if pool == "trunc" else None
        self.linear = qnn.QuantLinear(12, 10, bias=True, bias_quant=bias, **weight_quantizer(8, per_channel=False))

    def forward(self, x):
        x = self.blocks(self.maximum(self.relu(self.norm(self.conv(x)))))
        return self.linear(torch.flatten(self.pool(x), 1))


def export(model, path, images, dynamo=False):
    """Write ``model`` as QONNX with the batch of ``images``."""
    options = {"optimize": True, "verbose": False} if dynamo else {"keep_initializers_as_inputs": False}
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export_qonnx(model, args=images, export_path=str(path), dynamo=dynamo, **options)
    finally:
        logging.disable(level)
    return path


def execute(path, images):
    """Every tensor of the graph as qonnx computes it, float32."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(str(path)).transform(InferShapes())
    context = execute_onnx(model, {model.graph.input[0].name: images}, return_full_exec_context=True)
    return {**context, "logits": context[model.graph.output[0].name]}
