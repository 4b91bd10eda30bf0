"""ONNX files, read with suspicion: one file, nothing outside it, constants of the sizes that they claim."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ModelFileError, NetworkError, ToolMissing
from .source_file import LARGEST_FILE

# Operators that may appear between constants, as exporters leave them around weights and norms.
FOLDED = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Sqrt": np.sqrt,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
}


def parse(path: str | Path, content: bytes):
    """``onnx.GraphProto`` and {domain: version}. Raises ModelFileError, and ToolMissing without the package onnx."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ToolMissing(f"{error.name} is not installed; type: pip install 'pynq-qsnn[interop]'") from error
    try:
        model = onnx.load_model_from_string(content)  # never reads other files
    except Exception as error:  # protobuf's exceptions have no public base but Exception
        raise ModelFileError(f"{path} is truncated or not an ONNX file: {error}") from error
    if not model.graph.node:
        raise ModelFileError(f"{path} is truncated or not an ONNX file: it has no nodes")
    return model.graph, {entry.domain: entry.version for entry in model.opset_import}


def tensor_value(tensor, where: str) -> np.ndarray:
    """Array of a TensorProto. Raises ModelFileError for one that lies in another file or is shorter than it claims."""
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelFileError(f"{where}: tensor {tensor.name!r} lies in another file; save the model as one file")
    elements = int(np.prod([int(d) for d in tensor.dims], dtype=object))
    if elements < 0 or elements * 8 > LARGEST_FILE:
        raise ModelFileError(f"{where}: tensor {tensor.name!r} claims {list(tensor.dims)} elements")
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except Exception as error:  # whatever its many encodings provoke
        raise ModelFileError(f"{where}: tensor {tensor.name!r} is damaged: {error}") from error


def attributes(node) -> dict:
    """Attributes of a node as plain values: int, float, str, lists of them, TensorProto."""
    import onnx

    values = {}
    for attribute in node.attribute:
        try:
            value = onnx.helper.get_attribute_value(attribute)
        except ValueError as error:
            raise ModelFileError(f"{label(node)}: attribute {attribute.name!r} is damaged: {error}") from error
        values[attribute.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return values


def label(node) -> str:
    """How messages name a node."""
    return f"{node.op_type} {node.name or (node.output[0] if node.output else '')!r}"


def fold(node, values: list[np.ndarray]) -> np.ndarray:
    """Result of an elementwise operator on constants. Raises NetworkError."""
    try:
        size = np.prod(np.broadcast_shapes(*(value.shape for value in values)), dtype=object)
        if size * 8 > LARGEST_FILE:
            raise NetworkError(f"{label(node)}: a constant of {size} elements")
        with np.errstate(all="ignore"):  # what is not finite is refused where it is used
            return np.asarray(FOLDED[node.op_type](*values))
    except (ValueError, TypeError) as error:
        raise NetworkError(f"{label(node)}: {error}") from error
