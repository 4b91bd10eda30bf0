"""A KV260 under Kria-PYNQ made of files, for the doctor: no board, no pynq, nothing patched."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from pynq_qsnn.doctor.board import INSERT_OVERLAY, PROFILE, VENV
from pynq_qsnn.doctor.system import Finished, System
from pynq_qsnn.hwspec import load_config

CONFIG = load_config()
BIT = "/root/qsnn_kv260.bit"
APPS = """\
                     Accelerator          Accel_type                            Base           Base_type      \
#slots(PL+AIE)         Active_slot

              k26-starter-kits            XRT_FLAT                k26-starter-kits            XRT_FLAT
               (0+0)                  {slot}
"""
HWH = """<?xml version="1.0"?>
<EDKSYSTEM VIVADOVERSION="2022.2"><MODULES>
<MODULE VLNV="xilinx.com:ip:axi_dma:7.1"><PARAMETERS><PARAMETER NAME="c_sg_length_width" VALUE="26"/>
<PARAMETER NAME="c_addr_width" VALUE="40"/></PARAMETERS></MODULE>
<MODULE VLNV="xilinx.com:ip:axi_intc:4.1"><PARAMETERS/></MODULE>
<MODULE VLNV="xilinx.com:ip:zynq_ultra_ps_e:3.4"><PARAMETERS>
<PARAMETER NAME="PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ" VALUE="249.997498"/></PARAMETERS></MODULE>
</MODULES></EDKSYSTEM>
"""
PL_OFF = 0x0001_0F00
FILES = {
    "/proc/device-tree/compatible": "xlnx,zynqmp-sk-kv260-rev1\0xlnx,zynqmp-smk-k26\0xlnx,zynqmp\0",
    "/proc/meminfo": "MemTotal: 4025676 kB\nCmaTotal: 524288 kB\nCmaFree: 480000 kB\n",
    PROFILE: "source /usr/local/share/pynq-venv/bin/activate\n",
    INSERT_OVERLAY: "",
    f"{VENV}/bin/python3": "",
    f"{VENV}/bin/pynq-qsnn": "",
    "/usr/lib/libxrt_core.so": "",
    "/sys/bus/platform/drivers/zocl-drm/uevent": "",
    "/dev/dri/renderD128": "",
    "/sys/class/fpga_manager/fpga0/state": "operating\n",
    "/sys/class/uio/uio4/name": "fabric\n",
    "/sys/class/hwmon/hwmon0/name": "zynqmp_thermal\n",
    "/sys/class/hwmon/hwmon2/name": "ina260_u14\n",
    "/sys/class/hwmon/hwmon2/power1_input": "4230000\n",
    "/sys/bus/iio/devices/iio:device0/name": "ams\n",
    "/sys/bus/iio/devices/iio:device0/in_temp0_ps_temp_raw": "41000\n",
    "/sys/bus/iio/devices/iio:device0/in_temp0_ps_temp_offset": "-36058\n",
    "/sys/bus/iio/devices/iio:device0/in_temp0_ps_temp_scale": "7.771514892\n",
    "/lib/firmware/other.bin": "",
    BIT: "qsnn_kv260_wrapper;UserID=0XFFFFFFFF",
    BIT.replace(".bit", ".hwh"): HWH,
}
LOADED = {
    "error": None,
    "files": {},
    "registers": {},
    "bitfile": BIT,
    "method": "measured (board)",
    "max_bytes": 2**26 - 1,
    "expected": CONFIG.fingerprint[:16],
    "fingerprint": CONFIG.fingerprint[:16],
    "agree": True,
}


@dataclass
class Kv260:
    """State of the machine; change it, then ask for :attr:`system`."""

    root: Path
    versions: dict = field(
        default_factory=lambda: {"numpy": "1.26.4", "pynq": "3.0.1", "pycparser": "2.22", "ipython": "8.5.0"}
    )
    environ: dict = field(
        default_factory=lambda: {"PATH": f"{VENV}/bin:/usr/bin", "XILINX_XRT": "/usr", "BOARD": "KV260"}
    )
    answers: dict = field(
        default_factory=lambda: {
            "xmutil": Finished(0, APPS.format(slot="-1")),
            "python3": Finished(0, "a line of pynq\ndevices: Pynq\n"),
        }
    )
    loaded: dict | None = field(default_factory=lambda: dict(LOADED))
    load_ends: Finished = Finished(0, "")
    user: int = 0
    python: tuple = (3, 10, 12)
    prefix: str = VENV
    free: int = 1 << 33

    def __post_init__(self):
        for name, text in FILES.items():
            self.write(name, text)
        (self.root / VENV[1:] / "bin/pynq-qsnn").chmod(0o755)
        self.stamp()
        # IOPLL 1500 MHz, RPLL 1200 MHz; PL0 = 1500 / 6, PL1..PL3 off
        self.registers(iopll=0x0001_5A00, rpll=0x0001_4800, pl=(0x0101_0600, PL_OFF, PL_OFF, PL_OFF))

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def remove(self, name: str) -> None:
        self.path(name).unlink()

    def stamp(self, **changes) -> None:
        """The .json that build.tcl writes beside the two files."""
        files = {suffix: self.path(BIT).with_suffix(f".{suffix}").read_bytes() for suffix in ("bit", "hwh")}
        sums = {f"{suffix}_sha256": hashlib.sha256(data).hexdigest() for suffix, data in files.items()}
        stamp = {"fingerprint64": f"{CONFIG.fingerprint64:016X}", "vivado": "2022.2", **sums, **changes}
        self.write(BIT.replace(".bit", ".json"), json.dumps(stamp))

    def registers(self, iopll: int, rpll: int, pl: tuple[int, ...]) -> None:
        """/dev/mem with CRL_APB in it: a file with a hole before it."""
        self.path("/dev/mem").parent.mkdir(exist_ok=True)
        with open(self.path("/dev/mem"), "wb") as stream:
            stream.truncate(0xFF5E_1000)
            for offset, value in ((0x20, iopll), (0x30, rpll), *((0xC0 + 4 * i, word) for i, word in enumerate(pl))):
                stream.seek(0xFF5E_0000 + offset)
                stream.write(value.to_bytes(4, "little"))

    @property
    def system(self) -> System:
        """The machine as the doctor sees it."""
        return System(
            root=self.root,
            environ=self.environ,
            version=self.versions.get,
            run=self._run,
            free_bytes=lambda path: self.free,
            user=self.user,
            python=self.python,
            prefix=self.prefix,
            executable="python3",
            architecture="aarch64",
        )

    def _result(self) -> dict:
        return {**self.loaded, "bitfile": str(self.path(BIT))} if "bitfile" in self.loaded else self.loaded

    def _run(self, command, deadline_s=10.0, environ=None) -> Finished:
        assert deadline_s > 0
        if "pynq_qsnn.doctor.load" in command:
            if self.loaded is not None:
                (Path(json.loads(command[-1])["folder"]) / "result.json").write_text(json.dumps(self._result()))
            return self.load_ends
        if command[0] not in self.answers:
            raise FileNotFoundError(command[0])
        return self.answers[command[0]]
