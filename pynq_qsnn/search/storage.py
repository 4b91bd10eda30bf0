"""The file of a sweep's Optuna study.

SQLite, which this process alone writes: its transactions survive a kill at any moment, and what Optuna puts into it is
numbers and JSON, no pickle. (Optuna's journal file would need repair after a torn line, and a kill leaves it locked.)
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy.exc

from ..errors import ConfigError
from .objective import OBJECTIVES

STUDY_NAME = "allocations"


@contextmanager
def alone(folder: Path):
    """Hold the folder against a second sweep; the kernel lets go of it when this process ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another sweep is at work in {folder}: wait for it, or take another folder") from None
        yield
    finally:
        os.close(handle)


def open_study(path: Path, objectives: tuple[str, ...], settings: dict, resume: bool) -> optuna.Study:
    """The study of a sweep's folder, new or, with ``resume``, continued.

    settings: plain values, which must be those that the study was begun with.  Raises ConfigError for a folder that
    holds anything else.
    """
    if path.exists() and not resume:
        raise ConfigError(f"{path} holds a sweep already: continue it with --resume, or choose another --output-dir")
    if not path.exists() and any(path.parent.iterdir()):
        raise ConfigError(f"{path.parent} is not empty, and no sweep is in it: choose another --output-dir")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(f"sqlite:///{path}"),
            study_name=STUDY_NAME,
            directions=[OBJECTIVES[name][0] for name in objectives],
            load_if_exists=True,
        )
    except (sqlalchemy.exc.DatabaseError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
        raise ConfigError(f"{path} is no study of Optuna {optuna.__version__}: {error}") from error
    saved = study.user_attrs.get("settings", settings)
    differing = [name for name in {**saved, **settings} if saved.get(name) != settings.get(name)]
    if differing:
        changes = ", ".join(f"{name}: {saved.get(name)!r} -> {settings.get(name)!r}" for name in differing)
        raise ConfigError(f"{path} is of another sweep ({changes}); give its settings, or choose another --output-dir")
    study.set_user_attr("settings", settings)
    return study
