"""Compile once, keep, and never let two builders meet half a file."""

import ctypes
import subprocess
import sys

import pytest

from pynq_qsnn.errors import QsnnError, ToolMissing
from pynq_qsnn.runtime.native_build import build

CODE = '#include "number.h"\nextern "C" int number() { return NUMBER + EXTRA; }\n'
FLAGS = ("-O0", "-DEXTRA=0")


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("PYNQ_QSNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "number.h").write_text("#define NUMBER 42\n")
    path = tmp_path / "number.cc"
    path.write_text(CODE)
    return path


def make(source, flags=FLAGS):
    return build("number", [source], flags, [source.parent / "include"])


def test_builds_once_and_again_after_any_change(source):
    first = make(source)
    assert ctypes.CDLL(str(first)).number() == 42
    stamp = first.stat().st_mtime_ns
    assert make(source) == first and first.stat().st_mtime_ns == stamp
    assert ctypes.CDLL(str(make(source, ("-O0", "-DEXTRA=1")))).number() == 43
    (source.parent / "include" / "number.h").write_text("#define NUMBER 7\n")
    assert ctypes.CDLL(str(make(source))).number() == 7
    assert {file.suffix for file in first.parent.iterdir()} == {".so"}


def test_processes_may_race(source):
    program = (
        "import sys, ctypes, pathlib; from pynq_qsnn.runtime.native_build import build;"
        "s = pathlib.Path(sys.argv[1]);"
        f"print(ctypes.CDLL(str(build('number', [s], {FLAGS}, [s.parent / 'include']))).number())"
    )
    workers = [subprocess.Popen([sys.executable, "-c", program, source], stdout=subprocess.PIPE) for _ in range(3)]
    assert [worker.communicate(timeout=60)[0].strip() for worker in workers] == [b"42"] * 3


def test_says_what_does_not_compile(source):
    source.write_text("int number() { return missing; }\n")
    with pytest.raises(QsnnError, match="missing"):
        make(source)


def test_names_the_remedy_without_a_compiler(source, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissing, match=r"apt-get install g\+\+"):
        make(source)
