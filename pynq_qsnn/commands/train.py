"""train a quantized spiking network with Brevitas

A run writes config.json, metrics.csv, result.json and a checkpoint after each epoch. Stop it with Ctrl-C or kill it;
the same command with --resume continues and ends with the same weights.

examples:
  pynq-qsnn train --output-dir runs/digits --epochs 8
  pynq-qsnn train --output-dir runs/w8s4t1 --dataset cifar10 --model cifar_small --spike-bits 4 --crop-padding 4 --flip
  pynq-qsnn train --output-dir runs/w8s1t4 --dataset cifar10 --model cifar_small --spike-bits 1 --num-steps 4 \\
      --init-from runs/w8s4t1 --epochs 3
"""

from ..training import options
from .common import interrupt_afterwards


def add_arguments(parser):
    options.add_arguments(parser)


def run(args):
    config = options.config_from_args(args)
    with interrupt_afterwards():
        from ..training.loop import train

    result = train(config)
    print(
        f"test accuracy {100 * result.accuracy:.2f} % (float model, {config.dataset}); checkpoint {result.checkpoint}"
    )
