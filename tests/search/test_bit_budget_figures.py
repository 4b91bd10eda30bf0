"""The benchmark of spike bits against steps: its event frames, its folds, and the page that shows its results."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])


def test_events_are_counted_where_and_when_they_are(benchmarks):
    import nmnist_frames

    events = [  # x, y, polarity, us
        (1, 1, 0, 0), (2, 2, 0, 39_999), (2, 1, 1, 39_999),  # one 2x2 of the first frame
        (3, 32, 1, 40_000), (32, 32, 1, 319_999), (32, 31, 1, 4_000_000),  # the last frame takes what is late
        (0, 5, 1, 0), (5, 33, 1, 0),  # the border
    ]  # fmt: skip
    content = b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for x, y, p, t in events)
    frames = nmnist_frames.frames_of(content)
    assert frames.shape == (8, 2, 16, 16) and frames.dtype == np.uint8
    found = {tuple(map(int, place)): int(frames[tuple(place)]) for place in np.argwhere(frames)}
    assert found == {(0, 0, 0, 0): 8, (0, 1, 0, 0): 4, (1, 1, 15, 1): 4, (7, 1, 15, 15): 8}
    assert nmnist_frames.frames_of(content[:5] * 100).max() == 255


def test_folds_test_every_sample_once(benchmarks, tmp_path):
    import bit_budget_figures

    images, labels = np.arange(23)[:, None, None, None].astype(np.uint8), np.arange(23) % 4
    order, tested = np.random.default_rng(0).permutation(23), []
    for fold in range(bit_budget_figures.FOLDS):
        bit_budget_figures.write_fold(tmp_path / "fold.npz", images, labels, order, fold)
        with np.load(tmp_path / "fold.npz") as data:
            test, train = data["test_images"].ravel().tolist(), data["train_images"].ravel().tolist()
            assert (data["test_labels"] == labels[test]).all() and sorted(test + train) == list(range(23))
            tested += test
    assert sorted(tested) == list(range(23))


@pytest.fixture
def measure_digits(benchmarks, monkeypatch, tmp_path):
    """Runs the command on digits without a training. Returns (rows, folders of networks while another was trained)."""
    pytest.importorskip("sklearn")
    import bit_budget_figures

    output, folders = tmp_path / "results.json", []

    def measured(job):
        from pynq_qsnn.training.lif import default_threshold

        folders.append([path.name for path in Path(job.config.output_dir).parent.iterdir() if path.is_dir()])
        job.seed_folder(0).mkdir(parents=True)
        return {"of_threshold": default_threshold(255), "of_epochs": job.config.epochs}

    def run(*words):
        words = ["measure", "digits", "--weight-bits", "1", "-o", str(output), *map(str, words)]
        monkeypatch.setattr(sys, "argv", ["bit_budget_figures.py", *words])
        bit_budget_figures.main()
        return json.loads(output.read_text())["rows"], folders

    monkeypatch.setattr(bit_budget_figures, "measure", measured)
    monkeypatch.setattr(bit_budget_figures, "FOLDS", 2)
    return run


def test_rows_of_other_settings_are_refused(measure_digits, tmp_path, capsys):
    rows, _ = measure_digits("--epochs", 3)
    assert len(rows) == 2 * 4 and {row["of_epochs"] for row in rows} == {3}
    kept = (tmp_path / "results.json").read_text()
    assert measure_digits("--epochs", 3, "--weight-bits", 1, 2)[0][:8] == rows
    (tmp_path / "results.json").write_text(kept)
    for words, name in (
        (("--epochs", 4), "epochs': 4"),
        (("--epochs", 3, "--batch-size", 8), "batch_size': 8"),
        (("--epochs", 3, "--model", "4 P FC"), "4 P FC"),
        (("--epochs", 3, "--threshold", 1), "threshold None, not 1.0"),
    ):
        with pytest.raises(SystemExit):
            measure_digits(*words)
        assert name in capsys.readouterr().err
        assert (tmp_path / "results.json").read_text() == kept
    (tmp_path / "results.json").write_text(kept.replace("scikit-learn", "another"))
    with pytest.raises(SystemExit):
        measure_digits("--epochs", 3)
    assert "data_source another" in capsys.readouterr().err


def test_a_threshold_of_all_neurons_leaves_nothing_behind(measure_digits):
    lif = pytest.importorskip("pynq_qsnn.training.lif")
    rows, folders = measure_digits("--threshold", 1)
    assert {row["of_threshold"] for row in rows} == {1} and len(rows) == 2 * 4
    assert lif.default_threshold(255) == 3 / 256
    assert folders == [[]] * 8, "a network was kept after it had been measured"


@pytest.mark.parametrize("name", ("digits", "nmnist"))
def test_the_page_shows_the_kept_results(benchmarks, name):
    import bit_budget_figures

    content = bit_budget_figures.load(f"bit_budget_{name}")
    assert len({row["fold"] for row in content["rows"]}) == bit_budget_figures.FOLDS
    page = (ROOT / "docs/explanation/spikes-or-steps.md").read_text()
    assert bit_budget_figures.table(content) in page, "run: python benchmarks/bit_budget_figures.py draw"


def test_the_page_says_how_much_of_the_test_set_there_is(benchmarks):
    import bit_budget_figures

    page = " ".join((ROOT / "docs/explanation/spikes-or-steps.md").read_text().split())
    (count,) = {row["test_frames"] for row in bit_budget_figures.zoo()["rows"]}
    assert count < 10_000 and f"{count:,} of the official 10,000 test images" in page


def test_figures_have_a_point_for_each_allocation(benchmarks):
    pytest.importorskip("matplotlib")
    import bit_budget_figures
    from matplotlib.figure import Figure

    contents, figure = [bit_budget_figures.load("bit_budget_digits"), bit_budget_figures.zoo()], Figure()
    bit_budget_figures.draw_s_ace(figure, contents)
    for axis, content in zip(figure.axes, contents):
        assert {text.get_text() for text in axis.texts} == {row["allocation"] for row in content["rows"]}
        assert "counted" in axis.get_xlabel() and "measured (host)" in axis.get_ylabel()
    figure = Figure()
    bit_budget_figures.draw_rates(figure, contents)
    assert [len(axis.containers) for axis in figure.axes][0] == 4 and len(figure.axes) == 3  # no bits in the zoo's
