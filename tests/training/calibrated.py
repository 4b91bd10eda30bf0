"""Untrained networks whose batch norms are random but fit their inputs, so that every neuron has something to do."""

import numpy as np
import torch

from pynq_qsnn.architectures import Conv, Head, Linear, Pool, Residual, parse
from pynq_qsnn.training.models import NetworkSpec, build_model

# Every kind of layer, both residual domains with and without shortcut, subsampling, zero-padding, groups, all pools.
MIXED = (
    Conv(8, kernel=5),
    Residual((Conv(12, stride=2), Conv(12)), "current"),
    Residual((Conv(14, groups=2), Conv(14, kernel=1)), "current", Conv(14, kernel=1)),
    Residual((Conv(14),), "spike"),
    Residual((Conv(16), Conv(16)), "spike", Conv(16)),
    Pool("avg"),
    Pool("sum"),
    Linear(20),
    Head(),
)
# A small Spikformer: a padded pool, a residual of one layer, two blocks of attention and MLP.
TRANSFORMER = parse("16 P3p1/2 R16n1 2xX16h4m2 G FC")


def calibrated_model(weight_bits, spike_bits, num_steps, table=None, seed=0, **neuron):
    """SpikingNetwork on [1, 8, 8] images in evaluation mode; table None is digits_small's entries."""
    torch.manual_seed(seed)
    model = build_model(NetworkSpec("digits_small", (1, 8, 8), 10, weight_bits, spike_bits, num_steps, **neuron), table)
    model.train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
                module.weight.uniform_(-0.5, 1.5)  # negative slopes too
                module.bias.uniform_(-0.5, 0.8)
                module.momentum = None  # the running statistics are plain means
        for _ in range(4):
            model(torch.rand(32, 1, 8, 8))
        model.layers[-1].bias.uniform_(-0.1, 0.1)
    return model.eval()


def random_images(count, seed=0):
    """uint8 [count, 1, 8, 8]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8)).astype(np.uint8)
