"""throughput and latency of this computer and the (emulated) board, on the same frames

Rows of this computer are measured by the wall clock, in turns and after a warm-up. The board's kernel row comes from
its samples of a free-running counter: "measured (board)" on a KV260, "emulated (cycle model)" elsewhere; no board has
confirmed the model. Rows of different kinds stand in tables of their own. On a board, the first table is its Arm's.

examples:
  pynq-qsnn bench digits.qsnn
  pynq-qsnn bench digits.qsnn --json bench.json --figure bench.png
  pynq-qsnn bench cifar10_w8s4t1.qsnn --checkpoint runs/w8s4t1 --onnx w8s4t1.qcdq.onnx --csim 4 --json bench.json
  pynq-qsnn bench --paper --networks H1 H2 --json paper.json
"""

import argparse
from contextlib import ExitStack

from ..errors import CapacityError, ConfigError, ToolMissing
from ..network import Network
from ..program import Program
from ..reference import Reference
from ..runtime.bench import (
    MEASURED_HOST,
    REPEATS,
    HostExecutor,
    Measurement,
    measure_board,
    measure_hosts,
)
from ..runtime.machine import cpu_name
from . import bench_figure, paper
from .common import (
    add_figure_argument,
    add_frame_arguments,
    add_json_argument,
    count,
    format_table,
    interrupt_afterwards,
    need_matplotlib,
    open_network,
    open_program,
    provenance,
    test_frames,
    write_json,
)
from .run import add_board_arguments, open_overlay

COLUMNS = {
    "executor": "executor",
    "threads": "threads",
    "frames": "frames",
    "batch_size": "batch",
    "fps": "fps",
    "fps_min": "fps least",
    "fps_max": "fps most",
    "latency_ms_p50": "p50 ms",
    "latency_ms_p90": "p90 ms",
    "latency_ms_p99": "p99 ms",
    "latency_samples": "samples",
    "batch_latency_ms_p50": "batch p50",
    "batch_latency_ms_p90": "batch p90",
    "batch_latency_ms_p99": "batch p99",
    "accuracy_percent": "accuracy %",
    "agreement_percent": "agreement %",
    "bit_exact": "bit-exact",
    "fps_ratio": "fps ratio",
    "latency_ratio": "p50 ratio",
}
HOST_BATCH = 128
ONNX, PYTORCH, CSIM = "ONNX Runtime, integer graph", "PyTorch float", "HLS C simulation (g++)"


def add_arguments(parser):
    parser.add_argument("model", nargs="?", help=".qsnn or program file")
    paper.add_arguments(parser)
    parser.add_argument("--pl-frames", type=count, default=32, help="frames for the board (default: %(default)s)")
    parser.add_argument("--numpy", type=count, default=8, metavar="N", help="frames for NumPy (default: %(default)s)")
    parser.add_argument("--onnx", metavar="FILE", help="also time an exported QCDQ model in ONNX Runtime")
    parser.add_argument("--checkpoint", help="also time PyTorch's float evaluation of this training checkpoint")
    parser.add_argument("--csim", type=count, default=0, metavar="N", help="also time the HLS C simulation on N frames")
    parser.add_argument("--seconds", type=_seconds, default=1.0, help="least time of a rate (default: %(default)s)")
    parser.add_argument("--repeats", type=count, default=REPEATS, help="rates of each row (default: %(default)s)")
    add_board_arguments(parser)
    add_frame_arguments(parser, None)
    add_json_argument(parser)
    add_figure_argument(parser, "also draw the rows")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 3600:
        raise argparse.ArgumentTypeError(f"must be seconds from 0 to 3600, not {text}")
    return seconds


def run(args):
    if args.figure:
        need_matplotlib()
    if args.paper:
        if args.figure:
            raise ConfigError("--figure draws a model's rows; docs/table4.png shows those of --paper")
        return paper.run(args)
    if args.model is None:
        raise ConfigError("bench needs a model file, or --paper for the published benchmark networks")
    network, program, missing = _open(args)
    frames, labels = test_frames(args, network)
    with ExitStack() as stack:  # everything is opened before anything is timed
        executors = _host_executors(args, network, frames, missing)
        if args.csim:
            few = frames[: args.csim]
            executors.append(HostExecutor(CSIM, _csim_run(program, stack), few, len(few), 1))
        overlay = None
        if program is not None:
            overlay = stack.enter_context(open_overlay(args))
            overlay.load_model(program)
        measurements = measure_hosts(executors, args.repeats, args.seconds)
        if overlay is not None:
            measurements += measure_board(overlay, frames[: args.pl_frames], args.repeats, args.seconds)
    content = _content(network, measurements, labels, missing)
    print(f"{network.name}, {frames.shape[0]} frames of {network.card.get('dataset', args.input)}")
    print_rows(content)
    write_json(args.json, content)
    if args.figure:
        bench_figure.write(args.figure, content)


