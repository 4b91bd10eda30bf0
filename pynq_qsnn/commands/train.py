"""train a quantized spiking network with Brevitas

A run writes config.json, metrics.csv, result.json and a checkpoint after each epoch. Stop it with Ctrl-C or kill it;
the same command with --resume continues and ends with the same weights. Under torchrun each process takes its share of
every batch.

examples:
  pynq-qsnn train --output-dir runs/digits --epochs 8
  pynq-qsnn train --output-dir runs/w8s4t1 --dataset cifar10 --model cifar_small --spike-bits 4 --crop-padding 4 --flip
  pynq-qsnn train --output-dir runs/w8s1t4 --dataset cifar10 --model cifar_small --spike-bits 1 --num-steps 4 \\
      --init-from runs/w8s4t1 --epochs 3
  torchrun --nproc-per-node 4 -m pynq_qsnn train --output-dir runs/imagenet --dataset imagenet --model SEW-ResNet-18 \\
      --batch-size 256 --flip --precision bf16 --checkpoint-every 500
"""

import os

from ..training import options
from .common import interrupt_afterwards


def add_arguments(parser):
    options.add_arguments(parser)


def run(args):
    config = options.config_from_args(args)
    with interrupt_afterwards():
        from ..training.loop import train

    result = train(config)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first
        percent = f"{100 * result.accuracy:.2f} %"
        print(f"test accuracy {percent} (float model, {config.dataset}); checkpoint {result.checkpoint}")
