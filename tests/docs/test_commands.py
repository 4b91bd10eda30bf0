"""Every command and every Python block of README.md and docs/ is run; those that say why they cannot be are parsed.

A page is one shell script in a folder of its own. The folder shows what a checkout has; what a page needs beyond that
comes from its own earlier commands, or from a mark `<!-- test: setup NAME -->` (CONTRIBUTING.md lists the marks).
"""

import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pytest
from pages import ROOT, Setup, make_targets, other_pages, pages, read_page, simple_commands

from pynq_qsnn.cli import build_parser

PAGE_TIMEOUT_S = 600
FIRST = ROOT / "docs" / "tutorial" / "first-frames.md"
SHOWN = ("Makefile", "benchmarks", "hls", "models", "notebooks", "overlays")  # of the checkout, in a page's folder
RUN = [page for page in pages() if page.runs]
FAILED = "::failed"
INSTALLS = ("pip install", "apt-get", "sudo apt-get")  # the environment under test stays what it is


def environment() -> dict[str, str]:
    """This interpreter's folder first on the PATH, so that `python` and `pynq-qsnn` are those under test."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def show_checkout(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHOWN:
        (folder / name).symlink_to(ROOT / name)


def script(page, folder: Path, known: dict[str, Path]) -> str:
    """The page's blocks as one script. known: training commands that another page has run, and their output folder."""
    lines = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT", "set -o pipefail"]

    def step(line, command, status=0):
        here = f"{page.name}:{line}"
        lines.append(f"echo {shlex.quote(f'::step {here}')}\n{command}\ncode=$?")
        lines.append(
            f'[ "$code" = {status} ] || {{ echo "{FAILED} {here} exit status $code, not {status}"; exit 99; }}'
        )

    for number, item in enumerate(page.items):
        if isinstance(item, Setup):
            step(item.line, SETUPS[item.name])
        elif item.not_run is not None or not present(item.needs):
            continue
        elif item.language == "python":
            file = folder / f".block{number}.py"
            file.write_text(item.text)
            step(item.line, f"python {shlex.quote(str(file))}", item.exit_status)
        elif item.language == "console":
            for line, command in item.commands():
                if not command.startswith(INSTALLS):
                    step(line, copied(command, known) or command, item.exit_status)
    return "\n".join(lines) + "\n"


def copied(command: str, known: dict[str, Path]) -> str | None:
    """A command that copies what the same training command gave before."""
    words = " ".join(simple_commands(command)[0]) if command.startswith("pynq-qsnn train") else None
    if words not in known:
        return None
    target = words.split("--output-dir ")[1].split()[0]
    return f"mkdir -p {shlex.quote(str(Path(target).parent))} && cp -a {shlex.quote(str(known[words]))} {target}"


def present(need: str | None) -> bool:
    """Whether this machine has what a block needs."""
    if need == "cifar10":
        return Path(os.environ.get("PYNQ_QSNN_DATA", "/nowhere"), "cifar10").is_dir()
    if need == "pynq 3.1":
        import pynq

        return tuple(map(int, pynq.__version__.split(".")[:2])) >= (3, 1)
    assert need is None, f"unknown need {need!r}"
    return True


def run_page(page, folder: Path, known: dict[str, Path]) -> None:
    """Run a page in ``folder``. The assertion shows which line failed and the end of what was printed."""
    show_checkout(folder)
    log = folder / ".log"
    with open(log, "w") as stream:
        done = subprocess.run(
            ["bash", "-c", script(page, folder, known)],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            timeout=PAGE_TIMEOUT_S,
        )
    assert done.returncode == 0, log.read_text()[-4000:]


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """Folder in which the first tutorial has run: a trained, exported and compiled digits network."""
    pytest.importorskip("torch", reason="the pages train, which needs PyTorch")
    folder = tmp_path_factory.mktemp("first")
    run_page(read_page(FIRST), folder, {})
    return folder


def setups(first: Path) -> dict[str, str]:
    """Shell commands behind the names that `<!-- test: setup NAME -->` may use."""
    source, here = shlex.quote(str(first)), shlex.quote(str(Path(__file__).parent))
    return {
        "digits": f"mkdir -p runs && cp -a {source}/runs/digits runs && cp {source}/digits.q* .",
        "photos": f"python {here}/make_photos.py",
    }


SETUPS: dict[str, str] = {}


@pytest.fixture(scope="session")
def known(first) -> dict[str, Path]:
    """The training commands of the first tutorial -> what they gave."""
    SETUPS.update(setups(first))
    commands = [c for block in read_page(FIRST).blocks for _, c in block.commands()]
    trained = [" ".join(simple_commands(c)[0]) for c in commands if c.startswith("pynq-qsnn train")]
    return {words: first / words.split("--output-dir ")[1].split()[0] for words in trained}


@pytest.fixture(scope="session")
def running(request, known, tmp_path_factory):
    """The chosen pages, two at a time: name -> the future of its run. Much of a page is one thread that starts up."""
    name = "test_commands_of_a_page_run"
    chosen = [item.callspec.params["page"] for item in request.session.items if item.originalname == name]
    pool = ThreadPoolExecutor(max_workers=2)
    yield {page.name: pool.submit(run_page, page, tmp_path_factory.mktemp("page") / "here", known) for page in chosen}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in RUN if page.path != FIRST])
def test_commands_of_a_page_run(page, running):
    running[page.name].result()


def test_the_first_tutorial_runs(first):
    assert (first / "digits.qprog").exists() and (first / "bench.json").exists()


