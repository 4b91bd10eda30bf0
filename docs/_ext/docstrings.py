"""The docstrings of the package are plain text with the marks of reStructuredText; here they become valid input of it.

What the text means is kept: lines that name parameters stay lines of their own, an indented paragraph is code.
"""

import re

PARAMETER = re.compile(r"^[a-z_*]\w*(, [a-z_]\w*)*: ")
CODE = re.compile(r"(``.*?``|:\w+:`.*?`|`[^`]+`)")


def paragraphs(lines):
    """Lists of lines between blank lines."""
    block = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def literal(text: str) -> str:
    """Escape what reStructuredText would read as markup, outside of code."""
    parts = CODE.split(text)
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"([*|\\])", r"\\\1", parts[index])
        parts[index] = re.sub(r"(\w)_(?=\W|$)", r"\1\\_", parts[index])
    return "".join(parts)


def rewritten(lines: list[str]) -> list[str]:
    """A docstring's lines as reStructuredText."""
    result = []
    for block in paragraphs(lines):
        if block[0].startswith(">>>"):
            result += block
        elif all(line.startswith("    ") for line in block):
            announced = len(result) > 1 and result[-2].endswith("::")
            result += block if announced else ["::", "", *block]
        elif any(PARAMETER.match(line) for line in block) or any(line.startswith(" ") for line in block):
            # A line block needs one mark of code to end on the line where it began: codes that wrap are rare.
            result += [f"| {literal(line)}" for line in block]
        else:
            result += literal("\n".join(block)).split("\n")
        result.append("")
    return result


def process(app, what, name, obj, options, lines):
    lines[:] = rewritten(lines)


def skip(app, what, name, obj, skipped, options):
    """Brevitas' injectors are classes in name only: they have no signature that could be shown."""
    return True if type(obj).__name__ == "_ExtendedInjectorType" else None


def setup(app):
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-skip-member", skip)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
