"""What learns: the weights, their moving average and the optimizer; one step of it, and all of it as tensors."""

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from . import checkpoint

# With an average the weights in training are in the checkpoint beside it.
TRAINED_PREFIX, OPTIMIZER_PREFIX = "trained.", "optimizer."


class Learner:
    """Holds ``model``, the weights in training, and ``result``, what is evaluated: their average where there is one.

    With ``ema`` the average moves after each step by 1 - ema towards weights and batch-norm statistics.
    """

    def __init__(self, model, config, processes):
        self.model = model.to(processes.device, memory_format=torch.channels_last)
        self.average = None
        if config.ema:
            self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
        self.parallel = processes.wrap(self.model)
        self.optimizer = _adamw(self.model, config)
        self.clip_norm = config.clip_norm

    @property
    def result(self):
        return self.model if self.average is None else self.average.module

    def step(self, loss, rate: float) -> None:
        """Gradients of `loss`, clipped, then AdamW at learning rate `rate`."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def is_finite(self) -> bool:
        """Whether all weights are numbers: a step of infinite gradients leaves some that are not."""
        return all(parameter.isfinite().all() for parameter in self.model.parameters())

    def tensors(self) -> dict:
        """Everything that the next step depends on, by the names of a checkpoint."""
        optimizer = checkpoint.optimizer_tensors(self.optimizer, self._names())
        return {
            **checkpoint.with_prefix(self.result.state_dict(), checkpoint.MODEL_PREFIX),
            **checkpoint.with_prefix({} if self.average is None else self.model.state_dict(), TRAINED_PREFIX),
            **checkpoint.with_prefix(optimizer, OPTIMIZER_PREFIX),
        }

    def restore(self, tensors: dict) -> None:
        """The inverse of :meth:`tensors`. Raises RuntimeError, as load_state_dict does, on another topology."""
        self.result.load_state_dict(checkpoint.without_prefix(tensors, checkpoint.MODEL_PREFIX))
        if self.average is not None:
            self.model.load_state_dict(checkpoint.without_prefix(tensors, TRAINED_PREFIX))
            self.average.n_averaged.fill_(1)  # "not the first": the first copies the weights
        checkpoint.restore_optimizer(
            self.optimizer, self._names(), checkpoint.without_prefix(tensors, OPTIMIZER_PREFIX)
        )

    def _names(self):
        return {parameter: name for name, parameter in self.model.named_parameters()}


def _adamw(model, config):
    """Weights decay; batch-norm parameters and biases do not."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)
