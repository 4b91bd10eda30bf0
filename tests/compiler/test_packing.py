"""Packing: frames, trains, weight tiles and results as 128-bit words."""

import numpy as np
import pytest
from builders import CONFIG, CONFIGS, conv, head, image
from random_networks import Limits, random_frames, random_network

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.hwspec import CODE_BITS
from pynq_qsnn.network import INPUT, Flatten, Network, TensorType
from pynq_qsnn.packing import (
    WORD_BYTES,
    bank_words,
    fold_frames,
    frame_fold,
    frame_tensor,
    pack_frames,
    pack_trains,
    pack_weight_tiles,
    result_beats,
    train_words,
    unpack_results,
    unpack_trains,
)


@pytest.mark.parametrize("bits", CODE_BITS)
@pytest.mark.parametrize("num_steps", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("shape", [(1, 1, 1), (16, 3, 4), (17, 2, 5), (33, 1, 9)])
def test_trains_round_trip_and_lie_where_the_contract_says(bits, num_steps, shape):
    rng = np.random.default_rng(bits * num_steps)
    tensor = TensorType(shape, bits, num_steps, 2**bits - 1)
    codes = rng.integers(0, 2**bits, (2, num_steps, *shape), dtype=np.uint8)
    for config in CONFIGS.values():
        words = pack_trains(codes, tensor, config)
        assert words.shape == (2, bank_words(tensor, config), config.activation_banks, WORD_BYTES)
        assert np.array_equal(unpack_trains(words, tensor, config), codes)
        banks, per_word = config.activation_banks, train_words(tensor)
        tiles, columns = -(-shape[0] // 16), -(-shape[2] // banks)
        for _ in range(10):  # the address formula of hwspec's docstring
            n, t, c, row, col = (int(rng.integers(size)) for size in codes.shape)
            w, slot = divmod(t * bits, 8)
            address = ((row * columns + col // banks) * tiles + c // 16) * per_word + w
            byte = words[n, address, col % banks, c % 16]
            assert byte >> slot & (1 << bits) - 1 == codes[n, t, c, row, col]
        # What no code fills is zero.
        assert words.astype(np.int64).sum() == sum(
            int(codes[:, t].astype(np.int64).sum()) << t * bits % 8 for t in range(num_steps)
        )


@pytest.mark.parametrize("bits", CODE_BITS)
def test_weight_tiles_pack_from_bit_0(bits):
    rng = np.random.default_rng(bits)
    low, high = {1: (-1, 1), 2: (-2, 1), 4: (-8, 7), 8: (-127, 127)}[bits]
    tiles = rng.integers(low, high + 1, (3, 32, 16), dtype=np.int8)
    tiles[tiles == 0] = 1 if bits == 1 else 0
    words = pack_weight_tiles(tiles, bits)
    assert words.shape == (3 * 32 * 16 * bits // 128, WORD_BYTES)
    number = int.from_bytes(words.tobytes(), "little")
    for index, value in enumerate(tiles.reshape(-1).tolist()):
        code = number >> index * bits & (1 << bits) - 1
        assert code == (int(value > 0) if bits == 1 else value % (1 << bits))


@pytest.mark.parametrize("seed", range(10))
def test_frames_become_beats(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, Limits(max_layers=1))
    frames = random_frames(rng, network, 3)
    beats = pack_frames(frames, network, CONFIG)
    assert beats.shape == (3, compile_network(network).frame_beats, WORD_BYTES)
    assert beats.flags.c_contiguous and beats.dtype == np.uint8
    codes = unpack_trains(beats, frame_tensor(network), CONFIG)
    trains = frames[:, None] if frames.ndim == 4 else frames
    assert np.array_equal(codes, fold_frames(trains, network))
    if frame_fold(network) is None:
        assert np.array_equal(codes, trains)


@pytest.mark.parametrize("stride, padding, kernel", [(1, 1, 3), (2, 1, 3), (2, 3, 7), (1, 0, 5)])
def test_folded_frames_carry_the_window_of_their_row(stride, padding, kernel):
    layer = conv("conv", INPUT, (8, 3, kernel, kernel), padding=padding, stride=stride)
    height, width = ((n + 2 * padding - kernel) // stride + 1 for n in (12, 11))
    rest = (Flatten("f", "conv"), head("f", 8 * height * width))
    network = Network("fold", image(3, 12, 11), 1, (layer, *rest))
    frames = np.random.default_rng(kernel).integers(0, 256, (2, 1, 3, 12, 11), dtype=np.uint8)
    folded = fold_frames(frames, network)
    assert folded.shape[2:] == frame_tensor(network).shape
    for x in range(folded.shape[4]):
        for kx in range(kernel):
            column = x * stride + kx - padding
            expected = frames[..., column] if 0 <= column < 11 else 0
            assert np.array_equal(folded[:, :, 3 * kx : 3 * kx + 3, :, x], np.broadcast_to(expected, (2, 1, 3, 12)))


def test_frames_with_a_second_reader_are_not_folded():
    first = conv("conv", INPUT, (8, 3, 3, 3))
    both = (first, conv("other", INPUT, (8, 3, 3, 3)), head("other", 8))
    one = Network("one", image(3, 1), 1, (first, head("conv", 8)))
    two = Network("two", image(3, 1), 1, both)
    assert frame_fold(one) is not None and frame_fold(two) is None


@pytest.mark.parametrize("classes", [1, 3, 4, 5, 100])
def test_results_unpack(classes):
    rng = np.random.default_rng(classes)
    network = Network("n", image(1, 1), 1, (head(INPUT, 1, classes),))
    logits = rng.integers(-(1 << 31), 1 << 31, (4, classes))
    beats = np.zeros((4, result_beats(classes) * 4), "<i4")
    beats[:, :classes] = logits
    found = unpack_results(beats.view(np.uint8).reshape(4, -1, WORD_BYTES), network)
    assert found.dtype == np.int32 and np.array_equal(found, logits)
