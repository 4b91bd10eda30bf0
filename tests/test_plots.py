"""What the notebooks draw: the numbers behind the pictures, and that each picture shows them."""

import numpy as np
import pytest

from pynq_qsnn import plots


@pytest.fixture
def axis():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots()
    yield axis
    figure.canvas.draw()  # what cannot be drawn fails here
    pyplot.close(figure)


def test_confusion_counts_every_frame():
    truth, predicted = np.array([0, 1, 2, 2, 2]), np.array([0, 2, 2, 2, 1])
    counts = plots.confusion_counts(truth, predicted, 4)
    assert counts.sum() == 5 and counts[2, 2] == 2 and counts[1, 2] == 1 and counts[2, 1] == 1
    assert counts.shape == (4, 4) and not counts[3].any()


def test_confusion_matrix_shows_its_numbers(axis):
    plots.draw_confusion(axis, np.array([[3, 0], [1, 12]]), ("cat", "dog"))
    assert [text.get_text() for text in axis.texts] == ["3", "1", "12"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cat", "dog"]


def test_rates_are_written_in_percent(axis):
    plots.draw_rates(axis, {"a": np.array([0.1, 0.25]), "b": np.array([0.0, 1.0])})
    assert [text.get_text() for text in axis.texts] == ["10 %", "25 %", "0 %", "100 %"]


def test_rates_of_fewer_steps_leave_room(axis):
    plots.draw_rates(axis, {"one step": np.array([0.5]), "two steps": np.array([0.0, 1.0])})
    assert [text.get_text() for text in axis.texts] == ["50 %", "0 %", "100 %"]
    assert axis.images[0].get_array().mask.tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("good, colour", [(True, plots.GOOD), (False, plots.BAD), (None, plots.NEUTRAL)])
def test_a_frames_title_tells_right_from_wrong(axis, good, colour):
    plots.draw_frame(axis, np.zeros((3, 4, 5), np.uint8), "cat", good)
    assert axis.images[0].get_array().shape == (4, 5, 3)
    assert axis.title.get_text() == "cat" and axis.title.get_color() == colour


def test_grey_frames_and_spike_maps(axis):
    plots.draw_frame(axis, np.full((1, 4, 5), 7, np.uint8))
    assert axis.images[0].get_array().shape == (4, 5) and axis.images[0].get_clim() == (0, 255)
    plots.draw_spike_map(axis, np.zeros((4, 5), np.uint8), s_max=3)
    assert axis.images[-1].get_clim() == (0, 3)


def test_latencies_name_their_percentiles(axis):
    plots.draw_latencies(axis, np.linspace(1, 2, 101))
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["p50: 1.5 ms", "p99: 1.99 ms"]


def test_the_way_through_python_to_an_emulated_kernel_is_a_kind_of_its_own():
    rows = [
        {"executor": "a", "method": "measured (host)", "stages_ms": None},
        {"executor": "b", "method": "emulated (cycle model)", "stages_ms": None},
        {"executor": "c", "method": "emulated (cycle model)", "stages_ms": {"run": 1.0}},
        {"executor": "d", "method": "measured (host)"},
    ]
    kinds = plots.by_kind(rows)
    assert [[row["executor"] for row in of_kind] for of_kind in kinds.values()] == [["a", "d"], ["b"], ["c"]]
    board = [{**row, "method": "measured (board)"} for row in rows]
    assert plots.by_kind(board) == {"measured (board)": board}


def test_speed_has_a_bar_for_each_row_under_its_kind(axis):
    twin = axis.figure.add_subplot(212)
    rows = [{"executor": f"x, {n}", "fps": 1e4 * n, "latency_ms_p50": 1.0 / n} for n in (1, 2)]
    plots.draw_speed(axis, twin, rows, "measured (host)")
    assert [bar.get_width() for bar in axis.patches] == [1e4, 2e4]
    assert [text.get_text() for text in axis.texts] == ["10,000", "20,000"]
    assert [bar.get_width() for bar in twin.patches] == [1, 0.5]
    assert axis.get_title() == twin.get_title() == "measured (host)"
