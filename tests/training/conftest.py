"""One thread for the small networks of these tests: with more, they wait for each other longer than they compute."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def single_thread():
    try:
        import torch
    except ModuleNotFoundError:  # the readers of data sets are tested without it
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
