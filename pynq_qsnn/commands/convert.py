"""convert networks of other frameworks: NIR and QONNX to .qsnn, .qsnn to NIR

The suffixes say what is read and written: .nir (SpikingJelly, snnTorch, Norse, Lava, ...), .onnx (a quantized CNN in
QONNX, as Brevitas exports it and FINN reads it; it becomes a network of one step), .qsnn. A NIR file does not say how
many steps a network runs and what its frames are: give --num-steps, and --events for event frames.

examples:
  pynq-qsnn convert net.nir -o net.qsnn --num-steps 4
  pynq-qsnn convert spikingjelly.nir -o net.qsnn --num-steps 4 --firing reached
  pynq-qsnn convert cnv.onnx -o cnv.qsnn
  pynq-qsnn convert net.qsnn -o net.nir
"""

import argparse
import sys
from pathlib import Path

from ..errors import ConfigError
from ..hwspec import CODE_BITS
from ..network import Network
from ..neuron import RESET_MODES
from .common import count, format_table, writable

NOTED_ERROR = 0.05  # of the weights, from which on a line says so
OF_FRAMES = ("input_scale", "input_shape")
OF_NIR = ("num_steps", "events", "input_bits", "weight_bits", "dt", "reset", "firing")
OPTIONS = {".nir": (*OF_FRAMES, *OF_NIR), ".onnx": OF_FRAMES, ".qsnn": ()}  # what a file of this suffix takes


def add_arguments(parser):
    parser.add_argument("source", help=".nir, .onnx or .qsnn file")
    parser.add_argument("-o", "--output", required=True, type=writable, help=".qsnn file, or .nir file from a .qsnn")
    frames = parser.add_argument_group("frames")
    frames.add_argument("--input-scale", type=float, help="value of the code 1 (default: 1/255; 1 for event frames)")
    frames.add_argument("--input-shape", type=shape, metavar="C,H,W", help="of frames, where the file takes vectors")
    nir = parser.add_argument_group("what a .nir file does not say")
    nir.add_argument("--num-steps", type=count, help="T; a .nir file of this package knows it")
    nir.add_argument("--events", action="store_true", default=None, help="event frames, not a static image")
    nir.add_argument("--input-bits", type=int, choices=CODE_BITS, help="width of the frames' codes (default: 8)")
    text = "most bits of a weight (default: 8); weights trained on a grid of fewer levels keep it"
    nir.add_argument("--weight-bits", type=int, choices=CODE_BITS, help=text)
    nir.add_argument("--dt", type=float, help="seconds a step of the exporter (default: 1e-4)")
    nir.add_argument("--reset", choices=RESET_MODES, help="default: zero, as NIR defines it")
    text = (
        "at the threshold: above it, as NIR defines and snnTorch does (default), or when reached, as SpikingJelly does"
    )
    nir.add_argument("--firing", choices=("above", "reached"), help=text)


def shape(text: str) -> tuple[int, int, int]:
    sizes = text.split(",")
    if len(sizes) != 3:
        raise argparse.ArgumentTypeError(f"must be three numbers C,H,W, not {text}")
    return tuple(count(size.strip()) for size in sizes)


def run(args):
    before, after = Path(args.source).suffix, Path(args.output).suffix
    if before not in OPTIONS or after != (".nir" if before == ".qsnn" else ".qsnn"):
        raise ConfigError(f"{args.source} to {args.output}: .nir and .onnx become .qsnn, .qsnn becomes .nir")
    given = {name: getattr(args, name) for name in OPTIONS[".nir"] if getattr(args, name) is not None}
    if wrong := [name for name in given if name not in OPTIONS[before]]:
        raise ConfigError(f"--{wrong[0].replace('_', '-')} is not for {before} files")
    if before == ".qsnn":
        from ..interop.nir_export import export_nir

        export_nir(Network.load(args.source), args.output)
        print(f"wrote {args.output}")
        return
    network = import_network(args.source, before, given)
    network.save(args.output)
    print_network(network, args.output)


def import_network(source: str, suffix: str, options: dict) -> Network:
    """Network of a .nir or .onnx file."""
    if suffix == ".onnx":
        from ..interop.qonnx_import import import_qonnx

        return import_qonnx(source, **options)
    from ..interop.nir_file import try_in_a_child
    from ..interop.nir_import import NirOptions, import_nir

    try_in_a_child(source)
    return import_nir(source, NirOptions(**options))


def print_network(network: Network, path: str) -> None:
    """Layers, the card, and which weights lost much."""
    errors = network.card.get("weight_error", {})
    rows = [
        {
            "layer": layer.name,
            "kind": type(layer).__name__,
            "weight_bits": getattr(layer, "weight_bits", None),
            "weight_error": errors.get(layer.name),
        }
        for layer in network.layers
    ]
    columns = {"layer": "layer", "kind": "kind", "weight_bits": "weight bits"}
    print(format_table(rows, {**columns, "weight_error": "relative error of its weights"} if errors else columns))
    print(f"\n{path}: {network.name}, {len(network.layers)} layers, T = {network.num_steps}")
    for key, value in network.card.items():
        print(f"  {key}: {value}")
    for name, error in errors.items():
        if error > NOTED_ERROR:
            remedy = "allow more --weight-bits, or train with quantized weights"
            print(f"{name}: rounding changed its weights by {100 * error:.0f} %; {remedy}", file=sys.stderr)
