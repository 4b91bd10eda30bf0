"""`pynq-qsnn convert`: what it takes, what it writes, what it says."""

import subprocess
import sys

import numpy as np
import pytest

from pynq_qsnn.cli import main
from pynq_qsnn.network import Network

nir = pytest.importorskip("nir")


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    fire = nir.LIF(*(np.full(6, x) for x in (2e-4, 2.0, 0.0, 0.5, 0.0)))
    graph = nir.NIRGraph.from_list(nir.Linear(rng.normal(size=(6, 12))), fire, nir.Linear(rng.normal(size=(3, 6))))
    nir.write(tmp_path / "net.nir", graph)
    return tmp_path / "net.nir"


def convert(*arguments):
    return main(["convert", *map(str, arguments)])


def test_nir_to_qsnn_and_back(file, tmp_path, capsys):
    options = ("--num-steps", "4", "--input-shape", "3,2,2", "--firing", "reached", "--reset", "subtract")
    assert convert(file, "-o", tmp_path / "net.qsnn", *options) == 0
    printed = capsys.readouterr()
    assert "relative error of its weights" in printed.out and "imported_from: net.nir" in printed.out
    assert "fire at v >= Vth, reset: subtract" in printed.out and not printed.err
    network = Network.load(tmp_path / "net.qsnn")
    assert network.frame_shape == (3, 2, 2) and network.num_steps == 4
    assert convert(tmp_path / "net.qsnn", "-o", tmp_path / "back.nir") == 2
    assert "resets by subtraction" in capsys.readouterr().err and not (tmp_path / "back.nir").exists()
    assert convert(file, "-o", tmp_path / "zero.qsnn", "--num-steps", "4") == 0
    assert convert(tmp_path / "zero.qsnn", "-o", tmp_path / "back.nir") == 0
    assert convert(tmp_path / "back.nir", "-o", tmp_path / "again.qsnn") == 0
    assert Network.load(tmp_path / "again.qsnn").num_steps == 4


def test_events_and_few_bits(file, tmp_path, capsys):
    options = ("--num-steps", "2", "--events", "--input-bits", "1", "--weight-bits", "2", "--dt", "1e-4")
    assert convert(file, "-o", tmp_path / "net.qsnn", *options) == 0
    assert Network.load(tmp_path / "net.qsnn").frame_shape == (2, 12, 1, 1)
    said = capsys.readouterr().err
    assert "linear1: rounding changed its weights by" in said and "--weight-bits" in said


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("net.nir", "-o", "x.qprog"), ".nir and .onnx become .qsnn"),
        (("net.nir", "-o", "x.nir"), ".nir and .onnx become .qsnn"),
        (("net.h5", "-o", "x.qsnn"), ".nir and .onnx become .qsnn"),
        (("net.onnx", "-o", "x.qsnn", "--num-steps", "4"), "--num-steps is not for .onnx files"),
        (("net.qsnn", "-o", "x.nir", "--input-scale", "1"), "--input-scale is not for .qsnn files"),
        (("net.nir", "-o", "x.qsnn"), "how many steps"),
        (("none.nir", "-o", "x.qsnn"), "no file"),
        (("none.onnx", "-o", "x.qsnn"), "no file"),
    ],
)
def test_what_it_refuses(arguments, message, file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert convert(*arguments) == 2
    assert message in capsys.readouterr().err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["net.nir"]


def test_options_that_argparse_refuses(file, capsys):
    for wrong in (["--input-shape", "3,2"], ["--num-steps", "0"], ["--weight-bits", "3"], ["--firing", "below"]):
        with pytest.raises(SystemExit):
            convert(file, "-o", "x.qsnn", *wrong)
    assert "C,H,W" in capsys.readouterr().err


def test_onnx_to_qsnn(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    tensors = [("w", np.eye(4)), ("scale", 0.5), ("zero", 0.0), ("bits", 4.0)]
    nodes = [
        helper.make_node("Quant", ["w", "scale", "zero", "bits"], ["q"], domain="qonnx.custom_op.general", signed=1),
        helper.make_node("Gemm", ["x", "q"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", real, ["batch", 4])],
        [helper.make_tensor_value_info("y", real, None)],
        [onnx.numpy_helper.from_array(np.asarray(values, np.float32), name) for name, values in tensors],
    )
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    arguments = ("--input-shape", "1,2,2", "--input-scale", "1")
    assert convert(tmp_path / "net.onnx", "-o", tmp_path / "net.qsnn", *arguments) == 0
    assert "format: QONNX" in capsys.readouterr().out
    assert Network.load(tmp_path / "net.qsnn").frame_shape == (1, 2, 2)


def forged_length(content: bytes) -> bytes:
    """A text of an absurd length."""
    size = content.index(b"GCOL") + 16 + 8 + 8 + 8 + 8  # of the second text
    return content[: size + 7] + b"\x78" + content[size + 8 :]


def forged_type(content: bytes) -> bytes:
    """Texts of a type that does not exist; HDF5 1.14 crashes where they are read."""
    assert b"\x19\x01\x01\x00" in content
    return content.replace(b"\x19\x01\x01\x00", b"\x19\x87\x01\x00")


@pytest.mark.parametrize("forge, message", [(forged_length, "is damaged"), (forged_type, "must be numbers or text")])
def test_forged_files(forge, message, file, tmp_path, capsys):
    file.write_bytes(forge(file.read_bytes()))
    assert convert(file, "-o", tmp_path / "net.qsnn", "--num-steps", "2") == 2
    assert message in capsys.readouterr().err and not (tmp_path / "net.qsnn").exists()


@pytest.mark.parametrize(
    "code, message",
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with signal 11"),
        ("import time; time.sleep(60)", "not read within 1 s"),
    ],
)
def test_what_crashes_or_hangs_the_library(code, message, file, tmp_path, capsys, monkeypatch):
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **options: run([sys.executable, "-c", code], **options))
    monkeypatch.setattr("pynq_qsnn.interop.nir_file.DEADLINE_S", 1)
    assert convert(file, "-o", tmp_path / "net.qsnn", "--num-steps", "2") == 2
    assert message in capsys.readouterr().err and not (tmp_path / "net.qsnn").exists()
