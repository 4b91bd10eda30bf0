"""Arrays <-> 128-bit words: frames, spike trains, weight tiles, records. Layouts are defined in :mod:`hwspec`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .errors import FrameError
from .hwspec import INSTRUCTION, WORD_BITS, Field, HardwareConfig, record_words
from .network import INPUT, Conv2d, Network, TensorType, sources

WORD_BYTES = WORD_BITS // 8


def check_frames(frames: np.ndarray, network: Network) -> np.ndarray:
    """Return ``frames`` if they fit the network's input; raise FrameError with value, limit and remedy otherwise.

    frames: uint8 [N, C, H, W] for a static image, [N, T, C, H, W] for event frames, codes 0..s_max.
    """
    expected, s_max = network.frame_shape, network.input.s_max
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
        kind = frames.dtype if isinstance(frames, np.ndarray) else type(frames).__name__
        raise FrameError(f"frames are {kind}, must be a uint8 array; scale images to 0..{s_max} and use .astype(uint8)")
    if frames.shape[1:] != expected or frames.ndim != len(expected) + 1:
        axes = "[N, C, H, W]" if len(expected) == 3 else "[N, T, C, H, W]"
        raise FrameError(f"frames have shape {frames.shape}, must be {axes} = (N, {', '.join(map(str, expected))})")
    if len(frames) == 0:
        raise FrameError("no frames: the first axis must be at least 1")
    if s_max < 255 and frames.max() > s_max:
        raise FrameError(f"frames hold codes up to {frames.max()}, the network's input ends at {s_max}")
    return frames


@dataclass(frozen=True)
class FrameFold:
    """Row window of the first layer that the frame stream carries in its channels: its width, stride and padding."""

    width: int
    stride: int
    padding: int


LANES = WORD_BYTES  # channels of a word


def frame_fold(network: Network) -> FrameFold | None:
    """How the frames are folded, or None.

    An image has few channels, and a tap of the array takes 16. Where one convolution alone reads the image, each pixel
    of the stream carries ``kernel width x channels`` codes, the window of its row: a 3x3 layer on 3 channels then takes
    3 taps, not 9, and a stride in columns is taken once, here.
    """
    readers = [layer for layer in network.layers if INPUT in sources(layer)]
    if len(readers) != 1 or not isinstance(readers[0], Conv2d) or readers[0].groups != 1:
        return None
    layer, channels = readers[0], network.input.shape[0]
    if sources(layer) != (INPUT,):
        return None  # its residual is the image itself
    width = layer.weight.shape[3]
    if -(-width * channels // LANES) >= width * -(-channels // LANES):
        return None
    return FrameFold(width, layer.stride, layer.padding)


def frame_tensor(network: Network) -> TensorType:
    """Type of the frames as the overlay stores them: (C, H, W) of the image, or folded."""
    fold = frame_fold(network)
    if fold is None:
        return network.input
    channels, height, width = network.input.shape
    columns = (width + 2 * fold.padding - fold.width) // fold.stride + 1
    return replace(network.input, shape=(channels * fold.width, height, columns))


def fold_frames(trains: np.ndarray, network: Network) -> np.ndarray:
    """uint8 [N, T, C, H, W] -> [N, T, kw * C, H, W'] with channel = kernel column * C + c; unchanged without a fold."""
    fold = frame_fold(network)
    if fold is None:
        return trains
    columns = frame_tensor(network).shape[2]
    padded = np.pad(trains, ((0, 0),) * 4 + ((fold.padding, fold.padding),))
    windows = [padded[..., kx : kx + fold.stride * (columns - 1) + 1 : fold.stride] for kx in range(fold.width)]
    return np.concatenate(windows, axis=2)


def train_words(tensor: TensorType) -> int:
    """128-bit words of one pixel's spike train of 16 channels."""
    return -(-tensor.num_steps * tensor.bits // 8)


def channel_tiles(channels: int, config: HardwareConfig) -> int:
    """Tiles of ``input_lanes`` channels."""
    return -(-channels // config.input_lanes)


def row_words(tensor: TensorType, config: HardwareConfig) -> int:
    """Words that a row of a tensor takes in each activation bank."""
    channels, _, width = tensor.shape
    return -(-width // config.activation_banks) * channel_tiles(channels, config) * train_words(tensor)


def bank_words(tensor: TensorType, config: HardwareConfig) -> int:
    """Words that a tensor takes in each activation bank."""
    return tensor.shape[1] * row_words(tensor, config)


def pack_trains(codes: np.ndarray, tensor: TensorType, config: HardwareConfig) -> np.ndarray:
    """Spike trains -> activation words.

    codes: uint8 [N, T, C, H, W].  Returns uint8 [N, bank_words, banks, 16]: bank ``b`` at word ``a`` of each frame.
    """
    n, steps, channels, height, width = codes.shape
    banks, lanes, per_byte = config.activation_banks, config.input_lanes, 8 // tensor.bits
    columns, tiles, words = -(-width // banks), channel_tiles(channels, config), train_words(tensor)
    trains = np.zeros((n, height, columns * banks, tiles * lanes, words), np.uint8)
    for t in range(steps):
        word, slot = divmod(t, per_byte)
        trains[:, :, :width, :channels, word] |= codes[:, t].transpose(0, 2, 3, 1) << (slot * tensor.bits)
    trains = trains.reshape(n, height, columns, banks, tiles, lanes, words)
    return np.ascontiguousarray(trains.transpose(0, 1, 2, 4, 6, 3, 5)).reshape(n, -1, banks, WORD_BYTES)


def unpack_trains(words: np.ndarray, tensor: TensorType, config: HardwareConfig) -> np.ndarray:
    """Inverse of :func:`pack_trains`: uint8 [N, bank_words, banks, 16] -> uint8 [N, T, C, H, W]."""
    channels, height, width = tensor.shape
    banks, lanes, per_byte = config.activation_banks, config.input_lanes, 8 // tensor.bits
    columns, tiles, length = -(-width // banks), channel_tiles(channels, config), train_words(tensor)
    trains = words.reshape(-1, height, columns, tiles, length, banks, lanes).transpose(0, 4, 3, 6, 1, 2, 5)
    trains = trains.reshape(len(trains), length, tiles * lanes, height, columns * banks)[:, :, :channels, :, :width]
    steps = [trains[:, t // per_byte] >> (t % per_byte * tensor.bits) for t in range(tensor.num_steps)]
    return np.stack(steps, axis=1) & np.uint8((1 << tensor.bits) - 1)


def pack_frames(frames: np.ndarray, network: Network, config: HardwareConfig) -> np.ndarray:
    """Checked frames -> beats of the frame stream, uint8 [N, frame_beats, 16]. Raises FrameError."""
    frames = check_frames(frames, network)
    trains = frames[:, None] if frames.ndim == 4 else frames
    codes = fold_frames(trains, network)
    return pack_trains(codes, frame_tensor(network), config).reshape(len(frames), -1, WORD_BYTES)


def result_beats(classes: int) -> int:
    """Beats of one frame's int32 logits."""
    return -(-classes * 4 // WORD_BYTES)


def unpack_results(beats: np.ndarray, network: Network) -> np.ndarray:
    """Beats of the result stream, uint8 [N, result_beats, 16] -> int32 logits [N, classes]."""
    classes = len(network.head.weight)
    return beats.reshape(len(beats), -1).view("<i4")[:, :classes].astype(np.int32)


def pack_weight_tiles(tiles: np.ndarray, storage_bits: int) -> np.ndarray:
    """Weight tiles int8 [..., output_lanes, input_lanes] -> uint8 [words, 16], ``storage_bits`` an element."""
    flat = tiles.reshape(-1)
    if storage_bits == 8:
        return flat.view(np.uint8).reshape(-1, WORD_BYTES)
    codes = (flat > 0) if storage_bits == 1 else (flat & ((1 << storage_bits) - 1))
    bits = (codes.astype(np.uint8)[:, None] >> np.arange(storage_bits, dtype=np.uint8)) & 1
    return np.packbits(bits.reshape(-1), bitorder="little").reshape(-1, WORD_BYTES)


def pack_record(record: tuple[Field, ...], values: dict[str, int]) -> np.ndarray:
    """One record -> uint8 [record_words, 16]; negatives become two's complement. Raises ValueError on overflow."""
    number, lsb = 0, 0
    missing = {f.name for f in record} ^ set(values)
    if missing:
        raise ValueError(f"fields missing or unknown: {sorted(missing)}")
    for f in record:
        value = int(values[f.name])
        if not -(1 << (f.bits - 1)) <= value < 1 << f.bits:
            raise ValueError(f"field {f.name} = {value} does not fit {f.bits} bits")
        number |= (value & ((1 << f.bits) - 1)) << lsb
        lsb += f.bits
    data = number.to_bytes(record_words(record) * WORD_BYTES, "little")
    return np.frombuffer(data, np.uint8).reshape(-1, WORD_BYTES)


def pack_instruction(values: dict[str, int]) -> np.ndarray:
    """An instruction -> uint8 [words, 16]; fields that are not named are 0."""
    return pack_record(INSTRUCTION, {**{f.name: 0 for f in INSTRUCTION}, **values})


def unpack_record(record: tuple[Field, ...], words: np.ndarray) -> dict[str, int]:
    """uint8 [record_words, 16] -> field values, unsigned."""
    number = int.from_bytes(words.tobytes(), "little")
    values = {}
    for f in record:
        values[f.name] = number & ((1 << f.bits) - 1)
        number >>= f.bits
    return values
