"""Layer lists as data: what the words mean, and the sizes of the named networks."""

import pytest

from pynq_qsnn.architectures import (
    NAMES,
    Conv,
    Head,
    Linear,
    Pool,
    Residual,
    SelfAttention,
    Steps,
    architecture,
    parse,
    sizes,
)
from pynq_qsnn.architectures.entries import global_pools
from pynq_qsnn.errors import ConfigError


@pytest.mark.parametrize("name", NAMES[:-1])
def test_sizes_are_the_published_ones(name):
    entry = architecture(name)
    size = entry.size()
    assert size.macs > 0 and size.attention_macs == 0 and entry.source
    if entry.gmac is not None:
        assert size.macs / 1e9 == pytest.approx(entry.gmac, rel=0.005, abs=0.0005)
    if entry.million_weights is not None:
        assert size.weights / 1e6 == pytest.approx(entry.million_weights, rel=0.005, abs=0.005)


# Multiply-accumulates of one step: arithmetic of the patch splitting, q, k, v, projection and the MLP.
@pytest.mark.parametrize(
    "name, shape, gmac, attention, millions",
    [
        ("Spikformer-4-384", (3, 32, 32), 0.92146, 12.583e6, 9.331),
        ("Spikformer-4-256", (3, 32, 32), 0.40984, 8.389e6, 4.159),
        ("Spikformer-8-512", (3, 224, 224), 8.2562, 314.7e6, 29.68),
    ],
)
def test_spikformers_have_the_size_of_the_official_code(name, shape, gmac, attention, millions):
    entry = architecture(name, shape)
    size = entry.size(classes=1000 if shape[1] == 224 else 10)
    assert size.macs / 1e9 == pytest.approx(gmac, rel=1e-3)
    assert size.attention_macs == pytest.approx(attention, rel=1e-3)
    assert size.weights / 1e6 == pytest.approx(millions, rel=0.01)  # theirs counts batch norms and biases too


def test_patch_splitting_pools_to_a_small_map():
    def rows(size):
        return architecture("Spikformer-2-256", (2, size, size)).layer_sizes((2, size, size), classes=10)[-2].shape[1]

    assert [rows(size) for size in (8, 32, 64, 128, 224)] == [8, 8, 8, 8, 14]


def test_words_mean_what_the_table_says():
    entries = parse("64k7p4/2 P3p1/2 8v 16k1g4w4s2 A2 S2 B8/2 R8n1 X16h2m2w1 T2 F6s4 FC")
    assert entries == (
        Conv(64, 7, 2, 4),
        Pool("max", 3, 2, 1),
        Conv(8, padding=0),
        Conv(16, 1, groups=4, weight_bits=4, spike_bits=2),
        Pool("avg", 2),
        Pool("sum", 2),
        Residual((Conv(8, 1), Conv(8, 3, 2), Conv(32, 1))),
        Residual((Conv(8),)),
        Residual((SelfAttention(2, weight_bits=1), Conv(16, 1, weight_bits=1))),
        Residual((Conv(32, 1, weight_bits=1), Conv(16, 1, weight_bits=1))),
        Steps(2),
        Linear(6, spike_bits=4),
        Head(),
    )
    assert parse("2xR4/2 FC7") == (Residual((Conv(4, stride=2), Conv(4))),) * 2 + (Head(7),)


@pytest.mark.parametrize(
    "text, match",
    [
        *(
            ("64 Y FC10", "'Y' is no word"),
            ("64 P", "must end in a head"),
            ("", "head"),
            ("64/3 FC", "'64/3' is no word"),
        ),
        *(
            (f"4 {word} FC", f"'{word}' is no word")
            for word in ("0", "F0", "P2/0", "A0", "S0", "X8h0", "64g0", "R64n0")
        ),
        *((f"4 {word} FC", f"'{word}' is no word") for word in ("X8h2m0", "T0", "8w0", "0xR4")),
        *((f"4 {word} FC", f"'{word}' is no word") for word in ("8s3", "8w5", "8s16")),
        ("8 FC FC10", "has a head before its end"),
    ],
)
def test_layer_lists_are_checked(text, match):
    with pytest.raises(ConfigError, match=match):
        parse(text)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ConfigError, match="unknown architecture 'LeNet'; known: H1, .*Spikformer-L-D"):
        architecture("LeNet")
    with pytest.raises(ConfigError, match="width a multiple of 32"):
        architecture("Spikformer-2-40")


def test_layer_lists_count_what_they_say():
    # 4x13x13 -> conv 5x5/2 -> 5x5; block/2 -> 3x3
    entries = parse("4k5v/2 R8/2 G F6 FC2")
    conv, block = 4 * 3 * 25 * 25, (8 * 4 * 9 + 8 * 4 + 8 * 8 * 9) * 9
    assert sizes.size(entries, (3, 13, 13), "spike").macs == conv + block + 8 * 6 + 6 * 2
    assert sizes.size(entries, (3, 13, 13), "current").macs == conv + block - 8 * 4 * 9 + 8 * 6 + 6 * 2
    kinds = [row.kind for row in sizes.layer_sizes(parse("4 X4h2 FC3"), (1, 2, 2), "spike")]
    assert kinds == ["conv", "conv", "conv", "conv", "attention", "conv", "conv", "conv", "head"]
    assert sizes.size(parse("4 X4h2 FC3"), (1, 2, 2), "spike").attention_macs == 2 * 4 * 4 * 4


@pytest.mark.parametrize("text", ["8 P9/9 FC", "8k7v FC", "7 8g2 FC", "8k3p3 FC", "8 P2p2/2 FC", "8 P3p2/1 FC"])
def test_what_does_not_fit_is_refused(text):
    with pytest.raises(ConfigError):
        sizes.size(parse(text), (1, 4, 4), "spike")


def test_a_global_pool_sums_where_sums_fit():
    assert global_pools(4, 4, 15) == (Pool("sum", 4),)
    assert global_pools(4, 4, 255) == (Pool("avg", 4),)
    assert global_pools(7, 7, 255) == (Pool("avg", 4, 3), Pool("avg", 2))
    with pytest.raises(ConfigError, match="4x5 map; it must be square"):
        global_pools(4, 5, 1)
