"""What a machine has for each act of the flow, and what to type where it lacks. Nothing is imported to find out."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .errors import QsnnError, ToolMissing
from .files import cache_dir
from .hwspec import load_config
from .paths import resource
from .runtime.csim import ap_types
from .runtime.machine import board_names, is_kv260

PYTHON_RANGE = ((3, 10), (3, 12))


@dataclass(frozen=True)
class Check:
    """One line of the report. remedy: what to type; optional: its absence does not stop the host flow."""

    name: str
    good: bool
    found: str
    remedy: str = ""
    optional: bool = False


def check_all() -> list[Check]:
    """Every check, in the order of the flow."""
    checks = [_python(), _numpy(), _compiler(), _ap_types(), _contract(), _cache(), _data()]
    checks += [
        _package("torch", "train", "training and export"),
        _package("brevitas", "train", "training and export"),
        _package("onnx", "train", "ONNX export"),
        _package("matplotlib", "notebook", "figures of the notebooks"),
        _package("jupyterlab", "notebook", "the notebooks"),
        _package("pynq", "board", "the board, real or emulated"),
        _board(),
        _bitstream(),
    ]
    return checks


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _python() -> Check:
    low, high = PYTHON_RANGE
    found = platform.python_version()
    remedy = f"use Python {low[0]}.{low[1]} to {high[0]}.{high[1]}"
    return Check("Python", low <= sys.version_info[:2] <= high, found, remedy)


def _numpy() -> Check:
    found = _version("numpy")
    good = found is not None and int(found.split(".")[0]) < 2
    return Check("numpy < 2", good, found or "not installed", "pip install 'numpy<2'   (pynq does not run on numpy 2)")


def _compiler() -> Check:
    name = os.environ.get("CXX", "g++")
    path = shutil.which(name)
    if path is None:
        return Check("C++ compiler", False, f"no {name} on the PATH", "apt-get install g++")
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return Check("C++ compiler", done.returncode == 0, done.stdout.partition("\n")[0] or path, "apt-get install g++")


def _ap_types() -> Check:
    try:
        return Check("ap_int headers", True, str(ap_types()))
    except ToolMissing as error:
        return Check("ap_int headers", False, "not found", str(error))


def _contract() -> Check:
    try:
        config = load_config()
        return Check("overlay config", True, f"{config.name}, {config.clock_mhz} MHz, {config.fingerprint[:16]}")
    except QsnnError as error:
        return Check("overlay config", False, str(error), "reinstall pynq-qsnn")


def _cache() -> Check:
    try:
        folder = cache_dir()
    except QsnnError as error:
        return Check("cache folder", False, str(error), "export PYNQ_QSNN_CACHE=/a/folder/you/can/write")
    free = shutil.disk_usage(folder).free / 2**30
    good = os.access(folder, os.W_OK) and free > 0.5
    return Check("cache folder", good, f"{folder}, {free:.1f} GiB free", "export PYNQ_QSNN_CACHE=/a/folder/with/space")


def _data() -> Check:
    folder = os.environ.get("PYNQ_QSNN_DATA")
    remedy = "export PYNQ_QSNN_DATA=/folder/with/cifar10   (digits needs none; CIFAR-10 is downloaded otherwise)"
    return Check("data folder", bool(folder) and Path(folder).is_dir(), folder or "not set", remedy, optional=True)


def _package(name: str, extra: str, purpose: str) -> Check:
    found = _version(name)
    remedy = f"pip install 'pynq-qsnn[{extra}]'   (for {purpose})"
    return Check(name, found is not None, found or "not installed", remedy, optional=True)


def _board() -> Check:
    found = board_names() or f"no device tree, {platform.machine()}"
    return Check("KV260", is_kv260(), found, "use the emulated board", optional=True)


def _bitstream() -> Check:
    path = resource("overlays", "kv260", "qsnn_kv260.bit")
    remedy = "make -C overlays/kv260   (needs Vitis HLS and Vivado 2022.2 - 2024.2), or use the emulated board"
    return Check("bitstream", path.exists(), str(path) if path.exists() else "not built", remedy, optional=True)
