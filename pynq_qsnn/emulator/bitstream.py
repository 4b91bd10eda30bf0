"""The emulated overlay's two files: a .hwh, and a dummy .bit with a valid header that holds no circuit."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from ..files import atomic_file
from ..hwspec import HardwareConfig
from ..kv260 import EMULATED_MARK
from .hwh import hand_off

SYNC_WORD = bytes.fromhex("aa995566")
NO_OPERATION = bytes.fromhex("20000000")


def bit_file(config: HardwareConfig, hwh: str) -> bytes:
    """Bytes of the .bit: Xilinx's header, pad words, the sync word, the hash of the .hwh.

    The hash makes two .bit files differ whenever their .hwh files do: pynq caches metadata by the .bit alone.
    """
    body = b"\xff" * 64 + SYNC_WORD + NO_OPERATION * 16 + hwh_hash(hwh)
    header = struct.pack(">H", 9) + bytes.fromhex("0ff00ff00ff00ff000") + struct.pack(">H", 1)
    design = f"qsnn_{config.name}{EMULATED_MARK.decode()}UserID=0XFFFFFFFF;Version=emulated"
    for key, text in zip(b"abcd", (design, config.part, "1970/01/01", "00:00:00")):
        data = text.encode() + b"\0"
        header += bytes([key]) + struct.pack(">H", len(data)) + data
    return header + b"e" + struct.pack(">I", len(body)) + body


def hwh_hash(hwh: str) -> bytes:
    """SHA-256 of a hand-off file's text."""
    return hashlib.sha256(hwh.encode()).digest()


def write_overlay(folder: Path, config: HardwareConfig) -> Path:
    """Write qsnn_NAME_emulated.bit and .hwh into ``folder``; returns the path of the .bit."""
    hwh = hand_off(config)
    bit = folder / f"qsnn_{config.name}_emulated.bit"
    for path, content in ((bit.with_suffix(".hwh"), hwh.encode()), (bit, bit_file(config, hwh))):
        with atomic_file(path) as stream:
            stream.write(content)
    return bit


def check_firmware(binary: bytes, config: HardwareConfig) -> None:
    """Raise ValueError unless ``binary`` is what bit2bin makes of the emulated bitstream of ``config``."""
    if SYNC_WORD[::-1] not in binary[:256]:
        raise ValueError("firmware refused: no byte-swapped sync word, so this is not the .bin form of a bitstream")
    words = memoryview(binary)[: len(binary) // 4 * 4].cast("I").tolist()
    if hwh_hash(hand_off(config)) not in b"".join(word.to_bytes(4, "big") for word in words):
        raise ValueError(
            f"firmware refused: not the emulated bitstream of overlay {config.name!r} ({config.fingerprint[:16]}). The "
            "emulated board runs no real circuits; give it and its client the same release and --config"
        )
