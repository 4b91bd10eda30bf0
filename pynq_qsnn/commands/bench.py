"""one table: this computer against the (emulated) board, on the same frames

Host rows are measured by the wall clock. The board's row comes from the kernel's samples of a free-running counter:
"measured (board)" on a KV260, "emulated (cycle model)" elsewhere; no board has confirmed the model.

examples:
  pynq-qsnn bench digits.qsnn
  pynq-qsnn bench cifar10_w8s4t1.qsnn --checkpoint runs/w8s4t1 --csim 4 --json bench.json
  pynq-qsnn bench --paper --networks H1 H2 --json paper.json
"""

from ..errors import ConfigError
from ..runtime.bench import Measurement, measure_host, measure_overlay
from . import paper
from .common import (
    add_frame_arguments,
    add_json_argument,
    count,
    format_table,
    interrupt_afterwards,
    open_program,
    provenance,
    test_frames,
    write_json,
)
from .run import add_board_arguments, open_overlay

COLUMNS = {
    "executor": "executor",
    "method": "method",
    "frames": "frames",
    "batch_size": "batch",
    "fps": "fps",
    "latency_ms_p50": "p50 ms",
    "latency_ms_p99": "p99 ms",
    "accuracy_percent": "accuracy %",
    "agreement_percent": "agreement %",
    "bit_exact": "bit-exact",
    "fps_ratio": "fps / simulator",
}
HOST_BATCH = 128


def add_arguments(parser):
    parser.add_argument("model", nargs="?", help=".qsnn or program file")
    paper.add_arguments(parser)
    parser.add_argument("--pl-frames", type=count, default=32, help="frames for the board (default: %(default)s)")
    parser.add_argument("--checkpoint", help="also time PyTorch's float evaluation of this training checkpoint")
    parser.add_argument("--csim", type=count, default=0, metavar="N", help="also time the HLS C simulation on N frames")
    add_board_arguments(parser)
    add_frame_arguments(parser, None)
    add_json_argument(parser)


def run(args):
    if args.paper:
        return paper.run(args)
    if args.model is None:
        raise ConfigError("bench needs a model file, or --paper for the published benchmark networks")
    program = open_program(args.model)
    frames, labels = test_frames(args, program.network)
    from ..runtime.simulator import Simulator

    simulator = Simulator().load(program)
    measurements = [measure_host("host simulator", simulator.run, frames, HOST_BATCH)]
    if args.checkpoint:
        measurements.append(measure_host("PyTorch float", _torch_run(args.checkpoint), frames, HOST_BATCH))
    if args.csim:
        measurements.append(_measure_csim(program, frames[: args.csim]))
    with open_overlay(args) as overlay:
        overlay.load_model(program)
        measurements.append(measure_overlay(overlay, frames[: args.pl_frames]))
    truth = measurements[0].logits
    rows = [measurement.row(labels, truth) for measurement in measurements]
    for row in rows:
        row["fps_ratio"] = row["fps"] / rows[0]["fps"]
    print(f"{program.network.name}, {frames.shape[0]} frames of {program.network.card.get('dataset', args.input)}")
    print(format_table(rows, COLUMNS))
    print("agreement and bit-exactness: against the host simulator, class by class and logit by logit")
    write_json(args.json, {**provenance(), "network": program.network.name, "card": program.network.card, "rows": rows})


def _torch_run(checkpoint: str):
    with interrupt_afterwards():
        from ..training.export import load_checkpoint
        from ..training.loop import predict_logits

    model, _ = load_checkpoint(checkpoint)
    return lambda frames: predict_logits(model, frames).numpy()


def _measure_csim(program, frames) -> Measurement:
    from ..runtime.csim import CsimExecutor

    executor = CsimExecutor().load(program)
    try:
        return measure_host("HLS C simulation (g++)", executor.run, frames, len(frames), len(frames), minimum_seconds=0)
    finally:
        executor.close()
