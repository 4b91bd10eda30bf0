"""classify a folder of pictures, a video, a camera or a recording, frame after frame

Frames are read ahead by a thread, and packed and copied while the PL works. A camera has no end: Ctrl-C ends the stream
and prints its figures. On the emulated board times come from a cycle model, and simulating takes far longer than they
say.

examples:
  pynq-qsnn stream digits.qprog --source frames.npy
  pynq-qsnn stream cifar10_w8s4t1.qsnn --source photos/ --csv classes.csv
  pynq-qsnn stream cifar10_w8s4t1.qsnn --source 0 --batch 1        # camera 0, one frame a call
"""

import csv
from contextlib import nullcontext
from itertools import islice
from types import SimpleNamespace

from ..errors import QsnnError
from ..files import atomic_file
from ..runtime.frame_queue import close_source
from ..runtime.sources import open_source
from .common import (
    add_json_argument,
    count,
    format_table,
    open_program,
    progress,
    provenance,
    writable,
    write_json,
)
from .run import add_board_arguments, open_overlay

COLUMNS = {
    "method": "method",
    "frames": "frames",
    "batches": "batches",
    "fps": "fps",
    "kernel_fps": "kernel fps",
    "busy": "kernel busy",
    "latency_ms_p50": "p50 ms",
    "latency_ms_p90": "p90 ms",
    "latency_ms_p99": "p99 ms",
}
FIELDS = ("index", "class", "arrived_s", "started_s", "finished_s", "kernel_s")


def add_arguments(parser):
    parser.add_argument("model", help="program file, or a .qsnn that is compiled on the way")
    parser.add_argument(
        "--source", required=True, help="camera number, video, .npy file, or folder of .npy files or pictures"
    )
    parser.add_argument("--frames", type=count, help="stop after this many frames (default: when the source ends)")
    parser.add_argument("--queue", type=count, metavar="N", help="most frames read ahead (default: four batches)")
    parser.add_argument("--csv", metavar="FILE", type=writable, help="write class and times of each frame to FILE")
    add_board_arguments(parser)
    add_json_argument(parser)


def run(args):
    program = open_program(args.model)
    source = open_source(args.source, program.network.frame_shape)
    known = [args.frames, len(source) if hasattr(source, "__len__") else None]
    labels = getattr(source, "labels", None)
    seen, right, failure = 0, 0, None
    with open_overlay(args) as overlay, atomic_file(args.csv) if args.csv else nullcontext() as file:
        overlay.load_model(program)
        table = csv.writer(SimpleNamespace(write=lambda text: file and file.write(text.encode())))
        table.writerow(FIELDS)
        with overlay.stream(_first(source, args.frames), args.queue) as stream:
            try:
                for result in progress(stream, total=min(filter(None, known), default=None), unit="frame"):
                    times = (f"{getattr(result, name):.6f}" for name in FIELDS[2:])
                    table.writerow((result.index, result.label, *times))
                    right += labels is not None and int(labels[result.index]) == result.label
                    seen += 1
            except KeyboardInterrupt:  # how a camera's stream ends
                print("interrupted")
            except QsnnError as error:  # what was seen before it is kept
                failure = error
        report = {
            "network": program.network.name,
            "source": args.source,
            "clock_mhz": overlay.clock_mhz,
            "batch_size": overlay.batch_size,
            **vars(stream.report()),
        }
        between = "; between two calls Python, on this computer" if overlay.is_emulated else ""
    print(format_table([report], COLUMNS))
    print(f"latency: from the source to the result, the wait in the queue included{between}")
    if labels is not None and seen:
        report["accuracy_percent"] = 100 * right / seen
        classes = ", ".join(source.class_names)
        print(f"accuracy {report['accuracy_percent']:.2f} %, the folders being classes 0, 1, ...: {classes}")
    write_json(args.json, {**provenance(), **report})
    if failure:
        raise failure


def _first(source, number: int | None):
    """At most ``number`` frames of a source, which is closed at the end."""
    try:
        yield from islice(source, number)
    finally:
        close_source(source)
