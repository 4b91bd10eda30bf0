"""A board behind a network connection: what gRPC raises there, as errors of this package."""

from __future__ import annotations

import sys
from contextlib import ContextDecorator

from ..errors import BoardUnreachable, DeviceError

LOST = ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED")


class _BoardErrors(ContextDecorator):
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, traceback) -> None:
        grpc = sys.modules.get("grpc")  # not there, and nothing to do, where no remote board is in use
        if grpc is None or not isinstance(error, grpc.RpcError):
            return
        # what gRPC raises is a call as well: it has the status' code and details
        if error.code().name in LOST:
            raise BoardUnreachable(
                f"the connection to the board is lost ({error.details()}). Is its server still running? Start it "
                "again if it is not, then open a new QsnnOverlay."
            ) from error
        raise DeviceError(f"the board's server refused a request: {error.details()} ({error.code().name})") from error


board_errors = _BoardErrors()
"""Context manager and decorator. Raises BoardUnreachable, or DeviceError for a request that the board's server refused,
in place of a gRPC error; lets everything else pass."""
