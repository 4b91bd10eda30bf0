"""Run by torchrun for test_distributed.py: what each of two processes computes, into the folder of the first argument.

gradients.RANK.safetensors   the gradients of one batch, and the statistics of batch norm behind it
whole, stopped               runs of `train`; the second is stopped in the middle of an epoch and resumed
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from pynq_qsnn.data import load_dataset
from pynq_qsnn.training import distributed
from pynq_qsnn.training.augment import as_model_input, to_unit_range
from pynq_qsnn.training.learner import Learner
from pynq_qsnn.training.loop import build_model, evaluate, network_spec, train
from pynq_qsnn.training.losses import classification_loss
from pynq_qsnn.training.options import TrainConfig

BATCH = 32


def learner_and_batch(config, processes):
    """Its model, and this process' part of the batch: images, labels."""
    data = load_dataset("digits", "train")
    torch.manual_seed(0)
    learner = Learner(build_model(network_spec(config, data)), config, processes)
    (part,) = processes.batches(torch.arange(BATCH), BATCH)
    images = as_model_input(to_unit_range(torch.from_numpy(data.images[part])))
    return learner, images, torch.from_numpy(data.labels)[part]


def gradients(config, processes, folder):
    learner, images, labels = learner_and_batch(config, processes)
    learner.model.train()
    classification_loss(learner.parallel(images), labels).backward()
    tensors = {name: parameter.grad.contiguous() for name, parameter in learner.model.named_parameters()}
    processes.share_buffers(learner.model)
    statistics = {name: tensor for name, tensor in learner.model.state_dict().items() if "running" in name}
    save_file({**tensors, **statistics}, folder / f"gradients.{processes.rank}.safetensors")
    test = load_dataset("digits", "test")
    (folder / f"evaluation.{processes.rank}.json").write_text(
        json.dumps({"parts": evaluate(learner.model, test, processes), "whole": evaluate(learner.model, test)})
    )


def stop_after(steps):
    """Every process stops after as many steps, as when torchrun is killed; returns what a step was."""
    step, done = Learner.step, []

    def counting(learner, loss, rate):
        step(learner, loss, rate)
        done.append(loss)
        if len(done) == steps:
            raise KeyboardInterrupt

    Learner.step = counting
    return step


def main():
    torch.set_num_threads(1)
    folder, config = Path(sys.argv[1]), TrainConfig(**json.loads(sys.argv[2]))
    with distributed.join("cpu") as processes:
        gradients(config, processes, folder)
        train(dataclasses.replace(config, output_dir=str(folder / "whole")))
        stopped = dataclasses.replace(config, output_dir=str(folder / "stopped"), resume=True, checkpoint_every=4)
        step = stop_after(18)
        try:
            train(stopped)
        except KeyboardInterrupt:
            Learner.step = step
        train(stopped)


if __name__ == "__main__":
    main()
