"""benchmarks/training.py compares like with like, and the documentation shows what it measured."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for name in ("loguru", "snntorch", "spikingjelly"):
    pytest.importorskip(name, reason=f"{name} is not installed (the extra compare; spikingjelly with --no-deps)")

from pynq_qsnn.training.lif import MultiBitLIF  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def speed():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("speed_comparison", ROOT / "benchmarks" / "training.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look here
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def logits_and_spikes(speed, model, images):
    """(logits, spikes [T * B, ...] of each layer)."""
    spikes = []
    for module in model.modules():
        if isinstance(module, (MultiBitLIF, speed.neuron.LIFNode)):
            module.register_forward_hook(lambda module, inputs, output: spikes.append(output.detach().flatten()))
    if isinstance(model, speed.SnnTorch):
        model.fire = lambda *arguments, fire=model.fire: spikes.append(fire(*arguments)) or spikes[-1]
    return model(images).detach(), [layer.flatten() for layer in spikes]


def contestants(speed, *libraries):
    return [contestant for contestant in speed.CONTESTANTS if contestant.framework in libraries]


@pytest.mark.parametrize("weights", ["float", "4-bit"])
@pytest.mark.parametrize("training", [True, False])
def test_ours_and_spikingjelly_s_spikes_are_equal(speed, weights, training):
    """In double precision, where no membrane comes so near to the threshold that a rounding decides."""
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    found = []
    for contestant in contestants(speed, speed.OURS, speed.JELLY):
        model = contestant.build(weights).to(torch.float64, memory_format=torch.contiguous_format).train(training)
        found.append(logits_and_spikes(speed, model, images))
    (logits, spikes), *others = found
    assert len(spikes) == 6 and all(0.02 < layer.mean() < 0.9 for layer in spikes)
    for other_logits, other_spikes in others:
        torch.testing.assert_close(other_logits, logits)
        assert all(torch.equal(a, b) for a, b in zip(spikes, other_spikes, strict=True))


@pytest.mark.parametrize("weights", ["float", "4-bit"])
def test_all_compute_the_same_network(speed, weights):
    """As they are measured: in single precision a few spikes tip over, and with them some of the next layers'."""
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = [
        logits_and_spikes(
            speed, contestant.build(weights).eval(), images.to(memory_format=speed.LAYOUTS[contestant.layout])
        )
        for contestant in speed.CONTESTANTS
    ]
    (logits, spikes), *others = found
    for other_logits, other_spikes in others:
        for a, b in zip(spikes, other_spikes, strict=True):
            assert (a != b).float().mean() < 2e-3
        assert (other_logits - logits).abs().max() < 0.1 * logits.std()


def test_the_report(speed, monkeypatch):
    few = [c for c in contestants(speed, speed.OURS, speed.JELLY, speed.SNNTORCH) if c.layout == "channels last"]
    monkeypatch.setattr(speed, "CONTESTANTS", (few[0], *few))  # ours in the place of torch's operators, too
    monkeypatch.setattr(speed, "WEIGHT_BITS", {"4-bit": 4})
    result = speed.measure(batch=2, rounds=1, threads=1, quick=True)
    assert len(result["tables"]) == 2 and result["neurons"] in ("C++", "torch")
    for table in result["tables"]:
        assert len(table["rows"]) == 4
        for row in table["rows"]:
            assert sum(row["shares"].values()) == pytest.approx(1) and row["shares"]["convolution"] > 0
            assert row["samples_per_s"] * row["step_ms"] == pytest.approx(2000)
    ours = result["tables"][0]["rows"][0]
    assert ours["ratio"] == 1 and ours["peak_mib"] > 0
    text = speed.render(result)
    assert text.count("Asked for") == 2 and text.count("| SpikingJelly |") == 2


def test_a_target_that_is_missed_is_called_missed(speed):
    row = {"library": speed.OURS, "step_ms": 1.0, "ratio": 1.0, "peak_mib": 20.0}
    jelly = {**row, "library": speed.JELLY, "ratio": 1.4, "peak_mib": 30.0}
    assert "1.40: not reached" in speed.verdict({"target": 1.5, "rows": [row, jelly]})
    assert "1.40: reached" in speed.verdict({"target": 1.2, "rows": [row, jelly]})


def test_the_page_shows_the_kept_result(speed):
    page = speed.PAGE.read_text()
    assert speed.with_tables(page, json.loads(speed.RESULT.read_text())) == page, "benchmarks/training.py --page"
