"""The `pynq-qsnn` command. Each subcommand lives in its own file of :mod:`pynq_qsnn.commands`."""

from __future__ import annotations

import argparse
import importlib
import sys

from . import __version__
from .errors import QsnnError

COMMANDS = (
    "train",
    "sweep",
    "export",
    "convert",
    "compile",
    "simulate",
    "run",
    "stream",
    "bench",
    "energy",
    "evaluate",
    "info",
    "zoo",
    "emulate",
    "doctor",
)
# package -> the extra that brings it; the other ones are training's
EXTRAS = {"pynq": "board", "matplotlib": "notebook", "optuna": "search"}
EXTRAS |= dict.fromkeys(("distributed", "dask", "cryptography"), "boards")
EPILOG = """\
the usual way, from nothing to frames per second:
  pynq-qsnn doctor                                             what this machine has, and what to type where it lacks
  pynq-qsnn train --output-dir runs/digits --epochs 8          train a 4-bit-spike network on scikit-learn's digits
  pynq-qsnn export runs/digits -o digits.qsnn                  integer network with its model card
  pynq-qsnn compile digits.qsnn -o digits.qprog                layer program for the KV260 overlay
  pynq-qsnn simulate digits.qsnn                               accuracy and speed on this computer, bit for bit
  pynq-qsnn run digits.qprog                                   the same frames through the (emulated) board's DMA
  pynq-qsnn bench digits.qsnn                                  all of them side by side
"""


def build_parser() -> argparse.ArgumentParser:
    """Parser with every subcommand; loads no heavy package."""
    parser = argparse.ArgumentParser(
        prog="pynq-qsnn",
        description="Quantized spiking networks on the Kria KV260: train, compile, simulate, run, measure.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pynq-qsnn {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f".commands.{name}", __package__)
        summary, _, details = module.__doc__.partition("\n\n")
        command = subparsers.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=details,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("-v", "--verbose", action="store_true", help="show the whole traceback of an error")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 a check failed, 2 bad input, 130 interrupted."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print("\npynq-qsnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        sys.stderr.close()
        return 0
    except (QsnnError, ModuleNotFoundError, OSError, MemoryError) as error:
        if args.verbose:
            raise
        print(f"pynq-qsnn {args.command}: {_message(error)}", file=sys.stderr)
        return 2


def _message(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        reader = {"sklearn": "scikit-learn", "pyarrow": "pyarrow", "PIL": "pillow", "tqdm": "tqdm"}.get(error.name)
        if reader:
            return f"this data set needs {reader}; type: pip install {reader}, or give frames of your own with --input"
        extra = EXTRAS.get(error.name, "train")
        return f"package {error.name!r} is not installed; type: pip install 'pynq-qsnn[{extra}]'"
    if isinstance(error, MemoryError) and not str(error):
        return "out of memory; take fewer frames or a smaller batch"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
