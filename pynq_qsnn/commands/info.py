"""show what a model or program file holds and costs: layers, bit budgets, S-ACE, memory, cycles, card

--rates runs frames on the fast simulator for what depends on spikes: firing rates, SOPs, NS-ACE. Energies are
estimates. The cycles are the compiler's closed-form prediction for one frame; --cycles sets the event simulation of
the kernel beside it, layer by layer. No board has confirmed either.

examples:
  pynq-qsnn info digits.qsnn
  pynq-qsnn info digits.qprog --json info.json
  pynq-qsnn info digits.qsnn --rates --frames 200
  pynq-qsnn info cifar10_w8s1t4.qsnn --cycles --batch 4
"""

import numpy as np

from ..errors import CapacityError, ConfigError, SpecMismatch
from ..hwspec import HardwareConfig, load_config
from ..metrics import Activity, measure_frames
from ..network import Network
from ..program import Program
from .common import (
    add_frame_arguments,
    add_json_argument,
    count,
    format_table,
    open_network,
    open_program,
    progress,
    test_frames,
    write_json,
)
from .info_costs import print_costs

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
    parser.add_argument("--rates", action="store_true", help="measure firing rates: SOPs, NS-ACE, more of the energy")
    add_frame_arguments(parser, 200)
    add_json_argument(parser)


def run(args):
    if args.batch > 1 and not args.cycles:
        raise ConfigError("--batch says how many frames --cycles simulates; add --cycles")
    if (args.input or args.dataset) and not args.rates:
        raise ConfigError("--input and --dataset choose the frames of --rates; add --rates")
    config = load_config(args.config)
    network = open_network(args.model)
    try:
        program, refused = open_program(args.model, args.config), None
    except CapacityError as refusal:
        program, refused = None, str(refusal)
    if program and program.fingerprint != config.fingerprint:
        remedy = "Give --config the config.json that it was compiled for, or compile the model again."
        raise SpecMismatch(f"{args.model}, overlay {config.name}", config.fingerprint, program.fingerprint, remedy)
    activity, frames = measure(args, network) if args.rates else (None, 0)
    print(f"{network.name}: input {network.input.shape}, T = {network.num_steps}\n")
    costs = print_costs(network, activity)
    if frames:
        print(f"rates: share of non-zero codes over {frames} frames (measured (host))")
    print()
    if program is None:
        steps = None
        print(f"not compiled for overlay {config.name}: {refused}")
    else:
        steps = print_cycles(program, config, args.batch) if args.cycles else print_program(program, config)
    if network.card:
        print("\nmodel card")
        for key, value in network.card.items():
            print(f"  {key}: {value}")
    content = {**costs, "rate_frames": frames, "instructions": steps, "refused": refused, "card": network.card}
    write_json(args.json, content)


def measure(args, network: Network) -> tuple[dict[str, Activity], int]:
    """Activity of every tensor over the chosen frames, by the fast simulator; and how many frames."""
    from ..runtime.simulator import Simulator

    frames, _ = test_frames(args, network)
    executor = Simulator().load(network)
    return measure_frames(executor, frames, lambda batches: progress(batches, len(batches), "batch")), len(frames)


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
