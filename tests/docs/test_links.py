"""Links between pages, to files of the repository and to headings lead somewhere. Nothing is fetched."""

import re
from functools import lru_cache

import pytest
from pages import ROOT, other_pages, pages

LINK = re.compile(r"!?\[[^\]\n]*(?:\n[^\]\n]*)?\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
ALL = [pytest.param(page, id=page.name) for page in (*pages(), *other_pages())]


def plain(text: str) -> str:
    """A page without its code; links whose text is code keep their target."""
    return CODE.sub(lambda found: "" if found[0].startswith("```") else "code", text)


@lru_cache
def anchors(path) -> set[str]:
    """Names of a page's headings as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(text)}


def broken(path) -> list[str]:
    """Targets of a page that lead nowhere."""
    found = []
    for target in LINK.findall(plain(path.read_text(encoding="utf-8"))):
        file, _, anchor = target.partition("#")
        if re.match(r"^\w+:", target):
            continue
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (file and not place.is_relative_to(ROOT)):
            found.append(target)
        elif anchor and anchor not in anchors(place):
            found.append(target)
    return found


@pytest.mark.parametrize("page", ALL)
def test_links_resolve(page):
    assert broken(page.path) == []


def test_links_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n[a](absent.md) [b](#one-two) [c](#three) `[d](code.md)` [e](https://example.org)\n")
    assert broken(page) == ["absent.md", "#three"]


def test_every_page_is_reached_from_the_index():
    """Every page of docs/ is in a table of contents, or Sphinx would warn; README.md leads to each tutorial."""
    readme = (ROOT / "README.md").read_text()
    for page in (ROOT / "docs" / "tutorial").glob("*.md"):
        assert page.stem in ("index", "notebooks") or f"docs/tutorial/{page.name}" in readme
