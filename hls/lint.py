#!/usr/bin/env python3
"""Checks that the kernel's sources stay inside what Vitis HLS can synthesize:  make lint

    python3 lint.py [FILE ...]     default: every file of src/        python3 lint.py --rules    the rules, one a line

It reads tokens, not lines, and what Vitis reads: `#if` branches for g++ are skipped (pragmas are looked for in both). A
finding is `file:line: rule: message`; the exit status is 1 if there is one. Nothing can be switched off in a source.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
RULES = {
    "memory": "no dynamic allocation: new, delete, malloc and their kin",
    "recursion": "no function calls itself, directly or through others",
    "virtual": "no virtual functions, dynamic_cast or typeid",
    "exception": "no throw, try or catch",
    "library": "no std::, and no headers but stdint.h, cstdint, ap_int.h, hls_stream.h, ap_axi_sdata.h and our own",
    "indirect-call": "no function pointers, addresses of functions or lambdas",
    "goto": "no goto",
    "floating-point": "no float, double or floating-point literals",
    "loop": "a loop has constant bounds and UNROLL or PIPELINE, or a LOOP_TRIPCOUNT; UNROLL needs constant bounds",
    "label": "a loop that is not unrolled has a label, the tool's reports name it; labels are unique in a function",
    "interval": "a pipeline has a constant interval n >= 1, and the comment above its loop or function argues 'II = n'",
    "division": "no / or % by anything but constants, outside fetch.cpp and its check.hpp",
    "stream-reference": "streams are passed by reference, several as an array",
    "stream-depth": "a stream is defined by STREAM(type, name, depth) with a constant depth",
    "stream-blocking": "no empty(), full(), size(), capacity(), read_nb() or write_nb()",
    "static": "no static or thread_local locals but KERNEL_STATIC",
    "pragma": "pragmas only through hls_macros.hpp",
}
TOKEN_RULES = {
    **dict.fromkeys(("new", "delete", "malloc", "calloc", "realloc", "free", "alloca"), "memory"),
    **dict.fromkeys(("virtual", "dynamic_cast", "typeid"), "virtual"),
    **dict.fromkeys(("throw", "try", "catch"), "exception"),
    "std": "library",
    "goto": "goto",
    **dict.fromkeys(("float", "double"), "floating-point"),
}
HEADERS = {"stdint.h", "cstdint", "ap_int.h", "hls_stream.h", "ap_axi_sdata.h"}
NON_BLOCKING = {"empty", "full", "size", "capacity", "read_nb", "write_nb"}
DIVIDING_FILES = {"fetch.cpp", "check.hpp"}  # fetch divides once an instruction, behind the running layer
MACRO_FILE = "hls_macros.hpp"  # defines the markers; its definitions are text that no rule reads
DEFINED = {"__SYNTHESIS__", "__VITIS_HLS__"}
NOT_CALLS = {"if", "for", "while", "switch", "return", "sizeof", "static_assert", "HLS", "defined"}

TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<directive>\#(?:\\\n|/\*.*?\*/|(?!//)[^\n])*)
      | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<number>\.?[0-9](?:[eEpP][+-]|'[0-9A-Fa-f]|[0-9A-Za-z_.])*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>->|::|\+\+|--|<<=|>>=|<<|&&|\|\||[-+*/%&|^<>=!]=|[^\w\s])""",  # >> would close templates: two signs
    re.VERBOSE | re.DOTALL,
)
FLOATING_LITERAL = re.compile(r"(?!0[xX])[0-9']*(\.[0-9']*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)[fFlL]?")
CONSTANT_NAME = re.compile(r"k[A-Z0-9]\w*")
INTERVAL_CLAIM = re.compile(r"\bII\s*=\s*(\w+)")


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    line: int


@dataclass
class Function:
    path: str
    name: str
    line: int
    parameters: list[list[Token]]
    body: list[Token]
    constants: set[str]  # template parameters
    comment: str
    calls: list[tuple[Function, int]] = field(default_factory=list)


@dataclass
class Loop:
    line: int
    kind: str
    header: list[Token]
    first: int  # token after the header, index in the function's body
    end: int  # behind its last token
    label: str
    comment: str
    variable: str = ""
    constant: bool = False
    constants: set[str] = field(default_factory=set)  # names that are constants inside
    markers: list[tuple[str, list[Token], int]] = field(default_factory=list)


