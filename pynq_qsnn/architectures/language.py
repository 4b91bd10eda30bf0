"""Layer lists: a line of words -> entries.

Words, read from left to right::

    128          3x3 convolution with 128 output channels, padding 1; 128/2 with stride 2
    64v          the same without padding ("valid")
    64k7p4/2     7x7 convolution, padding 4, stride 2;  64k1g4 1x1 in four groups
    64w4s2       weights of 4 bits, spikes of 2 bits, whatever the network has; also behind R, B, X and F words
    P            2x2 maximum pool; P3/2 a 3x3 one with stride 2, P3p1/2 with a border of one zero
    A2, S2       average and sum of 2x2 codes
    R64, R64/2   residual block of two 3x3 convolutions; its first one takes the stride; R64n1 has one
    B64, B64/2   bottleneck block: 1x1 to 64, 3x3, 1x1 to 256 channels (the stride is the 3x3's)
    X384h12      transformer block of width 384: attention of 12 heads, then 1x1 to 4 x 384 and back; X384h12m2: 2 x 384
    G            pool of the whole map
    T4           four time steps from here on
    F512         fully connected layer;  FC10 the head, FC without its size: a training takes the data's classes anyway
    3xR64        three times R64

>>> parse("16 P R32/2 FC")[2]
Residual(body=(Conv(channels=32, kernel=3, stride=2, padding=None, groups=1, weight_bits=None, spike_bits=None), \
Conv(channels=32, kernel=3, stride=1, padding=None, groups=1, weight_bits=None, spike_bits=None)), domain=None, \
shortcut=None)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import ConfigError
from .entries import Conv, Entry, Head, Linear, Pool, Residual, SelfAttention, Steps

N = r"[1-9]\d*"
BITS = r"(?:w(?P<w>[1248]|16))?(?:s(?P<s>[1248]))?"
STRIDE = r"(?:/(?P<stride>[12]))?"
CONVOLUTION = re.compile(rf"(?P<n>{N})(?:k(?P<k>[1357]))?(?:(?P<valid>v)|p(?P<p>\d))?(?:g(?P<g>{N}))?{BITS}{STRIDE}")
POOL = re.compile(r"P(?:(?P<k>[1-9])(?:p(?P<p>\d))?/(?P<stride>[1-9]))?")
SUM_POOL = re.compile(rf"(?P<kind>[AS])(?P<k>{N})")
BLOCK = re.compile(rf"R(?P<n>{N})(?:n(?P<count>[1-9]))?{BITS}{STRIDE}")
BOTTLENECK = re.compile(rf"B(?P<n>{N}){BITS}{STRIDE}")
TRANSFORMER = re.compile(rf"X(?P<n>{N})h(?P<heads>{N})(?:m(?P<ratio>{N}))?{BITS}")
LINEAR = re.compile(rf"F(?P<n>{N}){BITS}")
HEAD = re.compile(rf"FC(?P<n>{N})?")
STEPS = re.compile(rf"T(?P<n>{N})")
BOTTLENECK_WIDENING = 4


def parse(text: str) -> tuple[Entry, ...]:
    """Entries of a layer list. Raises ConfigError for a word that the language does not have."""
    entries: list[Entry] = []
    for item in text.split():
        times, word = re.fullmatch(rf"(?:({N})x)?(.+)", item).groups()
        entries += _entries(word) * int(times or 1)
    if not entries or not isinstance(entries[-1], Head):
        raise ConfigError(f"layer list {text!r} must end in a head such as FC10")
    if any(isinstance(entry, Head) for entry in entries[:-1]):
        raise ConfigError(f"layer list {text!r} has a head before its end; a linear layer with neurons is F10")
    return tuple(entries)


def _entries(word: str) -> list[Entry]:
    if word == "G":
        return [Pool("global")]
    for pattern, make in MAKERS.items():
        if match := pattern.fullmatch(word):
            found = {key: int(v) if v and v.isdigit() else v for key, v in match.groupdict().items()}
            return make(found)
    raise ConfigError(f"{word!r} is no word of a layer list; see pynq_qsnn.architectures.language")


def _bits(found: dict) -> dict:
    return {"weight_bits": found["w"], "spike_bits": found["s"]}


def _convolution(found: dict) -> list[Entry]:
    padding = 0 if found["valid"] else found["p"]
    return [Conv(found["n"], found["k"] or 3, found["stride"] or 1, padding, found["g"] or 1, **_bits(found))]


def _pool(found: dict) -> list[Entry]:
    return [Pool("max", found["k"] or 2, found["stride"], found["p"] or 0)]


def _sum_pool(found: dict) -> list[Entry]:
    return [Pool("avg" if found["kind"] == "A" else "sum", found["k"])]


def _block(found: dict) -> list[Entry]:
    first = Conv(found["n"], stride=found["stride"] or 1, **_bits(found))
    others = [Conv(found["n"], **_bits(found))] * ((found["count"] or 2) - 1)
    return [Residual((first, *others))]


def _bottleneck(found: dict) -> list[Entry]:
    bits, n = _bits(found), found["n"]
    middle = Conv(n, stride=found["stride"] or 1, **bits)
    return [Residual((Conv(n, 1, **bits), middle, Conv(BOTTLENECK_WIDENING * n, 1, **bits)))]


def _transformer(found: dict) -> list[Entry]:
    """x + projection(attention(x)), then x + second(first(x)); each of the three is a 1x1 convolution with neurons."""
    bits, n = _bits(found), found["n"]
    attention = Residual((SelfAttention(found["heads"], **bits), Conv(n, 1, **bits)))
    return [attention, Residual((Conv((found["ratio"] or 4) * n, 1, **bits), Conv(n, 1, **bits)))]


def words_with_neurons(text: str) -> list[tuple[str, int | None, int | None]]:
    """(word, weight bits, spike bits) of the words that take bits, all but pools, steps and head; None: not stated.

    >>> words_with_neurons("16 P 3xR32/2 T2 F64w1 FC10")
    [('16', None, None), ('3xR32/2', None, None), ('F64w1', 1, None)]
    """
    return [(word, *bits) for word in text.split() if (bits := _bits_of(word)) is not None]


def with_bits(text: str, bits: Sequence[tuple[int | None, int | None]]) -> str:
    """A layer list whose words have weights and spikes of ``bits``, a pair for each of :func:`words_with_neurons`.

    None leaves what the word has. Raises ConfigError for another number of pairs.

    >>> with_bits("16 P 3xR32/2 F64w1 FC10", [(None, 8), (4, 2), (None, 2)])
    '16s8 P 3xR32w4s2/2 F64w1s2 FC10'
    """
    if len(bits) != (number := len(words_with_neurons(text))):
        raise ConfigError(f"{len(bits)} pairs of bits for {text!r}, which has {number} words that take them")
    pairs, words = iter(bits), []
    for word in text.split():
        if own := _bits_of(word):
            chosen = [f"{letter}{b or a}" for letter, a, b in zip("ws", own, next(pairs)) if a or b]
            stem, slash, stride = word.partition("/")
            word = re.sub(r"(w\d+)?(s\d+)?$", "", stem) + "".join(chosen) + slash + stride
        words.append(word)
    return " ".join(words)


def _bits_of(word: str) -> tuple[int | None, int | None] | None:
    """(weight bits, spike bits) of a word that takes them, None for another."""
    one = re.fullmatch(r"(?:\d+x)?(.+)", word)[1]
    for pattern in (CONVOLUTION, BLOCK, BOTTLENECK, TRANSFORMER, LINEAR):
        if match := pattern.fullmatch(one):
            return tuple(int(match[key]) if match[key] else None for key in "ws")
    return None


MAKERS = {
    CONVOLUTION: _convolution,
    POOL: _pool,
    SUM_POOL: _sum_pool,
    BLOCK: _block,
    BOTTLENECK: _bottleneck,
    TRANSFORMER: _transformer,
    LINEAR: lambda found: [Linear(found["n"], **_bits(found))],
    HEAD: lambda found: [Head(found["n"])],
    STEPS: lambda found: [Steps(found["n"])],
}
