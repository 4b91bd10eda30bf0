"""compile a .qsnn network to a layer program for an overlay

Says what does not fit, with the numbers, or writes the program and prints the predicted cycles of each instruction.

example:
  pynq-qsnn compile digits.qsnn -o digits.qprog
"""

from ..hwspec import load_config
from ..network import Network
from .info import print_program


def add_arguments(parser):
    parser.add_argument("model", help=".qsnn file")
    parser.add_argument("-o", "--output", required=True, help="program file to write")
    parser.add_argument("--config", help="overlay config.json (default: the KV260's)")


def run(args):
    from ..compiler import compile_network

    config = load_config(args.config)
    program = compile_network(Network.load(args.model), config)
    program.save(args.output)
    print_program(program, config)
    print(f"wrote {args.output}")
