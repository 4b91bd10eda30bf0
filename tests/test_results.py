"""docs/results.md says what the kept results say."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_results_page_is_generated(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import results_table

    assert results_table.TARGET.read_text() == results_table.render(), "run: python benchmarks/results_table.py"


def test_no_table_has_figures_of_two_kinds(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import results_table

    bench = results_table.load("bench", results_table.ORDER[0])
    tables = [part for part in results_table.speed(bench["rows"]).split("\n\n") if part.startswith("|")]
    for kind, text in zip(("measured (host)", "emulated (cycle model)"), tables, strict=True):
        heading, _, *rows = text.strip().split("\n")
        assert heading.startswith(f"| {kind} |") and ("ratio" in heading) == (kind == "measured (host)")
        assert [row.split(" | ")[0][2:] for row in rows] == [
            r["executor"] for r in bench["rows"] if r["method"] == kind
        ]
    assert results_table.render().count("Ratio, emulated (cycle model) over measured (host)") == len(
        results_table.ORDER
    )


def test_the_table_of_the_readme_is_generated(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import results_table

    text = results_table.README.read_text()
    assert text == results_table.with_summary(text), "run: python benchmarks/results_table.py"
    assert text.count(results_table.BEGIN) == 1 and "emulated (cycle model)" in results_table.summary()
