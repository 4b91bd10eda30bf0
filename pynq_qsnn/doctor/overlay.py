"""The bitstream, its hand-off file and its stamp: read as files, nothing is loaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from xml.etree import ElementTree

from ..errors import OverlayMissing
from ..kv260 import DMA_TYPE, EMULATED_MARK
from .report import BOARD, MISSING, OK, SKIPPED, WARNING, WRONG, Case, Line, Outcome

BUILD = "make -C overlays/kv260   (with Vitis HLS and Vivado 2022.2 - 2024.2), or pynq-qsnn doctor --emulate"
COPY = "copy .bit, .hwh and .json of one build to the board once more, all three"
INTERRUPT_TYPE, SYSTEM_TYPE = ":ip:axi_intc:", ":ip:zynq_ultra_ps_e:"
PL0_MHZ = "PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ"


def _pair(case: Case) -> tuple[bytes, bytes]:
    """Contents of .bit and .hwh. Raises OverlayMissing, whose text is the line's."""
    bit = Path(case.bitfile)
    for path in (bit, bit.with_suffix(".hwh")):
        if not path.is_file():
            raise OverlayMissing(f"no {path}")
    return bit.read_bytes(), bit.with_suffix(".hwh").read_bytes()


def modules(hwh: bytes) -> dict[str, dict[str, str]]:
    """VLNV -> parameters, their names in capitals, of each cell of a hand-off file. Raises ElementTree.ParseError."""
    return {
        module.get("VLNV", ""): {p.get("NAME", "").upper(): p.get("VALUE", "") for p in module.iter("PARAMETER")}
        for module in ElementTree.fromstring(hwh).iter("MODULE")
    }


def _cell(hwh: bytes, kind: str) -> dict[str, str] | None:
    return next((parameters for vlnv, parameters in modules(hwh).items() if kind in vlnv), None)


def check_bitstream(case: Case) -> Outcome:
    try:
        bit, _ = _pair(case)
    except OverlayMissing as error:
        return Outcome(MISSING, str(error), BUILD)
    if EMULATED_MARK in bit[:256] and not case.system.emulated:
        return Outcome(WRONG, f"{case.bitfile} is the emulated board's and holds no circuit", BUILD)
    place = Path(case.bitfile).name if case.system.emulated else case.bitfile
    return Outcome(OK, f"{place} and .hwh, {len(bit):,} bytes")


def _needs_pair(check):
    """A check of (case, bit, hwh) as one of a case; without the two files it is the line "bitstream" that fails."""

    def made(case: Case) -> Outcome:
        try:
            return check(case, *_pair(case))
        except OverlayMissing:
            return Outcome(SKIPPED, "needs .bit and .hwh")
        except ElementTree.ParseError as error:
            return Outcome(WRONG, f"{Path(case.bitfile).with_suffix('.hwh')} is no hand-off file: {error}", COPY)

    return made


def _stamp(case: Case) -> dict | None:
    """What build.tcl wrote beside the .bit; None where there is no such file. Raises ValueError for another one."""
    path = Path(case.bitfile).with_suffix(".json")
    if not path.is_file():
        return None
    stamp = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(stamp, dict):
        raise ValueError(f"{path} is not a stamp of build.tcl")
    return stamp


@_needs_pair
def check_checksum(case: Case, bit: bytes, hwh: bytes) -> Outcome:
    """Do .bit and .hwh come from one build? Nothing inside a real .bit names its .hwh, so build.tcl stamps both."""
    sums = {"bit": hashlib.sha256(bit).hexdigest(), "hwh": hashlib.sha256(hwh).hexdigest()}
    if EMULATED_MARK in bit[:256]:
        if bytes.fromhex(sums["hwh"]) in bit:
            return Outcome(OK, "the .bit holds the SHA-256 of the .hwh")
        return Outcome(WRONG, "the .bit holds the SHA-256 of another .hwh", COPY)
    name = Path(case.bitfile).with_suffix(".json").name
    stamp = _stamp(case)
    if stamp is None:
        return Outcome(WARNING, f"no {name} beside the .bit: whether .bit and .hwh belong together is not known", COPY)
    bad = [f".{suffix}" for suffix, value in sums.items() if stamp.get(f"{suffix}_sha256") != value]
    if bad:
        return Outcome(WRONG, f"{' and '.join(bad)}: the SHA-256 is not the one in {name}", COPY)
    return Outcome(OK, f"SHA-256 of .bit and .hwh as in {name}")


@_needs_pair
def check_stamp(case: Case, bit: bytes, hwh: bytes) -> Outcome:
    """Was it built from this release's contract? A claim of the files; after a load the kernel is asked itself."""
    expected = case.config.fingerprint[:16]
    if EMULATED_MARK in bit[:256]:
        release = ElementTree.fromstring(hwh).get("VIVADOVERSION", "")
        good = release.endswith(case.config.fingerprint)
        return Outcome(OK, expected) if good else Outcome(WRONG, f"{release}, this release has {expected}", BUILD)
    found = (_stamp(case) or {}).get("fingerprint64")
    if found is None:
        return Outcome(WARNING, "no stamp beside the .bit tells its contract", "pynq-qsnn doctor --load")
    found = int(found, 16).to_bytes(8, "little").hex()  # build.tcl has the number from a C++ header
    if found != expected:
        return Outcome(WRONG, f"built for {found}, this release has {expected}", BUILD)
    return Outcome(OK, expected)


@_needs_pair
def check_dma(case: Case, bit: bytes, hwh: bytes) -> Outcome:
    dma = _cell(hwh, DMA_TYPE)
    if dma is None:
        return Outcome(WRONG, "no axi_dma in the .hwh: not an overlay of pynq_qsnn", BUILD)
    found, wanted = int(dma.get("C_SG_LENGTH_WIDTH", 0)), case.config.dma_length_bits
    address, least = int(dma.get("C_ADDR_WIDTH", 0)), case.config.address_bits
    told = f"lengths of {found} bits, addresses of {address}"
    if found != wanted or address < least:
        return Outcome(WRONG, f"{told}; the contract says {wanted} and {least}", BUILD)
    return Outcome(OK, f"{told}: {2**found - 1:,} bytes a transfer")


@_needs_pair
def check_rating(case: Case, bit: bytes, hwh: bytes) -> Outcome:
    system, wanted = _cell(hwh, SYSTEM_TYPE), case.config.clock_mhz
    if system is None or PL0_MHZ not in system:
        return Outcome(WRONG, "the .hwh names no PL clock", BUILD)
    rated = float(system[PL0_MHZ])
    if abs(rated - wanted) > 1e-3 * wanted:
        return Outcome(WRONG, f"timed for {rated:g} MHz, the contract says {wanted}", BUILD)
    return Outcome(OK, f"{rated:g} MHz")


@_needs_pair
def check_controller(case: Case, bit: bytes, hwh: bytes) -> Outcome:
    if _cell(hwh, INTERRUPT_TYPE) is None:
        return Outcome(WARNING, "no axi_intc in the .hwh: pynq cannot make interrupts, the driver polls", BUILD)
    return Outcome(OK, "axi_intc")


LINES = (
    Line("bitstream", BOARD, check_bitstream),
    Line("bitstream checksum", BOARD, check_checksum),
    Line("bitstream contract", BOARD, check_stamp),
    Line("bitstream clock", BOARD, check_rating),
    Line("DMA", BOARD, check_dma),
    Line("interrupt controller", BOARD, check_controller),
)
