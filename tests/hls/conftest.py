"""Fixtures of the kernel's tests: the library is compiled once a session, a simulation lives for one module."""

from __future__ import annotations

import pytest

from pynq_qsnn.runtime.csim import CsimExecutor, build_library


@pytest.fixture(scope="session")
def library():
    return build_library()


@pytest.fixture(scope="module")
def executor(library):
    """One kernel for many programs: what an earlier one left in its memories must not matter."""
    made = CsimExecutor(library=library)
    yield made
    made.close()
