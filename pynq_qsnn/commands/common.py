"""What several subcommands share: opening models, choosing labelled frames, printing tables, writing JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import sys
import threading
import zipfile
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np

from .. import container
from ..data import DATASET_METAVAR, ImageDataset, load_dataset
from ..errors import ConfigError, DataError
from ..files import atomic_file
from ..network import Network
from ..packing import check_frames
from ..program import Program
from ..progress import bar_file

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


def open_network(path: str | Path) -> Network:
    """The network of a .qsnn file or of a program file."""
    return Program.load(path).network if container.kind(path) == "program" else Network.load(path)


def open_program(path: str | Path, config_path: str | None = None) -> Program:
    """A program file as it is, or a .qsnn file compiled for the overlay of ``config_path``."""
    if container.kind(path) == "program":
        return Program.load(path)
    from ..compiler import compile_network
    from ..hwspec import load_config

    return compile_network(Network.load(path), load_config(config_path))


def add_frame_arguments(parser: argparse.ArgumentParser, frames: int | None) -> None:
    """Options that choose labelled test frames. frames: default number, None for the whole test split."""
    parser.add_argument(
        "--dataset", metavar=DATASET_METAVAR, help="test data, or a file of yours (default: the model card's data set)"
    )
    parser.add_argument(
        "--input", help="frames from a .npy file instead: uint8 [N, C, H, W] or [N, T, C, H, W]; gives no accuracy"
    )
    text = "all" if frames is None else frames
    parser.add_argument("--frames", type=count, default=frames, help=f"number of frames (default: {text})")


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """--json FILE."""
    parser.add_argument("--json", metavar="FILE", type=writable, help="also write the rows to FILE")


def writable(text: str) -> str:
    """Refuse before the work, not after it, a file that could not be written."""
    folder = Path(text).absolute().parent
    while not os.path.exists(folder):  # missing folders are made when the file is
        folder = folder.parent
    if os.path.isdir(text) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written: {folder} is not a folder of yours, or it is one")
    return text


def add_figure_argument(parser: argparse.ArgumentParser, purpose: str) -> None:
    """--figure FILE. Call :func:`need_matplotlib` where it is given."""
    text = f"{purpose} ({', '.join(FIGURE_SUFFIXES[:-1])} or {FIGURE_SUFFIXES[-1]})"
    parser.add_argument("--figure", metavar="FILE", type=figure_file, help=text)


def figure_file(text: str) -> str:
    """A :func:`writable` file of a kind that matplotlib writes everywhere."""
    if Path(text).suffix not in FIGURE_SUFFIXES:
        raise argparse.ArgumentTypeError(f"must end in one of {', '.join(FIGURE_SUFFIXES)}, not {Path(text).name}")
    return writable(text)


def need_matplotlib() -> None:
    """Raise ModuleNotFoundError without matplotlib, before the work."""
    import matplotlib.figure  # noqa: F401


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
    return int(text)


def test_frames(args: argparse.Namespace, network: Network) -> tuple[np.ndarray, np.ndarray | None]:
    """(frames, labels) that the options name; labels is None for frames of a file. Raises DataError."""
    if args.input:
        try:
            frames, labels = np.load(args.input, allow_pickle=False), None
        except FileNotFoundError:
            raise DataError(f"no file {args.input}") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{args.input} is not a .npy array: {error}") from error
        check_frames(frames, network)
    else:
        dataset = test_split(args, network)
        frames, labels = dataset.images, dataset.labels
    number = len(frames) if args.frames is None else args.frames
    return frames[:number], None if labels is None else labels[:number]


def test_split(args: argparse.Namespace, network: Network) -> ImageDataset:
    """Test split of --dataset or of the data set that the model card names."""
    name = args.dataset or network.card.get("dataset")
    if name is None:
        raise ConfigError(f"model {network.name!r} names no data set in its card; choose one with --dataset or --input")
    return load_dataset(name, "test", network.input.shape[-1])


def progress(items, total: int, unit: str):
    """``items`` behind a tqdm bar where tqdm is installed; a board's base installation need not have it."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return items
    return tqdm(items, total=total, unit=unit, leave=False, file=bar_file())


def accuracy_percent(logits: np.ndarray, labels: np.ndarray | None) -> float | None:
    """Share of frames whose largest logit is the label's, in percent; None without labels."""
    return None if labels is None else float(100 * np.mean(logits.argmax(axis=1) == labels))


def format_table(rows: list[dict], columns: dict[str, str]) -> str:
    """Rows as aligned text. columns: key -> heading, in order; numbers to the right, None as "-"."""
    cells = [[_text(row.get(key)) for key in columns] for row in rows]
    right = [all(isinstance(row.get(key), (int, float, type(None))) for row in rows) for key in columns]
    widths = [max(map(len, column)) for column in zip(columns.values(), *cells)]

    def line(values):
        return "  ".join(v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right)).rstrip()

    return "\n".join([line(columns.values()), line(["-" * w for w in widths]), *map(line, cells)])


def _text(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) < 10 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextmanager
def interrupt_afterwards():
    """Hold Ctrl-C back until the block ends: Brevitas swallows it while it is being imported."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending = []
    previous = signal.signal(signal.SIGINT, lambda *arguments: pending.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if pending:
        raise KeyboardInterrupt


def provenance() -> dict:
    """What a kept figure needs beside it: command, date, machine."""
    arguments = shlex.join(["pynq-qsnn", *sys.argv[1:]])
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    return {"command": arguments, "date": date.today().isoformat(), "machine": machine}


def write_json(path: str | None, content) -> None:
    """Write JSON atomically; nothing when ``path`` is None."""
    if path:
        with atomic_file(path) as file:
            file.write(json.dumps(content, indent=1).encode() + b"\n")
