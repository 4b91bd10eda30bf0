"""serve an emulated KV260 to pynq clients in other processes

It speaks PYNQ.remote: any program that uses pynq 3.1 or later runs on it when PYNQ_REMOTE_DEVICES holds its address.
It prints "ready ADDRESS" when it serves, errors of requests on stderr, and ends at Ctrl-C or SIGTERM. Times of what
runs on it come from a cycle model.

examples:
  pynq-qsnn emulate --listen unix:/tmp/board
  PYNQ_REMOTE_DEVICES=unix:/tmp/board pynq-qsnn run digits.qprog
"""

from ..errors import ConfigError, ToolMissing
from ..hwspec import load_config
from .common import count

LARGEST_CMA_MIB = 1024  # from the CMA's base to the end of the emulated DDR


def add_arguments(parser):
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="unix:PATH, or an IP address of this machine, at pynq's port 7967 (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-remote", action="store_true", help="listen to other machines too, without any password"
    )
    parser.add_argument("--config", metavar="FILE", help="the overlay's numbers (default: the KV260's config.json)")
    parser.add_argument(
        "--cma-mib", type=count, default=512, help="MiB of contiguous memory (default: %(default)s, at most 1024)"
    )


def run(args):
    if args.cma_mib > LARGEST_CMA_MIB:
        raise ConfigError(f"--cma-mib is {args.cma_mib}, the emulated board has at most {LARGEST_CMA_MIB}")
    config = load_config(args.config)
    from ..emulator.board import Board

    try:
        from ..emulator.remote import parse_address, serve
    except ModuleNotFoundError as error:
        if error.name not in ("pynq.remote", "grpc"):
            raise
        raise ToolMissing("this pynq has no PYNQ.remote; it comes with 3.1: pip install 'pynq>=3.1'") from error
    from ..emulator.session import hls_simulation

    address = parse_address(args.listen, args.allow_remote)
    serve(Board(config, hls_simulation(config), args.cma_mib << 20), address)
