"""show what a model or program file holds: layers, bit budgets, cycles, card

The cycles are the compiler's closed-form prediction for one frame; no board has confirmed them.

examples:
  pynq-qsnn info digits.qsnn
  pynq-qsnn info digits.qprog --json info.json
"""

from ..hwspec import HardwareConfig, load_config
from ..network import WEIGHTED, Network
from ..program import Program
from .common import add_json_argument, format_table, open_program, write_json


def add_arguments(parser):
    parser.add_argument("model", help=".qsnn or program file")
    parser.add_argument("--config", help="overlay config.json that a .qsnn is compiled for (default: the KV260's)")
    add_json_argument(parser)


def run(args):
    config = load_config(args.config)
    program = open_program(args.model, args.config)
    layers = layer_rows(program.network)
    columns = {
        "layer": "layer",
        "kind": "kind",
        "shape": "output C x H x W",
        "weight_bits": "weight bits",
        "spike_bits": "spike bits",
        "num_steps": "T",
        "bit_budget": "bit budget",
        "weights": "weights",
    }
    print(f"{program.network.name}: input {program.network.input.shape}, T = {program.network.num_steps}\n")
    print(format_table(layers, columns) + "\n")
    steps = print_program(program, config)
    if program.network.card:
        print("\nmodel card")
        for key, value in program.network.card.items():
            print(f"  {key}: {value}")
    write_json(args.json, {"layers": layers, "instructions": steps, "card": program.network.card})


def layer_rows(network: Network) -> list[dict]:
    """One row a layer. Bit budget (Eq. 4) = T x weight bits x bits of the spikes that the layer emits."""
    rows = []
    for layer in network.layers:
        tensor = network.tensors[layer.name]
        row = {"layer": layer.name, "kind": type(layer).__name__, "shape": " x ".join(map(str, tensor.shape))}
        if isinstance(layer, WEIGHTED):
            row.update(weight_bits=layer.weight_bits, num_steps=network.num_steps, weights=int(layer.weight.size))
            if hasattr(layer, "spike_bits"):
                row.update(
                    spike_bits=layer.spike_bits, bit_budget=network.num_steps * layer.weight_bits * layer.spike_bits
                )
        rows.append(row)
    return rows


def memory_use(program: Program, config: HardwareConfig) -> dict:
    """Activation words that the program touches in each bank, and bytes of its weight memory."""
    ends = []
    for index in range(program.num_instructions):
        fields = program.instruction(index)
        words = fields["receive_words"] // config.activation_banks
        words += fields["quadruples"] * fields["output_channel_tiles"] * fields["output_train_words"]
        ends.append(fields["output_base"] + words)
    return {"activation_words": max(ends), "weight_bytes": program.weights.nbytes}


def print_program(program: Program, config: HardwareConfig) -> list[dict]:
    """Print the instructions with their predicted cycles; return the rows."""
    rows = []
    for step in program.steps:
        peak = config.macs_per_cycle * step.predicted_cycles
        rows.append({**vars(step), "efficiency_percent": 100 * step.macs / peak if step.macs else None})
    columns = {
        "layer": "layer",
        "opcode": "instruction",
        "macs": "MAC",
        "predicted_cycles": "cycles (predicted)",
        "bound": "bound",
        "efficiency_percent": "array use %",
    }
    print(format_table(rows, columns))
    cycles, macs = program.predicted_cycles, sum(step.macs for step in program.steps)
    print(
        f"\n{macs / 1e6:.2f} MMAC, {cycles:,} cycles a frame predicted: {config.clock_mhz * 1e6 / cycles:,.0f} fps, "
        f"{cycles / config.clock_mhz / 1e3:.3f} ms at {config.clock_mhz} MHz (closed form, overlay {config.name}; "
        "no board has confirmed it)"
    )
    memory = memory_use(program, config)
    print(
        f"activation memory: {memory['activation_words']:,} of {config.activation_bank_words:,} words a bank; "
        f"weights and channel parameters: {memory['weight_bytes']:,} bytes"
    )
    return rows
