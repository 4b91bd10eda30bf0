"""The figures of `bench`: what is timed and what is not, what a row says, and the command's bad cases."""

import importlib
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.cli import main
from pynq_qsnn.commands import bench, bench_figure
from pynq_qsnn.runtime import bench as figures
from pynq_qsnn.runtime import machine, measure
from pynq_qsnn.runtime.bench import MEASURED_HOST, HostExecutor, measure_hosts

KINDS = {MEASURED_HOST, "emulated (cycle model)", "measured (board)"}
ROW_KEYS = {
    *("executor", "method", "runs_on", "threads", "frames", "batch_size", "fps", "fps_min", "fps_max", "fps_repeats"),
    *("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "latency_samples"),
    *("batch_latency_ms_p50", "batch_latency_ms_p90", "batch_latency_ms_p99", "batch_latency_samples"),
    *("stages_ms", "python_percent", "python_on"),
    *("accuracy_percent", "agreement_percent", "bit_exact", "fps_ratio", "latency_ratio"),
}


class Machine:
    """An executor whose calls take the seconds that ``duration(call of this size, frames)`` says, on its own clock."""

    def __init__(self, duration):
        self.now, self._duration, self.calls = 0.0, duration, []

    def clock(self) -> float:
        return self.now

    def run(self, frames: np.ndarray) -> np.ndarray:
        self.now += self._duration(self.calls.count(len(frames)), len(frames))
        self.calls.append(len(frames))
        return np.stack([frames, -frames], axis=1).astype(np.int32)

    def measure(self, count: int, batch_size: int, **options) -> figures.Measurement:
        executor = HostExecutor("made up", self.run, np.arange(1, count + 1), batch_size)
        return measure_hosts([executor], clock=self.clock, **options)[0]


def test_percentiles_of_hand_made_samples():
    assert measure.percentiles([3.0]) == (3.0, 3.0, 3.0)
    assert measure.percentiles([4, 1, 3, 2]) == pytest.approx((2.5, 3.7, 3.97))
    assert measure.percentiles(range(1, 101)) == pytest.approx((50.5, 90.1, 99.01))


def test_latencies_are_those_of_single_frames():
    latencies = iter([7.0, *np.random.default_rng(0).permutation(100)])  # ms; the first is the turn's warm-up
    measured = Machine(lambda call, size: 1e-3 * next(latencies) if size == 1 else 1.0).measure(8, 4, repeats=1)
    assert measured.latency_samples == 100
    found = (measured.latency_ms_p50, measured.latency_ms_p90, measured.latency_ms_p99)
    assert found == pytest.approx((49.5, 89.1, 98.01))
    assert measured.fps == 4


def test_batch_latencies_are_those_of_whole_batches():
    batches = iter([7.0, *np.random.default_rng(0).permutation(100)])  # ms; the first is the turn's warm-up
    measured = Machine(lambda call, size: 1e-3 * (next(batches) if size == 4 else 2)).measure(
        402, 4, repeats=1, minimum_seconds=0
    )
    assert measured.batch_latency_samples == 100  # the two frames left over are in none
    found = (measured.batch_latency_ms_p50, measured.batch_latency_ms_p90, measured.batch_latency_ms_p99)
    assert found == pytest.approx((49.5, 89.1, 98.01))
    assert measured.latency_ms_p99 == pytest.approx(2)


def test_one_executor_alone():
    machine_ = Machine(lambda call, size: 0.001 * size)
    frames, options = np.arange(1, 9), {"repeats": 2, "minimum_seconds": 0, "latency_samples": 6}
    measured = figures.measure_host("alone", machine_.run, frames, 4, clock=machine_.clock, **options)
    assert measured.executor == "alone" and measured.latency_samples == 6 and measured.batch_size == 4
    assert measured.fps == pytest.approx(1000) and measured.fps_repeats == 2


def test_warm_up_is_in_no_figure():
    machine_ = Machine(lambda call, size: 1000.0 if call == 0 else 0.001 * size)
    measured = machine_.measure(32, 16, repeats=3, minimum_seconds=0.5)
    assert measured.fps_min == pytest.approx(1000) and measured.fps_max == pytest.approx(1000)
    assert measured.latency_ms_p99 == pytest.approx(1) and measured.batch_latency_ms_p99 == pytest.approx(16)
    # the same executor without its slow first calls: the rest is timed
    slow = Machine(lambda call, size: 1000.0 if call == 1 else 0.001 * size).measure(32, 16, repeats=3)
    assert slow.fps_min < 1 and slow.latency_ms_p99 > 1000


def test_spread_is_over_the_turns():
    rates = iter([1, 10, 1, 40, 1, 20])  # of calls in batches: a warm-up and a timed one each turn
    measured = Machine(lambda call, size: 8 / next(rates) if size == 8 else 1e-3).measure(
        8, 8, repeats=3, minimum_seconds=0
    )
    assert (measured.fps_min, measured.fps, measured.fps_max) == pytest.approx((10, 20, 40))
    assert measured.fps_repeats == 3


def test_a_slow_executor_says_how_few_samples_it_gave():
    measured = Machine(lambda call, size: 2.0).measure(4, 4, repeats=5)
    assert measured.latency_samples == 5 and measured.latency_ms_p50 == pytest.approx(2000)


@pytest.mark.parametrize(("count", "batch", "timed"), [(1, 16, 1), (5, 16, 5), (16, 16, 16), (37, 16, 16)])
def test_every_frame_is_judged_and_full_batches_are_timed(count, batch, timed):
    measured = Machine(lambda call, size: 0.001 * size).measure(count, batch, repeats=2, minimum_seconds=0)
    assert measured.batch_size == timed and measured.frames == count
    assert measured.logits[:, 0].tolist() == list(range(1, count + 1))
    assert measured.fps == pytest.approx(1000)


def test_executors_take_turns():
    order = []
    executors = [
        HostExecutor(name, lambda frames, name=name: order.append(name) or frames, np.ones((4, 2)), 4) for name in "ab"
    ]
    measure_hosts(executors, repeats=3, minimum_seconds=0, latency_samples=1)
    turns = [name for previous, name in zip(["", *order], order) if name != previous]
    assert "".join(turns) == "ababab"


def test_rows_compare_what_both_have():
    measured = Machine(lambda call, size: 1.0).measure(6, 2, repeats=1)
    row = measured.row(np.zeros(6, int), measured.logits[:4])
    assert row["accuracy_percent"] == 100 and row["agreement_percent"] == 100 and row["bit_exact"] is True
    assert measured.row(None, measured.logits[:4] + 1)["bit_exact"] is False
    values = {**vars(measured), "logits": measured.logits.astype(np.float32)}
    assert figures.Measurement(**values).row(None, measured.logits)["bit_exact"] is None
    assert row["method"] == MEASURED_HOST and row["runs_on"] == machine.cpu_name()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: other\n", "AMD EPYC"),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd03\n", "Arm Cortex-A53"),
        ("CPU implementer\t: 0x51\nCPU part\t: 0x802\n", "Arm core, implementer 0x51, part 0x802"),
        ("", machine.platform.machine()),
    ],
)
def test_rows_name_the_processor(monkeypatch, tmp_path, text, name):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    assert machine.cpu_name() == name


