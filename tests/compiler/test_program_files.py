"""Program files: round trip, truncation, altered content."""

import json

import numpy as np
import pytest
from builders import random_program

from pynq_qsnn import container
from pynq_qsnn.compiler import compile_network
from pynq_qsnn.errors import ModelFileError, SpecMismatch
from pynq_qsnn.network import Network
from pynq_qsnn.program import Program


@pytest.mark.parametrize("seed", range(6))
def test_program_files_round_trip(seed, tmp_path):
    program = random_program(seed)
    program.save(tmp_path / "p.qprog")
    loaded = Program.load(tmp_path / "p.qprog")
    assert container.kind(tmp_path / "p.qprog") == "program"
    assert np.array_equal(loaded.code, program.code) and np.array_equal(loaded.weights, program.weights)
    assert loaded.steps == program.steps and loaded.fingerprint == program.fingerprint
    assert (loaded.frame_beats, loaded.result_beats) == (program.frame_beats, program.result_beats)
    again = compile_network(loaded.network)
    assert np.array_equal(again.code, program.code) and np.array_equal(again.weights, program.weights)


def test_truncated_program_files(tmp_path):
    random_program(0).save(tmp_path / "p.qprog")
    data = (tmp_path / "p.qprog").read_bytes()
    for length in {*range(0, len(data), 997), len(data) - 1}:
        (tmp_path / "cut.qprog").write_bytes(data[:length])
        with pytest.raises(ModelFileError, match="cut.qprog"):
            Program.load(tmp_path / "cut.qprog")


def test_a_network_file_is_no_program_and_the_reverse(tmp_path):
    program = random_program(0)
    program.save(tmp_path / "p.qprog")
    program.network.save(tmp_path / "n.qsnn")
    with pytest.raises(ModelFileError, match="holds a network, a program was asked for"):
        Program.load(tmp_path / "n.qsnn")
    with pytest.raises(ModelFileError, match="holds a program, a network was asked for"):
        Network.load(tmp_path / "p.qprog")


def resaved(tmp_path, change) -> None:
    """Write a program file whose parts ``change`` has altered, with right checksums."""
    random_program(0).save(tmp_path / "p.qprog")
    meta, arrays = container.load(tmp_path / "p.qprog", "program")
    meta, arrays = change(json.loads(json.dumps(meta)), dict(arrays)) or (meta, arrays)
    container.save(tmp_path / "bad.qprog", "program", meta, arrays)


def without(key):
    return lambda meta, arrays: (
        {k: v for k, v in meta.items() if k != key},
        {k: v for k, v in arrays.items() if k != key},
    )


def with_array(key, build):
    return lambda meta, arrays: (meta, {**arrays, key: build(arrays[key])})


def with_meta(**changes):
    return lambda meta, arrays: ({**meta, **changes}, arrays)


@pytest.mark.parametrize(
    "change, match",
    [
        (without("code"), "KeyError"),
        (without("weights"), "KeyError"),
        (without("fingerprint"), "KeyError"),
        (without("network"), "KeyError"),
        (with_array("code", lambda a: a[:-1]), "code words for .* instructions"),
        (with_array("code", lambda a: a.astype(np.int32)), "code is int32"),
        (with_array("weights", lambda a: a[..., :8]), "weights is uint8 of shape .*, must be uint8 \\[2, N, 16\\]"),
        (with_array("weights", lambda a: a.reshape(-1, 16)), "weights is uint8"),
        (with_array("weights", lambda a: a[:1]), "1 planes of weights, must be 2"),
        (with_meta(steps=[]), "code words for 0 instructions"),
        (with_meta(steps=None), "bad.qprog"),
        (with_meta(steps=[{"layer": "a"}]), "bad.qprog"),
        (with_meta(frame_beats="many"), "bad.qprog"),
        (with_meta(frame_beats=1), "frame_beats is 1"),
        (with_meta(result_beats=99), "result_beats is 99"),
        (with_meta(split=99), "split is 99"),
        (with_meta(group_frames=77), "group_frames is 77"),
        (with_meta(spill_words=5), "spill_words is 5"),
        (with_meta(spill_words=-1), "spill_words is -1"),
        (with_meta(network=[]), "bad.qprog"),
    ],
)
def test_altered_program_files(tmp_path, change, match):
    resaved(tmp_path, change)
    with pytest.raises(ModelFileError, match=match):
        Program.load(tmp_path / "bad.qprog")


@pytest.mark.parametrize("layout", [None, "2" * 64])
def test_a_program_of_another_release(tmp_path, layout):
    """Whatever else is in it: what to do stands in the message."""

    def other(meta, arrays):
        meta = {k: v for k, v in meta.items() if k not in ("layout", "split")}
        return (meta if layout is None else {**meta, "layout": layout}), arrays

    resaved(tmp_path, other)
    with pytest.raises(SpecMismatch, match="bad.qprog: .* compile the model again") as caught:
        Program.load(tmp_path / "bad.qprog")
    assert caught.value.found == (layout or "none: of an earlier release")


def test_a_program_of_other_arithmetic(tmp_path):
    def other(meta, arrays):
        meta["network"]["numerics"] = "1" * 64
        return meta, arrays

    resaved(tmp_path, other)
    with pytest.raises(SpecMismatch, match="1" * 64):
        Program.load(tmp_path / "bad.qprog")
