"""What `pynq-qsnn info` prints of :mod:`pynq_qsnn.metrics`: the table of layers, totals, memory and energy."""

from ..metrics import PLATFORMS, Activity, NetworkCost, count
from ..network import WEIGHTED, Network
from .common import format_table

COLUMNS = {
    "layer": "layer",
    "kind": "kind",
    "shape": "output C x H x W",
    "weight_bits": "weight bits",
    "spike_bits": "spike bits",
    "num_steps": "T",
    "bit_budget": "bit budget",
    "weights": "weights",
    "macs": "MAC a step",
    "sums": "sums",
    "input_bits": "bits in",
    "s_ace": "S-ACE",
}
MEASURED = {"rate": "rate in", "sops": "SOPs", "ns_ace": "NS-ACE"}


def print_costs(network: Network, activity: dict[str, Activity] | None) -> dict:
    """Print what a frame costs; return it as plain values. activity: of measure_frames, None where not measured."""
    cost = count(network, activity)
    rows = layer_rows(network, cost)
    print(format_table(rows, COLUMNS if activity is None else {**COLUMNS, **MEASURED}))
    print("  sums: how often a frame's sums are computed; S-ACE = MAC x sums x weight bits x bits in (Eq. 8)\n")
    totals = cost.totals()
    print_totals(totals)
    energy = [cost.energy(platform) for platform in PLATFORMS]
    columns = {"platform": "energy of a frame, estimate", "compute_uj": "sums / uJ", "memory_uj": "memory / uJ"}
    print("\n" + format_table(energy, {**columns, "total_uj": "total / uJ"}))
    for source in dict.fromkeys(row["source"] for row in energy):
        print(f"  {source}")
    return {"layers": rows, "totals": totals, "energy": energy}


def layer_rows(network: Network, cost: NetworkCost | None = None) -> list[dict]:
    """One row a layer, two an attention; cost: of the network, None counts it without rates.

    Bit budget (Eq. 4) = T x weight bits x bits of the spikes that a layer emits.
    """
    layers = {layer.name: layer for layer in network.layers}
    rows = []
    for counted in (cost or count(network)).layers:
        layer, tensor = layers[counted.layer], network.tensors[counted.layer]
        row = {**counted.row(), "layer": counted.name, "shape": " x ".join(map(str, tensor.shape))}
        row.update(sums=counted.num_steps, num_steps=tensor.num_steps)
        if not counted.macs:
            row.update(dict.fromkeys(("weights", "macs", "sums", "s_ace", "sops", "ns_ace")))
        if hasattr(layer, "spike_bits"):
            row["spike_bits"] = layer.spike_bits
            if isinstance(layer, WEIGHTED):
                row["bit_budget"] = tensor.num_steps * layer.weight_bits * layer.spike_bits
        rows.append(row)
    return rows


def print_totals(totals: dict) -> None:
    """The sums over the layers in words."""
    million = {key: value / 1e6 for key, value in totals.items() if value is not None}
    measured = f", NS-ACE {million['ns_ace']:.2f} M, SOPs {million['sops']:.2f} M" if "ns_ace" in million else ""
    print(f"weights with codes: {million['macs']:.2f} MMAC a step, S-ACE {million['s_ace']:.2f} M{measured}")
    if totals["attention_macs"]:
        print(
            f"codes with codes (attention): {million['attention_macs']:.2f} MMAC a step, "
            f"S-ACE {million['attention_s_ace']:.2f} M"
        )
    print(
        f"{totals['weights']:,} weights, {million['normalised_parameters']:.3f} M in units of 16 bits; "
        f"{totals['constants']:,} channel constants"
    )
    print(
        f"memory traffic of a frame, layer by layer and step by step: weights {totals['weight_bytes']:,} bytes, codes "
        f"read {totals['read_bytes']:,}, written {totals['written_bytes']:,}, membranes {totals['membrane_bytes']:,}"
    )
