"""run a model on this computer, bit for bit as the overlay would

The fast simulator is C++ that g++ compiles at first use; --reference runs the readable NumPy truth instead.

examples:
  pynq-qsnn simulate digits.qsnn
  pynq-qsnn simulate cifar10_w8s4t1.qsnn --frames 1000 --reference
"""

import time

from .common import (
    accuracy_percent,
    add_frame_arguments,
    add_json_argument,
    count,
    open_network,
    test_frames,
    write_json,
)


def add_arguments(parser):
    parser.add_argument("model", help=".qsnn or program file")
    parser.add_argument("--reference", action="store_true", help="the NumPy reference in place of the fast simulator")
    parser.add_argument("--threads", type=count, help="CPU threads of the fast simulator (default: all cores)")
    add_frame_arguments(parser, None)
    add_json_argument(parser)


def run(args):
    network = open_network(args.model)
    frames, labels = test_frames(args, network)
    if args.reference:
        from ..reference import Reference as executor

        executor = executor().load(network)
    else:
        from ..runtime.simulator import Simulator

        executor = Simulator(threads=args.threads).load(network)
    executor.run(frames[:1])  # the first call builds and touches everything once
    start = time.perf_counter()
    logits = executor.run(frames)
    seconds = time.perf_counter() - start
    row = {
        "executor": "reference" if args.reference else "host simulator",
        "method": "measured (host)",
        "frames": len(frames),
        "fps": len(frames) / seconds,
        "accuracy_percent": accuracy_percent(logits, labels),
    }
    accuracy = "" if labels is None else f", accuracy {row['accuracy_percent']:.2f} %"
    print(f"{row['executor']}: {row['frames']} frames, {row['fps']:,.0f} fps ({row['method']}){accuracy}")
    write_json(args.json, {**row, "predictions": logits.argmax(axis=1).tolist()})
