"""The pages of the documentation, as the blocks of code that they show. CONTRIBUTING.md explains the marks."""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})\s*(?P<language>[^`\s]*)")
MARK = re.compile(r"^ *<!--\s*(?P<kind>not run|test):\s*(?P<text>.*?)\s*-->")


@dataclass(frozen=True)
class Setup:
    """`<!-- test: setup NAME -->`: what the commands behind it find in their folder."""

    line: int
    name: str


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``line`` is that of its first line of text."""

    line: int
    language: str
    text: str
    not_run: str | None = None  # the reason
    exit_status: int = 0
    needs: str | None = None

    def commands(self, prompt: str = "$") -> list[tuple[int, str]]:
        """(line, command) of a console block; a line that ends with a backslash goes on."""
        found, going_on = [], False
        for number, text in enumerate(self.text.split("\n"), self.line):
            if going_on:
                found[-1] = (found[-1][0], f"{found[-1][1]}\n{text}")
            elif text.startswith(f"{prompt} "):
                found.append((number, text[2:]))
            else:
                continue
            going_on = text.endswith("\\")
        return found


@dataclass(frozen=True)
class Page:
    """A Markdown file: its items in order."""

    path: Path
    items: tuple

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def blocks(self) -> list[Block]:
        return [item for item in self.items if isinstance(item, Block)]

    @property
    def runs(self) -> bool:
        """Whether anything of the page is executed."""
        return any(b.not_run is None and (b.language == "python" or b.commands()) for b in self.blocks)


def read_page(path: Path) -> Page:
    """Parse a page. A mark belongs to the next block; a mark that nothing follows, or an unknown one, is an error."""
    items, marks, inside, body = [], {}, None, []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if inside:
            if line.strip().startswith(inside["fence"]):
                items.append(Block(number - len(body), inside["language"], "\n".join(body), **marks))
                inside, body, marks = None, [], {}
            else:
                body.append(line.removeprefix(inside["indent"]))
        elif fence := FENCE.match(line):
            inside = fence
        elif mark := MARK.match(line):
            kind, text = mark["kind"], mark["text"]
            word, _, rest = text.partition(" ")
            if kind == "not run":
                marks["not_run"] = text
            elif word == "setup":
                items.append(Setup(number, rest))
            elif word == "exit":
                marks["exit_status"] = int(rest)
            elif word == "needs":
                marks["needs"] = rest
            else:
                raise AssertionError(f"{path}:{number}: unknown mark {text!r}")
    assert not inside and not marks, f"{path}: a block or a mark without its end: {marks}"
    return Page(path, tuple(items))


@lru_cache
def pages() -> tuple[Page, ...]:
    """README.md and everything in docs/."""
    return tuple(read_page(path) for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])


@lru_cache
def other_pages() -> tuple[Page, ...]:
    """Pages whose commands are read, but not run: they want the checkout itself."""
    return tuple(read_page(ROOT / name) for name in ("CONTRIBUTING.md", "CHANGELOG.md", "hls/README.md"))


def simple_commands(command: str) -> list[list[str]]:
    """Words of each command of a shell line, without comments, redirections, assignments and what only starts it."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    found, skip = [[]], False
    for word in lexer:
        if skip:
            skip = False
        elif set(word) <= set("<>"):
            skip = True
            if found[-1] and found[-1][-1] in ("1", "2"):
                found[-1].pop()
        elif set(word) <= set("();|&"):
            found.append([])
        else:
            found[-1].append(word)
    for words in found:
        while words and (re.match(r"^\w+=", words[0]) or words[0] in ("sudo", "-E", "exec", "time", "nohup")):
            words.pop(0)
    return [words for words in found if words]


@lru_cache
def make_targets(folder: Path) -> set[str]:
    """Explicit targets of a Makefile."""
    done = subprocess.run(
        ["make", "-C", str(folder), "-npRr", "--no-print-directory", "help"],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    return set(re.findall(r"^([\w./-]+)\s*:(?!=)", done.stdout, re.MULTILINE))
