"""Files that are whole or absent, and the options of commands that name them."""

import argparse

import pytest

from pynq_qsnn.commands.common import figure_file, writable, write_json
from pynq_qsnn.errors import ConfigError
from pynq_qsnn.files import atomic_file


def test_a_folder_that_is_not_there_is_made(tmp_path):
    target = tmp_path / "new" / "newer" / "a.csv"
    assert writable(str(target)) == str(target) and not target.parent.exists()
    with atomic_file(str(target)) as stream:
        stream.write(b"1,2\n")
    assert target.read_bytes() == b"1,2\n" and [*target.parent.iterdir()] == [target]
    write_json(str(tmp_path / "other" / "a.json"), {})
    assert (tmp_path / "other" / "a.json").read_text() == "{}\n"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "new" / "a.csv"
    with pytest.raises(argparse.ArgumentTypeError, match="cannot be written"):
        writable(str(target))
    with pytest.raises(ConfigError, match="a.csv cannot be written: Not a directory"), atomic_file(target):
        pass


def test_figures_have_a_kind(tmp_path):
    for name in ("a.png", "a.svg", "a.pdf"):
        assert figure_file(str(tmp_path / "new" / name)).endswith(name)
    for name in ("a.xyz", "a", "png"):
        with pytest.raises(argparse.ArgumentTypeError, match="must end in one of .png, .svg, .pdf"):
            figure_file(str(tmp_path / name))
