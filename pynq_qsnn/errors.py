"""Errors a user can catch. Each message states the value, the limit and the remedy."""


class QsnnError(Exception):
    """Base of every error that pynq_qsnn raises on purpose."""


class ConfigError(QsnnError, ValueError):
    """A setting (overlay config, training option, command-line value) is outside what is supported."""


class DataError(QsnnError, ValueError):
    """A data set is missing, truncated or not what its checksum says."""


class NetworkError(QsnnError, ValueError):
    """An integer network is inconsistent: a shape, width or range does not fit."""


class ModelFileError(QsnnError, ValueError):
    """A .qsnn or program file is truncated, altered or not of this format."""


class FrameError(QsnnError, ValueError):
    """Input frames have the wrong dtype, shape or range."""


class SpecMismatch(QsnnError):
    """Two sides were built from different hardware contracts.

    Attributes ``expected`` and ``found`` hold the two fingerprints as hexadecimal strings.
    """

    def __init__(self, what: str, expected: str, found: str, remedy: str):
        self.expected, self.found = expected, found
        super().__init__(f"{what}: expected fingerprint {expected}, found {found}. {remedy}")


class CapacityError(QsnnError):
    """A network does not fit the configured overlay."""


class ToolMissing(QsnnError):
    """A tool or package that this action needs is not installed."""


class OverlayMissing(QsnnError, FileNotFoundError):
    """The bitstream or its hardware hand-off file is not there."""


class DeviceError(QsnnError, RuntimeError):
    """The overlay reported an error status."""


class DeviceTimeout(DeviceError, TimeoutError):
    """The overlay or its DMA did not finish before the deadline."""


class BoardUnreachable(DeviceError, ConnectionError):
    """The connection to a remote board failed or was lost."""


class DmaError(DeviceError):
    """The AXI DMA halted with an error bit set."""


class DeviceMemoryError(DeviceError, MemoryError):
    """Contiguous device memory (CMA) is exhausted."""


class SensorError(QsnnError, RuntimeError):
    """The power sensor cannot be read, stopped, or returns what cannot be true."""


class SensorMissing(SensorError, FileNotFoundError):
    """There is no such power sensor."""


class BoardsLost(DeviceError):
    """Every board of an evaluation died or was given up.

    Attribute ``result``: the EvaluationResult so far. Its ``done`` bool [N] says which rows of ``logits`` are right.
    """

    def __init__(self, result):
        self.result = result
        names: dict[str, list[str]] = {}  # by reason: a fault of the set-up is every board's
        for board in result.boards:
            names.setdefault(board.reason.rstrip("."), []).append(board.name)
        reasons = "; ".join(f"{', '.join(boards)}: {reason}" for reason, boards in names.items())
        ranges = ", ".join(f"{first}..{last - 1}" for first, last in result.done_ranges) or "none"
        super().__init__(
            f"no board is left after {int(result.done.sum())} of {len(result.done)} frames. {reasons}. "
            f"Frames that are done: {ranges}. Bring a board back and run the others again."
        )
