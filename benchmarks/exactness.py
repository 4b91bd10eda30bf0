"""Evidence that an exported model computes what was trained, on every test image of its data set.

    python benchmarks/exactness.py runs/cifar10/w8s4t1 models/cifar10_w8s4t1.qsnn \\
        --json results/exactness_cifar10_w8s4t1.json

Every code of every layer and every logit must be equal in three programs that share no code: the reference (NumPy), the
fast simulator (C++) and the int64 forward that pynq_qsnn.training.check builds from the Brevitas checkpoint (torch).
Against the float model: argmax agreement >= 99 %, accuracy within 0.3 point. Exit status 1 when a limit is missed.
The float model and the networks see the same pixels; for CIFAR-10 as JPEG the card says so.
"""

import argparse
import hashlib
import json
import os
import platform
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path

from pynq_qsnn.data import load_dataset
from pynq_qsnn.files import atomic_file
from pynq_qsnn.network import Network
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.simulator import Simulator
from pynq_qsnn.training.card import library_versions
from pynq_qsnn.training.evaluate import evaluate
from pynq_qsnn.training.export import load_checkpoint

LEAST_AGREEMENT = 0.99
MOST_ACCURACY_DIFFERENCE = 0.003


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="training run that the model was exported from: its folder or checkpoint")
    parser.add_argument("model", help=".qsnn file")
    parser.add_argument("--json", help="also write the result to this file")
    args = parser.parse_args()

    model, _ = load_checkpoint(args.checkpoint)
    network = Network.load(args.model)
    dataset = load_dataset(network.card["dataset"], "test")
    executors = {"reference": Reference().load(network), "simulator": Simulator().load(network)}
    measured = evaluate(model, network, dataset, executors)
    limits = {
        "bit_exact": all(row["different"] == 0 for row in measured["compared"].values()),
        "agreement": measured["argmax_agreement"] >= LEAST_AGREEMENT,
        "accuracy": abs(measured["accuracy_float"] - measured["accuracy_integer"]) <= MOST_ACCURACY_DIFFERENCE,
    }
    result = {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "model": args.model,
        "model_sha256": hashlib.sha256(Path(args.model).read_bytes()).hexdigest(),
        "seed": network.card["seed"],
        "training_command": network.card["command"],
        "dataset": network.card["dataset"],
        "data_note": network.card["data_note"],
        **measured,
        "within_limits": limits,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": library_versions(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if args.json:
        with atomic_file(Path(args.json)) as file:
            file.write(text.encode() + b"\n")
    return 0 if all(limits.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