class Source:
    """Tokens of one file as Vitis HLS reads it."""

    def __init__(self, path: str, text: str):
        self.path = path
        self.tokens: list[Token] = []
        self.directives: list[Token] = []  # of the branches that Vitis reads
        self.pragmas: list[Token] = []  # of all branches
        self.comments: dict[int, str] = {}  # of whole lines: line -> text
        conditions: list[bool] = []
        line, line_start = 1, True
        for match in TOKEN.finditer(text):
            kind, word = match.lastgroup, match.group()
            active = all(conditions)
            if kind == "directive":
                token = Token(kind, word, line)
                self._directive(token, conditions, active)
            elif kind == "comment":
                if line_start:
                    for i, part in enumerate(word.split("\n")):
                        self.comments[line + i] = part
            elif kind != "space" and active:
                self.tokens.append(Token(kind, word, line))
            if kind == "name" and word == "_Pragma":
                self.pragmas.append(Token(kind, word, line))
            line += word.count("\n")
            line_start = line_start and kind == "space" if "\n" not in word else kind == "space"
            if kind == "directive" or (kind == "space" and "\n" in word):
                line_start = True

    def _directive(self, token: Token, conditions: list[bool], active: bool) -> None:
        words = [m.group() for m in TOKEN.finditer(token.text[1:]) if m.lastgroup != "space"]
        name = words[0] if words else ""
        if name in ("if", "ifdef", "ifndef"):
            conditions.append(_holds(name, words[1:]))
        elif name == "elif":
            conditions[-1] = not conditions[-1] and _holds("if", words[1:])
        elif name == "else":
            conditions[-1] = not conditions[-1]
        elif name == "endif":
            conditions.pop()
        elif name == "pragma" and words[1:] != ["once"] or "_Pragma" in words:
            self.pragmas.append(token)
        elif active:
            self.directives.append(token)

    def comment_above(self, line: int) -> str:
        """The block of comment lines that ends directly above a line."""
        block = []
        while line - 1 in self.comments:
            line -= 1
            block.insert(0, self.comments[line])
        return "\n".join(block)


def _holds(name: str, words: list[str]) -> bool:
    """A condition of `defined(NAME)`, `!`, `&&` and `||`."""
    if name != "if":
        return (words[0] in DEFINED) == (name == "ifdef")
    todo = list(words)

    def primary() -> bool:
        word = todo.pop(0)
        if word == "!":
            return not primary()
        if word == "(":
            value = either()
            todo.pop(0)
            return value
        if word != "defined":
            raise ValueError(f"#if {' '.join(words)}: only defined(), !, && and || are understood")
        bracket = todo[0] == "("
        macro = todo[1 if bracket else 0]
        del todo[: 3 if bracket else 1]
        return macro in DEFINED

    def both() -> bool:
        value = primary()
        while todo[:1] == ["&&"]:
            todo.pop(0)
            value = primary() and value
        return value

    def either() -> bool:
        value = both()
        while todo[:1] == ["||"]:
            todo.pop(0)
            value = both() or value
        return value

    return either()


# ---- structure


def closing(tokens: list[Token], start: int) -> int:
    """Index behind the bracket that closes the one at ``start``."""
    pairs = {"(": ")", "{": "}", "[": "]", "<": ">"}
    opens, closes = tokens[start].text, pairs[tokens[start].text]
    depth = 0
    for i in range(start, len(tokens)):
        depth += (tokens[i].text == opens) - (tokens[i].text == closes)
        if depth == 0:
            return i + 1
    return len(tokens)


def split_commas(tokens: list[Token]) -> list[list[Token]]:
    """Arguments or parameters; commas inside any brackets do not count."""
    parts, depth, part = [], 0, []
    for i, token in enumerate(tokens):
        angle = token.text == "<" and i > 0 and tokens[i - 1].kind == "name" and ">" in [t.text for t in tokens[i:]]
        depth += token.text in ("(", "[", "{") or angle
        depth -= token.text in (")", "]", "}") or (token.text == ">" and depth > 0)
        if token.text == "," and depth == 0:
            parts.append(part)
            part = []
        else:
            part.append(token)
    return [*parts, part] if tokens else []


