"""ONNX Runtime on the host's processor: the integer network's own graph, or an exported QCDQ file.

logits = OnnxExecutor().load(network).run(frames)        # int32 [N, classes], bit-exact with the reference
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ConfigError, ModelFileError, QsnnError, ToolMissing
from ..network import Network
from ..packing import check_frames
from .onnx_graph import FRAMES, LOGITS, onnx_model

PROVIDERS = ["CPUExecutionProvider"]
ERRORS_ONLY = 3  # ONNX Runtime's log level


class OnnxExecutor:
    """Executor of a network, or of a program's network, in ONNX Runtime."""

    def __init__(self, threads: int = 1):
        """threads: within an operator."""
        self.threads = threads
        self._session = None

    def load(self, model) -> OnnxExecutor:
        """model: a Network, or anything with a ``network`` attribute (a Program).

        Raises ToolMissing without onnx or onnxruntime.
        """
        network: Network = getattr(model, "network", model)
        self._session = _session(onnx_model(network).SerializeToString(), self.threads)
        self.network = network
        return self

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Logits int32 [N, classes] of frames uint8 [N, C, H, W] (static) or [N, T, C, H, W]. Raises FrameError."""
        if self._session is None:
            raise QsnnError("no network is loaded; call load(network) first")
        return self._session.run([LOGITS], {FRAMES: check_frames(frames, self.network)})[0]


class QcdqExecutor:
    """Executor of a file of ``pynq-qsnn export --onnx``: the float model with quantized weights."""

    def __init__(self, path: str | Path, network: Network, threads: int = 1):
        """network: the integer network of the same model, which says what a frame is.

        Raises ToolMissing without onnxruntime, ModelFileError for a file that it cannot read, ConfigError for one whose
        input is not this network's, or of a fixed batch.
        """
        if not Path(path).is_file():
            raise ModelFileError(f"no file {path}")
        self._session, self._network, self.threads = _session(str(path), threads), network, threads
        (self._input,) = (port.name for port in self._session.get_inputs())
        self._static = network.input.num_steps == 1
        found = list(self._session.get_inputs()[0].shape)
        steps = [] if self._static else [network.num_steps]
        expected = [*steps, "any batch", *network.input.shape]
        batch = len(steps)
        if found[:batch] != steps or found[batch + 1 :] != list(network.input.shape):
            raise ConfigError(f"{path}: its input is {found}, that of {network.name!r} is {expected}")
        if isinstance(found[batch], int):
            raise ConfigError(f"{path}: its batch is fixed to {found[batch]}; export it with a free batch")

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Logits float32 [N, classes] of frames as in :meth:`OnnxExecutor.run`. Raises FrameError."""
        frames = check_frames(frames, self._network)
        images = (frames if self._static else np.moveaxis(frames, 1, 0)).astype(np.float32)
        return self._session.run(None, {self._input: images / np.float32(255)})[0]


def _session(model: str | bytes, threads: int):
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ToolMissing(f"{error.name} is not installed; type: pip install onnx onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(model, options, providers=PROVIDERS)
    except Exception as error:  # its exceptions share no public base but Exception
        what = model if isinstance(model, str) else "the network's graph"
        raise ModelFileError(f"{what}: ONNX Runtime cannot load it: {error}") from error