def every_command():
    """(where, command) of every console block, prompts $ and #, executed or not."""
    for page in (*pages(), *other_pages()):
        for block in page.blocks:
            if block.language == "console":
                for prompt in "$#":
                    for line, command in block.commands(prompt):
                        yield f"{page.name}:{line}", command


def make_arguments(words: list[str]) -> tuple[Path, set[str]]:
    """Folder and targets of a make command; variables and options are left out."""
    folder = ROOT
    if "-C" in words:
        at = words.index("-C")
        folder, words = ROOT / words[at + 1], words[:at] + words[at + 2 :]
    return folder, {word for word in words if "=" not in word and not word.startswith("-")}


@lru_cache
def parser():
    return build_parser()


@pytest.mark.parametrize("where, command", [pytest.param(w, c, id=w) for w, c in every_command()])
def test_a_command_is_one_that_exists(where, command, capsys):
    for words in simple_commands(command):
        if words[0] == "pynq-qsnn":
            try:
                parser().parse_args(words[1:])
            except SystemExit as end:
                assert end.code == 0, f"{where}: {shlex.join(words)}: {capsys.readouterr().err}"
        elif words[0] == "make":
            folder, targets = make_arguments(words[1:])
            assert targets <= make_targets(folder), f"{where}: {folder} has no {targets - make_targets(folder)}"
        elif words[0] in ("python", "python3") and len(words) > 1 and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file() or not words[1].startswith("benchmarks"), f"{where}: no {words[1]}"
        elif words[:2] == ["python", "-m"]:
            module = words[2]
            assert not module.startswith("pynq_qsnn") or (ROOT / f"{module.replace('.', '/')}.py").is_file(), where


def test_the_demo_is_what_the_readme_says():
    """Its recipe: the commands of the step by step, in that order, with options that exist."""
    done = subprocess.run(["make", "-n", "-o", ".venv/installed", "demo"], cwd=ROOT, capture_output=True, text=True)
    recipe = [words for line in done.stdout.splitlines() for words in simple_commands(line) if "pynq-qsnn" in words[0]]
    assert [words[1] for words in recipe] == ["train", "export", "compile", "simulate", "run", "bench"]
    for words in recipe:
        parser().parse_args(words[1:])
    readme = read_page(ROOT / "README.md")
    shown = [c.split()[1] for b in readme.blocks for _, c in b.commands() if c.startswith("pynq-qsnn")]
    steps = ["doctor", *(words[1] for words in recipe)]
    assert shown[: len(steps)] == steps


def test_every_shell_block_is_one_that_is_read():
    """Commands stand in `console` blocks with a prompt; another spelling would escape these tests."""
    for page in (*pages(), *other_pages()):
        for block in page.blocks:
            assert block.language not in ("sh", "bash", "shell", "shell-session", "py"), f"{page.name}:{block.line}"
            if block.language == "console":
                assert block.commands("$") or block.commands("#"), f"{page.name}:{block.line}: no prompt"


def test_reasons_are_given():
    reasons = [(page.name, b.line, b.not_run) for page in pages() for b in page.blocks if b.not_run is not None]
    assert reasons and all(len(reason) >= 8 for _, _, reason in reasons)


OPTION = re.compile(r"`(pynq-qsnn [^`\n]+)`")


@pytest.mark.parametrize("page", [pytest.param(p, id=p.name) for p in (*pages(), *other_pages())])
def test_commands_in_the_text_name_what_exists(page):
    """`pynq-qsnn NAME --option` in a sentence: the command and its options exist, whatever else is left out."""
    subcommands = parser()._subparsers._group_actions[0].choices
    for text in OPTION.findall(page.path.read_text(encoding="utf-8")):
        words = text.split()[1:]
        if words[0].startswith("-") or words[0].isupper():
            continue
        assert words[0] in subcommands, f"{page.name}: `{text}`: no command {words[0]}"
        command = subcommands[words[0]]
        if command._subparsers and words[1:] and not words[1].startswith("-"):  # `zoo train`
            actions = command._subparsers._group_actions[0].choices
            assert words[1] in actions, f"{page.name}: `{text}`: {words[0]} has no {words[1]}"
            command = actions[words[1]]
        known_options = command._option_string_actions
        options = [word.partition("=")[0] for word in words[1:] if word.startswith("-")]
        assert set(options) <= set(known_options), f"{page.name}: `{text}`: unknown {set(options) - set(known_options)}"


def test_a_wrong_command_would_be_found(tmp_path):
    """The machinery itself: a failing line, a missing option and a missing target are seen."""
    page = tmp_path / "page.md"
    page.write_text("```console\n$ true\n$ false\n```\n")
    (tmp_path / "run").mkdir()
    found = read_page(page)
    assert [c for _, c in found.blocks[0].commands()] == ["true", "false"]
    broken = type("Broken", (), {"items": found.items, "name": "page.md"})
    text = script(broken, tmp_path / "run", {})
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True)
    assert done.returncode == 99 and f"{FAILED} page.md:3" in done.stdout
    with pytest.raises(SystemExit):
        parser().parse_args(["run", "--no-such-option"])
    assert "no-such-target" not in make_targets(ROOT) and "demo" in make_targets(ROOT)
    assert simple_commands("A=1 sudo -E pynq-qsnn run x > out.txt 2> err.txt & echo y") == [
        ["pynq-qsnn", "run", "x"],
        ["echo", "y"],
    ]
