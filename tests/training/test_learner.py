"""One step of learning: the average of the weights, clipped gradients, losses."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from pynq_qsnn.errors import ConfigError  # noqa: E402
from pynq_qsnn.training.distributed import Processes  # noqa: E402
from pynq_qsnn.training.learner import Learner  # noqa: E402
from pynq_qsnn.training.loop import load_model, train  # noqa: E402
from pynq_qsnn.training.losses import classification_loss  # noqa: E402
from pynq_qsnn.training.models import NetworkSpec, build_model  # noqa: E402
from pynq_qsnn.training.options import TrainConfig  # noqa: E402

SPEC = NetworkSpec("digits_small", (1, 8, 8), 10, weight_bits=4, spike_bits=1, num_steps=2)


def learner(**changes):
    torch.manual_seed(0)
    return Learner(build_model(SPEC), TrainConfig("", **changes), Processes(0, 1, torch.device("cpu")))


def steps(learner, count):
    """`count` steps on noise; yields after each."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        images, labels = torch.rand(8, 1, 8, 8, generator=generator), torch.arange(8)
        learner.step(classification_loss(learner.model.train()(images), labels), 1e-2)
        yield


def test_the_average_follows_weights_and_statistics():
    one, expected = learner(ema=0.75), None
    for _ in steps(one, 4):
        now = {name: t.double().clone() for name, t in one.model.state_dict().items() if t.is_floating_point()}
        expected = now if expected is None else {name: 0.75 * expected[name] + 0.25 * now[name] for name in now}
    found = one.result.state_dict()
    assert "layers.0.norm.running_var" in expected
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-7)
    assert not torch.equal(found["layers.0.conv.weight"], one.model.state_dict()["layers.0.conv.weight"])


def test_the_average_is_what_is_evaluated_and_saved(tmp_path):
    pytest.importorskip("sklearn")
    result = train(TrainConfig(str(tmp_path), epochs=1, warmup_epochs=0.5, batch_size=256, ema=0.9, device="cpu"))
    model, _ = load_model(result.checkpoint)
    for name, tensor in result.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_gradients_are_clipped():
    free, clipped = learner(), learner(clip_norm=1e-3)
    for _ in zip(steps(free, 1), steps(clipped, 1)):
        norms = [torch.nn.utils.get_total_norm([p.grad for p in one.model.parameters()]) for one in (free, clipped)]
    assert norms[0] > 0.1 and norms[1] == pytest.approx(1e-3, rel=1e-3)


def test_tet_is_the_mean_over_steps_of_each_steps_loss():
    logits, labels = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 0])
    each = torch.stack([torch.nn.functional.cross_entropy(step, labels, label_smoothing=0.1) for step in logits])
    torch.testing.assert_close(classification_loss(logits, labels, 0.1), each.mean())
    shares = torch.nn.functional.one_hot(labels, 4).float()
    torch.testing.assert_close(classification_loss(logits, shares, 0.1), each.mean())
    assert classification_loss(logits.mean(0), labels, 0.1) < each.mean()  # cross-entropy is convex


def test_the_head_gives_each_steps_logits():
    torch.manual_seed(0)
    model, images = build_model(SPEC).train(), torch.rand(4, 1, 8, 8)
    per_step = model(images, per_step=True)
    assert per_step.shape == (2, 4, 10) and not torch.equal(per_step[0], per_step[1])
    torch.testing.assert_close(per_step.mean(0), model(images))


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "loss": "tet", "num_steps": 2}])
def test_a_diverged_run_says_so_and_keeps_its_checkpoint(tmp_path, monkeypatch, changes):
    pytest.importorskip("sklearn")
    settings = TrainConfig(
        str(tmp_path), epochs=2, batch_size=256, warmup_epochs=0, checkpoint_every=4, device="cpu", **changes
    )
    step, done = Learner.step, []

    def poisoned(self, loss, rate):
        done.append(rate)
        step(self, loss * (float("nan") if len(done) == 10 else 1.0), rate)

    monkeypatch.setattr(Learner, "step", poisoned)
    with pytest.raises(ConfigError, match="epoch 2: a loss or weight is not finite; lower --learning-rate"):
        train(settings)
    model, state = load_model(tmp_path / "last.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    monkeypatch.setattr(Learner, "step", step)
    assert len(train(dataclasses.replace(settings, resume=True)).history) == 2