def functions_of(source: Source) -> list[Function]:
    """Function definitions at namespace level and in structs."""
    found: list[Function] = []

    def declarations(start: int, end: int) -> None:
        tokens = source.tokens
        i = first = start
        while i < end:
            text = tokens[i].text
            if text == ";":
                first = i = i + 1
            elif text == "(":
                i = closing(tokens, i)
            elif text == "{":
                inside, after = i + 1, closing(tokens, i)
                head = tokens[first:i]
                words = [t.text for t in head]
                if words and words[0] == "template":
                    skip = closing(head, 1)
                    constants = {t.text for t in head[2:skip] if t.kind == "name"} - {"int", "typename", "bool"}
                    head, words = head[skip:], words[skip:]
                else:
                    constants = set()
                if "namespace" in words or words[:1] == ["struct"] or words[:1] == ["class"]:
                    declarations(inside, after - 1)
                elif "(" in words and "=" not in words[: words.index("(")]:
                    opening = words.index("(")
                    parameters = split_commas(head[opening + 1 : closing(head, opening) - 1])
                    line = tokens[first].line
                    body = tokens[inside : after - 1]
                    comment = source.comment_above(line)
                    name = words[opening - 1]
                    found.append(Function(source.path, name, line, parameters, body, constants, comment))
                i = after
                if "namespace" in words or (i < end and tokens[i].text != ";"):
                    first = i
            else:
                i += 1

    declarations(0, len(source.tokens))
    return found


def is_constant(tokens: list[Token], constants: set[str]) -> bool:
    """Numbers, constants by their name (kName) and operators alone."""
    for i, token in enumerate(tokens):
        if token.kind == "name" and token.text not in constants and not CONSTANT_NAME.fullmatch(token.text):
            scope = i + 1 < len(tokens) and tokens[i + 1].text == "::"
            if not scope and token.text not in ("int", "sizeof"):
                return False
        if token.text in (".", "->", "["):
            return False
    return bool(tokens)


def loops_of(source: Source, function: Function) -> list[Loop]:
    """Loops of a function, outer before inner."""
    body, loops = function.body, []
    for i, token in enumerate(body):
        if token.kind != "name" or token.text not in ("for", "while", "do"):
            continue
        if token.text == "while" and i > 0 and body[i - 1].text == "}" and _closes_do(body, i - 1):
            continue
        header_end = closing(body, i + 1) if token.text != "do" else i + 1
        first = header_end
        if first < len(body) and body[first].text == "{":
            end = closing(body, first)
        else:
            end = next((j + 1 for j in range(first, len(body)) if body[j].text == ";"), len(body))
        labelled = i >= 2 and body[i - 1].text == ":" and body[i - 2].kind == "name"
        labelled = labelled and (i == 2 or body[i - 3].text in (";", "{", "}", ")", "UNROLL", "BEAT"))
        top = body[i - 2].line if labelled else token.line
        comment = source.comment_above(top) or source.comment_above(token.line)
        header = body[i + 2 : header_end - 1]
        label = body[i - 2].text if labelled else ""
        loops.append(Loop(token.line, token.text, header, first, end, label, comment))
    for loop in loops:
        outer = [other for other in loops if other.first < loop.first and loop.end <= other.end]
        loop.constants = function.constants | {other.variable for other in outer if other.constant}
        _bounds(loop)
        inner = [other for other in loops if loop.first < other.first and other.end <= loop.end]
        for i in range(loop.first, loop.end):
            if any(other.first <= i < other.end for other in inner):
                continue
            word = body[i]
            if word.text == "UNROLL" and body[i - 1].text != "(":
                loop.markers.append(("UNROLL", [], word.line))
            elif word.text == "PIPELINE" and body[i - 1].text != "(":
                loop.markers.append(("PIPELINE", body[i + 2 : closing(body, i + 1) - 1], word.line))
            elif word.text == "HLS" and i + 2 < len(body):
                arguments = body[i + 3 : closing(body, i + 1) - 1]
                loop.markers.append((body[i + 2].text, _interval(arguments), word.line))
    return loops


