"""Energy on the emulated board: its sensor, a whole measurement, the command, and pynq's own rails."""

import errno
import json
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pynq", reason="the emulated board needs pynq")

from pynq import MMIO, pmbus
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.cli import main
from pynq_qsnn.compiler import compile_network
from pynq_qsnn.emulator.power import HWMON, PowerModel
from pynq_qsnn.emulator.ps import BoardTime
from pynq_qsnn.errors import ConfigError, DeviceTimeout, SensorError, SensorMissing
from pynq_qsnn.kv260 import CLKACT, EMULATED_WINDOW_S
from pynq_qsnn.runtime.driver import QsnnOverlay
from pynq_qsnn.runtime.power import figure, rails
from pynq_qsnn.runtime.power.hwmon import HwmonSensor
from pynq_qsnn.runtime.power.measurement import measure_energy, open_hwmon, open_pmbus
from pynq_qsnn.runtime.power.pl_clocks import unused_clocks_off
from pynq_qsnn.runtime.power.trace import Trace


@pytest.fixture(scope="module")
def program():
    return compile_network(random_network(np.random.default_rng(5), Limits(max_layers=2)))


@pytest.fixture(scope="module")
def frames(program):
    return random_frames(np.random.default_rng(6), program.network, 7)


@pytest.fixture(scope="module")
def overlay(program):
    with QsnnOverlay() as opened:
        yield opened.load_model(program)


def clocks(overlay):
    registers = MMIO(0xFF5E0000, 0x100, device=overlay.device)
    return [registers.read(0xC0 + 4 * i) for i in range(4)]


def test_the_sensor_averages_over_ended_windows(monkeypatch):
    time = BoardTime()
    monkeypatch.setattr(time, "now", lambda: 10.5 * EMULATED_WINDOW_S)
    power = PowerModel(time, idle_w=4.0, busy_w=6.0)

    def microwatts():
        return int(power.files()[f"{HWMON}/power1_input"]())

    assert microwatts() == 4_000_000
    for start, end in ((8.5, 8.75), (9.25, 9.5), (9.75, 10.5)):  # a quarter before, half inside, half after
        time.busy.append((start * EMULATED_WINDOW_S, end * EMULATED_WINDOW_S))
    assert power.watts == pytest.approx(5.0) and microwatts() == 5_000_000
    assert int(power.files()[f"{HWMON}/curr1_input"]()) == 1000
    time.busy.append((9.51 * EMULATED_WINDOW_S, 9.514 * EMULATED_WINDOW_S))
    assert microwatts() == 5_010_000  # steps of 10 mW, rounded


def assumed_watts(board, times):
    """What the sensor should have told at ``times``: means over ended windows, from when the kernel worked."""
    ends = np.floor(np.asarray(times) / EMULATED_WINDOW_S) * EMULATED_WINDOW_S
    shares = [board.time.busy_seconds(end - EMULATED_WINDOW_S, end) / EMULATED_WINDOW_S for end in ends]
    return board.power.idle_w + (board.power.busy_w - board.power.idle_w) * np.array(shares)


def measure_on_a_busy_machine(overlay, frames):
    """A measurement in arms of 20 ms, or in longer ones where a whole pair of them passed between two readings."""
    for seconds in (0.02, 0.05, 0.1):
        try:
            return measure_energy(overlay, frames, open_hwmon(overlay), seconds=seconds, repeats=2, seed=1)
        except SensorError as error:
            failure = error
    raise failure


def test_a_measurement_gives_back_the_assumed_watts(overlay, frames):
    before = clocks(overlay)
    result = measure_on_a_busy_machine(overlay, frames)
    report, board = result.report, overlay.device.board
    assert report.method == "emulated (assumed watts)" and report.sensor.endswith("power1_input")
    assert clocks(overlay) == before and all(value & CLKACT for value in before)
    running = [arm for arm in result.arms if arm.kind == "run"]
    assert all(arm.seconds >= 0.02 and arm.frames % overlay.batch_size == 0 for arm in running)
    busy_s = [board.time.busy_seconds(arm.start_s, arm.end_s) for arm in running]
    assert report.pl_busy_share == pytest.approx(sum(busy_s) / sum(arm.seconds for arm in running), rel=0.02)
    assert report.idle_watts.mean == pytest.approx(board.power.idle_w, abs=0.02)
    # By the assumed watts at the times of the readings, which lie far apart when other programs keep the CPU busy.
    assumed = Trace(result.trace.times, assumed_watts(board, result.trace.times))
    ends = [arm.end_s + report.tail_s for arm in running]
    joules = [
        assumed.joules(arm.start_s, end) - board.power.idle_w * (end - arm.start_s) for arm, end in zip(running, ends)
    ]
    expected = np.mean([above / arm.frames for above, arm in zip(joules, running)])
    assert report.above_idle_joules_per_frame.mean == pytest.approx(expected, rel=0.05)
    if not any("without a reading" in flag for flag in report.flags):
        watts = board.power.busy_w - board.power.idle_w
        true = np.mean([watts * seconds / arm.frames for seconds, arm in zip(busy_s, running)])
        assert report.above_idle_joules_per_frame.mean == pytest.approx(true, rel=0.15)


