"""Every notebook runs from top to bottom, in an empty folder, and draws its figures.

What a board runs does so without PyTorch, and without its data set.
"""

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
ON_A_BOARD = ("03_cifar10_on_the_board", "04_energy")
COMPARING = ("01_first_light", "03_cifar10_on_the_board")
TRAINING = ("01_first_light", "02_bit_budget")
MOST_SECONDS = 180
NO_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "brevitas"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
"""


IS_BLOCKED = """
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("this kernel has PyTorch: nothing was proved")
"""


@pytest.fixture(scope="module")
def read():
    nbformat = pytest.importorskip("nbformat")
    return lambda path: nbformat.read(path, as_version=4)


def run(notebook, folder, environment):
    """Execute it in a kernel of its own; returns seconds."""
    nbclient = pytest.importorskip("nbclient")
    for package in ("pynq", "matplotlib", "ipykernel"):
        pytest.importorskip(package)
    begin = time.monotonic()
    client = nbclient.NotebookClient(notebook, timeout=MOST_SECONDS, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return time.monotonic() - begin


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def check(notebook, seconds):
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3
    shouts = [output.text for output in outputs(notebook) if output.get("name") == "stderr"]
    assert not shouts, "Jupyter paints stderr as an error"
    assert seconds < MOST_SECONDS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, read):
    nbformat = pytest.importorskip("nbformat")
    environment = dict(os.environ)
    if path.stem in ON_A_BOARD:
        (tmp_path / "sitecustomize.py").write_text(NO_TORCH)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    else:
        pytest.importorskip("torch")
    notebook = read(path)
    if path.stem in ON_A_BOARD:
        notebook.cells.append(nbformat.v4.new_code_cell(IS_BLOCKED))
    (tmp_path / "work").mkdir()
    check(notebook, run(notebook, tmp_path / "work", environment))
    if path.stem in TRAINING:
        check_bars(notebook)
    if path.stem in COMPARING:
        check_kinds(notebook)


def check_kinds(notebook):
    """Fps of the host and of the cycle model: a table each, under its kind, and a ratio that names both."""
    (said,) = (o.text for o in outputs(notebook) if "ratio of the fps" in o.get("text", ""))
    tables, ratio = said.split("ratio of the fps")
    kinds = re.findall(r"^(measured \(host\)|emulated \(cycle model\)[^:]*):\nexecutor +fps ", tables, re.MULTILINE)
    assert len(kinds) >= 2 and len(kinds) == len(set(kinds)) == tables.count("executor ")
    assert "emulated (cycle model) over" in ratio and "measured (host):" in ratio


def check_bars(notebook):
    """Each moved to its end while the network was trained."""
    shown = "".join(output.get("data", {}).get("text/html", "") for output in outputs(notebook))
    bars = re.findall(r"<progress[^>]*max='(\d+)' value='(\d+)'", shown)
    assert bars and all(most == value for most, value in bars)


def test_cifar10_with_few_frames_of_ones_own(tmp_path, read):
    """Fewer than it asks for: every count, table and picture is of those that there are."""
    (path,) = (path for path in NOTEBOOKS if path.stem == "03_cifar10_on_the_board")
    mine = tmp_path / "mine.npy"
    np.save(mine, np.random.default_rng(0).integers(0, 256, (21, 3, 32, 32), np.uint8))
    notebook = read(path)
    (cell,) = (cell for cell in notebook.cells if "MY_FRAMES = None" in cell.source)
    cell.source = cell.source.replace("MY_FRAMES = None", f"MY_FRAMES = {str(mine)!r}")
    check(notebook, run(notebook, tmp_path, dict(os.environ)))
    said = "".join(output.get("text", "") for output in outputs(notebook))
    assert f"frames of {mine}, no labels" in said and "21 frames: board and" in said


def test_cifar10_without_its_data(tmp_path, read):
    """Patterns stand in, the reader is told how to get the images, and nothing is called right or wrong."""
    (path,) = (path for path in NOTEBOOKS if path.stem == "03_cifar10_on_the_board")
    nowhere = {**os.environ, "PYNQ_QSNN_DATA": str(tmp_path)}
    notebook = read(path)
    check(notebook, run(notebook, tmp_path, nowhere))
    said = "".join(output.get("text", "") for output in outputs(notebook))
    assert "NO cifar10 HERE" in said and "PYNQ_QSNN_DATA" in said
    assert "agree on every bit" in said and "accuracy %" in said


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_says_first_what_the_reader_will_have(path, read):
    notebook = read(path)
    title, begin = notebook.cells[0].source.split("\n\n")[:2]
    assert title.startswith("# ") and begin.startswith("At the end of this notebook you will have")
    assert f"({path.name})" in (path.parent / "README.md").read_text(encoding="utf-8"), "not in the index"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_clean(path, read):
    for cell in read(path).cells:
        if cell.cell_type != "code":
            continue
        assert not cell.outputs and cell.execution_count is None, "outputs would go stale"
        longest = max(cell.source.split("\n"), key=len)
        assert len(longest) <= 104, f"JupyterLab cuts this line off: {longest}"


def test_links_between_notebooks_lead_somewhere(read):
    names = {path.name for path in NOTEBOOKS}
    for path in NOTEBOOKS:
        text = "".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        linked = {part.split(")")[0] for part in text.split("](")[1:] if ".ipynb" in part}
        assert linked and linked <= names


def test_there_are_five():
    assert len(NOTEBOOKS) == 5
