"""`pynq-qsnn info`: costs by layer, rates from frames, and a network that the overlay cannot run."""

import json

import numpy as np
import pytest
from board.tiny_networks import affine, image_network

from pynq_qsnn.cli import main
from pynq_qsnn.metrics import count, measure_frames
from pynq_qsnn.network import Attention, Conv2d, Head, Network, Pool, TensorType
from pynq_qsnn.neuron import Neuron
from pynq_qsnn.reference import Reference


def info(*arguments):
    return main(["info", *map(str, arguments)])


@pytest.fixture
def model(tmp_path):
    network = image_network()
    network.save(tmp_path / "tiny.qsnn")
    return network, tmp_path / "tiny.qsnn"


def attending():
    one = Neuron(affine(4, 9000), s_max=1)
    weight = np.ones((4, 3, 3, 3), np.int8)
    trains = [Conv2d(name, "input", weight, 2, one, 1, padding=1) for name in "qkv"]
    top = (Attention("mix", *"qkv", 2, one, 1), Pool("top", "mix", "maximum", 6, 6))
    head = Head("head", "top", np.ones((5, 4), np.int8), 8, affine(5, 700))
    return Network("attending", TensorType((3, 6, 6), 8, 1, 255), 2, (*trains, *top, head))


def test_costs_are_those_of_metrics(model, tmp_path, capsys):
    network, path = model
    assert info(path, "--json", tmp_path / "info.json") == 0
    text, content = capsys.readouterr().out, json.loads((tmp_path / "info.json").read_text())
    cost = count(network)
    assert content["totals"] == cost.totals() and content["refused"] is None and content["instructions"]
    conv = content["layers"][0]
    assert (conv["macs"], conv["sums"], conv["s_ace"]) == (9 * 42 * 27, 1, 9 * 42 * 27 * 4 * 8)
    assert (conv["num_steps"], conv["bit_budget"], conv["rate"]) == (2, 2 * 4 * 2, None)
    assert f"{conv['s_ace']:,}" in text and "NS-ACE" not in text
    assert [row["method"] for row in content["energy"]] == ["estimate"] * 3 and "estimate" in text


def test_rates_come_from_frames(model, tmp_path, capsys):
    network, path = model
    frames = np.random.default_rng(0).integers(0, 256, (20, 3, 6, 7), np.uint8)
    np.save(tmp_path / "frames.npy", frames)
    arguments = ("--rates", "--input", tmp_path / "frames.npy", "--frames", 9, "--json", tmp_path / "info.json")
    assert info(path, *arguments) == 0
    text, content = capsys.readouterr().out, json.loads((tmp_path / "info.json").read_text())
    cost = count(network, measure_frames(Reference().load(network), frames[:9]))
    assert content["totals"] == pytest.approx(cost.totals()) and content["rate_frames"] == 9
    assert [row["rate"] for row in content["layers"]] == pytest.approx([row.rate for row in cost.layers])
    assert "over 9 frames (measured (host))" in text and "NS-ACE" in text
    assert all(row["total_uj"] > 0 for row in content["energy"])


def test_a_network_that_the_overlay_cannot_run_is_counted_all_the_same(tmp_path, capsys):
    attending().save(tmp_path / "a.qsnn")
    assert info(tmp_path / "a.qsnn", "--json", tmp_path / "info.json") == 0
    text, content = capsys.readouterr().out, json.loads((tmp_path / "info.json").read_text())
    assert content["instructions"] is None and "mix (spiking self-attention)" in content["refused"]
    assert content["refused"] in text
    rows = [row for row in content["layers"] if row["kind"] == "Attention"]
    assert [(row["layer"], row["macs"]) for row in rows] == [("mix QK", 36**2 * 4), ("mix V", 36**2 * 4)]
    assert "codes with codes (attention)" in text


def test_frames_without_rates_are_refused(model, capsys):
    assert info(model[1], "--input", "frames.npy") == 2
    assert "add --rates" in capsys.readouterr().err
