"""The house rules that no other test sees: who may import whom, examples in docstrings, what a wheel carries."""

import ast
import doctest
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pynq_qsnn

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pynq_qsnn"
HEAVY = (
    "torch",
    "brevitas",
    "onnx",
    "qonnx",
    "onnxruntime",
    "onnxscript",
    "onnxoptimizer",
    "tensorboard",
    "safetensors",
    "kornia",
    "optuna",
    "sqlalchemy",
    "nir",
    "h5py",
)
PYNQ = ("pynq", "pynqutils", "pynqmetadata", "grpc")
# All but the first two inside functions
OPTUNA_MODULES = ("search.study", "search.storage")
HEAVY_MODULES = ("training", *OPTUNA_MODULES, "interop", "runtime.onnx_graph", "runtime.onnx_executor")
# runtime/driver.py and its parts that need pynq
DRIVER = ("clock", "driver", "ip", "locate", "pipeline", "streaming", "remote", "runner")
POWER = ("power.measurement", "power.pl_clocks", "power.rails")
PYNQ_MODULES = ("emulator", "boards.session", *(f"runtime.{name}" for name in (*DRIVER, *POWER)))

# Package-internal imports that docs/architecture.md allows, lazy ones inside functions included. A name allows its
# submodules; the longest matching key decides; a module may always import its own subpackage.
FOUNDATION = ("errors", "paths", "files", "progress", "hwspec", "kv260")
NUMBERS = ("neuron", "fixed_point", "network")
EXECUTABLE = (*FOUNDATION, "container", "neuron", "network", "packing", "program", "reference")
NATIVE = ("runtime.simulator", "runtime.native_build")
MAY_IMPORT = {
    "": (),
    "__main__": ("cli",),
    "errors": (),
    "paths": (),
    "files": ("errors",),
    "kv260": ("paths",),
    "hwspec": ("errors", "paths", "resources"),  # lazily: what does not fit is no config
    "container": ("errors", "files"),
    "neuron": ("errors", "hwspec"),
    "network": (*FOUNDATION, "container", "neuron"),
    "packing": (*FOUNDATION, "network"),
    "program": (*FOUNDATION, "container", "network", "packing"),
    "prediction": ("hwspec",),
    "fixed_point": ("errors", "hwspec", "neuron"),
    "interop": (*FOUNDATION, *NUMBERS),
    "metrics": ("errors", "hwspec", "network"),
    "plots": (),
    "progress": (),
    "resources": ("hwspec", "paths"),
    "reference": (*FOUNDATION, "network", "neuron", "packing"),
    "architectures": ("errors",),
    "benchmark_networks": (*FOUNDATION, "architectures", "network", "neuron", "runtime.simulator"),
    "compiler": (*FOUNDATION, "network", "neuron", "packing", "prediction", "program"),
    "paper": (*FOUNDATION, "benchmark_networks", "compiler", "program", "runtime.csim", "runtime.cycles"),
    "data": ("errors", "files", "progress"),
    "runtime": EXECUTABLE,
    "runtime.driver": (*EXECUTABLE, "emulator", ""),  # the package itself: its version
    "runtime.locate": (*EXECUTABLE, "emulator"),  # where there is no board
    "runtime.remote": (*EXECUTABLE, "emulator"),  # where an emulated one tells its time
    "boards": (*EXECUTABLE, "runtime", "emulator"),
    "emulator": (*FOUNDATION, "runtime.csim"),
    "zoo": (*FOUNDATION, "container", "network"),
    "zoo.train": (*(*EXECUTABLE, "compiler", "data", "metrics", "runtime.simulator", "training", "zoo"),),
    "training": (*FOUNDATION, "architectures", *NUMBERS, "container", "reference", "data", *NATIVE, ""),
    "search": (*FOUNDATION, "architectures", "network", "data", "metrics", "compiler", "training", *NATIVE),
    "training.check": ("errors",),  # independent of neuron and network, or it would check nothing
}
FREE = ("cli", "commands", "doctor")  # the user's entry points bring everything together


def modules() -> dict[str, Path]:
    """Module name below the package ("" for the package itself) -> file."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def within(module: str, names) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def imports_of(module: str, file: Path) -> set[str]:
    """Absolute names of everything that a file imports, anywhere in it; `from a import b` gives a.b where a module."""
    package = ["pynq_qsnn", *module.split(".")] if module else ["pynq_qsnn"]
    if file.name != "__init__.py":
        package.pop()
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *(node.module.split(".") if node.module else [])])
            known = modules()
            for alias in node.names:
                inside = f"{name}.{alias.name}".removeprefix("pynq_qsnn.")
                found.add(f"{name}.{alias.name}" if name.startswith("pynq_qsnn") and inside in known else name)
    return found


@pytest.mark.parametrize("module", modules())
def test_who_may_import_whom(module):
    imported = imports_of(module, modules()[module])
    outside = {name.split(".")[0] for name in imported}
    if not within(module, HEAVY_MODULES):
        assert not outside & set(HEAVY), f"{module}: only {HEAVY_MODULES} load {outside & set(HEAVY)}"
    if not within(module, PYNQ_MODULES):
        assert not outside & set(PYNQ), f"{module}: only {PYNQ_MODULES} load {outside & set(PYNQ)}"
    if within(module, FREE):
        return
    rule = next((key for key in sorted(MAY_IMPORT, key=len, reverse=True) if within(module, (key,))), None)
    assert rule is not None, f"{module} is new: say in MAY_IMPORT and docs/architecture.md what it may import"
    own = module.split(".")[0]
    inside = {n.removeprefix("pynq_qsnn").removeprefix(".") for n in imported if n.split(".")[0] == "pynq_qsnn"}
    wrong = {name for name in inside if not within(name, MAY_IMPORT[rule]) and not (own and within(name, (own,)))}
    if rule == "training.check":
        wrong = {name for name in inside if not within(name, (*MAY_IMPORT[rule], "training"))}
    assert not wrong, f"{module} imports {sorted(wrong)}; {rule!r} may import {MAY_IMPORT[rule]}"


IMPORT_ALL = """
import importlib, json, sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in forbidden:
            raise ModuleNotFoundError(f"{name} must not be loaded", name=name)