def test_arms_are_as_long_as_the_sensor_needs(overlay, frames):
    sensor = HwmonSensor(read=overlay.device.read_file, window_s=EMULATED_WINDOW_S / 4)
    arms = measure_energy(overlay, frames, sensor, repeats=1).arms
    assert 0.025 <= min(arm.seconds for arm in arms) < 0.05  # 71 windows, where the emulated board's own gives 0.1 s


def test_unused_clocks_stand_still_and_start_again_after_an_error(overlay, frames):
    before = clocks(overlay)
    with pytest.raises(KeyError), unused_clocks_off(overlay) as off:
        assert off == [1, 2, 3]
        inside = clocks(overlay)
        assert inside[0] == before[0] and [v | CLKACT for v in inside[1:]] == before[1:] != inside[1:]
        overlay.execute(frames)
        raise KeyError
    assert clocks(overlay) == before


def test_errors_end_a_measurement_and_leave_the_overlay_usable(overlay, frames, monkeypatch):
    before, expected = clocks(overlay), overlay.execute(frames)
    reads = iter(range(1000))

    def dies(path):
        if next(reads) > 20:
            raise OSError(errno.ENODEV, "No such device", path)
        return overlay.device.read_file(path)

    def stuck(path):
        return b"4200000\n" if path.endswith("input") else overlay.device.read_file(path)

    measure = partial(measure_energy, overlay, frames, seconds=0.01, repeats=1, batch_size=8)
    with pytest.raises(SensorError, match="cannot be read any more: No such device"):
        measure(sensor=HwmonSensor(read=dies, window_s=EMULATED_WINDOW_S))
    with pytest.raises(SensorError, match="gave the same reading all through"):
        measure(sensor=HwmonSensor(read=stuck, window_s=EMULATED_WINDOW_S))
    overlay.device.board.faults.kernel_hangs = 1
    monkeypatch.setattr(overlay, "timeout_s", 0.2)
    with pytest.raises(DeviceTimeout):
        measure(sensor=open_hwmon(overlay))
    assert clocks(overlay) == before and np.array_equal(overlay.execute(frames), expected)
    for settings, message in (
        ({"seconds": 0.0}, "longer than 0"),
        ({"seconds": 1e6}, "use at most"),
        ({"repeats": 0}, "1"),
        ({"batch_size": 0}, "batch_size is 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            measure_energy(overlay, frames, open_hwmon(overlay), **settings)


def test_the_command(program, frames, tmp_path, capsys):
    with_figure = find_spec("matplotlib") is not None  # a board need not have it
    program.save(tmp_path / "tiny.qprog")
    np.save(tmp_path / "frames.npy", frames)
    drawn = ["--figure", str(tmp_path / "new" / "power.png")] if with_figure else []
    line = ["energy", f"{tmp_path}/tiny.qprog", "--input", f"{tmp_path}/frames.npy", "--seconds", "0.01"]
    assert main([*line, "--repeats", "2", "--json", f"{tmp_path}/e.json", *drawn]) == 0
    out, err = capsys.readouterr()
    assert "emulated (assumed watts)" in out and "frames a second and watt" in out and "drift" in out
    assert "not to be trusted: number of repeats 2" in err and "not to be trusted: an arm of" in err
    row = json.loads((tmp_path / "e.json").read_text())
    assert row["method"] == "emulated (assumed watts)" and row["valid"] is False and row["batch_size"] > 16
    assert [arm["kind"] for arm in row["arms"]].count("run") == 2 and row["arms"][0]["start_s"] == 0
    assert row["joules_per_frame"]["min"] <= row["joules_per_frame"]["mean"] <= row["joules_per_frame"]["max"]
    assert row["joules_per_frame"]["mean"] > row["above_idle_joules_per_frame"]["mean"] > 0
    assert row["distinct_frames"] == len(frames) and "frames (7 different ones)" in out
    assert row["window_s"] == EMULATED_WINDOW_S
    if with_figure:
        assert (tmp_path / "new" / "power.png").read_bytes().startswith(b"\x89PNG")


def quick(program, frames, folder):
    """Arguments of a short measurement."""
    program.save(folder / "tiny.qprog")
    np.save(folder / "frames.npy", np.resize(frames, (100, *frames.shape[1:])))
    options = ("--seconds", "0.02", "--repeats", "1", "--batch", "64")
    return ["energy", f"{folder}/tiny.qprog", "--input", f"{folder}/frames.npy", *options]


def test_a_figure_that_fails_loses_nothing(program, frames, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")

    def full(*_):
        raise ConfigError("no space left")

    monkeypatch.setattr(figure, "write_figure", full)
    line = quick(program, frames, tmp_path)
    assert main([*line, "--json", f"{tmp_path}/e.json", "--figure", f"{tmp_path}/power.png"]) == 2
    assert "no space left" in capsys.readouterr().err
    row = json.loads((tmp_path / "e.json").read_text())
    assert row["joules_per_frame"]["mean"] > 0
    assert row["batch_size"] == row["distinct_frames"] == 64  # of 100: the others are in no batch


def test_a_figure_of_another_kind_is_refused_before_the_work(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["energy", "any", "--figure", "power.xyz"])
    assert "must end in one of .png" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "ten"])
def test_the_command_refuses_senseless_seconds(seconds, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["energy", "any", "--seconds", seconds])
    assert "must be a number of seconds above 0" in capsys.readouterr().err


def sysfs_rail(tmp_path, watts):
    """A pynq.pmbus.Rail whose power is one of pynq's own sensors, on a file."""
    file = tmp_path / "power"
    file.write_text(f"{watts * 1e6:.0f}\n")
    rail = pmbus.Rail("power1")
    rail.power = pmbus.SysFSSensor(str(file), "W", "power1_power", 1e-6)
    return rail, file


def test_a_rail_of_pynq(tmp_path):
    rail, file = sysfs_rail(tmp_path, 4.2)
    sensor = rails.PmbusRail(rail)
    assert sensor.watts() == pytest.approx(4.2) and sensor.name == "pynq rail power1"
    file.write_text("rubbish")
    with pytest.raises(SensorError, match="pynq rail power1 cannot be read: .*rubbish.*--sensor hwmon"):
        sensor.watts()
    file.unlink()
    with pytest.raises(SensorError, match="No such file"):
        sensor.watts()
    sensor.close()


def test_exactly_one_rail_has_power(tmp_path):
    rail, _ = sysfs_rail(tmp_path, 4.2)
    assert rails.only_power_rail({"power1": rail, "in1": pmbus.Rail("in1")}) is rail
    for found, names in (({}, "with power: none"), ({"a": rail, "b": rail}, "with power: power1, power1")):
        with pytest.raises(SensorMissing, match=f"has {len(found)} rails, {names}; exactly one.*libsensors-dev"):
            rails.only_power_rail(found)


@pytest.mark.skipif(pmbus._lib is not None, reason="this machine has libsensors-dev, whose rails are its own")
def test_no_rails_without_libsensors():
    with pytest.raises(SensorMissing, match=r"pynq.get_rails\(\) has 0 rails"):
        rails.PmbusRail()


def test_the_rails_of_this_computer_are_not_those_of_the_board(overlay, program, frames, tmp_path, capsys):
    assert main([*quick(program, frames, tmp_path), "--sensor", "pmbus"]) == 2
    assert "reads this computer's sensors, and the overlay is loaded on KV260 (emulated)" in capsys.readouterr().err
    elsewhere = SimpleNamespace(name="a KV260", has_capability=lambda name: name == "REMOTE")
    with pytest.raises(ConfigError, match="is loaded on a KV260. Use that board's hwmon files"):
        open_pmbus(SimpleNamespace(is_emulated=False, device=elsewhere))
