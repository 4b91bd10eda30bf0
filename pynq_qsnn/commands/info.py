"""show what a model or program file holds: layers, bit budgets, cycles, card

The cycles are the compiler's closed-form prediction for one frame; --cycles sets the event simulation of the kernel
beside it, layer by layer. No board has confirmed either.

examples:
  pynq-qsnn info digits.qsnn
  pynq-qsnn info digits.qprog --json info.json
  pynq-qsnn info cifar10_w8s1t4.qsnn --cycles --batch 4
"""

import numpy as np

from ..errors import ConfigError, SpecMismatch
from ..hwspec import HardwareConfig, load_config
from ..network import WEIGHTED, Network
from ..program import Program
from .common import add_json_argument, count, format_table, open_program, write_json

EXPLANATIONS = {
    "integrate": "the integration unit binds; its first and last tile overlap less with the array than the form says",
    "weights": "weights arrive while earlier layers compute; the form assumes one rate for all of them",
    "activations": "words move one after the other; the memories' latencies are not in the form",
    "spill": "bursts to DDR share the controller with the weights",
    "stream": "frame beats share the controller with the weights",
}


def add_arguments(parser):
    parser.add_argument("model", help=".qsnn or program file")
    parser.add_argument("--config", help="config.json of the overlay (default: the KV260's)")
    parser.add_argument("--cycles", action="store_true", help="closed form beside the event simulation of the kernel")
    parser.add_argument("--batch", type=count, default=1, help="frames of the simulated call (default: %(default)s)")
    add_json_argument(parser)


def run(args):
    if args.batch > 1 and not args.cycles:
        raise ConfigError("--batch says how many frames --cycles simulates; add --cycles")
    config = load_config(args.config)
    program = open_program(args.model, args.config)
    if program.fingerprint != config.fingerprint:
        remedy = "Give --config the config.json that it was compiled for, or compile the model again."
        raise SpecMismatch(f"{args.model}, overlay {config.name}", config.fingerprint, program.fingerprint, remedy)
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
    steps = print_cycles(program, config, args.batch) if args.cycles else print_program(program, config)
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
    """Activation words that the program touches in each bank, bytes of its weight memory and of the spill memory."""
    ends = [0]
    for index in range(program.num_instructions):
        fields = program.instruction(index)
        frames = program.group_frames if index >= program.split or fields["output_frame_words"] else 1
        if fields["transfer_words"] and not fields["spilled"]:
            words = fields["transfer_words"] // config.activation_banks
        else:
            rows = fields["output_height"] // 2 if fields["pooled"] else fields["output_height"]
            words = (
                rows * fields["stored_column_groups"] * fields["output_channel_tiles"] * fields["output_train_words"]
            )
        base = fields["input_base"] if program.steps[index].opcode == "SAVE" else fields["output_base"]
        ends.append(base + words * frames)
    spill = program.spill_words * config.bus_bits // 8
    return {"activation_words": max(ends), "weight_bytes": program.weights.nbytes, "spill_bytes": spill}


def print_cycles(program: Program, config: HardwareConfig, batch: int) -> list[dict]:
    """Run the kernel's event simulation on random codes; print and return closed form and simulation by layer."""
    from ..runtime.csim import CsimExecutor
    from ..runtime.cycles import by_layer, call_cycles, instruction_cycles

    shape = (batch, *program.network.frame_shape)
    frames = np.random.default_rng(0).integers(0, program.network.input.s_max + 1, shape, dtype=np.uint8)
    executor = CsimExecutor(config).load(program)
    try:
        executor.run(frames)
        measured, total = instruction_cycles(program, executor.log, batch), call_cycles(executor.log)
    finally:
        executor.close()
    layers = by_layer(program, measured, batch > 1, config)
    rows = [
        {
            "layer": layer.layer,
            "mode": layer.mode,
            "macs": layer.macs,
            "predicted_cycles": round(layer.predicted),
            "simulated_cycles": round(layer.measured),
            "difference_percent": layer.difference_percent,
            "bound": layer.bound,
            "efficiency_percent": layer.efficiency_percent if layer.macs else None,
        }
        for layer in layers
    ]
    columns = {
        "layer": "layer",
        "mode": "mode",
        "macs": "MAC",
        "predicted_cycles": "closed form",
        "simulated_cycles": "simulated",
        "difference_percent": "difference %",
        "bound": "bound",
        "efficiency_percent": "DSP use %",
    }
    print(format_table(rows, columns))
    for bound in dict.fromkeys(row["bound"] for row in rows if row["bound"] in EXPLANATIONS):
        print(f"  {bound}: {EXPLANATIONS[bound]}")
    per_frame = total / batch
    print(
        f"\nbatch {batch}: {per_frame:,.0f} cycles a frame, {config.clock_mhz * 1e6 / per_frame:,.0f} fps, "
        f"{total / config.clock_mhz / 1e3:.3f} ms for the call at {config.clock_mhz} MHz "
        "(emulated (cycle model); no board has confirmed it)"
    )
    return rows


def print_program(program: Program, config: HardwareConfig) -> list[dict]:
    """Print the instructions with their predicted cycles; return the rows."""
    from ..runtime.cycles import ideal_cycles

    rows = []
    for step, ideal in zip(program.steps, ideal_cycles(program, config)):
        use = float(100 * ideal / step.predicted_cycles) if step.macs else None
        rows.append({**vars(step), "efficiency_percent": use})
    columns = {
        "layer": "layer",
        "opcode": "instruction",
        "mode": "mode",
        "macs": "MAC",
        "predicted_cycles": "cycles (predicted)",
        "bound": "bound",
        "efficiency_percent": "DSP use %",
    }
    print(format_table(rows, columns))
    cycles, macs = program.predicted_cycles, sum(step.macs for step in program.steps)
    print(
        f"\n{macs / 1e6:.2f} MMAC, {cycles:,} cycles for a frame alone: {cycles / config.clock_mhz / 1e3:.3f} ms; "
        f"{program.batch_cycles:,} for each of a long batch: {config.clock_mhz * 1e6 / program.batch_cycles:,.0f} fps "
        f"at {config.clock_mhz} MHz (closed form, overlay {config.name}; no board has confirmed it)"
    )
    memory = memory_use(program, config)
    print(
        f"activation memory: {memory['activation_words']:,} of {config.activation_bank_words:,} words a bank; "
        f"weights and channel parameters: {memory['weight_bytes']:,} bytes; "
        f"spill memory: {memory['spill_bytes']:,} bytes"
    )
    return rows
