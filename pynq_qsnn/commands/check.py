"""--check: every logit against the reference executor, with the differences kept before they are an error."""

from __future__ import annotations

import argparse

import numpy as np

from ..errors import DeviceError
from ..program import Program
from .common import write_json


def add_check_argument(parser: argparse.ArgumentParser) -> None:
    """--check."""
    parser.add_argument("--check", action="store_true", help="compare every logit with the reference executor")


def write_checked(
    args: argparse.Namespace, content: dict, program: Program, frames: np.ndarray, logits: np.ndarray
) -> None:
    """Write ``content`` to --json; with --check also which frames differ, and then raise DeviceError if any does.

    frames: uint8 [N, C, H, W] or [N, T, C, H, W].  logits: int32 [N, classes].
    """
    if not args.check:
        write_json(args.json, content)
        return
    from ..reference import Reference

    differing = np.flatnonzero(np.any(Reference().load(program).run(frames) != logits, axis=1)).tolist()
    found = {"frames_differing_from_reference": len(differing), "differing_frames": differing}
    write_json(args.json, {**content, **found})
    if differing:
        first = ", ".join(map(str, differing[:8])) + (", ..." if len(differing) > 8 else "")
        raise DeviceError(f"{len(differing)} of {len(frames)} frames differ from the reference executor: {first}")
    print(f"all {len(frames)} frames equal the reference, every logit")
