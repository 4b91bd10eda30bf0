"""NIR files (HDF5), read with suspicion: nothing outside the file, sizes that fit, one network without cycles.

NIR: Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 15, 8122 (2024); package `nir`.
"""

from __future__ import annotations

import io
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from ..errors import ModelFileError, NetworkError, ToolMissing
from .source_file import LARGEST_FILE

DEADLINE_S = 60  # a gigabyte takes some seconds
MOST_STRINGS = 1 << 16  # a graph's edges are two each


def load_nir():
    """The packages nir and h5py. Raises ToolMissing."""
    try:
        import h5py
        import nir
    except ModuleNotFoundError as error:
        raise ToolMissing(f"{error.name} is not installed; type: pip install 'pynq-qsnn[interop]'") from error
    return nir, h5py


def parse(path: str | Path, content: bytes):
    """``nir.NIRGraph`` of a file's content. Types are not inferred: some exporters leave them open."""
    nir, h5py = load_nir()
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            _check(path, file, h5py)
        graph = nir.read(io.BytesIO(content), type_check=False)
    except ModelFileError:
        raise
    except Exception as error:  # nir asserts, and passes on whatever h5py and NumPy raise
        raise ModelFileError(f"{path} is damaged or not a NIR file: {type(error).__name__}: {error}") from error
    if not isinstance(graph, nir.NIRGraph):
        raise ModelFileError(f"{path} holds a single {type(graph).__name__}, a graph is needed")
    return graph


def try_in_a_child(path: str | Path) -> None:
    """Read a file in another process first: HDF5's C library can crash or hang on a damaged one.

    Raises ModelFileError for such a file. What is wrong otherwise, :func:`parse` says.
    """
    code = "import sys; from pathlib import Path; from pynq_qsnn.interop.nir_file import parse; "
    command = [sys.executable, "-c", code + "parse(sys.argv[1], Path(sys.argv[1]).read_bytes())", str(path)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        raise ModelFileError(f"{path} is damaged: it was not read within {DEADLINE_S} s") from None
    if done.returncode < 0:
        raise ModelFileError(f"{path} is damaged: reading it ended with signal {-done.returncode}")


def visiting_order(path: str | Path, graph) -> tuple[list[str], dict[str, list[str]]]:
    """(names in an order in which every node follows what it reads, what each reads). Raises NetworkError."""
    reads: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        for name in (source, target):
            if name not in reads:
                raise NetworkError(f"{path}: an edge {source!r} -> {target!r} names no node; known: {sorted(reads)}")
        if source in reads[target]:
            raise NetworkError(f"{path}: two edges {source!r} -> {target!r}")
        reads[target].append(source)
    try:
        return list(TopologicalSorter(reads).static_order()), reads
    except CycleError as error:
        raise NetworkError(
            f"{path}: nodes {' -> '.join(error.args[1])} are recurrent; the hardware runs feed-forward networks"
        ) from None


def _check(path, file, h5py) -> None:
    """Refuse links to elsewhere and contents that would fill the memory."""
    total = 0

    def visit(name, item):
        nonlocal total
        if isinstance(item, h5py.Dataset):
            text = h5py.check_string_dtype(item.dtype)
            if item.dtype.kind not in "fiub" and not text:
                raise ModelFileError(f"{path}: {name} holds {item.dtype}, must be numbers or text")
            if text and item.size > MOST_STRINGS:  # they are read one by one
                raise ModelFileError(f"{path}: {name} holds {item.size} strings, limit {MOST_STRINGS}")
            if item.external or item.is_virtual:
                raise ModelFileError(f"{path}: {name} lies in another file; save the network as one file")
            total += item.size * item.dtype.itemsize
            if total > LARGEST_FILE:
                raise ModelFileError(f"{path} unpacks to more than {LARGEST_FILE} bytes")
            return
        for key in item:
            if not isinstance(item.get(key, getlink=True), h5py.HardLink):
                raise ModelFileError(f"{path}: {name}/{key} is a link; save the network as one file")

    visit("", file)
    file.visititems(visit)
