"""Arrays <-> 128-bit words: frames, spike trains, weight tiles, records. Layouts are defined in :mod:`hwspec`."""

from __future__ import annotations

import numpy as np

from .errors import FrameError
from .hwspec import WORD_BITS, Field, HardwareConfig, record_words
from .network import Network, TensorType

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


def train_words(tensor: TensorType) -> int:
    """128-bit words of one pixel's spike train of 16 channels."""
    return -(-tensor.num_steps * tensor.bits // 8)


def channel_tiles(channels: int, config: HardwareConfig) -> int:
    """Tiles of ``input_lanes`` channels."""
    return -(-channels // config.input_lanes)


def bank_words(tensor: TensorType, config: HardwareConfig) -> int:
    """Words that a tensor takes in each activation bank."""
    channels, height, width = tensor.shape
    columns = -(-width // config.activation_banks)
    return height * columns * channel_tiles(channels, config) * train_words(tensor)


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
    return pack_trains(trains, network.input, config).reshape(len(frames), -1, WORD_BYTES)


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


def unpack_record(record: tuple[Field, ...], words: np.ndarray) -> dict[str, int]:
    """uint8 [record_words, 16] -> field values, unsigned."""
    number = int.from_bytes(words.tobytes(), "little")
    values = {}
    for f in record:
        values[f.name] = number & ((1 << f.bits) - 1)
        number >>= f.bits
    return values
