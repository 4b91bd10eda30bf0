"""The zoo: recipes of families of models, rows of the QSNN paper's Table 2, and the trained ones that are shipped.

A family is one architecture in many bit allocations: a float pre-training, and a short training of each allocation that
starts from it. Names are FAMILY_wWsStT, such as ``cifar_tiny_w1s4t1``; FAMILY_float is the pre-training.

>>> recipe("cifar_tiny_w1s4t1").settings["spike_bits"]
4
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..container import load as load_container
from ..errors import ConfigError
from ..files import atomic_file
from ..network import Network
from ..paths import resource

FLOAT = "float"


@dataclass(frozen=True)
class Recipe:
    """One training of a family. settings: fields of a training's TrainConfig, without the folders.

    start: the name of the run whose weights it starts from, None for the pre-training.
    """

    name: str
    family: str
    about: str
    settings: dict
    start: str | None


def _load() -> dict[str, Recipe]:
    recipes = {}
    for family, item in json.loads((Path(__file__).parent / "recipes.json").read_text(encoding="utf-8")).items():
        base = f"{family}_{FLOAT}"
        recipes[base] = Recipe(base, family, item["about"], {**item["settings"], **item["pretraining"]}, None)
        for allocation in item["allocations"]:
            weight_bits, spike_bits, num_steps = map(int, allocation.split("/"))
            name = f"{family}_w{weight_bits}s{spike_bits}t{num_steps}"
            bits = {"weight_bits": weight_bits, "spike_bits": spike_bits, "num_steps": num_steps}
            settings = {**item["settings"], **item["fine_tuning"], **bits}
            recipes[name] = Recipe(name, family, item["about"], settings, base)
    return recipes


RECIPES = _load()
FAMILIES = tuple(dict.fromkeys(recipe.family for recipe in RECIPES.values()))


def recipe(name: str) -> Recipe:
    """The recipe of a name. Raises ConfigError for an unknown one."""
    if name not in RECIPES:
        raise ConfigError(f"the zoo has no recipe {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name]


def select(names: list[str]) -> list[Recipe]:
    """Recipes of names and families, each once, the pre-trainings that they start from before them."""
    chosen: dict[str, Recipe] = {}
    for name in names:
        members = [r for r in RECIPES.values() if r.family == name] or [recipe(name)]
        for member in members:
            if member.start is not None:
                chosen[member.start] = RECIPES[member.start]
            chosen[member.name] = member
    return list(chosen.values())


def shipped() -> dict[str, Path]:
    """Trained models that come with the package: name -> file."""
    return {file.stem: file for file in sorted(resource("models").glob("*.qsnn"))}


def card(path: Path) -> dict:
    """The model card of a file, without its weights. Raises ModelFileError."""
    return load_container(path, "network")[0]["card"]


def get(name: str, target: str | Path) -> Network:
    """Copy a shipped model to ``target``, atomically, once it has loaded with every check of a model file.

    Raises ConfigError for a model that is not shipped.
    """
    found = shipped()
    if name not in found:
        hint = f"; train it: pynq-qsnn zoo train {name}" if name in RECIPES else ""
        raise ConfigError(f"no trained model {name!r} is shipped{hint}. Shipped: {', '.join(found)}")
    network = Network.load(found[name])
    with atomic_file(target) as stream:
        stream.write(found[name].read_bytes())
    return network
