"""Directives for what the code knows: the modules of a package, the help of every command, the tables of hwspec."""

import importlib
import io
import os
from contextlib import redirect_stdout
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

PACKAGE = Path(__file__).resolve().parents[2] / "pynq_qsnn"


def modules_of(name: str) -> list[str]:
    """Dotted names of a module and of everything below it; modules that start with an underscore are private."""
    base = PACKAGE.joinpath(*name.split(".")[1:])
    files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
    names = []
    for file in files:
        parts = list(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        if not any(part.startswith("_") for part in parts):
            names.append(".".join(parts))
    return names


class Modules(Directive):
    """`{modules} pynq_qsnn.runtime`: a section with the public names of each module."""

    required_arguments, optional_arguments, final_argument_whitespace = 1, 0, True

    def run(self):
        sections = []
        for argument in self.arguments[0].split():
            for name in modules_of(argument):
                section = nodes.section(ids=[name.replace(".", "-").replace("_", "-")], names=[name])
                section += nodes.title(name, name)
                lines = StringList(["```{eval-rst}", f".. automodule:: {name}", "```"], source=name)
                self.state.nested_parse(lines, self.content_offset, section)
                sections.append(section)
        return sections


def help_text(name: str | None) -> str:
    """What `pynq-qsnn NAME --help` prints, as wide as the page."""
    from pynq_qsnn.cli import main

    os.environ["COLUMNS"] = "88"
    with redirect_stdout(io.StringIO()) as text:
        try:
            main([name, "--help"] if name else ["--help"])
        except SystemExit:
            pass
    return text.getvalue()


class Commands(Directive):
    """`{commands}`: a section with the help of each command."""

    def run(self):
        from pynq_qsnn.cli import COMMANDS

        sections = []
        for name in (None, *COMMANDS):
            title = f"pynq-qsnn {name}" if name else "pynq-qsnn"
            section = nodes.section(ids=[title.replace(" ", "-")], names=[title])
            section += nodes.title(title, title)
            section += nodes.literal_block("", help_text(name), language="none")
            sections.append(section)
        return sections


class SpecTable(Directive):
    """`{spec} INSTRUCTION`: a table of pynq_qsnn.hwspec, a record of fields or an enumeration."""

    required_arguments = 1

    def run(self):
        found = getattr(importlib.import_module("pynq_qsnn.hwspec"), self.arguments[0])
        if isinstance(found, dict):
            header, rows = ("name", "value", "meaning"), [(name, value, text) for name, (value, text) in found.items()]
        elif self.arguments[0] == "KERNEL_ARGUMENTS":  # registers, each with an address of its own
            header, rows = ("argument", "bits", "meaning"), [(f.name, f.bits, f.meaning) for f in found]
        else:
            header, lsb, rows = ("field", "bits", "meaning"), 0, []
            for field in found:
                last = lsb + field.bits - 1
                rows.append((field.name, f"{last}..{lsb}" if field.bits > 1 else lsb, field.meaning))
                lsb += field.bits
        return [table(header, rows)]


def table(header, rows):
    """A docutils table of plain text; the first column is code."""
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=width) for width in (20, 10, 70)]
    head, body = nodes.thead(), nodes.tbody()
    head += _row(header, [nodes.Text] * len(header))
    for row in rows:
        body += _row(row, [_code, nodes.Text, nodes.Text])
    group += [head, body]
    return nodes.table("", group)


def _code(text):
    return nodes.literal(text, text)


def _row(cells, kinds):
    row = nodes.row()
    for cell, kind in zip(cells, kinds):
        row += nodes.entry("", nodes.paragraph("", "", kind(str(cell))))
    return row


def setup(app):
    app.add_directive("modules", Modules)
    app.add_directive("commands", Commands)
    app.add_directive("spec", SpecTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
