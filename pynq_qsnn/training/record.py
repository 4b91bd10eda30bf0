"""What a run writes beside its checkpoint: config.json, metrics.csv, result.json, and TensorBoard's log if it can."""

import csv
import io
import json
from pathlib import Path

import torch

from ..files import atomic_file
from .options import command_line

COLUMNS = ("epoch", "learning_rate", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "train_s", "test_s")


class Record:
    """The files of one run's output folder. Writes config.json when it is made."""

    def __init__(self, config, model, dataset, processes):
        self.folder = Path(config.output_dir)
        self._write_json("config.json", run_card(config, model, dataset, processes))
        self.board = _tensorboard(self.folder)

    def epoch(self, history: list) -> None:
        """A row more for metrics.csv and TensorBoard."""
        self._write_csv(history)
        for name in COLUMNS[1:] if self.board else ():
            self.board.add_scalar(name, history[-1][name], history[-1]["epoch"])

    def end(self, history: list, test_images: int) -> None:
        """result.json of the last epoch; metrics.csv again, for a run that was killed between checkpoint and row."""
        self._write_csv(history)
        row = history[-1]
        self._write_json("result.json", {"test_accuracy": row["test_accuracy"], "test_images": test_images, **row})

    def _write_csv(self, history):
        text = io.StringIO()
        rows = [[f"{row[name]:.6g}" for name in COLUMNS] for row in history]
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        with atomic_file(self.folder / "metrics.csv") as stream:
            stream.write(text.getvalue().encode())

    def _write_json(self, name, content):
        with atomic_file(self.folder / name) as stream:
            stream.write((json.dumps(content, indent=2) + "\n").encode())


def run_card(config, model, dataset, processes) -> dict:
    """How a run was started, on what."""
    card, device = dataset.card, processes.device
    return {
        "command": command_line(config),
        "config": config.to_dict(),
        "network": model.spec.to_dict(),
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "data": {"name": card.name, "source": card.source, "licence": card.licence, "note": card.note},
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processes": processes.count,
    }


def _tensorboard(folder):
    """A TensorBoard writer when the package is installed, else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