def _open(args) -> tuple[Network, Program | None, dict[str, str]]:
    """Network, program, and what does not run: name -> reason. What was asked for by name must run."""
    try:
        program = open_program(args.model)
    except CapacityError as error:
        if args.emulate or args.bitfile or args.csim:
            raise
        return open_network(args.model), None, {"KV260": str(error)}
    return program.network, program, {}


def _host_executors(args, network: Network, frames, missing: dict[str, str]) -> list[HostExecutor]:
    """What runs on this computer; what does not goes into ``missing``."""
    from ..runtime.onnx_executor import OnnxExecutor, QcdqExecutor
    from ..runtime.simulator import Simulator

    found = []
    cores = Simulator().threads
    try:
        for threads in dict.fromkeys((cores, 1)):
            name = f"host simulator, {threads} thread{'s' if threads > 1 else ''}"
            found.append(HostExecutor(name, Simulator(threads).load(network).run, frames, HOST_BATCH, threads))
    except ToolMissing as error:
        missing["host simulator"] = str(error)
    few = frames[: args.numpy]
    found.append(HostExecutor("NumPy reference", Reference().load(network).run, few, len(few)))
    try:
        found.append(HostExecutor(ONNX, OnnxExecutor(cores).load(network).run, frames, HOST_BATCH, cores))
    except ToolMissing as error:
        missing[ONNX] = str(error)
    if args.onnx:
        qcdq = QcdqExecutor(args.onnx, network, cores)
        found.append(HostExecutor("ONNX Runtime, float QCDQ", qcdq.run, frames, HOST_BATCH, cores))
    if args.checkpoint:
        found.append(HostExecutor(PYTORCH, _torch_run(args.checkpoint, cores), frames, HOST_BATCH, cores))
    return found


def _torch_run(checkpoint: str, threads: int):
    with interrupt_afterwards():
        from ..training.float_executor import FloatExecutor

    return FloatExecutor(threads).load(checkpoint).run


def _csim_run(program, stack: ExitStack):
    from ..runtime.csim import CsimExecutor

    executor = CsimExecutor().load(program)
    stack.callback(executor.close)
    return executor.run


def _content(network, measurements: list[Measurement], labels, missing: dict[str, str]) -> dict:
    """What --json writes and the tables show."""
    first = measurements[0]
    rows = [measurement.row(labels, first.logits) for measurement in measurements]
    for row in rows:
        row["fps_ratio"] = row["fps"] / first.fps
        row["latency_ratio"] = row["latency_ms_p50"] / first.latency_ms_p50
    header = {**provenance(), "cpu": cpu_name(), "network": network.name, "card": network.card}
    return {**header, "baseline": first.executor, "not_measured": missing, "rows": rows}


def print_rows(content: dict) -> None:
    """A table for each way in which figures came about, and what the columns are."""
    for method in dict.fromkeys(row["method"] for row in content["rows"]):
        rows = [row for row in content["rows"] if row["method"] == method]
        place = f"{content['cpu']}, {content['machine']}" if method == MEASURED_HOST else rows[0]["runs_on"]
        print(f"\n{method}: {place}")
        print(format_table(rows, COLUMNS))
        for row in rows:
            if row["stages_ms"]:
                stages = ", ".join(f"{stage} {ms:.3f}" for stage, ms in row["stages_ms"].items())
                print(
                    f"end to end, ms a batch of {row['batch_size']}: {stages}; outside the kernel's clocks "
                    f"{row['python_percent']:.1f} %, as measured on {row['python_on']}"
                )
    repeats = content["rows"][0]["fps_repeats"]
    print(
        f"\nfps: median of {repeats} rates. p50, p90, p99: ms of a call with one frame, batch p50, p90, p99: with "
        "a whole batch. Warm-up is in none."
    )
    print(
        f"ratio, agreement, bit-exact: to {content['baseline']}, in this run. Between two kinds, a ratio sets a model "
        "beside a measurement."
    )
    for name, reason in content["not_measured"].items():
        print(f"not measured: {name}: {reason}")
