"""trained models: list them, copy one, or train them again

Families of one architecture in the bit allocations of the QSNN paper's Table 2. A family starts from one float
pre-training; `zoo train` makes what is missing, in order, and goes on with --resume after a kill.

examples:
  pynq-qsnn zoo list
  pynq-qsnn zoo get cifar10_w8s4t1 -o model.qsnn
  pynq-qsnn zoo train cifar_tiny_w1s4t1 --output-dir runs/zoo --resume
  pynq-qsnn zoo train cifar_tiny --output-dir runs/zoo --resume
"""

from pathlib import Path

from .. import zoo
from .common import add_json_argument, format_table, interrupt_afterwards, provenance, write_json

COLUMNS = {
    "name": "model",
    "allocation": "w/s/T",
    "dataset": "data",
    "epochs": "epochs",
    "accuracy_percent": "accuracy %",
    "s_ace_g": "S-ACE, G",
    "ns_ace_g": "NS-ACE, G",
    "predicted_fps": "fps, predicted",
    "state": "state",
}


def add_arguments(parser):
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="shipped models and recipes")
    add_json_argument(listing)
    getting = actions.add_parser("get", help="copy a shipped model")
    getting.add_argument("name", help="a name of `zoo list`")
    getting.add_argument("-o", "--output", metavar="FILE", help="where to (default: NAME.qsnn)")
    training = actions.add_parser("train", help="train recipes, export and measure them")
    training.add_argument("names", nargs="+", metavar="NAME", help="recipes, or families for all of theirs")
    training.add_argument("--output-dir", default="zoo", help="logs and results (default: %(default)s)")
    training.add_argument("--checkpoint-dir", help="weights of the runs (default: the output folder)")
    training.add_argument("--models-dir", help="exported models (default: the output folder)")
    training.add_argument("--resume", action="store_true", help="keep what is complete, continue what was stopped")


def run(args):
    {"list": list_models, "get": get_model, "train": train_models}[args.action](args)


def list_models(args):
    """Print shipped models with their cards' figures, then the recipes that were not trained."""
    rows = [{"name": name, "state": "shipped", **_figures(zoo.card(file))} for name, file in zoo.shipped().items()]
    known = {row["name"] for row in rows}
    for recipe in zoo.RECIPES.values():
        if recipe.name not in known:
            bits = [recipe.settings[key] for key in ("weight_bits", "spike_bits", "num_steps")]
            row = {"name": recipe.name, "allocation": "/".join(map(str, bits)), "state": "recipe"}
            rows.append({**row, "dataset": recipe.settings["dataset"], "epochs": recipe.settings["epochs"]})
    print(format_table(rows, COLUMNS))
    print("\naccuracy: integer network, test split, last epoch; predicted: closed form, no board has confirmed it")
    for name in dict.fromkeys(zoo.card(file)["data_note"] for file in zoo.shipped().values()):
        print(f"data: {name}")
    write_json(args.json, rows)


def _figures(card: dict) -> dict:
    giga = {f"{key}_g": card[key] / 1e9 if key in card else None for key in ("s_ace", "ns_ace")}
    figures = {key: card.get(key) for key in ("dataset", "epochs", "predicted_fps")}
    allocation = card["allocation"].partition(" ")[0]
    return {"allocation": allocation, "accuracy_percent": 100 * card["accuracy_integer"], **figures, **giga}


def get_model(args):
    """Copy one model and say what it is."""
    target = args.output or f"{args.name}.qsnn"
    network = zoo.get(args.name, target)
    print(f"{target}: {network.name}, T = {network.num_steps}; {network.card['command']}")


def train_models(args):
    """Train the recipes, and print what they came to."""
    with interrupt_afterwards():
        from ..zoo.train import train_all

    output = Path(args.output_dir)
    checkpoints, models = Path(args.checkpoint_dir or output), Path(args.models_dir or output)
    recipes = zoo.select(args.names)
    found = train_all(
        recipes, output, checkpoints, models, args.resume, provenance(), lambda recipe: print(f"{recipe.name} ...")
    )
    rows = [{"name": item["name"], **_figures(item)} for item in found if "accuracy_integer" in item]
    if rows:
        print(format_table(rows, {key: text for key, text in COLUMNS.items() if key != "state"}))
