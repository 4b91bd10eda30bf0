"""The KV260 itself: rights, the PYNQ environment, XRT, the FPGA manager, what else is loaded.

Paths and variables are those of Kria-PYNQ's install.sh (Ubuntu 22.04): its profile script activates the environment,
exports BOARD and XILINX_XRT and inserts pynq.dtbo, which brings zocl and the uio device.
"""

from __future__ import annotations

import re

from ..runtime import machine
from .report import BOARD, MISSING, OK, OPTIONAL, WARNING, WRONG, Case, Line, Outcome
from .system import System

PROFILE = "/etc/profile.d/pynq_venv.sh"
VENV = "/usr/local/share/pynq-venv"
INSERT_OVERLAY = f"{VENV}/pynq-dts/insert_dtbo.py"
XRT_FOLDERS = ("/usr", "/opt/xilinx/xrt")  # Kria-PYNQ's, and that of AMD's own package
XRT_LIBRARY = "lib/libxrt_core.so"
KRIA_INSTALL = (
    "git clone https://github.com/Xilinx/Kria-PYNQ && cd Kria-PYNQ && sudo bash install.sh -b KV260   (25 minutes)"
)
FPGA_MANAGER = "/sys/class/fpga_manager/fpga0"
DEVICE_DEADLINE_S = 60.0
# Every row of xmutil listapps ends in "(PL+AIE slots)  active slot"; -1 is not loaded. Long rows are wrapped.
LOADED_APP = re.compile(r"(\S+)\s+\S+\s+\S+\s+\S+\s+\(\d+\+\d+\)\s+\d")


def as_root(system: System) -> str:
    """What to type to run the doctor as root in the PYNQ environment: sudo alone replaces PATH and variables."""
    if system.exists(PROFILE):
        return f"sudo bash -c 'source {PROFILE} && pynq-qsnn doctor'"
    return 'sudo -E env "PATH=$PATH" pynq-qsnn doctor'


def _source(system: System) -> str:
    return f"source {PROFILE}" if system.exists(PROFILE) else KRIA_INSTALL


def board_names(system: System) -> str:
    """The device tree's names of the machine; "" without a device tree."""
    return system.read("/proc/device-tree/compatible") or ""


def is_kv260(system: System) -> bool:
    """A KV260, its K26 module, or an emulated one."""
    return system.emulated or machine.is_kv260(board_names(system))


def check_board(case: Case) -> Outcome:
    system = case.system
    names = system.read("/proc/device-tree/chosen/pynq_board") if system.emulated else board_names(system)
    if is_kv260(system):
        return Outcome(OK, names or "")
    found = names or f"no device tree, {system.architecture}"
    return Outcome(MISSING, f"not a KV260: {found}", "pynq-qsnn doctor --emulate   (the emulated board)")


def check_root(case: Case) -> Outcome:
    if case.system.user == 0:
        return Outcome(OK, "root")
    found = f"user {case.system.user}; the PL and its memory belong to root"
    return Outcome(WRONG, found, as_root(case.system))


def check_environment(case: Case) -> Outcome:
    system = case.system
    if not system.exists(f"{VENV}/bin/python3"):
        if system.version("pynq"):
            return Outcome(WARNING, f"{system.prefix}, not Kria-PYNQ's {VENV}, which is not there", KRIA_INSTALL)
        return Outcome(MISSING, f"no {VENV}", KRIA_INSTALL)
    if system.prefix != VENV:
        return Outcome(WARNING, f"{system.prefix}; Kria-PYNQ's is {VENV}", _source(system))
    return Outcome(OK, system.prefix)


def check_path(case: Case) -> Outcome:
    place = case.system.on_path("pynq-qsnn")
    if place:
        return Outcome(OK, place)
    told = ", as sudo sets it" if "SUDO_USER" in case.system.environ else ""
    remedy = f"source {PROFILE}" if case.system.exists(PROFILE) else f'export PATH="{case.system.prefix}/bin:$PATH"'
    return Outcome(WARNING, f"no pynq-qsnn on the PATH{told}", remedy)


def check_board_variable(case: Case) -> Outcome:
    found = case.system.environ.get("BOARD", "")
    if found == "KV260":
        return Outcome(OK, found)
    # only pynq's delivery of overlays and notebooks reads it
    return Outcome(WARNING, found or "not set; `pynq get-notebooks` reads it", "export BOARD=KV260")


