"""Contiguous memory for a model and its batches, and the disk that a bitstream is copied to."""

from __future__ import annotations

import re

from ..packing import WORD_BYTES
from ..program import Program
from ..runtime.buffers import LOG_ENTRY_BYTES
from .report import BOARD, MISSING, OK, WRONG, Case, Line, Outcome
from .system import PAGE_BYTES

FIRMWARE = "/lib/firmware"
FIRMWARE_BYTES = 64 << 20  # a KV260's bitstream has 7.8 MB, and pynq keeps one file for each name
DEFAULT_BYTES = 16 << 20  # where no model is named; the CIFAR-10 models take 2 at batch 16
# Ubuntu for Kria asks for 1000 MB, which can fail without a word; 512 is known to fit the 4 GB board.
BOOT = (
    "sed -i 's/^LINUX_KERNEL_CMDLINE=\"/&cma=512M /' /etc/default/flash-kernel && flash-kernel && reboot"
    "   (remove another cma= there)"
)


def device_bytes(program: Program, batch_size: int) -> int:
    """Contiguous memory that ``QsnnOverlay.load_model`` takes: whole pages for each buffer, two batches."""
    log = len(program.executions(batch_size)) * LOG_ENTRY_BYTES
    batch = (batch_size * program.frame_beats * WORD_BYTES, batch_size * program.result_beats * WORD_BYTES, log)
    planes = [max(WORD_BYTES, plane.nbytes) for plane in program.weights]
    buffers = [max(WORD_BYTES, program.code.nbytes), *planes, program.spill_words * WORD_BYTES, *batch, *batch]
    return sum(-(-size // PAGE_BYTES) * PAGE_BYTES for size in buffers)


def check_cma(case: Case) -> Outcome:
    text = case.system.read("/proc/meminfo") or ""
    sizes = dict(re.findall(r"(Cma\w+):\s*(\d+) kB", text))
    if "CmaTotal" not in sizes:
        return Outcome(MISSING, "the kernel tells of no contiguous memory", BOOT)
    total, free = (int(sizes.get(name, 0)) << 10 for name in ("CmaTotal", "CmaFree"))
    found = f"{total >> 20} MiB, {free >> 20} MiB free; {case.needed_for} takes {case.needed_bytes / 2**20:.1f} MiB"
    if total < case.needed_bytes:
        return Outcome(WRONG, found, BOOT)
    if free < case.needed_bytes:
        return Outcome(WRONG, found, "systemctl restart jupyter   (ends the notebooks that hold it), or reboot")
    return Outcome(OK, found)


def check_disk(case: Case) -> Outcome:
    folder = case.system.path(FIRMWARE)
    if not folder.is_dir():
        return Outcome(MISSING, f"no {FIRMWARE}, where the FPGA manager looks", f"mkdir {FIRMWARE}")
    free = case.system.free_bytes(folder)
    found = f"{free >> 20} MiB free for {FIRMWARE}"
    return Outcome(OK, found) if free >= FIRMWARE_BYTES else Outcome(WRONG, found, "apt-get clean && df -h /")


LINES = (Line("CMA", BOARD, check_cma), Line("disk", BOARD, check_disk, real_only=True))
