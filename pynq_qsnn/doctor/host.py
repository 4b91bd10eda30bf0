"""What training, export, compilation and simulation need, on whatever computer."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..errors import QsnnError, ToolMissing
from ..files import cache_dir
from ..runtime.csim import ap_types
from .report import BOTH, HOST, MISSING, OK, OPTIONAL, WARNING, WRONG, Case, Line, Outcome

CACHE_BYTES = 512 << 20


def check_compiler(case: Case) -> Outcome:
    name = case.system.environ.get("CXX", "g++")
    remedy = "apt-get install g++"
    try:
        done = case.system.run([name, "--version"])
    except FileNotFoundError:
        return Outcome(MISSING, f"no {name} on the PATH", remedy)
    if done.status != 0:
        return Outcome(WRONG, f"{name} --version: {done.output.strip() or f'exit status {done.status}'}", remedy)
    return Outcome(OK, done.output.partition("\n")[0])


def check_ap_types(case: Case) -> Outcome:
    try:
        return Outcome(OK, str(ap_types()))
    except ToolMissing as error:
        return Outcome(MISSING, str(error), "pip install --no-deps hls4ml==1.3.0")


def check_config(case: Case) -> Outcome:
    config = case.config
    return Outcome(OK, f"{config.name}, {config.clock_mhz} MHz, fingerprint {config.fingerprint[:16]}")


def check_cache(case: Case) -> Outcome:
    remedy = "export PYNQ_QSNN_CACHE=/a/folder/with/space"
    try:
        folder = cache_dir()
    except QsnnError as error:
        return Outcome(WRONG, str(error), remedy)
    free = case.system.free_bytes(folder)
    found = f"{folder}, {free / 2**30:.1f} GiB free"
    return Outcome(OK, found) if free >= CACHE_BYTES else Outcome(WRONG, found, remedy)


def check_data(case: Case) -> Outcome:
    folder = case.system.environ.get("PYNQ_QSNN_DATA")
    remedy = "export PYNQ_QSNN_DATA=/folder/with/cifar10   (digits needs none; CIFAR-10 is downloaded otherwise)"
    if not folder:
        return Outcome(OPTIONAL, "PYNQ_QSNN_DATA is not set", remedy)
    if not case.system.path(str(Path(folder).absolute())).is_dir():
        return Outcome(WARNING, f"PYNQ_QSNN_DATA is {folder}, no folder", remedy)
    return Outcome(OK, folder)


def check_package(name: str, extra: str, purpose: str, case: Case) -> Outcome:
    found = case.system.version(name)
    if found:
        return Outcome(OK, found)
    return Outcome(OPTIONAL, f"not installed; for {purpose}", f"pip install 'pynq-qsnn[{extra}]'")


LINES = (
    Line("overlay config", BOTH, check_config),
    Line("cache folder", BOTH, check_cache),
    Line("C++ compiler", HOST, check_compiler),
    Line("ap_int headers", HOST, check_ap_types),
    Line("data folder", HOST, check_data),
    *(
        Line(name, HOST, partial(check_package, name, extra, purpose))
        for name, extra, purpose in (
            ("torch", "train", "training and export"),
            ("brevitas", "train", "training and export"),
            ("onnx", "train", "ONNX export"),
            ("matplotlib", "notebook", "figures of the notebooks"),
            ("jupyterlab", "notebook", "the notebooks"),
        )
    ),
)
