"""One thread: the networks of these tests are small."""

import pytest


@pytest.fixture(autouse=True, scope="package")
def single_thread():
    try:
        import torch
    except ModuleNotFoundError:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
