"""evaluate a model on several boards at once

Each board is driven by a process of its own. A board is an address of PYNQ.remote (host, or unix:/path), "local" for
this machine's own board, or "emulated" (may stand there more than once). A board that dies, hangs or fails is reported,
and its frames run on the others. Needs the extra packages of pynq-qsnn[boards].

examples:
  pynq-qsnn evaluate digits.qprog --boards 192.168.2.99 192.168.2.98
  pynq-qsnn evaluate digits.qsnn --boards emulated emulated --frames 64
"""

import sys

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
    write_json,
)
from .run import add_overlay_arguments


def add_arguments(parser):
    parser.add_argument("model", help="program file, or a .qsnn that is compiled on the way")
    parser.add_argument("--boards", nargs="+", required=True, metavar="BOARD", help="address, local or emulated")
    parser.add_argument("--chunk", type=count, help="frames that travel together (default: a few batches)")
    add_overlay_arguments(parser)
    parser.add_argument(
        "--timeout",
        type=count,
        default=300,
        metavar="S",
        help="give up a board that finishes no chunk, or does not start, for so long (default: %(default)s)",
    )
    add_check_argument(parser)
    add_frame_arguments(parser, None)
    add_json_argument(parser)


def run(args):
    from ..boards import evaluate

    program = open_program(args.model)
    frames, labels = test_frames(args, program.network)
    bar = progress(None, total=len(frames), unit="frame")
    try:
        result = evaluate(
            program,
            frames,
            args.boards,
            chunk=args.chunk,
            batch_size=args.batch,
            bitfile=args.bitfile,
            timeout_s=args.timeout,
            start_timeout_s=args.timeout,
            progress=None if bar is None else bar.update,
        )
    except BaseException as error:  # Ctrl-C as well
        if hasattr(error, "result"):
            write_json(args.json, _content(error.result))
        raise
    finally:
        if bar is not None:
            bar.close()
    print(board_table(result.boards))
    for board in result.boards:
        if board.reason:
            print(f"{board.name} is lost: {board.reason}", file=sys.stderr)
    accuracy = accuracy_percent(result.logits, labels)
    print(
        f"\n{len(frames)} frames in {result.seconds:.2f} s: {result.fps:,.1f} fps, measured (host); "
        f"the first board was ready after {result.start_s:.1f} s, chunks run again: {result.retries}"
    )
    for method, fps in total_kernel_fps(result.boards).items():
        print(f"kernels together: {fps:,.0f} fps, {method}")
    if accuracy is not None:
        print(f"accuracy {accuracy:.2f} %")
    content = {**_content(result), "accuracy_percent": accuracy}
    write_checked(args, content, program, frames, result.logits)


def board_table(boards) -> str:
    """A row for each board. Rates of real and of emulated kernels stand in columns of their own."""
    columns = {"name": "board", "state": "state", "frames": "frames", "chunks": "chunks", "fps": "fps, measured (host)"}
    rows = [{**board.row(), board.method: board.kernel_fps} for board in boards]
    columns.update({board.method: f"kernel fps, {board.method}" for board in boards if board.method})
    return format_table(rows, columns)


def total_kernel_fps(boards) -> dict[str, float]:
    """Sum of the kernels' rates by method, of the boards that were not lost."""
    total: dict[str, float] = {}
    for board in boards:
        if board.state == "ready" and board.kernel_fps:
            total[board.method] = total.get(board.method, 0.0) + board.kernel_fps
    return total


def _content(result) -> dict:
    return {
        **provenance(),
        **result.row(),
        "kernel_fps": total_kernel_fps(result.boards),
        "predictions": [int(c) if d else None for c, d in zip(result.logits.argmax(axis=1), result.done)],
    }
