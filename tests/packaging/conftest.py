"""Wheel and sdist, built offline by this environment's setuptools, and the wheel in an environment of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from building import ROOT, Installed, build_wheel, run

LISTED = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
# What .gitignore lists, for a tree without git.
MADE = (
    *(".git", ".venv*", "build", "dist", "runs", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"),
    *(".ipynb_checkpoints", "qsnn_project"),
)


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """A copy of the checkout without what was made there: setuptools takes leftovers of build/ into a wheel."""
    pytest.importorskip("wheel", reason="wheel builds wheels")
    tree = tmp_path_factory.mktemp("source") / "tree"
    if not (ROOT / ".git").exists():
        return shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*MADE))
    listed = subprocess.run(LISTED, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():  # not what was just deleted
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory) -> Path:
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(source, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    script = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", script, folder, folder=source)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture
def installed(wheel, tmp_path) -> Installed:
    return Installed(tmp_path, wheel)
