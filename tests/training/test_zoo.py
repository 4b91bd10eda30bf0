"""The zoo: recipes, shipped models, and a family trained from its pre-training to its evidence."""

import json

import pytest

from pynq_qsnn import zoo
from pynq_qsnn.architectures import architecture
from pynq_qsnn.cli import main
from pynq_qsnn.errors import ConfigError, ModelFileError
from pynq_qsnn.network import Network


def test_recipes_are_rows_of_the_papers_table():
    assert zoo.FAMILIES == ("cifar_tiny", "spikformer")
    for family in zoo.FAMILIES:
        names = [recipe.name for recipe in zoo.RECIPES.values() if recipe.family == family]
        rows = ("w1s1t1", "w1s4t1", "w1s1t4", "w4s4t1", "w4s1t4")
        assert len(names) == 13 and {f"{family}_{row}" for row in rows} <= set(names)
        architecture(zoo.RECIPES[names[0]].settings["model"])
    assert zoo.recipe("cifar_tiny_w4s1t4").settings["num_steps"] == 4
    assert zoo.recipe("cifar_tiny_w4s1t4").start == "cifar_tiny_float" and zoo.recipe("cifar_tiny_float").start is None


def test_every_recipe_is_a_valid_training():
    pytest.importorskip("torch")
    from pynq_qsnn.training.options import TrainConfig

    for recipe in zoo.RECIPES.values():
        TrainConfig(output_dir="out", **recipe.settings)


def test_a_selection_begins_with_the_pretraining():
    assert [r.name for r in zoo.select(["cifar_tiny_w1s1t1", "cifar_tiny_w4s4t1", "cifar_tiny_w1s1t1"])] == [
        *("cifar_tiny_float", "cifar_tiny_w1s1t1", "cifar_tiny_w4s4t1")
    ]
    assert len(zoo.select(["cifar_tiny"])) == 13
    with pytest.raises(ConfigError, match="no recipe 'lenet'; known: cifar_tiny_float"):
        zoo.select(["lenet"])


def test_shipped_models_are_listed_and_copied(tmp_path, capsys):
    assert main(["zoo", "list", "--json", str(tmp_path / "list.json")]) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "list.json").read_text())}
    assert set(rows) == set(zoo.shipped()) | set(zoo.RECIPES)
    assert rows["cifar10_w8s4t1"]["state"] == "shipped" and rows["cifar10_w8s4t1"]["accuracy_percent"] > 80
    assert "JPEG" in capsys.readouterr().out
    target = tmp_path / "models" / "copy.qsnn"
    assert main(["zoo", "get", "cifar10_w8s4t1", "-o", str(target)]) == 0
    assert target.read_bytes() == zoo.shipped()["cifar10_w8s4t1"].read_bytes() and Network.load(target).num_steps == 1


def test_what_is_not_shipped_is_refused_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    target = tmp_path / "model.qsnn"
    assert main(["zoo", "get", "spikformer_w1s1t1", "-o", str(target)]) == 2
    assert "train it: pynq-qsnn zoo train spikformer_w1s1t1" in capsys.readouterr().err
    damaged = tmp_path / "damaged.qsnn"
    damaged.write_bytes(zoo.shipped()["cifar10_w8s4t1"].read_bytes()[:5000])
    monkeypatch.setattr(zoo, "shipped", lambda: {"damaged": damaged})
    with pytest.raises(ModelFileError):
        zoo.get("damaged", target)
    assert not target.exists()


@pytest.fixture
def digits(monkeypatch):
    """A family on scikit-learn's digits in place of the recipes."""
    for name in ("torch", "brevitas", "sklearn"):
        pytest.importorskip(name)
    common = {"model": "8 P 8 FC", "dataset": "digits", "batch_size": 128, "num_threads": 1, "seed": 1}
    float_bits = {"weight_bits": 16, "spike_bits": 8, "num_steps": 1, "epochs": 2}
    bits = {"weight_bits": 1, "spike_bits": 1, "num_steps": 4, "epochs": 1, "warmup_epochs": 0.1}
    recipes = [
        zoo.Recipe("tiny_float", "tiny", "", {**common, **float_bits}, None),
        zoo.Recipe("tiny_w1s1t4", "tiny", "", {**common, **bits}, "tiny_float"),
    ]
    monkeypatch.setattr(zoo, "RECIPES", {recipe.name: recipe for recipe in recipes})
    from pynq_qsnn.zoo import train

    monkeypatch.setattr(train, "RECIPES", zoo.RECIPES)
    return tuple(recipes)


def test_a_family_is_trained_measured_and_resumed(digits, tmp_path, capsys):
    arguments = ["zoo", "train", "tiny_w1s1t4", "--output-dir", str(tmp_path), "--resume"]
    assert main(arguments) == 0
    evidence = json.loads((tmp_path / "tiny_w1s1t4.json").read_text())
    network = Network.load(tmp_path / "tiny_w1s1t4.qsnn")
    assert evidence["command"].startswith("pynq-qsnn") and evidence["start"] == {"name": "tiny_float", "epochs": 2}
    assert evidence["exact_frames"] == 100 and evidence["accuracy_integer"] > 0.5
    assert 0 < evidence["ns_ace"] < evidence["s_ace"] and evidence["predicted_fps"] > 0
    assert set(evidence["rates"]) == {"conv1", "conv2"}
    for key in ("s_ace", "ns_ace", "rates", "accuracy_integer", "seed"):
        assert network.card[key] == evidence[key]
    assert "accuracy_integer" not in json.loads((tmp_path / "tiny_float.json").read_text())
    before = (tmp_path / "tiny_w1s1t4.qsnn").stat().st_mtime_ns
    capsys.readouterr()
    assert main(arguments) == 0  # nothing is left to do
    assert "..." not in capsys.readouterr().out and (tmp_path / "tiny_w1s1t4.qsnn").stat().st_mtime_ns == before


def test_a_start_whose_weights_are_lost_is_named_where_its_log_is_kept(digits, tmp_path, capsys):
    from pynq_qsnn.training.loop import LAST_NAME

    base = [
        "zoo",
        "train",
        "tiny_float",
        "--output-dir",
        str(tmp_path / "log"),
        "--checkpoint-dir",
        str(tmp_path / "a"),
    ]
    assert main(base) == 0
    (tmp_path / "a" / "tiny_float" / LAST_NAME).unlink()
    assert main([*base, "--resume"]) == 0  # nothing is left that needs them
    base[2] = "tiny_w1s1t4"
    assert main([*base, "--resume"]) == 2
    assert "metrics.csv is the log of a run whose checkpoint is not at" in capsys.readouterr().err


def test_a_missing_start_is_named(digits, tmp_path):
    from pynq_qsnn.zoo.train import train_recipe

    with pytest.raises(ConfigError, match="tiny_w1s1t4 starts from .*tiny_float.* train tiny_float first"):
        train_recipe(digits[1], tmp_path, tmp_path, tmp_path, False, {})