def check_xrt(case: Case) -> Outcome:
    system = case.system
    folder = system.environ.get("XILINX_XRT")
    places = [place for place in XRT_FOLDERS if system.exists(f"{place}/{XRT_LIBRARY}")]
    remedy = f"export XILINX_XRT={places[0]}" if places else "apt-get install xrt"
    if not folder:
        status = WRONG if places else MISSING
        return Outcome(status, "XILINX_XRT is not set: pynq finds no memory", remedy)
    if not system.exists(f"{folder.rstrip('/')}/{XRT_LIBRARY}"):
        return Outcome(WRONG, f"XILINX_XRT is {folder}, which has no {XRT_LIBRARY}", remedy)
    return Outcome(OK, folder)


def check_zocl(case: Case) -> Outcome:
    system = case.system
    nodes = [name for name in system.names("/dev/dri") if name.startswith("renderD")]
    if system.exists("/sys/bus/platform/drivers/zocl-drm") and nodes:
        return Outcome(OK, ", ".join(nodes))
    told = "no driver zocl-drm" if nodes else "no /dev/dri/renderD*"
    remedy = f"python3 {INSERT_OVERLAY}" if system.exists(INSERT_OVERLAY) else "apt-get install xrt-dkms"
    return Outcome(MISSING, f"{told}: pynq cannot allocate memory", remedy)


def check_fpga_manager(case: Case) -> Outcome:
    state = case.system.read(f"{FPGA_MANAGER}/state")
    if state is None:
        return Outcome(MISSING, f"no {FPGA_MANAGER}", "modprobe zynqmp-fpga")
    return Outcome(OK, state)


def check_device(case: Case) -> Outcome:
    system = case.system
    code = "from pynq import Device; print('devices:', *(d.name for d in Device.devices))"
    done = system.run([system.executable, "-W", "ignore", "-c", code], DEVICE_DEADLINE_S)
    last = (done.output.strip().splitlines() or ["no output"])[-1]
    if done.status != 0:
        return Outcome(WRONG, f"importing pynq fails: {last}", f"{system.executable} -c 'import pynq'")
    names = last.removeprefix("devices:").strip()
    remedy = as_root(system) if system.user else _source(system)
    return Outcome(OK, names) if names else Outcome(WRONG, "pynq finds no device", remedy)


def check_app(case: Case) -> Outcome:
    try:
        done = case.system.run(["xmutil", "listapps"])
    except FileNotFoundError:
        return Outcome(OPTIONAL, "no xmutil here, so nothing that it would load")
    if done.status != 0:
        told = done.output.strip().splitlines() or [f"exit status {done.status}"]
        return Outcome(WARNING, f"xmutil listapps: {told[-1]}", as_root(case.system))
    loaded = LOADED_APP.findall(done.output)
    if loaded:
        return Outcome(WARNING, f"{', '.join(loaded)} is loaded and has drivers in the PL", "xmutil unloadapp")
    return Outcome(OK, "none loaded")


def check_interrupts(case: Case) -> Outcome:
    system = case.system
    names = [system.read(f"/sys/class/uio/{entry}/name") for entry in system.names("/sys/class/uio")]
    if "fabric" in names:
        return Outcome(OK, "uio device fabric")
    remedy = f"python3 {INSERT_OVERLAY}"
    return Outcome(OPTIONAL, "no uio device fabric; the driver polls", remedy if system.exists(INSERT_OVERLAY) else "")


LINES = (
    Line("KV260", BOARD, check_board),
    Line("root", BOARD, check_root, real_only=True),
    Line("PYNQ environment", BOARD, check_environment, real_only=True),
    Line("PATH", BOARD, check_path, real_only=True),
    Line("BOARD variable", BOARD, check_board_variable, real_only=True),
    Line("XRT", BOARD, check_xrt, real_only=True),
    Line("zocl", BOARD, check_zocl, real_only=True),
    Line("FPGA manager", BOARD, check_fpga_manager),
    Line("pynq device", BOARD, check_device, real_only=True),
    Line("accelerator app", BOARD, check_app, real_only=True),
    Line("interrupts", BOARD, check_interrupts, real_only=True),
)
