"""run a model on the board, through pynq and its DMA

Without a PYNQ device (or with --emulate) the emulated KV260 runs it: the HLS kernel compiled by g++ behind register
models, driven by the unmodified pynq. Its times come from a cycle model and are labelled so.

examples:
  pynq-qsnn run digits.qprog
  pynq-qsnn run cifar10_w8s4t1.qsnn --frames 200 --check
"""

from contextlib import contextmanager

import numpy as np

from ..runtime.bench import measure_overlay
from .check import add_check_argument, write_checked
from .common import (
    accuracy_percent,
    add_frame_arguments,
    add_json_argument,
    count,
    format_table,
    open_program,
    progress,
    provenance,
    test_frames,
)


def add_arguments(parser):
    parser.add_argument("model", help="program file, or a .qsnn that is compiled on the way")
    add_board_arguments(parser)
    add_check_argument(parser)
    add_frame_arguments(parser, 32)
    add_json_argument(parser)


def add_board_arguments(parser, batch=16):
    """--bitfile, --batch and --emulate, of one board."""
    add_overlay_arguments(parser, batch)
    parser.add_argument("--emulate", action="store_true", help="use the emulated board even where a board is present")


def add_overlay_arguments(parser, batch=16):
    """--bitfile and --batch; ``batch`` is the default, None where the command chooses one."""
    parser.add_argument("--bitfile", help="bitstream to load (default: the installed overlay)")
    text = f"frames in one call of the kernel (default: {'chosen by the command' if batch is None else batch})"
    parser.add_argument("--batch", type=count, default=batch, help=text)


@contextmanager
def open_overlay(args):
    """The QsnnOverlay that the board options ask for."""
    from ..runtime.driver import QsnnOverlay

    if not args.emulate:
        with QsnnOverlay(args.bitfile, batch_size=args.batch) as overlay:
            yield overlay
        return
    from ..emulator import open_board

    with open_board() as board, QsnnOverlay(args.bitfile or board.bitfile, batch_size=args.batch) as overlay:
        yield overlay


def run(args):
    program = open_program(args.model)
    frames, labels = test_frames(args, program.network)
    with open_overlay(args) as overlay:
        overlay.load_model(program)
        with overlay.stream(frames) as results:
            logits = np.stack([result.logits for result in progress(results, total=len(frames), unit="frame")])
        layers = overlay.layer_cycles()
        measured = measure_overlay(overlay, frames[: args.batch])
    columns = {"layer": "layer", "opcode": "instruction", "cycles": "cycles", "predicted_cycles": "predicted"}
    print(format_table(layers, columns))
    print("predicted: each instruction alone, an upper bound where weights bind and arrive ahead of their layer")
    accuracy = accuracy_percent(logits, labels)
    print(
        f"\n{measured.executor}: {len(frames)} frames, {measured.fps:,.0f} fps in batches of {measured.batch_size}, "
        f"latency of one frame {measured.latency_ms_p50:.3f} ms, {measured.method}"
        + ("" if labels is None else f", accuracy {accuracy:.2f} %")
    )
    row = {k: v for k, v in vars(measured).items() if k != "logits"}
    row.update(frames=len(frames), accuracy_percent=accuracy, layers=layers)
    content = {**provenance(), **row, "predictions": logits.argmax(axis=1).tolist()}
    write_checked(args, content, program, frames, logits)