# the command


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A folder with model.qsnn, whose card names no data set, and frames.npy."""
    folder = tmp_path_factory.mktemp("bench")
    rng = np.random.default_rng(3)
    network = random_network(rng, Limits(max_layers=2, max_channels=9, max_size=6, max_steps=2, event_input=False))
    network.save(folder / "model.qsnn")
    np.save(folder / "frames.npy", random_frames(rng, network, 20))
    return folder


def run_bench(model: Path, *arguments) -> int:
    quick = ("--seconds", 0, "--repeats", 2, "--emulate", "--input", model / "frames.npy")
    return main(["bench", str(model / "model.qsnn"), *map(str, (*quick, *arguments))])


@pytest.fixture(scope="module")
def content(model) -> dict:
    """What --json wrote."""
    pytest.importorskip("pynq", reason="the board's rows need pynq")
    assert run_bench(model, "--csim", 2, "--pl-frames", 9, "--batch", 4, "--json", model / "bench.json") == 0
    return json.loads((model / "bench.json").read_text())


def test_json_has_every_field(content):
    assert {"command", "date", "machine", "cpu", "network", "card", "baseline", "not_measured", "rows"} == set(content)
    assert content["baseline"] == content["rows"][0]["executor"] and content["cpu"] == machine.cpu_name()
    for row in content["rows"]:
        assert set(row) == ROW_KEYS and row["method"] in KINDS
        assert row["fps_min"] <= row["fps"] <= row["fps_max"] and row["fps_repeats"] == 2
        assert 0 < row["latency_ms_p50"] <= row["latency_ms_p90"] <= row["latency_ms_p99"]
        assert 0 < row["batch_latency_ms_p50"] <= row["batch_latency_ms_p90"] <= row["batch_latency_ms_p99"]
        assert (
            row["latency_samples"] >= 2
            and row["batch_latency_samples"] >= 2
            and row["bit_exact"] is True
            and row["agreement_percent"] == 100
        )
        assert row["fps_ratio"] == pytest.approx(row["fps"] / content["rows"][0]["fps"])


def test_rows_and_their_labels(content):
    names = {row["executor"]: row for row in content["rows"]}
    host = [name for name, row in names.items() if row["method"] == MEASURED_HOST]
    assert {"host simulator, 1 thread", "NumPy reference", bench.CSIM} <= set(host)
    assert (bench.ONNX in host) != (bench.ONNX in content["not_measured"])
    for name, row in names.items():
        assert (row["method"] == "emulated (cycle model)") == name.startswith("emulated KV260")
    kernel, whole = (row for row in content["rows"] if row["method"] != MEASURED_HOST)
    assert kernel["stages_ms"] is None and set(whole["stages_ms"]) == set(figures.STAGES)
    assert whole["fps"] < kernel["fps"] and 0 < whole["python_percent"] < 100
    assert whole["latency_ms_p50"] > kernel["latency_ms_p50"]
    assert kernel["batch_size"] == 4 and kernel["frames"] == 9
    assert kernel["runs_on"] == whole["runs_on"] == "PL at 250 MHz"
    assert whole["python_on"] == machine.cpu_name() and whole["executor"].endswith("Python on this computer")
    assert all(row["python_on"] is None for row in content["rows"] if row is not whole)


def test_kinds_never_share_a_table(content, capsys):
    bench.print_rows(content)
    for block in capsys.readouterr().out.split("\n\n"):
        assert sum(f"{kind}:" in block for kind in KINDS) <= 1
        assert not ("host simulator, 1" in block and "emulated KV260" in block)
        assert "end to end" not in block or f"as measured on {machine.cpu_name()}" in block


def test_one_frame(model, capsys):
    pytest.importorskip("pynq")
    assert run_bench(model, "--frames", 1, "--batch", 16) == 0
    assert "1 frames" in capsys.readouterr().out


def test_a_network_that_no_overlay_runs_has_the_hosts_rows(tmp_path, capsys):
    rng = np.random.default_rng(5)
    limits = Limits(attentions=1.0, pools=0.0, max_layers=1, max_channels=8, max_size=5, event_input=False)
    network = random_network(rng, limits)
    network.save(tmp_path / "model.qsnn")
    np.save(tmp_path / "frames.npy", random_frames(rng, network, 3))
    command = ["bench", str(tmp_path / "model.qsnn"), "--input", str(tmp_path / "frames.npy")]
    command += ["--seconds", "0", "--repeats", "1", "--json", str(tmp_path / "bench.json")]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "host simulator, 1 thread" in out and "NumPy reference" in out and "emulated" not in out
    assert re.search(
        r"not measured: KV260: attention\d+ \(spiking self-attention\): overlay kv260 runs no attention", out
    )
    assert all(row["bit_exact"] for row in json.loads((tmp_path / "bench.json").read_text())["rows"])
    for asked in (["--emulate"], ["--csim", "1"], ["--bitfile", "x.bit"]):
        assert main([*command, *asked]) == 2
        assert "spiking self-attention" in capsys.readouterr().err


def test_onnx_runtime_missing_is_told_and_an_asked_for_file_is_refused(model, monkeypatch, capsys):
    pytest.importorskip("pynq")
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run_bench(model, "--frames", 2) == 0
    assert f"not measured: {bench.ONNX}: onnx is not installed; type: pip install onnx" in capsys.readouterr().out
    (model / "some.onnx").write_bytes(b"?")
    assert run_bench(model, "--frames", 2, "--onnx", model / "some.onnx") == 2
    assert "pip install onnx onnxruntime" in capsys.readouterr().err


def test_no_compiler_leaves_numpy_to_compare_with(model, monkeypatch, capsys):
    pytest.importorskip("pynq")
    from pynq_qsnn.errors import ToolMissing
    from pynq_qsnn.runtime import simulator

    def missing(*_):
        raise ToolMissing("there is no g++ on the PATH")

    monkeypatch.setattr(simulator, "_library", missing)
    assert run_bench(model, "--frames", 9, "--numpy", 3) == 0
    text = capsys.readouterr().out
    assert "not measured: host simulator: there is no g++" in text and "to NumPy reference, in this run" in text


def test_figure_without_matplotlib_is_refused_before_the_work(model, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(bench, "open_program", lambda _: pytest.fail("the work began"))
    assert run_bench(model, "--figure", model / "x.png") == 2
    assert "package 'matplotlib" in capsys.readouterr().err and not (model / "x.png").exists()


@pytest.mark.parametrize("option", ["--json", "--figure"])
def test_unwritable_paths_are_refused_before_the_work(model, monkeypatch, capsys, option):
    monkeypatch.setattr(bench, "open_program", lambda _: pytest.fail("the work began"))
    with pytest.raises(SystemExit):
        run_bench(model, option, model / "model.qsnn" / "x.png")
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--figure", "x.gif"), "must end in one of .png"),
        (("--seconds", "-1"), "must be seconds"),
        (("--seconds", "nan"), "must be seconds"),
        (("--repeats", "0"), "at least 1"),
        (("--numpy", "0"), "at least 1"),
    ],
)
def test_bad_options(model, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run_bench(model, *arguments)
    assert message in capsys.readouterr().err


def test_a_figure_of_the_published_networks_is_refused(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["bench", "--paper", "--figure", str(tmp_path / "x.png")]) == 2
    assert "--figure draws a model's rows" in capsys.readouterr().err


def test_a_model_without_data_set_says_what_to_give(model, capsys):
    assert main(["bench", str(model / "model.qsnn"), "--emulate"]) == 2
    assert "choose one with --dataset or --input" in capsys.readouterr().err


def test_an_interrupt_leaves_no_file(model, monkeypatch, tmp_path):
    pytest.importorskip("pynq")
    pytest.importorskip("matplotlib")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure_hosts", interrupted)
    assert run_bench(model, "--json", tmp_path / "a.json", "--figure", tmp_path / "a.png") == 130
    assert not list(tmp_path.iterdir())


# the figure


def pixels(content: dict, folder: Path) -> np.ndarray:
    """The PNG's pixels, float [rows, columns, 4]."""
    image = importlib.import_module("matplotlib.image")
    bench_figure.write(str(folder / "new" / "figure.png"), content)
    data = (folder / "new" / "figure.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    return image.imread(io.BytesIO(data))


def share(image: np.ndarray, colour: str) -> float:
    """Share of pixels of this colour."""
    wanted = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return float(np.mean(np.all(np.abs(image[..., :3] - wanted) < 0.02, axis=-1)))


def test_figure_shows_each_kind_in_its_colour(content, tmp_path):
    pytest.importorskip("matplotlib")
    image = pixels(content, tmp_path)
    assert image.shape[1] == 1800 and image.shape[0] > 400
    assert share(image, bench_figure.COLOURS[MEASURED_HOST]) > 0.05
    assert share(image, bench_figure.COLOURS["emulated (cycle model)"]) > 0.01
    assert share(image, bench_figure.COLOURS["measured (board)"]) == 0


def test_figure_of_a_kept_result_without_p90_and_spread(tmp_path):
    pytest.importorskip("matplotlib")
    folder = Path(__file__).parent.parent / "results"
    kept = json.loads((folder / "bench_cifar10_w8s4t1.json").read_text())
    keys = ("executor", "method", "batch_size", "fps", "latency_ms_p50", "latency_ms_p99")
    kept["rows"] = [{key: row[key] for key in keys} for row in kept["rows"]]
    assert share(pixels(kept, tmp_path), bench_figure.COLOURS["emulated (cycle model)"]) > 0.01


def test_bars_start_left_of_the_smallest_and_numbers_are_written(content):
    pytest.importorskip("matplotlib")
    figure = bench_figure.draw(content)
    left, right, _ = figure.axes
    assert left.get_xscale() == right.get_xscale() == "log"
    assert left.get_xlim()[0] < min(row["fps"] for row in content["rows"])
    assert right.get_xlim()[1] > max(row["latency_ms_p99"] for row in content["rows"])
    assert len(left.texts) == len(content["rows"]) and len(right.texts) == 2 * len(content["rows"])
