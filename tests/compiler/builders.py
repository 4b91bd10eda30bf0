"""Small networks and programs for the compiler's tests."""

import dataclasses

import numpy as np
from random_networks import Limits, random_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.hwspec import load_config
from pynq_qsnn.network import Conv2d, Head, TensorType
from pynq_qsnn.neuron import Affine, Neuron
from pynq_qsnn.program import Program

CONFIG = load_config()
SMALL = dataclasses.replace(CONFIG, name="small", output_lanes=16, slots=2, activation_banks=2)
CONFIGS = {"kv260": CONFIG, "small": SMALL}


def affine(channels) -> Affine:
    return Affine(np.full(channels, 1000), np.full(channels, 4), np.zeros(channels, int))


def conv(name, source, shape, bits=8, groups=1, padding=1, stride=1, skip=None, rng=None) -> Conv2d:
    rng = rng or np.random.default_rng(0)
    weight = rng.choice(np.array((-1, 1), np.int8), shape)
    return Conv2d(name, source, weight, bits, Neuron(affine(shape[0]), 15), 4, stride, padding, groups, skip)


def head(source, channels, classes=10) -> Head:
    return Head("head", source, np.ones((classes, channels), np.int8), 8, affine(classes))


def image(channels, height, width=None) -> TensorType:
    return TensorType((channels, height, width or height), 8, 1, 255)


def random_program(seed, config=CONFIG) -> Program:
    return compile_network(random_network(np.random.default_rng(seed), Limits(max_channels=70)), config)
