"""search the bit-budget allocations of a network: accuracy against S-ACE, NS-ACE, fps or bytes

Every allocation (weight bits/spike bits/T) whose layers stay within the budget is trained from one start, exported and
measured as an integer network. What was held out of the training images chooses; the test split is reported for the
Pareto front alone. The folder gets trials.csv, pareto.csv, pareto.png and the study; Ctrl-C or a kill loses nothing
that was measured, and the same command with --resume continues. Training options are those of pynq-qsnn train.

examples:
  pynq-qsnn sweep --output-dir runs/sweep --budget 8
  pynq-qsnn sweep --output-dir runs/layers --model "8 P 16 P F32 FC" --budget 8 --per-layer --trials 30 --jobs 2
  pynq-qsnn sweep --output-dir runs/fps --budget 32 --objective accuracy,fps,bytes --trials 20 --repeats 3
"""

import argparse
from pathlib import Path

from ..search.objective import OBJECTIVES
from ..search.space import Space
from ..training import options
from .common import add_json_argument, count, format_table, need_matplotlib, provenance, write_json

# Fields of a training that a sweep sets itself, for each allocation.
OWN = ("weight_bits", "spike_bits", "num_steps", "checkpoint_dir", "checkpoint_every")
COLUMNS = {
    "allocation": "w/s/T",
    "bit_budget": "bit budget",
    "accuracy": "held out %",
    "accuracy_deviation": "of seeds +-",
    "accuracy_error": "of images +-",
    "test_accuracy": "test %",
    "s_ace": "S-ACE",
    "ns_ace": "NS-ACE",
    "fps": "fps (predicted)",
    "bytes": "bytes",
}


def add_arguments(parser):
    section = parser.add_argument_group("search")
    section.add_argument(
        "--budget",
        type=count,
        required=True,
        metavar="N",
        help="largest bit budget of a layer; 8-bit edge weights do not count",
    )
    for name in ("weight_bits", "spike_bits", "num_steps"):
        flag, default = "--" + name.replace("_", "-"), ",".join(map(str, getattr(Space, name)))
        text = "what may be chosen, with commas (default: %(default)s)"
        section.add_argument(flag, type=_numbers, default=default, metavar="N,N", help=text)
    section.add_argument("--per-layer", action="store_true", help="bits for each word of the layer list")
    text = f"two or more of {', '.join(OBJECTIVES)} (default: %(default)s)"
    section.add_argument("--objective", type=_names, default="accuracy,s_ace", metavar="NAMES", help=text)
    section.add_argument("--trials", type=count, metavar="N", help="allocations to measure (default: all that fit)")
    section.add_argument("--repeats", type=count, default=1, metavar="N", help="trainings of each, from --seed on")
    text = "epochs of the float network that all start from (default: %(default)s)"
    section.add_argument("--start-epochs", type=count, default=8, metavar="N", help=text)
    text = "share of the training images that chooses (default: %(default)s)"
    section.add_argument("--held-out", type=float, default=0.2, metavar="SHARE", help=text)
    section.add_argument("--images", type=count, metavar="N", help="training images to use (default: all)")
    text = "held-out frames that firing rates are measured on (default: %(default)s)"
    section.add_argument("--rate-frames", type=count, default=200, metavar="N", help=text)
    section.add_argument("--config", help="config.json of the overlay (default: the KV260's)")
    section.add_argument("--jobs", type=count, default=1, metavar="N", help="worker processes (default: %(default)s)")
    add_json_argument(section)
    options.add_arguments(parser, leave_out=OWN)
    parser.set_defaults(epochs=4)


def run(args):
    from ..search.figures import write_pareto
    from ..search.settings import SweepConfig
    from ..search.study import sweep

    need_matplotlib()
    space = Space(args.model, args.budget, args.weight_bits, args.spike_bits, args.num_steps, args.per_layer)
    config = SweepConfig(
        training=options.config_from_args(args, leave_out=OWN),
        space=space,
        objectives=args.objective,
        trials=args.trials,
        repeats=args.repeats,
        start_epochs=args.start_epochs,
        held_out=args.held_out,
        images=args.images,
        rate_frames=args.rate_frames,
        overlay=args.config,
        jobs=args.jobs,
    )
    result = sweep(config)
    folder, rows = Path(args.output_dir), [row for row in result.rows if row["state"] == "done"]
    title = f"{args.model} on {args.dataset}: {len(rows)} allocations of a bit budget of {args.budget}"
    write_pareto(folder / "pareto.png", rows, result.front, args.objective, title)
    print(f"\nPareto front of {len(rows)} allocations ({', '.join(args.objective)})")
    print(format_table(result.front, COLUMNS))
    print(
        f"accuracies are the integer network's (measured (host)); the {rows[0]['held_out']} held-out images chose, the "
        f"{result.front[0]['test_images']} test images did not"
    )
    if result.data_note:
        print(f"data: {result.data_note}")
    print(f"{folder}: trials.csv, pareto.csv, pareto.png")
    content = {**provenance(), "data_note": result.data_note, "settings": result.settings}
    write_json(args.json, {**content, "rows": result.rows, "front": result.front})


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be whole numbers with commas, not {text}") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))