def _closes_do(body: list[Token], brace: int) -> bool:
    depth = 0
    for i in range(brace, -1, -1):
        depth += (body[i].text == "}") - (body[i].text == "{")
        if depth == 0:
            return i > 0 and body[i - 1].text == "do"
    return False


def _bounds(loop: Loop) -> None:
    """Whether the trip count is known: `for (int i = constant; i < constant; step by a constant)`."""
    if loop.kind != "for":
        return
    parts, part = [], []
    for token in loop.header:
        if token.text == ";":
            parts.append(part)
            part = []
        else:
            part.append(token)
    parts.append(part)
    if len(parts) != 3 or "=" not in [t.text for t in parts[0]]:
        return
    equals = [t.text for t in parts[0]].index("=")
    loop.variable = parts[0][equals - 1].text
    inside = loop.constants | {loop.variable}
    loop.constant = (
        is_constant(parts[0][equals + 1 :], loop.constants)
        and is_constant(parts[1], inside)
        and is_constant(parts[2], inside)
    )


def _interval(arguments: list[Token]) -> list[Token]:
    """The value of `II = n` in the arguments of HLS(PIPELINE ...)."""
    for i, token in enumerate(arguments[:-2]):
        if token.text == "II" and arguments[i + 1].text == "=":
            return [arguments[i + 2]]
    return []


# ---- rules


def lint(files: dict[str, str]) -> list[Finding]:
    """Findings in sources given as path -> text; the call graph spans all of them."""
    sources = [Source(path, text) for path, text in files.items()]
    findings: list[Finding] = []
    functions: list[Function] = []
    for source in sources:

        def report(line, rule, message, path=source.path):
            findings.append(Finding(path, line, rule, message))

        if Path(source.path).name != MACRO_FILE:
            for pragma in source.pragmas:
                report(pragma.line, "pragma", "write HLS(...), PIPELINE or UNROLL of hls_macros.hpp")
            _check_tokens(source, report)
        _check_includes(source, report)
        for function in functions_of(source):
            functions.append(function)
            loops = loops_of(source, function)
            _check_loops(function, loops, report)
            _check_divisions(function, loops, report)
            _check_body(function, report)
            _check_streams(function, report)
    names = {function.name for function in functions}
    for source in sources:
        for line, name in _addresses(source, names):
            findings.append(Finding(source.path, line, "indirect-call", f"address of the function {name}"))
    findings += _recursion(functions)
    return sorted(set(findings), key=lambda f: (f.path, f.line, f.rule))


def _check_includes(source: Source, report) -> None:
    for token in source.directives:
        words = token.text[1:].split(None, 1)
        if words[0] != "include":
            continue
        name = words[1].strip()[1:-1]
        own = words[1].startswith('"') and Path(name).suffix == ".hpp" and "/" not in name
        if name not in HEADERS and not own:
            report(token.line, "library", f"includes {name}")


def _check_tokens(source: Source, report) -> None:
    tokens = source.tokens
    for i, token in enumerate(tokens):
        following = tokens[i + 1].text if i + 1 < len(tokens) else ""
        before = tokens[i - 1].text if i else ""
        if token.kind == "number" and FLOATING_LITERAL.fullmatch(token.text):
            report(token.line, "floating-point", f"{token.text} is a floating-point literal")
        if token.kind == "name" and token.text in TOKEN_RULES and before not in (".", "->"):
            report(token.line, TOKEN_RULES[token.text], f"uses {token.text}")
        if before in (".", "->") and token.text in NON_BLOCKING and following == "(":
            report(token.line, "stream-blocking", f"{token.text}() asks a stream instead of waiting for it")
        pointer = [t.text for t in tokens[i : i + 2]] == ["(", "*"] and i + 4 < len(tokens)
        if pointer and tokens[i + 2].kind == "name" and tokens[i + 3].text == ")" and tokens[i + 4].text == "(":
            report(token.line, "indirect-call", f"{tokens[i + 2].text} is a function pointer")
        if token.text == "[" and before in ("(", ",", "=", "{", ";", "return") and following in ("&", "=", "]", "this"):
            report(token.line, "indirect-call", "a lambda")


