"""The counting rule gives the paper's figures, and what we count beside it is what pynq_qsnn.metrics counts."""

import json
import sys
from pathlib import Path

import pytest

from pynq_qsnn.architectures import architecture
from pynq_qsnn.metrics import count

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tables():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import paper_tables
    finally:
        sys.path.pop(0)
    return paper_tables


@pytest.fixture(scope="module")
def rows(tables):
    return tables.compare()


def missed(rows, table):
    return [row["allocation"] for row in rows if row["table"] == table and not row["s_ace_reproduced"]]


def quantized_spikformer(rows):
    return [row for row in rows if row["architecture"] == "Spikformer-8-512" and row["method"].startswith("Quantized")]


def test_table_2_to_the_printed_digit(rows):
    """All rows but the one of full precision; 8/1/2 by a hair, so that it holds the first layer's bits from above."""
    assert missed(rows, 2) == ["16/1/4"] and sum(row["table"] == 2 for row in rows) == 13
    found = {row["allocation"]: row["rule_percent"] for row in rows if row["table"] == 2}
    assert found["16/1/4"] == pytest.approx(-0.03, abs=0.005) and found["8/1/2"] == pytest.approx(0.04, abs=0.005)


def test_table_1_quantized_spikformer_within_one_percent(rows):
    found = {row["allocation"]: round(row["rule_percent"], 2) for row in quantized_spikformer(rows)}
    assert found == {
        **{"1/1/1": -0.95, "2/2/1": -0.07, "2/1/2": -0.07, "4/2/1": 0.2},
        **{"2/4/1": -0.56, "4/8/1": -0.23, "8/4/1": 0.15},
    }
    assert all(row["s_ace_reproduced"] for row in quantized_spikformer(rows))


@pytest.mark.parametrize(
    "constant, value",
    [("FIRST_LAYER_BITS", 2.31), ("FIRST_LAYER_BITS", 1.8), ("STEPS_WITHOUT_PROJECTIONS", 1)],
)
def test_another_constant_gives_other_tables(tables, monkeypatch, constant, value):
    monkeypatch.setattr(tables, constant, value)
    assert len(missed(tables.compare(), 2)) > 1


def test_parameters_and_ns_ace(rows):
    assert [row["allocation"] for row in rows if not row["params_reproduced"]] == ["1/2/2"]
    quantized = [row for row in rows if row.get("method", "").startswith("Quantized")]
    for row in quantized:  # both sides are rounded
        slack = 0.005 * (int(row["allocation"].split("/")[0]) + 1) + 1e-9
        assert abs(row["rule_ns_ace_G"] - float(row["ns_ace_G"])) <= slack
    assert len(quantized) == 11 and all(0.24 < row["implied_rate"] < 0.32 for row in quantized)


def test_every_row_that_the_rule_misses_says_why(rows):
    for row in rows:
        if not (row["s_ace_reproduced"] and row["params_reproduced"]):
            assert len(row["note"]) > 20, row


@pytest.mark.parametrize("spike_bits, num_steps", [(1, 4), (4, 1)])
def test_counted_is_what_metrics_counts(tables, spike_bits, num_steps):
    """Of the exported network; with 8-bit weights, because its first layer and its head always have them."""
    pytest.importorskip("torch")
    pytest.importorskip("brevitas")
    from pynq_qsnn.training.export import export_network
    from pynq_qsnn.training.models import NetworkSpec, build_model

    spec = NetworkSpec("Spikformer-1-64", (3, 32, 32), 10, 8, spike_bits, num_steps)
    cost = count(export_network(build_model(spec), "small"))
    layers = architecture(spec.model, spec.input_shape).layer_sizes(spec.input_shape, classes=10)
    found = tables.counted(layers, 8, spike_bits, num_steps)
    assert found["s_ace"] == cost.s_ace and found["attention_s_ace"] == cost.totals()["attention_s_ace"]
    assert found["parameters"] == cost.normalised_parameters


def test_the_page_is_generated(tables, rows):
    assert tables.TARGET.read_text() == tables.render(rows), "run: python benchmarks/paper_tables.py --markdown"


def test_json_and_text(tables, rows, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["paper_tables.py", "--json", str(tmp_path / "rows.json")])
    tables.main()
    assert json.loads((tmp_path / "rows.json").read_text())["rows"] == rows
    monkeypatch.setattr(sys, "argv", ["paper_tables.py"])
    tables.main()
    assert capsys.readouterr().out == tables.render(rows)
