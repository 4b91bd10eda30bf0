"""A whole energy measurement of the loaded model, on the KV260 or on the emulated board."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ...errors import ConfigError
from ...kv260 import EMULATED_WINDOW_S, INA260_WINDOW_S
from ...packing import WORD_BYTES
from ..cycles import call_cycles
from ..remote import is_remote
from .arms import RUN, Arm, plan, run_arms
from .hwmon import HwmonSensor, file_access
from .meter import CAPACITY, PowerMeter
from .pl_clocks import unused_clocks_off
from .rails import PmbusRail
from .report import EMULATED_WATTS, MEASURED, EnergyReport, evaluate
from .sensor import Sensor
from .trace import Trace

ARM_WINDOWS = 10.0 / INA260_WINDOW_S  # 10 s on the board
WARM_UP_WINDOWS = 10
BATCH_BYTES, BATCH_FRAMES = 1 << 24, 1 << 16  # most of a batch that is chosen here


@dataclass(frozen=True)
class EnergyMeasurement:
    """report: the figures.  trace: the sensor's readings.  arms: what ran when, in the trace's time.

    distinct_frames: how many different frames were in the batch that ran.
    """

    report: EnergyReport
    trace: Trace
    arms: tuple[Arm, ...]
    distinct_frames: int


def open_hwmon(overlay) -> HwmonSensor:
    """The INA260 of the board that ``overlay`` is loaded on, be it this machine, a remote or an emulated one.

    Raises SensorMissing, SensorError.
    """
    read, exists = file_access(overlay.device)
    window_s = EMULATED_WINDOW_S if overlay.is_emulated else INA260_WINDOW_S
    return HwmonSensor(read=read, window_s=window_s, exists=exists)


def open_pmbus(overlay) -> PmbusRail:
    """pynq's one rail with power. Raises ConfigError unless the board is this machine, SensorMissing, SensorError."""
    if overlay.is_emulated or is_remote(overlay.device):
        raise ConfigError(
            f"pynq.get_rails() reads this computer's sensors, and the overlay is loaded on {overlay.device.name}. Use "
            "that board's hwmon files instead (--sensor hwmon)."
        )
    return PmbusRail()


def batch_for(overlay, frames: np.ndarray, sensor_window_s: float) -> int:
    """Frames that keep the kernel busy for half a window of the sensor.

    Shorter calls leave the PL waiting for the CPU between them; longer ones would show on the emulated board, whose
    time moves on by whole calls, as windows without a reading.
    """
    probe = frames[: overlay.batch_size]
    overlay.write_packed(overlay.pack(probe))
    overlay.execute_on_buffers()
    frame_s = call_cycles(overlay.time_log()) / len(probe) / (overlay.clock_mhz * 1e6)
    program = overlay.program
    most = BATCH_BYTES // (WORD_BYTES * max(program.frame_beats, program.result_beats))
    return int(np.clip(sensor_window_s / 2 / frame_s, 1, max(1, min(most, BATCH_FRAMES))))


def measure_energy(
    overlay,
    frames: np.ndarray,
    sensor: Sensor,
    seconds: float | None = None,
    repeats: int = 5,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> EnergyMeasurement:
    """Alternate idle and running arms and integrate what the sensor says.

    overlay: a :class:`~pynq_qsnn.runtime.driver.QsnnOverlay` with a model loaded; the overlay stays loaded and its
        clock runs in the idle arms too.
    frames: uint8 [N, C, H, W] ([N, T, C, H, W] for event frames), repeated to fill a batch; those that are more than
        a batch are not used. They are packed once; a running arm sends the same buffer again and again, so that the PL
        is not kept waiting for the CPU.
    seconds: length of an arm in the board's time, by default 71 windows of the sensor: 10 (emulated board: 0.1).
    batch_size: frames in one call, by default (None) what :func:`batch_for` finds; the overlay keeps it.
    progress: wraps the iterator of finished arms, such as a progress bar.

    Raises SensorError, ConfigError (settings, no model), FrameError, and what a batch raises.
    """
    seconds = ARM_WINDOWS * sensor.window_s if seconds is None else seconds
    meter = PowerMeter(sensor, overlay.monotonic)
    arms = plan(_at_least_one("repeats", repeats), seed)
    _check_length(seconds, len(arms), meter)
    overlay.batch_size = batch_for(overlay, frames, sensor.window_s) if batch_size is None else batch_size
    batch = np.resize(frames, (overlay.batch_size, *frames.shape[1:]))
    overlay.write_packed(overlay.pack(batch))

    def run_batch() -> int:
        overlay.execute_on_buffers()
        return len(batch)

    with unused_clocks_off(overlay), meter:
        warm = overlay.monotonic() + WARM_UP_WINDOWS * sensor.window_s
        while overlay.monotonic() < warm:
            run_batch()
        done = tuple(progress(run_arms(arms, seconds, run_batch, meter, overlay.monotonic)))
    trace = meter.trace()
    report = evaluate(
        done,
        trace,
        window_s=sensor.window_s,
        tail_s=meter.tail_s,
        sensor=sensor.name,
        method=EMULATED_WATTS if overlay.is_emulated else MEASURED,
        pl_busy_share=_busy_share(overlay, done),
    )
    return EnergyMeasurement(report, trace, done, min(len(frames), len(batch)))


def _busy_share(overlay, arms: Iterable[Arm]) -> float:
    """Part of the running arms in which the kernel worked, by the counter samples of the last batch."""
    running = [arm for arm in arms if arm.kind == RUN]
    calls = sum(arm.frames for arm in running) / overlay.batch_size
    call_s = call_cycles(overlay.time_log()) / (overlay.clock_mhz * 1e6)
    return calls * call_s / sum(arm.seconds for arm in running)


def _check_length(seconds: float, arms: int, meter: PowerMeter) -> None:
    if not seconds > 0:
        raise ConfigError(f"seconds is {seconds}, an arm must be longer than 0 s")
    most = CAPACITY * meter.period_s / arms - meter.tail_s
    if seconds > most:
        raise ConfigError(
            f"{arms} arms of {seconds:g} s are more than the meter keeps; use at most {most:.0f} s an arm"
        )


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"{name} is {value}, must be at least 1")
    return value
