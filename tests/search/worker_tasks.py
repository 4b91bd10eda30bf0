"""Work for the processes of test_workers.py; they import this file and nothing heavy."""

import os
import signal
import time

from pynq_qsnn.errors import ConfigError
from pynq_qsnn.search import workers


def succeed(value):
    return {"value": value}


def refuse():
    raise ConfigError("too wide")


def miss_a_package():
    raise ModuleNotFoundError("no torch")


def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def go_on_for_ever():
    time.sleep(3600)


def begin_and_be_killed(folder):
    """The parent of a worker that goes on for ever, whose number it leaves in a file."""
    workers.PRELOADED = []
    made = workers.Workers(1)
    made.start("endless", folder / "endless", go_on_for_ever)
    (process,) = made.running.values()
    (folder / "pid").write_text(str(process.pid))
    be_killed()