def _check_loops(function: Function, loops: list[Loop], report) -> None:
    labels = set()
    for loop in loops:
        names = [name for name, _, _ in loop.markers]
        unrolled, pipelined = "UNROLL" in names, "PIPELINE" in names
        if unrolled and not loop.constant:
            report(loop.line, "loop", "UNROLL of a loop whose bounds are not constants")
        elif not loop.constant and "LOOP_TRIPCOUNT" not in names:
            report(loop.line, "loop", "its bounds are not constants: add HLS(LOOP_TRIPCOUNT min = n max = n avg = n)")
        elif loop.constant and not (unrolled or pipelined or "LOOP_TRIPCOUNT" in names):
            report(loop.line, "loop", "neither UNROLL nor PIPELINE: it would take its pipeline's depth an iteration")
        if not unrolled and not loop.label:
            report(loop.line, "label", "a loop in the fabric without a label")
        if loop.label in labels:
            report(loop.line, "label", f"a second loop {loop.label} in {function.name}")
        labels.update({loop.label} - {""})
        for name, interval, line in loop.markers:
            if name == "PIPELINE":
                _check_interval(interval, line, loop.comment + "\n" + function.comment, loop.constants, report)
    inside = set().union(*(range(loop.first, loop.end) for loop in loops)) if loops else set()
    body = function.body
    for i, token in enumerate(body):
        marker = token.text == "HLS" and i not in inside and i + 2 < len(body) and body[i + 2].text == "PIPELINE"
        if marker:
            interval = _interval(body[i + 3 : closing(body, i + 1) - 1])
            _check_interval(interval, token.line, function.comment, function.constants, report)


def _check_interval(interval: list[Token], line: int, comment: str, constants: set[str], report) -> None:
    value = "".join(token.text for token in interval)
    if not interval or not is_constant(interval, constants) or value == "0":
        report(line, "interval", "a pipeline without a constant interval of at least 1")
    elif value not in INTERVAL_CLAIM.findall(comment):
        report(line, "interval", f"no comment above the loop or its function argues 'II = {value}'")


def _check_divisions(function: Function, loops: list[Loop], report) -> None:
    if Path(function.path).name in DIVIDING_FILES:
        return
    body = function.body
    for i, token in enumerate(body):
        if token.text not in ("/", "%", "/=", "%="):
            continue
        constants = function.constants | {
            loop.variable for loop in loops if loop.constant and loop.first <= i < loop.end and _unrolled(loop)
        }
        divisor = _operand(body, i + 1)
        if not is_constant(divisor, constants):
            text = " ".join(t.text for t in divisor)
            report(token.line, "division", f"{token.text} by {text}: a divider of dozens of stages")


def _unrolled(loop: Loop) -> bool:
    return any(name == "UNROLL" for name, _, _ in loop.markers)


def _operand(body: list[Token], start: int) -> list[Token]:
    """The primary expression behind a / or %."""
    i = start
    while i < len(body):
        if body[i].text in ("(", "["):
            i = closing(body, i)
        elif body[i].kind in ("name", "number"):
            i += 1
        else:
            break
        if i < len(body) and body[i].text in ("::", ".", "->"):
            i += 1
        elif i >= len(body) or body[i].text not in ("(", "["):
            break
    return body[start:i]


def _check_body(function: Function, report) -> None:
    for token in function.body:
        if token.text in ("static", "thread_local"):
            report(token.line, "static", f"a {token.text} local: write KERNEL_STATIC")


def _check_streams(function: Function, report) -> None:
    def behind(tokens: list[Token], i: int) -> int | None:
        """Index behind `hls::stream<...>` at i, if there is one."""
        if [t.text for t in tokens[i : i + 4]] != ["hls", "::", "stream", "<"]:
            return None
        return closing(tokens, i + 3)

    for parameter in function.parameters:
        for i in range(len(parameter)):
            after = behind(parameter, i)
            array = after is not None and [t.text for t in parameter[after + 1 : after + 2]] == ["["]
            if after is not None and not array and (after >= len(parameter) or parameter[after].text != "&"):
                report(parameter[i].line, "stream-reference", f"{function.name} takes a stream by value or pointer")
    body = function.body
    for i, token in enumerate(body):
        after = behind(body, i)
        if after is not None and (after >= len(body) or body[after].text != "&"):
            report(token.line, "stream-depth", "define it with STREAM(type, name, depth)")
        if token.text.split("_")[0] == "STREAM" and i + 1 < len(body) and body[i + 1].text == "(":
            arguments = split_commas(body[i + 2 : closing(body, i + 1) - 1])
            if len(arguments) < 3 or not is_constant(arguments[-1], function.constants):
                report(token.line, "stream-depth", f"{token.text} without a constant depth")


