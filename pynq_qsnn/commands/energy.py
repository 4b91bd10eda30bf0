"""energy of a frame, from the board's power sensor: total and above idle, with spread

The KV260's one sensor sees the whole module: processors, programmable logic and DDR. Arms in which the board only
idles (overlay loaded, clock running) and arms in which it runs full batches alternate in random order. The PL clocks
that the design does not use stand still meanwhile. On the emulated board the watts are assumptions: a rehearsal.

examples:
  pynq-qsnn energy digits.qprog
  pynq-qsnn energy cifar10_w8s4t1.qsnn --seconds 20 --repeats 10 --json energy.json --figure energy.png
"""

import argparse
import math
import sys
from dataclasses import asdict

from .common import (
    add_figure_argument,
    add_frame_arguments,
    add_json_argument,
    count,
    format_table,
    need_matplotlib,
    open_program,
    progress,
    provenance,
    test_frames,
    write_json,
)
from .run import add_board_arguments, open_overlay

PROBE_BATCH = 16
REPEATS = {
    "pair": "pair",
    "first": "first",
    "seconds": "run s",
    "frames": "frames",
    "fps": "fps",
    "idle_watts": "idle W",
    "mean_watts": "run W",
    "joules_per_frame_milli": "mJ/frame",
    "above_idle_joules_per_frame_milli": "above idle",
    "fps_per_watt": "fps/W",
    "distinct": "readings",
}
SUMMARY = {
    "figure": "figure",
    "mean": "mean",
    "std": "std",
    "min": "min",
    "max": "max",
}
FIGURES = {
    "joules_per_frame": ("energy of a frame in mJ", 1e3),
    "above_idle_joules_per_frame": ("energy of a frame above idle in mJ", 1e3),
    "mean_watts": ("power running in W", 1),
    "idle_watts": ("power idle in W", 1),
    "above_idle_watts": ("power above idle in W", 1),
    "fps": ("frames a second", 1),
    "fps_per_watt": ("frames a second and watt", 1),
}


def add_arguments(parser):
    parser.add_argument("model", help="program file, or a .qsnn that is compiled on the way")
    parser.add_argument(
        "--seconds", type=_seconds, help="length of an arm in the board's time (default: 10; emulated board: 0.1)"
    )
    parser.add_argument("--repeats", type=count, default=5, help="pairs of arms (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the arms' order (default: %(default)s)")
    parser.add_argument(
        "--sensor",
        choices=("hwmon", "pmbus"),
        default="hwmon",
        help="the INA260's own files, or pynq.get_rails() with libsensors (default: %(default)s)",
    )
    add_figure_argument(parser, "draw power against time")
    add_board_arguments(parser, batch=None)
    add_frame_arguments(parser, None)
    add_json_argument(parser)


def run(args):
    if args.figure:
        need_matplotlib()
    program = open_program(args.model)
    frames, _ = test_frames(args, program.network)
    batch, args.batch = args.batch, PROBE_BATCH if args.batch is None else args.batch
    from ..runtime.power import measurement as measuring

    with open_overlay(args) as overlay:
        overlay.load_model(program)
        sensor = (measuring.open_hwmon if args.sensor == "hwmon" else measuring.open_pmbus)(overlay)
        try:
            measurement = measuring.measure_energy(
                overlay,
                frames,
                sensor,
                seconds=args.seconds,
                repeats=args.repeats,
                seed=args.seed,
                batch_size=batch,
                progress=lambda arms: progress(arms, total=2 * args.repeats + 2, unit="arm"),
            )
        finally:
            sensor.close()
        settings = {
            "clock_mhz": overlay.clock_mhz,
            "batch_size": overlay.batch_size,
            "distinct_frames": measurement.distinct_frames,
        }
    report = measurement.report
    name = program.network.name
    _print(name, report, settings)
    origin = measurement.arms[0].start_s
    arms = [{**asdict(a), "start_s": a.start_s - origin, "end_s": a.end_s - origin} for a in measurement.arms]
    row = {**provenance(), "network": name, "seed": args.seed, **settings, **report.row(), "arms": arms}
    write_json(args.json, row)  # before the figure: what was measured is kept whatever becomes of that
    if args.figure:
        from ..runtime.power.figure import write_figure

        write_figure(args.figure, report, measurement.trace, measurement.arms, name)
        print(f"wrote {args.figure}")


def _print(name, report, settings):
    rows = [
        {
            **asdict(repeat),
            "pair": number,
            "first": "idle" if repeat.idle_first else "run",
            "joules_per_frame_milli": 1e3 * repeat.joules_per_frame,
            "above_idle_joules_per_frame_milli": 1e3 * repeat.above_idle_joules_per_frame,
        }
        for number, repeat in enumerate(report.repeats, 1)
    ]
    print(
        f"{name}, batches of {settings['batch_size']} frames ({settings['distinct_frames']} different ones) at "
        f"{settings['clock_mhz']:g} MHz, {report.method}"
    )
    print(f"sensor: {report.sensor}, the whole module's power (processors, logic, DDR)\n")
    print(format_table(rows, REPEATS))
    figures = []
    for key, (text, scale) in FIGURES.items():
        spread = asdict(getattr(report, key))
        scaled = {k: None if spread[k] is None else scale * spread[k] for k in ("mean", "std", "min", "max")}
        figures.append({"figure": text, **scaled})
    print(f"\n{format_table(figures, SUMMARY)}")
    print(
        f"\nidle before {report.idle_before_watts:.3f} W, after {report.idle_after_watts:.3f} W "
        f"(drift {1e3 * report.idle_drift_watts:+.0f} mW); the kernel worked in {100 * report.pl_busy_share:.0f} % of "
        "the running arms, the CPU's part in starting batches is in the figures"
    )
    for flag in report.flags:
        print(f"not to be trusted: {flag}", file=sys.stderr)


def _seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text}")
    return value
