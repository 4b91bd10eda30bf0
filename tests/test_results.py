"""docs/results.md says what the kept results say."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_results_page_is_generated(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import results_table

    assert results_table.TARGET.read_text() == results_table.render(), "run: python benchmarks/results_table.py"


def test_the_table_of_the_readme_is_generated(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import results_table

    text = results_table.README.read_text()
    assert text == results_table.with_summary(text), "run: python benchmarks/results_table.py"
    assert text.count(results_table.BEGIN) == 1 and "emulated (cycle model)" in results_table.summary()