def _addresses(source: Source, names: set[str]) -> list[tuple[int, str]]:
    tokens, found = source.tokens, []
    for i in range(1, len(tokens) - 1):
        unary = tokens[i].text == "&" and (tokens[i - 1].text in ("(", ",", "=", "{", "return", "?", ":"))
        if unary and tokens[i + 1].text in names and tokens[i + 2].text not in ("(", "[", "."):
            found.append((tokens[i].line, tokens[i + 1].text))
    return found


# ---- call graph


def _recursion(functions: list[Function]) -> list[Finding]:
    by_name: dict[str, list[Function]] = {}
    for function in functions:
        by_name.setdefault(function.name, []).append(function)
    for function in functions:
        types = _declared_types(function)
        for line, name, arguments in _calls(function, by_name):
            same = [f for f in by_name[name] if len(f.parameters) == len(arguments)]
            local = [f for f in same if f.path == function.path]  # two files may each have one of their own
            for callee in local or same:
                if all(_may_bind(a, p, types) for a, p in zip(arguments, callee.parameters)):
                    function.calls.append((callee, line))
    findings = []
    for function in functions:
        for callee, line in function.calls:
            if _reaches(callee, function):
                findings.append(Finding(function.path, line, "recursion", f"{function.name} comes back to itself"))
    return findings


def _calls(function: Function, by_name: dict):
    body = function.body
    for i, token in enumerate(body):
        if token.kind != "name" or token.text not in by_name or token.text in NOT_CALLS:
            continue
        if i and body[i - 1].text in (".", "->"):
            continue
        after = i + 1
        if after < len(body) and body[after].text == "<":
            after = closing(body, after)
        if after < len(body) and body[after].text == "(":
            yield token.line, token.text, split_commas(body[after + 1 : closing(body, after) - 1])


def _declared_types(function: Function) -> dict[str, str]:
    """Type of each parameter and local whose type is one name, to tell overloads apart."""
    types = {}
    for tokens in (*function.parameters, function.body):
        for i in range(1, len(tokens)):
            j = i - 1
            while j >= 0 and tokens[j].text in ("&", "*", "const"):
                j -= 1
            following = tokens[i + 1].text if i + 1 < len(tokens) else ","
            declares = tokens[i].kind == "name" and j >= 0 and tokens[j].kind == "name"
            if declares and following in (";", "=", ",", ")", "[", "{") and tokens[j].text != "return":
                types.setdefault(tokens[i].text, tokens[j].text)
    return types


def _may_bind(argument: list[Token], parameter: list[Token], types: dict[str, str]) -> bool:
    if len(argument) != 1 or argument[0].text not in types:
        return True
    names = {t.text for t in parameter}
    declared = types[argument[0].text]
    scalar = {"int", "bool", "uint8_t", "int8_t", "uint16_t", "int32_t", "uint32_t", "uint64_t", "int64_t", "unsigned"}
    return declared in names or (declared in scalar and (bool(names & scalar) and "[" not in names))


def _reaches(start: Function, goal: Function) -> bool:
    seen, todo = set(), [start]
    while todo:
        function = todo.pop()
        if function is goal:
            return True
        if id(function) not in seen:
            seen.add(id(function))
            todo += [callee for callee, _ in function.calls]
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks that the kernel's sources stay synthesizable.")
    parser.add_argument("files", nargs="*", type=Path, help="sources (default: all of src/)")
    parser.add_argument("--rules", action="store_true", help="print the rules and stop")
    arguments = parser.parse_args()
    if arguments.rules:
        for rule, meaning in RULES.items():
            print(f"{rule:18}{meaning}")
        return 0
    paths = arguments.files or sorted((HERE / "src").iterdir())
    findings = lint({str(path): path.read_text(encoding="utf-8") for path in paths})
    for finding in findings:
        print(finding)
    print(f"{len(paths)} files, {len(RULES)} rules, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
