"""The Pareto front of known points, its table and its figure."""

import csv

import pytest

from pynq_qsnn.search.pareto import COLUMNS, front, write_csv

POINTS = [(90, 100, 50), (95, 400, 50), (95, 300, 20), (80, 100, 60), (70, 400, 10), (90, 100, 50), (60, 10, 60)]
ROWS = [
    {"trial": i, "allocation": f"{i}", "accuracy": a, "accuracy_error": 1.0, "s_ace": s, "fps": f}
    for i, (a, s, f) in enumerate(POINTS)
]


def trials(rows):
    return [row["trial"] for row in rows]


def test_front_of_two_objectives():
    assert trials(front(ROWS, ("accuracy", "s_ace"))) == [2, 0, 5, 6]


def test_front_of_three_objectives():
    assert trials(front(ROWS, ("accuracy", "s_ace", "fps"))) == [1, 2, 0, 5, 3, 6]


def test_no_row_of_the_front_is_beaten_and_every_other_row_is():
    best = front(ROWS, ("fps", "accuracy"))
    for row in ROWS:
        beaten = any(
            o["fps"] >= row["fps"] and o["accuracy"] >= row["accuracy"]
            and (o["fps"], o["accuracy"]) != (row["fps"], row["accuracy"])
            for o in ROWS
        )  # fmt: skip
        assert beaten == (row not in best)


def test_table_has_its_columns_and_empty_cells(tmp_path):
    write_csv(tmp_path / "new" / "t.csv", [{"trial": 3, "accuracy": 91.5, "rates": {}}], COLUMNS)
    with open(tmp_path / "new" / "t.csv", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert tuple(row) == COLUMNS
    assert row["trial"] == "3" and row["accuracy"] == "91.5" and row["fps"] == ""


def test_figure_says_what_its_axes_are(tmp_path):
    pytest.importorskip("matplotlib")
    from pynq_qsnn.search.figures import draw_pareto, write_pareto

    objectives = ("accuracy", "s_ace", "fps")
    best = front(ROWS, objectives)
    figure = draw_pareto(ROWS, best, objectives, "title")
    left, right = figure.axes
    assert "measured (host)" in left.get_ylabel() and "counted" in left.get_xlabel()
    assert "predicted" in right.get_xlabel() and right.get_xscale() == "log"
    assert {text.get_text() for text in left.texts} == {row["allocation"] for row in best}
    write_pareto(tmp_path / "front.png", ROWS, best, objectives[:2], "title")
    assert (tmp_path / "front.png").read_bytes()[:4] == b"\x89PNG"
