"""turn a training checkpoint into an integer network (.qsnn)

The file holds integer weights, per-channel scales and the model card, and needs neither PyTorch nor Brevitas to run.

examples:
  pynq-qsnn export runs/digits -o digits.qsnn
  pynq-qsnn export runs/digits -o digits.qsnn --onnx qcdq
"""

from .common import interrupt_afterwards


def add_arguments(parser):
    parser.add_argument("checkpoint", help="output folder of a training run, or its checkpoint file")
    parser.add_argument("-o", "--output", required=True, help=".qsnn file to write")
    parser.add_argument("--onnx", choices=("qcdq", "qonnx"), help="also write the float model as quantized ONNX")


def run(args):
    with interrupt_afterwards():
        from ..training.export import export_checkpoint

    network = export_checkpoint(args.checkpoint, args.output, onnx=args.onnx)
    print(f"{args.output}: {network.name}, {len(network.layers)} layers, T = {network.num_steps}")
    for key, value in network.card.items():
        print(f"  {key}: {value}")
