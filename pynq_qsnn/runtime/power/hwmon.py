"""The INA260 through Linux' hwmon files.

``power1_input`` is in microwatts and moves in steps of 10 mW. On Kria the files come from the kernel modules
``ina260-adc`` and ``iio-hwmon``; which index the folder gets changes from boot to boot, so its name is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...errors import SensorError, SensorMissing
from ...kv260 import INA260_WINDOW_S
from .sensor import plausible

HWMON, PREFIX, INDICES = "/sys/class/hwmon", "ina260", range(32)
REMEDY = (
    "On a KV260 `cat /sys/class/hwmon/hwmon*/name` must show ina260_u14; if it does not, type: "
    "sudo modprobe -a ina260-adc iio-hwmon. Another board's sensor: pass its name's beginning as prefix."
)
Read = Callable[[str], bytes]
Exists = Callable[[str], bool]


def file_access(device) -> tuple[Read | None, Exists | None]:
    """``read`` and ``exists`` of :class:`HwmonSensor` for the board of ``device`` (a ``pynq.Device``).

    read is None where the board's files are this machine's, exists where reading a missing file raises OSError.
    """
    read, ask = getattr(device, "read_file", None), getattr(device, "exists_file", None)
    return read, None if read is None or ask is None else lambda path: ask(path).exists


def find_hwmon(prefix: str = PREFIX, root: str = HWMON, read: Read | None = None, exists: Exists | None = None) -> str:
    """Folder of the hwmon whose name begins with ``prefix``, whatever its index is.

    read, exists: as for :class:`HwmonSensor`. Raises SensorMissing with what there is, SensorError where permission is
    denied.
    """
    read = read or (lambda path: Path(path).read_bytes())
    found = []
    for index in INDICES:
        folder = f"{root}/hwmon{index}"
        if exists is not None and not exists(f"{folder}/name"):
            continue
        try:
            name = bytes(read(f"{folder}/name")).decode(errors="replace").strip("\0\n ")
        except PermissionError as error:
            raise _denied(f"{folder}/name") from error
        except OSError:
            continue
        if name.startswith(prefix):
            return folder
        found.append(f"hwmon{index} {name!r}")
    there = ", ".join(found) or "no hwmon at all"
    raise SensorMissing(f"no power sensor: looked for {root}/hwmon*/name = {prefix}*, found {there}. {REMEDY}")


class HwmonSensor:
    """Board power from one ``power1_input``; a :class:`~.sensor.Sensor`.

    read: how a file of the board is read; None opens the local one once and reads it again and again, which is the
    cheapest way.  exists: asked before a file is read for the first time, for boards of which it is not known what
    reading a missing one does.  window_s: the sensor's averaging time.  Raises SensorMissing, SensorError (permission
    denied).
    """

    def __init__(
        self,
        prefix: str = PREFIX,
        root: str = HWMON,
        read: Read | None = None,
        window_s: float = INA260_WINDOW_S,
        exists: Exists | None = None,
    ):
        self.path = f"{find_hwmon(prefix, root, read, exists)}/power1_input"
        self.name, self.window_s, self._read = self.path, window_s, read
        self._descriptor: int | None = None
        if exists is not None and not exists(self.path):
            raise SensorMissing(f"{self.path}: no such file. {REMEDY}")
        if read is None:
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY)
            except PermissionError as error:
                raise _denied(self.path) from error
            except OSError as error:
                raise SensorMissing(f"{self.path}: {error.strerror}. {REMEDY}") from error

    def watts(self) -> float:
        """Latest reading. Raises SensorError when the file cannot be read or holds no sensible number."""
        try:
            raw = os.pread(self._descriptor, 64, 0) if self._read is None else self._read(self.path)
        except PermissionError as error:
            raise _denied(self.path) from error
        except OSError as error:
            raise SensorError(
                f"{self.path} cannot be read any more: {error.strerror or error}. The sensor's driver was unloaded or "
                "the board is gone; run the measurement again."
            ) from error
        try:
            microwatts = int(raw)
        except ValueError as error:
            raise SensorError(
                f"{self.path} holds {bytes(raw)[:32]!r}, not microwatts. Look at it by hand: cat {self.path}"
            ) from error
        return plausible(microwatts / 1e6, self.path)

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def _denied(path: str) -> SensorError:
    return SensorError(f"{path}: permission denied. Run as root in the PYNQ environment: sudo -E env PATH=$PATH ...")
