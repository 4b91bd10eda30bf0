"""What the wheel and the sdist carry."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from email.parser import Parser

import pytest
from building import ROOT, build_wheel


def contents(wheel) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def test_the_wheel_fits_every_board(wheel):
    """Nothing is compiled at installation, and nothing but NumPy is installed with it."""
    assert wheel.name.endswith("-py3-none-any.whl")
    (name,) = (name for name in contents(wheel) if name.endswith(".dist-info/METADATA"))
    needs = Parser().parsestr(contents(wheel)[name].decode()).get_all("Requires-Dist")
    assert [need for need in needs if "extra ==" not in need] == ["numpy<2"]
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.compress_size for entry in archive.infolist()}
    bitstreams = [name for name in sizes if name.endswith((".bit", ".hwh"))]  # where one was built: 8 MB
    assert wheel.stat().st_size - sum(sizes[name] for name in bitstreams) < 4e6


@pytest.mark.parametrize("folder", ("pynq_qsnn", "overlays", "hls", "models", "notebooks"))
def test_the_wheel_carries_every_file(source, wheel, folder):
    """Of overlays/, hls/, ... as files of the package, where pynq_qsnn.paths.resource finds them."""
    carried = contents(wheel)
    for path in (source / folder).rglob("*"):
        if path.is_file():
            name = path.relative_to(source).as_posix()
            assert carried[name if folder == "pynq_qsnn" else f"pynq_qsnn/{name}"] == path.read_bytes()


def test_the_wheel_carries_nothing_else(wheel):
    outside = {name.split("/")[0] for name in contents(wheel)} - {"pynq_qsnn"}
    assert len(outside) == 1 and outside.pop().endswith(".dist-info")


def test_the_sdist_carries_what_git_tracks(source, sdist):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    with tarfile.open(sdist) as archive:
        carried = {member.name.partition("/")[2] for member in archive if member.isfile()}
    tracked = {name for name in listed.stdout.splitlines() if (source / name).exists()}  # not what was just deleted
    assert tracked <= carried


def test_the_sdist_builds_the_same_wheel(sdist, wheel, tmp_path):
    assert contents(build_wheel(sdist, tmp_path)) == contents(wheel)