names, forbidden = json.loads(sys.argv[1])
sys.meta_path.insert(0, Forbidden())
before = set(sys.modules)
for name in names:
    importlib.import_module(name)
loaded = {name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
loaded -= {"cython_runtime"}  # no file: compiled parts of NumPy make it
print(json.dumps(sorted(name for name in loaded if not name.startswith("_"))))
"""


def third_party(names, forbidden) -> set[str]:
    """Top-level packages that importing ``names`` loads in a fresh interpreter."""
    command = [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, json.dumps([names, forbidden])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1])) - {"pynq_qsnn"}


def test_importing_the_package_loads_nothing():
    assert third_party(["pynq_qsnn"], []) == set()


def test_host_modules_need_numpy_alone():
    names = [
        f"pynq_qsnn.{name}".rstrip(".")
        for name in modules()
        if name != "__main__" and not within(name, ("training", *OPTUNA_MODULES, *PYNQ_MODULES))
    ]
    assert "pynq_qsnn.runtime.csim" in names and "pynq_qsnn.compiler" in names and "pynq_qsnn.cli" in names
    assert third_party(names, [*HEAVY, *PYNQ]) == {"numpy"}


def test_the_driver_loads_pynq_but_nothing_of_training():
    pytest.importorskip("pynq", reason="pynq is not installed")
    without_remote = () if importlib.util.find_spec("pynq.remote") else ("emulator.remote",)  # it comes with pynq 3.1
    names = [f"pynq_qsnn.{name}" for name in modules() if within(name, ("runtime", "emulator"))]
    names = [name for name in names if not within(name.removeprefix("pynq_qsnn."), without_remote)]
    assert "pynq_qsnn.runtime.driver" in names
    assert "pynq" in third_party(names, list(HEAVY))


@pytest.mark.parametrize("module", [name for name in modules() if ">>>" in modules()[name].read_text()])
def test_docstring_examples_run(module):
    try:
        loaded = importlib.import_module(f"pynq_qsnn.{module}")
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    assert doctest.testmod(loaded).failed == 0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Unpacked wheel of this checkout, built from a copy: a build leaves files behind."""
    if not (ROOT / "setup.py").exists():
        pytest.skip("the tests run outside a checkout")
    pytest.importorskip("wheel", reason="the package wheel, which builds wheels, is not installed")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pynq_qsnn", "overlays", "hls", "models", "notebooks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(out), "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (file,) = out.glob("*.whl")
    assert file.name == f"pynq_qsnn-{pynq_qsnn.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(out / "site")
    return out / "site"


def test_the_wheel_carries_what_the_checkout_has(wheel):
    for folder in ("pynq_qsnn", "overlays", "hls", "models", "notebooks"):
        inside = "" if folder == "pynq_qsnn" else folder
        tracked = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True)
        for name in tracked.stdout.split():
            assert (wheel / "pynq_qsnn" / inside / Path(name).relative_to(folder)).is_file(), f"{name} is not packed"
    names = [str(file.relative_to(wheel)) for file in wheel.rglob("*")]
    assert not [name for name in names if re.search(r"^tests|\.so$|\.o$|__pycache__", name)]


def test_the_wheel_finds_its_resources(wheel, tmp_path):
    code = (
        "import importlib, pynq_qsnn.hwspec as h; from pynq_qsnn.paths import resource; "
        "importlib.import_module('pynq_qsnn.overlays.kv260'); importlib.import_module('pynq_qsnn.notebooks'); "
        "config = h.load_config(); "
        "assert resource('hls', 'include', 'hw_spec.hpp').read_text() == h.cpp_header(config); "
        "print(h.__file__, config.fingerprint)"
    )
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    command = [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    from pynq_qsnn.hwspec import load_config

    file, fingerprint = done.stdout.split()
    assert Path(file).is_relative_to(wheel) and fingerprint == load_config().fingerprint


def test_entry_points_load():
    try:
        distribution = importlib.metadata.distribution("pynq-qsnn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pynq-qsnn is not installed in this environment")
    assert distribution.version == pynq_qsnn.__version__
    groups = {point.group for point in distribution.entry_points}
    assert groups == {"console_scripts", "pynq.lib", "pynq.notebooks", "pynq.overlays"}
    for point in distribution.entry_points:
        if point.group == "pynq.lib":
            pytest.importorskip("pynq", reason="pynq is not installed")
        assert point.load()
