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
from .sensor import INA260_WINDOW_S, plausible

HWMON, PREFIX, INDICES = "/sys/class/hwmon", "ina260", range(32)
REMEDY = (
    "On a KV260 `cat /sys/class/hwmon/hwmon*/name` must show ina260_u14; if it does not, type: "
    "sudo modprobe -a ina260-adc iio-hwmon. Another board's sensor: pass its name's beginning as prefix."
)
Read = Callable[[str], bytes]


def board_files(device) -> Read | None:
    """Reader of the board's files when ``device`` (a ``pynq.Device``) is another machine or emulated, else None."""
    read = getattr(device, "read_file", None)
    exists = getattr(device, "exists_file", None)
    if read is None or exists is None:
        return read

    def read_existing(path: str) -> bytes:
        if not exists(path).exists:  # what pynq's remote server does for a missing file is not said anywhere
            raise FileNotFoundError(f"the board has no file {path}")
        return read(path)

    return read_existing


def find_hwmon(prefix: str = PREFIX, root: str = HWMON, read: Read | None = None) -> str:
    """Folder of the hwmon whose name begins with ``prefix``, whatever its index is.

    read: how a file is read, by default a local one. Raises SensorMissing with what there is, SensorError where
    permission is denied.
    """
    read = read or (lambda path: Path(path).read_bytes())
    found = []
    for index in INDICES:
        folder = f"{root}/hwmon{index}"
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
    cheapest way.  window_s: the sensor's averaging time.  Raises SensorMissing, SensorError (permission denied).
    """

    def __init__(
        self, prefix: str = PREFIX, root: str = HWMON, read: Read | None = None, window_s: float = INA260_WINDOW_S
    ):
        self.path = f"{find_hwmon(prefix, root, read)}/power1_input"
        self.name, self.window_s, self._read = self.path, window_s, read
        self._descriptor: int | None = None
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
