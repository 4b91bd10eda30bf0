"""Float model with quantized weights -> ONNX: QCDQ for any ONNX runtime, QONNX for FINN, hls4ml and other compilers.

Both go through Brevitas. QCDQ takes its TorchScript exporter, which stores the weights as int8, where the newer one
stores floats and quantizes them at run time; QONNX takes the newer one, which leaves a graph of fixed shapes.

The neurons become Div, Floor, Clip and Mul nodes. They must not be Brevitas activation quantizers: QuantizeLinear
rounds to nearest even instead of flooring, and a 1-bit unsigned code would become a bipolar one; both change the
classes without an error. The steps are folded into the batch and only the neurons are unrolled, so each weight appears
once whatever T is.
"""

import copy
import logging
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from ..errors import ConfigError, NetworkError, ToolMissing
from ..files import atomic_file
from .layers import SpikingConv

FORMATS = ("qcdq", "qonnx")
# The newer exporter is written for 18 and converts down badly; 17 is the last that most QCDQ consumers read.
OPSETS = {"qcdq": 17, "qonnx": 18}
INPUT_NAME, OUTPUT_NAME = "images", "logits"
WEIGHT_NODES = {"qcdq": ("DequantizeLinear",), "qonnx": ("Quant", "BipolarQuant")}


def export_onnx(model, path, format: str, batch_size: int | None = None, static: bool = True) -> None:
    """Write ``model`` as ONNX: input "images", float32 0..1 [B, C, H, W], output "logits", float32 [B, classes].

    format: "qcdq" or "qonnx".  batch_size: B; None leaves it free in QCDQ and is 1 in QONNX, whose tools want fixed
    shapes.  static: False takes event frames [T, B, C, H, W].
    Raises ConfigError for an unknown format, ToolMissing without onnx or onnxoptimizer, NetworkError when the exporter
    lost a weight quantizer (it then falls back to plain float weights without saying so).
    """
    if format not in FORMATS:
        raise ConfigError(f"ONNX format must be one of {FORMATS}, not {format!r}")
    try:
        with _silence():
            import onnx
            import onnxoptimizer  # noqa: F401  (Brevitas needs it)
            from brevitas.export import export_onnx_qcdq, export_qonnx
    except ModuleNotFoundError as error:
        raise ToolMissing(f"{error.name} is not installed; pip install 'pynq-qsnn[train]' brings it") from error
    model = copy.deepcopy(model).cpu().eval()
    steps = () if static else (model.spec.num_steps,)
    # A free batch is traced with 2 frames: the exporter would bake in a dimension of 1.
    images = torch.zeros(*steps, batch_size or (2 if format == "qcdq" else 1), *model.spec.input_shape)
    if format == "qcdq":
        _prepare_qcdq(model)
        free = {} if batch_size else {INPUT_NAME: {len(steps): "batch"}, OUTPUT_NAME: {0: "batch"}}
        export, options = export_onnx_qcdq, {"dynamo": False, "dynamic_axes": free}
    else:
        export, options = export_qonnx, {"dynamo": True, "optimize": True, "verbose": False}
    with tempfile.TemporaryDirectory() as folder, _silence():
        file = Path(folder, "model.onnx")
        export(
            model, args=images, export_path=str(file), opset_version=OPSETS[format], keep_initializers_as_inputs=False,
            input_names=[INPUT_NAME], output_names=[OUTPUT_NAME], **options,
        )  # fmt: skip
        _check_weight_nodes(onnx.load(file).graph, model, format)
        content = file.read_bytes()
    with atomic_file(path) as stream:
        stream.write(content)


@contextmanager
def _silence():
    """Hide what the tracers say of shapes that are constant by design, and of optional packages."""
    level = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)


def _check_weight_nodes(graph, model, format: str):
    counts = Counter(node.op_type for node in graph.node)
    found = sum(counts[name] for name in WEIGHT_NODES[format])
    expected = sum(hasattr(module, "quant_weight") or isinstance(module, _Dequantized) for module in model.modules())
    if found != expected:
        raise NetworkError(f"the ONNX graph has {found} quantized weights, the model {expected}: {dict(counts)}")


class _DequantizeLinear(torch.autograd.Function):
    """integers int8 [Co, ...] * scale [Co], as the ONNX operator with axis 0."""

    @staticmethod
    def forward(ctx, integers, scale, zero_point):
        return integers * scale.view(-1, *[1] * (integers.ndim - 1))

    @staticmethod
    def symbolic(g, integers, scale, zero_point):
        return g.op("DequantizeLinear", integers, scale, zero_point, axis_i=0)


class _Dequantized(nn.Module):
    """A 1-bit convolution or linear layer as int8 weights -1, 1: Brevitas' QCDQ refuses binary quantizers."""

    def __init__(self, layer):
        super().__init__()
        quantized = layer.quant_weight()
        self.register_buffer("integers", quantized.int().to(torch.int8))
        self.register_buffer("scale", quantized.scale.detach().flatten())
        self.register_buffer("zero_point", torch.zeros(len(self.scale), dtype=torch.int8))
        self.geometry = None
        if self.integers.ndim == 4:
            self.geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
        else:
            self.register_buffer("bias", torch.zeros(len(self.scale)))  # see _prepare_qcdq

    def forward(self, x):
        weight = _DequantizeLinear.apply(self.integers, self.scale, self.zero_point)
        if self.geometry is None:
            return functional.linear(x, weight, self.bias)
        return functional.conv2d(x, weight, None, *self.geometry)


def _prepare_qcdq(model):
    for module in model.modules():
        if not hasattr(module, "weight_bits"):
            continue
        name = "conv" if isinstance(module, SpikingConv) else "linear"
        if module.weight_bits == 1:
            setattr(module, name, _Dequantized(getattr(module, name)))
        elif name == "linear":
            # With a bias the node is a Gemm. ONNX Runtime turns a MatMul of dequantized weights into MatMulNBits, which
            # rounds the activations to 8 bits: errors of 1e-2 in every logit (seen in 1.31).
            module.linear.bias = nn.Parameter(torch.zeros(module.linear.out_features))
