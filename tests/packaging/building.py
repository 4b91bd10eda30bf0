"""Building and installing this package offline, and programs that see nothing of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*command, folder: Path) -> str:
    """Output of a command that must succeed; nothing of this checkout is on its path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run([str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*arguments, folder: Path) -> str:
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, folder=folder)


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree, or of an sdist, without a network."""
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source, folder=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


class Installed:
    """An environment with the wheel, which finds this one's other packages: NumPy, pynq and what they need."""

    def __init__(self, folder: Path, wheel: Path):
        self.folder = folder
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.python = folder / "venv/bin/python"
        pip("--python", self.python, "install", "--no-index", "--no-deps", wheel, folder=folder)
        (self.packages,) = (folder / "venv/lib").glob("python*/site-packages")
        others = Path(sysconfig.get_path("purelib"))
        # A path in a .pth file is searched, but the .pth files there are not read: an editable pynq_qsnn stays unseen.
        # setuptools' own is needed, which gives pynqutils its distutils on Python 3.12.
        hooks = [path.read_text() for path in others.glob("distutils-precedence.pth")]
        (self.packages / "others.pth").write_text("\n".join([str(others), *hooks]))

    def run(self, *command) -> str:
        return run(*command, folder=self.folder)
