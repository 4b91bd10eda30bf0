"""PyTorch's float evaluation of a checkpoint, with the two calls of every executor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .export import load_checkpoint
from .loop import predict_logits


class FloatExecutor:
    """Executor of a training checkpoint on the host's processor."""

    def __init__(self, threads: int):
        """threads: of PyTorch's operators, in the whole process."""
        self.threads = threads

    def load(self, path: str | Path) -> FloatExecutor:
        """path: output folder of a training run, or its checkpoint file. Raises ModelFileError."""
        torch.set_num_threads(self.threads)
        self._model, _ = load_checkpoint(path)
        return self

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Logits float32 [N, classes] of frames uint8 [N, C, H, W]."""
        return predict_logits(self._model, frames).numpy()
