"""The site builds without a warning, and names every public module and command."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from pages import ROOT

from pynq_qsnn.cli import COMMANDS

PARTS = ("sphinx", "furo", "myst_parser", "torch", "pynq")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of a fresh build. Warnings are errors."""
    for name in PARTS:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the site needs {name}: pip install 'pynq-qsnn[board,train,docs]'")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(out / ".doctrees")]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(out / "html")],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out / "html"


def public_modules() -> set[str]:
    """Modules of the package without an underscore in their path."""
    names = set()
    for file in (ROOT / "pynq_qsnn").rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            names.add(".".join(parts))
    return names


def test_every_public_module_is_in_the_reference(site):
    text = "".join(page.read_text() for page in (site / "reference").glob("api-*.html"))
    missing = {name for name in public_modules() if f'id="{name.replace(".", "-").replace("_", "-")}"' not in text}
    assert missing == {"pynq_qsnn"}, "name them in docs/reference/api-*.md"
    assert 'id="pynq_qsnn.runtime.driver.QsnnOverlay.execute"' in text


def test_every_command_shows_its_help(site):
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "commands.html").read_text())
    for name in COMMANDS:
        assert f"usage: pynq-qsnn {name} " in text


def test_tables_of_the_contract_are_there(site):
    from pynq_qsnn.hwspec import INSTRUCTION, KERNEL_ARGUMENTS

    text = (site / "reference" / "instructions.html").read_text()
    assert all(f">{field.name}<" in text for field in (*INSTRUCTION, *KERNEL_ARGUMENTS))


def test_the_site_needs_no_network(site):
    """Scripts, styles and pictures are files of the site."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = re.findall(r"<(?:script|img)[^>]*\ssrc=\"([^\"]+)\"|<link[^>]*\shref=\"([^\"]+)\"", page.read_text())
        assert not [target for pair in loaded for target in pair if target.startswith(("http:", "https:", "//"))], page
