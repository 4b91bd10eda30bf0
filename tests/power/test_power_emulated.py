"""Energy on the emulated board: its sensor, a whole measurement, the command, and pynq's own rails."""

import errno
import json
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("pynq", reason="the emulated board needs pynq")

from pynq import MMIO, pmbus
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.cli import main
from pynq_qsnn.compiler import compile_network
from pynq_qsnn.emulator.power import HWMON, WINDOW_S, PowerModel
from pynq_qsnn.emulator.ps import BoardTime
from pynq_qsnn.errors import ConfigError, DeviceTimeout, SensorError, SensorMissing
from pynq_qsnn.runtime.driver import QsnnOverlay
from pynq_qsnn.runtime.power import rails
from pynq_qsnn.runtime.power.hwmon import HwmonSensor
from pynq_qsnn.runtime.power.measurement import measure_energy, open_hwmon
from pynq_qsnn.runtime.power.pl_clocks import unused_clocks_off
from pynq_qsnn.runtime.power.sensor import EMULATED_WINDOW_S, INA260_WINDOW_S

CLKACT = 1 << 24


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
    monkeypatch.setattr(time, "now", lambda: 10.5 * WINDOW_S)
    power = PowerModel(time, idle_w=4.0, busy_w=6.0)

    def microwatts():
        return int(power.files()[f"{HWMON}/power1_input"]())

    assert microwatts() == 4_000_000
    for start, end in ((8.5, 8.75), (9.25, 9.5), (9.75, 10.5)):  # a quarter before, half inside, half after
        time.busy.append((start * WINDOW_S, end * WINDOW_S))
    assert power.watts == pytest.approx(5.0) and microwatts() == 5_000_000
    assert int(power.files()[f"{HWMON}/curr1_input"]()) == 1000
    time.busy.append((9.51 * WINDOW_S, 9.514 * WINDOW_S))
    assert microwatts() == 5_010_000  # steps of 10 mW, rounded
    assert WINDOW_S == pytest.approx(EMULATED_WINDOW_S) == pytest.approx(INA260_WINDOW_S / 100)


def test_a_measurement_gives_back_the_assumed_watts(overlay, frames):
    before = clocks(overlay)
    result = measure_energy(overlay, frames, open_hwmon(overlay), seconds=0.02, repeats=2, seed=1)
    report = result.report
    assert report.method == "emulated (assumed watts)" and report.sensor.endswith("power1_input")
    assert clocks(overlay) == before and all(value & CLKACT for value in before)
    running = [arm for arm in result.arms if arm.kind == "run"]
    assert all(arm.seconds >= 0.02 and arm.frames % overlay.batch_size == 0 for arm in running)
    power = overlay.device.board.power
    busy_s = sum(overlay.device.board.time.busy_seconds(arm.start_s, arm.end_s) for arm in running)
    assert report.pl_busy_share == pytest.approx(busy_s / sum(arm.seconds for arm in running), rel=0.02)
    true_joules = (power.busy_w - power.idle_w) * busy_s / sum(arm.frames for arm in running)
    starved = any("without a reading" in flag for flag in report.flags)  # a busy machine
    assert report.above_idle_joules_per_frame.mean == pytest.approx(true_joules, rel=0.6 if starved else 0.15)
    assert report.idle_watts.mean == pytest.approx(power.idle_w, abs=0.02)


def test_unused_clocks_stand_still_and_start_again_after_an_error(overlay, frames):
    before = clocks(overlay)
    with pytest.raises(KeyError), unused_clocks_off(overlay) as off:
        assert off == [1, 2, 3]
        inside = clocks(overlay)
        assert inside[0] == before[0] and [v | CLKACT for v in inside[1:]] == before[1:] != inside[1:]
        overlay.execute(frames)
        raise KeyError
    assert clocks(overlay) == before


def test_errors_end_a_measurement_and_leave_the_overlay_usable(overlay, frames):
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
        measure(sensor=HwmonSensor(read=dies, window_s=WINDOW_S))
    with pytest.raises(SensorError, match="gave the same reading all through"):
        measure(sensor=HwmonSensor(read=stuck, window_s=WINDOW_S))
    overlay.device.board.faults.kernel_hangs = 1
    overlay.timeout_s = 0.2
    with pytest.raises(DeviceTimeout):
        measure(sensor=open_hwmon(overlay))
    assert clocks(overlay) == before and np.array_equal(overlay.execute(frames), expected)
    for settings, message in (
        ({"seconds": 0.0}, "longer than 0"),
        ({"seconds": 1e6}, "use at most"),
        ({"repeats": 0}, "1"),
    ):
        with pytest.raises(ConfigError, match=message):
            measure_energy(overlay, frames, open_hwmon(overlay), **settings)


def test_the_command(program, frames, tmp_path, capsys):
    with_figure = find_spec("matplotlib") is not None  # a board need not have it
    program.save(tmp_path / "tiny.qprog")
    np.save(tmp_path / "frames.npy", frames)
    figure = ["--figure", str(tmp_path / "power.png")] if with_figure else []
    line = ["energy", f"{tmp_path}/tiny.qprog", "--input", f"{tmp_path}/frames.npy", "--seconds", "0.01"]
    assert main([*line, "--repeats", "2", "--json", f"{tmp_path}/e.json", *figure]) == 0
    out, err = capsys.readouterr()
    assert "emulated (assumed watts)" in out and "frames a second and watt" in out and "drift" in out
    assert "not to be trusted: number of repeats 2" in err and "not to be trusted: an arm of" in err
    row = json.loads((tmp_path / "e.json").read_text())
    assert row["method"] == "emulated (assumed watts)" and row["valid"] is False and row["batch_size"] > 16
    assert [arm["kind"] for arm in row["arms"]].count("run") == 2 and row["arms"][0]["start_s"] == 0
    assert row["joules_per_frame"]["min"] <= row["joules_per_frame"]["mean"] <= row["joules_per_frame"]["max"]
    assert row["joules_per_frame"]["mean"] > row["above_idle_joules_per_frame"]["mean"] > 0
    if with_figure:
        assert (tmp_path / "power.png").read_bytes().startswith(b"\x89PNG")


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
def test_the_command_without_libsensors(program, frames, tmp_path, capsys):
    program.save(tmp_path / "tiny.qprog")
    np.save(tmp_path / "frames.npy", frames)
    line = ["energy", f"{tmp_path}/tiny.qprog", "--input", f"{tmp_path}/frames.npy", "--sensor", "pmbus"]
    assert main(line) == 2
    assert "pynq.get_rails() has 0 rails" in capsys.readouterr().err
