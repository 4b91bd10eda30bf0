"""Which device, and which bitstream."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pynq
from pynq.pl_server.device import Device

from ..errors import BoardUnreachable, DeviceError, OverlayMissing
from ..files import cache_dir
from ..hwspec import HardwareConfig
from ..kv260 import DEFAULT_BITFILE, EMULATED_MARK
from .connection import board_errors
from .machine import is_kv260
from .remote import is_remote

REMOTE_VARIABLE = "PYNQ_REMOTE_DEVICES"
REMEDY = (
    "Build it on a machine with Vivado (make -C overlays/kv260), or copy a release's .bit and .hwh there. "
    "Without a board: `with pynq_qsnn.emulator.open_board() as board: QsnnOverlay(board.bitfile)`."
)


def find_device():
    """pynq's active device, or None on a machine without one.

    Raises BoardUnreachable when remote boards are named and none answers: running elsewhere instead would mislead.
    """
    with warnings.catch_warnings(), board_errors:
        warnings.simplefilter("ignore", UserWarning)  # pynq warns when it finds nothing, and then raises
        try:
            return Device.active_device
        except RuntimeError as error:
            addresses = os.environ.get(REMOTE_VARIABLE)
            if not addresses:
                return None
            raise BoardUnreachable(
                f"pynq {pynq.__version__} reaches no board at {REMOTE_VARIABLE}={addresses} ({error}). Is the server "
                "running there, the variable set before pynq is imported, and pynq 3.1 or newer? Unset the variable to "
                "use this computer."
            ) from error


def find_bitfile(name: str | None, device, config: HardwareConfig) -> str:
    """Absolute path of the .bit to load on ``device``.

    name: a path, a name that pynq resolves in its overlay folders, or None for the device's own overlay (a remote
    emulated board's is that of ``config``). Raises OverlayMissing without a .bit or its .hwh, DeviceError for an
    emulated bitstream on a real board.
    """
    if name is None:
        name = str(_default_bitfile(device, config))
    try:
        path = Path(pynq.Bitstream(str(name), device=device).bitfile_name)
    except OSError:
        raise OverlayMissing(f"no bitstream {name}. {REMEDY}") from None
    hwh = path.with_suffix(".hwh")
    if not hwh.exists():
        raise OverlayMissing(f"{path} has no hardware hand-off file {hwh.name} beside it. {REMEDY}")
    with open(path, "rb") as stream:
        emulated = EMULATED_MARK in stream.read(256)
    if emulated and not is_emulated(device):
        raise DeviceError(
            f"{path} is the emulated board's bitstream and holds no circuit; this is a real board. {REMEDY}"
        )
    return str(path)


def _default_bitfile(device, config: HardwareConfig) -> Path:
    if not (is_emulated(device) and is_remote(device)):
        return getattr(device, "default_bitfile", DEFAULT_BITFILE)
    from ..emulator.bitstream import write_overlay

    folder = cache_dir() / "emulated" / config.fingerprint[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return write_overlay(folder, config)


def find_ip(overlay, kind: str):
    """The overlay's IP whose VLNV starts with ``kind``, whatever its instance is called. Raises DeviceError."""
    for name, description in overlay.ip_dict.items():
        if description["type"].startswith(kind):
            return getattr(overlay, name)
    raise DeviceError(f"{overlay.bitfile_name} has no {kind}* in its .hwh: this is not an overlay of pynq_qsnn")


def open_emulated_board(bitfile_name: str | None, config: HardwareConfig):
    """Stand-in for the board that this machine lacks. Raises DeviceError on a KV260, and for a named bitstream."""
    if is_kv260():
        raise DeviceError(
            "this is a KV260, but pynq finds no device on it: run as root in the PYNQ environment (sudo -E ...). Or "
            "open the emulated board on purpose: `with pynq_qsnn.emulator.open_board(): QsnnOverlay()`."
        )
    if bitfile_name is not None:
        raise DeviceError(
            f"no PYNQ device on this machine to load {bitfile_name} on; leave "
            "bitfile_name out to use an emulated KV260."
        )
    from ..emulator import open_board

    return open_board(config)


def is_emulated(device) -> bool:
    """True on the emulated board, in this process or behind a connection."""
    if not is_remote(device):
        return getattr(device, "is_emulated", False)
    from ..emulator.board import NAME

    return device.name == NAME
