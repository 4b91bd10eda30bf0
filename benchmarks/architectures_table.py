"""The section of docs/results.md on the named architectures, from results/architectures.json."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\

## Every named architecture, from Brevitas to integers

`{command}` ({date}, {machine}, seed {seed}).
Untrained networks whose batch norms fit their inputs, built with the layers that training uses, exported, and run on
one frame. "Values" are codes of all layers and logits, compared between
the reference (NumPy), the host simulator (C++) and the int64 forward made from the Brevitas model (PyTorch):
{different} of {values:,} differ. "Own": T = 2, and every word of the layer list has bits of its own. "Overlay": whether
the compiler places it.

"""


def section() -> str:
    """The part of docs/results.md."""
    kept = json.loads((ROOT / "results" / "architectures.json").read_text())
    rows = kept["rows"]
    different = sum(sum(row["different"].values()) for row in rows)
    text = HEAD.format(**kept, different=different, values=sum(row["values"] for row in rows))
    allocations = list(dict.fromkeys(row["allocation"] for row in rows))
    header = ["architecture", "input", "MMAC a step", "weights, M", *(f"values, {a}" for a in allocations), "overlay"]
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 2) + "|---|"]
    cases: dict[tuple, list] = {}
    for row in rows:
        cases.setdefault((row["architecture"], "x".join(map(str, row["input"]))), []).append(row)
    for (name, shape), found in cases.items():
        values = [f"{row['values']:,}" for row in found]
        size = [f"{found[0]['mmac']:,.1f}", f"{found[0]['weights'] / 1e6:.2f}"]
        lines.append("| " + " | ".join([name, shape, *size, *values, overlay(found)]) + " |")
    return text + "\n".join(lines) + "\n"


def overlay(rows: list[dict]) -> str:
    """Whether the compiler places the network in all allocations, else what it names in the first that it refuses."""
    refused = [row["overlay"] for row in rows if row["overlay"] != "runs"]
    if not refused:
        return "runs"
    kinds = dict.fromkeys(re.findall(r"\((?:an? )?([^)]*)\)", refused[0].partition(":")[0]))
    return f"no: {', '.join(kinds) or refused[0]}"
