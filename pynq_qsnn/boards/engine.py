"""Dask's part: a scheduler on loopback, with TLS, that hands chunks to the boards that have joined."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from .worker import run_chunk

TLS_FIELDS = ("tls_ca_file", "tls_worker_cert", "tls_worker_key")


class Engine:
    """A Dask scheduler and client in this process. Use it as a context manager; the boards' processes come and go.

    boards: how many may ever be lost.  Raises ModuleNotFoundError without distributed or cryptography.
    """

    def __init__(self, boards: int):
        import cryptography  # noqa: F401 - Dask would raise a plain ImportError
        import dask
        from distributed import Client, LocalCluster, Security

        security = Security.temporary()  # a scheduler runs code for whoever may connect: this process' children alone
        self._stack = ExitStack()
        settings = {
            "distributed.scheduler.allowed-failures": boards,  # a chunk is put back for each board that dies under it
            "distributed.scheduler.worker-ttl": None,  # the evaluation decides which board has been silent for too long
        }
        self._stack.enter_context(dask.config.set(settings))
        try:
            cluster = self._stack.enter_context(
                LocalCluster(
                    n_workers=0,
                    processes=False,
                    protocol="tls://",
                    host="127.0.0.1",
                    scheduler_port=0,
                    dashboard_address="127.0.0.1:0",  # None would take port 8787
                    security=security,
                    silence_logs=logging.CRITICAL,  # a lost board is reported by us
                )
            )
            self._client = self._stack.enter_context(Client(cluster, set_as_default=False))
        except BaseException:
            self._stack.close()
            raise
        self.worker_settings = {
            "scheduler": cluster.scheduler_address,
            "tls": {name: getattr(security, name) for name in TLS_FIELDS},
        }

    def submit(self, index: int, frames: np.ndarray, finished: Callable) -> None:
        """Run a chunk on any board.

        ``finished(index, result, error)`` is called once, from another thread. A result that is lost with its board
        before it is fetched is computed again, without a word.

        The frames travel in the task, not by scatter: what is scattered lies on a worker and is lost with it.
        """
        future = self._client.submit(run_chunk, index, frames, key=f"chunk-{index}", pure=False)
        self._client.loop.add_callback(self._fetch, index, future, finished)

    async def _fetch(self, index: int, future, finished: Callable) -> None:
        # Awaited, because a Future.result() that times out leaves tasks behind that complain when they are collected.
        try:
            result = await self._client.gather(future, asynchronous=True)
        except Exception as error:
            finished(index, None, error)
        else:
            future.release()  # or it is computed again when its board is lost later
            finished(index, result, None)

    def workers(self) -> dict[str, bool]:
        """Addresses of the workers that the scheduler knows: whether they have chunks to do."""
        return {worker: bool(keys) for worker, keys in self._client.processing().items()}

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()
