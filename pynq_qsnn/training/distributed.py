"""The processes of one training run: one alone, or those that torchrun started (DistributedDataParallel).

A batch of the run is cut into equal shares, a share a process, and gradients are averaged: with n processes a step is
that of one process whose batch norms treat n groups of the batch separately. The running statistics of batch norm are
those of the first process.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ..errors import ConfigError


@dataclass(frozen=True)
class Processes:
    """This process among `count`. device: where its share is computed."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def first_does(self, action):
        """What `action()` returns, called by the first process before the others: it may download or fill a cache.

        Where it raises in the first, the others call it too, and raise the same.
        """
        if self.count == 1:
            return action()
        if not self.is_first:
            distributed.barrier()
            return action()
        try:
            return action()
        finally:
            distributed.barrier()

    def batches(self, order, batch_size: int) -> list:
        """This process' shares of the batches of an epoch: index tensors, as long in every process.

        order: int64 [N].  What cannot be shared out evenly, or leaves a process less than the 2 samples that batch norm
        needs, is left out of the last batch.
        """
        whole = [batch[: len(batch) // self.count * self.count] for batch in order.split(batch_size)]
        return [batch.chunk(self.count)[self.rank] for batch in whole if len(batch) >= 2 * self.count]

    def wrap(self, model):
        """The model whose backward pass averages gradients over the processes; copies the first one's weights."""
        return DistributedDataParallel(model) if self.count > 1 else model

    def sum(self, values):
        """A tensor summed over the processes, in a new tensor."""
        values = values.clone()
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def share_buffers(self, model) -> None:
        """Give every process the buffers of the first: what each evaluates is then the same model."""
        for buffer in model.buffers() if self.count > 1 else ():
            distributed.broadcast(buffer, 0)


@contextmanager
def join(device: str):
    """Processes of this run, while the block lasts; torchrun's environment says how many. device: auto | cpu | cuda.

    A block within a block has the same processes: torch joins them once. Raises ConfigError where CUDA is asked for and
    absent.
    """
    count, local_rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    chosen = _device(device, local_rank)
    if count == 1:
        yield Processes(0, 1, chosen)
        return
    outermost = not distributed.is_initialized()
    if outermost:
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), count, chosen)
    finally:
        if outermost:
            distributed.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"device cuda: process {local_rank} of this machine needs a GPU of its own, torch sees "
            f"{torch.cuda.device_count()}; choose --device cpu or start fewer processes"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
