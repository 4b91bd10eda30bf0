"""The installed wheel under the unmodified pynq: its names, drivers and notebooks are found through entry points."""

from __future__ import annotations

import json
import textwrap

import pytest
from building import ROOT, pip

pytest.importorskip("pynq")

LOADING = """
    import json, shutil, sys
    from pathlib import Path

    import numpy as np
    import pynq

    from pynq_qsnn.emulator import open_board
    from pynq_qsnn.paths import resource

    with open_board() as board:
        for suffix in (".bit", ".hwh"):
            made = Path(board.bitfile).with_suffix(suffix)
            shutil.copy(made, resource("overlays", "kv260", "qsnn_kv260" + suffix))
        assert "pynq_qsnn.runtime.ip" not in sys.modules
        overlay = pynq.Overlay("qsnn_kv260.bit", device=board.device)
        names = [name for name, ip in overlay.ip_dict.items() if ip["type"].startswith("xilinx.com:hls:qsnn_top")]
        driver = type(getattr(overlay, names[0]))

        from pynq_qsnn.compiler import compile_network
        from pynq_qsnn.network import Network
        from pynq_qsnn.reference import Reference
        from pynq_qsnn.runtime.driver import QsnnOverlay

        network = Network.load(resource("models", "cifar10_w8s4t1.qsnn"))
        frames = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), np.uint8)
        with QsnnOverlay("qsnn_kv260.bit") as opened:
            logits = opened.load_model(compile_network(network)).execute(frames)
        exact = bool(np.array_equal(logits, Reference().load(network).run(frames)))
    package = sys.modules["pynq_qsnn"].__file__
    print(json.dumps([overlay.bitfile_name, driver.__module__, driver.__name__, package, exact]))
"""


def test_overlay_by_name_driver_and_a_kept_model(installed):
    """`Overlay("qsnn_kv260.bit")` finds the package's overlay folder, pynq binds the driver, and a kept model runs."""
    output = installed.run(installed.python, "-W", "ignore", "-c", textwrap.dedent(LOADING))
    bitfile, module, driver, package, exact = json.loads(output.splitlines()[-1])
    assert bitfile == str(installed.packages / "pynq_qsnn/overlays/kv260/qsnn_kv260.bit")
    assert (module, driver) == ("pynq_qsnn.runtime.ip", "QsnnKernel")
    assert package.startswith(str(installed.packages))
    assert exact


def test_pynq_delivers_the_notebooks(installed):
    """The line of docs/how-to/install-on-the-board.md; it copies, and needs no network."""
    command = "import sys; from pynq._cli.get_notebooks import main; main()"
    installed.run(
        installed.python, "-W", "ignore", "-c", command, "pynq-qsnn", "--device", "KV260", "--path", "delivered"
    )
    delivered = installed.folder / "delivered/pynq-qsnn"
    notebooks = {path.name: path.read_bytes() for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.name: path.read_bytes() for path in delivered.glob("*.ipynb")} == notebooks


def test_the_command_runs_outside_of_a_checkout(installed):
    command = installed.python.parent / "pynq-qsnn"
    model = installed.packages / "pynq_qsnn/models/cifar10_w8s1t4.qsnn"
    installed.run(command, "compile", model, "-o", "cifar10.qprog")
    assert "predicted" in installed.run(command, "info", "cifar10.qprog")


def test_nothing_of_a_board_is_replaced(wheel, tmp_path):
    """`pip install 'pynq-qsnn[board]'` without an index: everything that it needs is here, and stays as it is.

    In the environment of constraints/board-py310-pynq301.txt these are the versions of Kria-PYNQ.
    """
    report = tmp_path / "report.json"
    pip("install", "--dry-run", "--no-index", "--quiet", "--report", report, f"{wheel}[board]", folder=tmp_path)
    installs = {package["metadata"]["name"] for package in json.loads(report.read_text())["install"]}
    assert installs <= {"pynq-qsnn"}


def test_the_environment_of_kria_pynq_is_tested():
    """Pins of PYNQ 3.0.1, sdbuild/packages/python_packages_jammy/requirements.txt, and of Kria-PYNQ's install.sh."""
    pins = (ROOT / "constraints/board-py310-pynq301.txt").read_text().splitlines()
    kria = "ipython==8.10.0", "pydantic==1.9.1", "typing_extensions==4.3.0", "pycparser==2.19", "jsonschema==4.9.0"
    assert {*kria, "pynq==3.0.1", "pynqmetadata==0.1.2", "pynqutils==0.1.1"} <= set(pins)
