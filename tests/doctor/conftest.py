"""Fixtures of the doctor's tests."""

import pytest

from pynq_qsnn.compiler import compile_network
from pynq_qsnn.doctor.sample import sample_network


@pytest.fixture(scope="session")
def sample_program():
    return compile_network(sample_network())
