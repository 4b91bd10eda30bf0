"""The doctor on boards made of files: a healthy one, and one ailment at a time."""

import json
import re

import pytest
from synthetic import APPS, BIT, HWH, LOADED, PL_OFF, Kv260

from pynq_qsnn import doctor
from pynq_qsnn.doctor.board import INSERT_OVERLAY, PROFILE, VENV
from pynq_qsnn.doctor.clocks import IOPLL_MHZ
from pynq_qsnn.doctor.report import BOARD, FAILING, MISSING, OK, OPTIONAL, SKIPPED, WARNING, WRONG, Line
from pynq_qsnn.doctor.system import Finished
from pynq_qsnn.errors import ConfigError

HWMON, IIO = "/sys/class/hwmon/hwmon2", "/sys/bus/iio/devices/iio:device0"


@pytest.fixture
def kv260(tmp_path):
    return Kv260(tmp_path)


def examine(kv260, **options):
    """Name -> check of the board's lines."""
    report = doctor.examine(kv260.system, bitfile=str(kv260.path(BIT)), **options)
    assert [check.name for check in report.checks] == [
        line.name for line in doctor.LINES if line.group in report.groups
    ]
    return {check.name: check for check in report.checks}


def test_a_healthy_board(kv260):
    checks = examine(kv260)
    assert {name: check.status for name, check in checks.items() if check.status != OK} == {
        "overlay loads": SKIPPED,
        "kernel fingerprint": SKIPPED,
        "one frame": SKIPPED,
    }
    assert "--load" in checks["overlay loads"].remedy
    assert checks["temperature"].found.startswith("38.4 degrees")
    assert checks["power sensor"].found.endswith("hwmon2/power1_input, 4.23 W of the whole module")
    assert checks["PL clock"].found.startswith("250.00 MHz now")
    assert checks["DMA"].found.endswith("67,108,863 bytes a transfer")


def test_another_installation_than_kria_pynq(kv260):
    """Without its files, the remedies do not name them."""
    for name in (PROFILE, INSERT_OVERLAY, f"{VENV}/bin/python3", "/dev/dri/renderD128", "/usr/lib/libxrt_core.so"):
        kv260.remove(name)
    kv260.user, kv260.prefix = 1000, "/home/me/venv"
    checks = examine(kv260)
    for name, remedy in (
        ("root", 'sudo -E env "PATH=$PATH" pynq-qsnn doctor'),
        ("PYNQ environment", "install.sh -b KV260"),
        ("zocl", "apt-get install xrt-dkms"),
        ("XRT", "apt-get install xrt"),
    ):
        assert checks[name].status != OK and remedy in checks[name].remedy


def test_a_healthy_board_with_its_overlay_loaded(kv260):
    checks = examine(kv260, load=True)
    assert {check.status for check in checks.values()} == {OK}
    assert "measured (board)" in checks["overlay loads"].found and "exact" in checks["PL clock"].found


def install(**versions):
    def change(kv260):
        kv260.versions.update(versions)

    return change


def environment(**variables):
    def change(kv260):
        kv260.environ.update(variables)

    return change


def attribute(name, value):
    return lambda kv260: setattr(kv260, name, value)


def answer(command, status, output):
    return lambda kv260: kv260.answers.update({command: Finished(status, output)})


def file(name, text):
    return lambda kv260: kv260.write(name, text)


def without(*names):
    return lambda kv260: [kv260.remove(name) for name in names]


def overlay(hwh=HWH, **stamp):
    def change(kv260):
        kv260.write(BIT.replace(".bit", ".hwh"), hwh)
        kv260.stamp(**stamp)

    return change


def clocks(iopll=0x0001_5A00, pl=(0x0101_0600, PL_OFF, PL_OFF, PL_OFF)):
    return lambda kv260: kv260.registers(iopll, 0x0001_4800, pl)


# what is done to the healthy board, the line that tells, its status, what it says, what it says to type
AILMENTS = [
    (attribute("python", (3, 13, 0)), "Python", WRONG, "3.13.0, supported are 3.10 to 3.12", "venv"),
    (install(numpy="2.1.0"), "numpy", WRONG, "2.1.0", "pip install 'numpy<2'"),
    (install(numpy=None), "numpy", MISSING, "not installed", "pip install 'numpy<2'"),
    (install(pynq=None), "pynq", MISSING, "not installed", r"pip install 'pynq-qsnn\[board\]'"),
    (install(pynq="2.7.0"), "pynq", WRONG, "2.7.0, supported", "pip install"),
    (install(pynq="4.0.0"), "pynq", WRONG, "needs the device-tree node chosen/pynq_board", "pip install pynq==3.0.1"),
    (install(pycparser="3.0"), "pynq", WRONG, "pycparser 3.0", "pip install 'pycparser<3'"),
    (install(pynq="3.1.2", pycparser=None), "pynq", WRONG, "pycparser is not", "pip install 'pycparser<3'"),
    (install(ipython=None), "pynq", WRONG, "IPython", "pip install ipython"),
    (attribute("user", 1000), "root", WRONG, "user 1000", "sudo bash -c 'source /etc/profile.d/pynq_venv.sh && "),
    (attribute("prefix", "/usr"), "PYNQ environment", WARNING, "/usr; Kria", "source /etc/profile.d/pynq_venv.sh"),
    (environment(PATH="/usr/bin", SUDO_USER="me"), "PATH", WARNING, "as sudo sets it", "source /etc/profile.d"),
    (environment(BOARD=""), "BOARD variable", WARNING, "not set", "export BOARD=KV260"),
    (environment(XILINX_XRT=""), "XRT", WRONG, "XILINX_XRT is not set", "export XILINX_XRT=/usr$"),
    (environment(XILINX_XRT="/opt/xilinx/xrt"), "XRT", WRONG, "has no lib/libxrt_core.so", "export XILINX_XRT=/usr$"),
    (without("/dev/dri/renderD128"), "zocl", MISSING, "renderD", "python3 .*insert_dtbo.py"),
    (without("/sys/class/fpga_manager/fpga0/state"), "FPGA manager", MISSING, "no /sys/class/fpga", "modprobe"),
    (answer("python3", 0, "devices:\n"), "pynq device", WRONG, "finds no device", "source /etc/profile.d/pynq_venv.sh"),
    (answer("python3", 1, "x\nOSError: libxrt"), "pynq device", WRONG, "OSError: libxrt", "-c 'import pynq'"),
    (answer("python3", None, "no answer within 60 s"), "pynq device", WRONG, "no answer", "import pynq"),
    (answer("xmutil", 0, APPS.format(slot="0,")), "accelerator app", WARNING, "k26-starter-kits", "xmutil unloadapp$"),
    (answer("xmutil", 0, APPS.format(slot="0->0")), "accelerator app", WARNING, "is loaded", "xmutil unloadapp$"),
    (answer("xmutil", None, "no answer within 10 s"), "accelerator app", WARNING, "no answer", "sudo"),
    (lambda kv260: kv260.answers.pop("xmutil"), "accelerator app", OPTIONAL, "no xmutil", "^$"),
    (file("/sys/class/uio/uio4/name", "axi-pmon\n"), "interrupts", OPTIONAL, "polls", "insert_dtbo.py"),
    (file("/proc/meminfo", "MemTotal: 1 kB\n"), "CMA", MISSING, "no contiguous memory", "cma=512M.*flash-kernel"),
    (file("/proc/meminfo", "CmaTotal: 0 kB\nCmaFree: 0 kB\n"), "CMA", WRONG, "0 MiB", "cma=512M.*flash-kernel"),
    (file("/proc/meminfo", "CmaTotal: 524288 kB\nCmaFree: 8192 kB\n"), "CMA", WRONG, "8 MiB free", "restart jupyter"),
    (without("/lib/firmware/other.bin"), None, None, None, None),
    (without(f"{HWMON}/name"), "power sensor", OPTIONAL, "no ina260", "modprobe"),
    (without(f"{HWMON}/power1_input"), "power sensor", WRONG, "power1_input cannot be read", "modprobe"),
    (file(f"{IIO}/in_temp0_ps_temp_raw", "47500\n"), "temperature", WRONG, "88.9 degrees, limit 85", "poweroff"),
    (without(f"{IIO}/in_temp0_ps_temp_raw"), "temperature", OPTIONAL, "no in_temp", "modprobe"),
    (without(f"{IIO}/in_temp0_ps_temp_scale"), "temperature", WRONG, "check itself failed.*_scale", "--json"),
    (overlay(hwh_sha256="0" * 64), "bitstream checksum", WRONG, r"^\.hwh: the SHA-256", "copy .bit"),
    (overlay(bit_sha256="0" * 64), "bitstream checksum", WRONG, r"^\.bit: the SHA-256", "copy .bit"),
    (overlay(fingerprint64="0" * 16), "bitstream contract", WRONG, "built for 0{16}", "make -C overlays/kv260"),
    (overlay(HWH.replace('"26"', '"14"')), "DMA", WRONG, "lengths of 14 bits.*26 and 40", "make"),
    (overlay(HWH.replace('"40"', '"32"')), "DMA", WRONG, "addresses of 32.*26 and 40", "make"),
    (overlay(HWH.replace("axi_dma", "other")), "DMA", WRONG, "no axi_dma", "make"),
    (overlay(HWH.replace("249.997498", "214.28")), "bitstream clock", WRONG, "timed for 214.28", "make"),
    (overlay(HWH.replace("axi_intc", "other")), "interrupt controller", WARNING, "polls", "make"),
    (clocks(iopll=0x0001_4800), "PL clock", WRONG, f"1200.00 MHz, exact clocks divide {IOPLL_MHZ}", "reboot"),
    (
        clocks(pl=(0x0101_0600, 0x0101_0F00, PL_OFF, 0x0101_0F03)),
        "PL clocks 1-3",
        OPTIONAL,
        "PL1 100 MHz, PL3 [?] MHz",
        "CLKACT",
    ),
]


@pytest.mark.parametrize("change, name, status, found, remedy", AILMENTS, ids=lambda value: str(value)[:40])
def test_one_ailment(kv260, change, name, status, found, remedy):
    """The line of the ailment tells it; every other line stays as it was."""
    before = examine(kv260)
    change(kv260)
    after = examine(kv260)
    differing = {key for key in after if after[key].status != before[key].status}
    assert differing == ({name} if name else set())
    if name:
        check = after[name]
        assert check.status == status
        assert re.search(found, check.found), check.found
        assert re.search(remedy, check.remedy), check.remedy


def test_without_a_stamp_it_is_told(kv260):
    kv260.remove(BIT.replace(".bit", ".json"))
    checks = examine(kv260)
    assert checks["bitstream checksum"].status == checks["bitstream contract"].status == WARNING
    assert "no qsnn_kv260.json" in checks["bitstream checksum"].found


@pytest.mark.parametrize("suffix", ("bit", "hwh"))
def test_half_a_pair(kv260, suffix):
    kv260.remove(BIT.replace("bit", suffix))
    checks = examine(kv260)
    assert checks["bitstream"].status == MISSING and f"qsnn_kv260.{suffix}" in checks["bitstream"].found
    assert checks["DMA"].status == checks["bitstream checksum"].status == SKIPPED


def test_the_emulated_bitstream_is_refused_on_a_board(kv260):
    kv260.write(BIT, "qsnn_kv260_emulated;UserID")
    assert examine(kv260)["bitstream"].status == WRONG


def test_pynq_4_with_its_node(kv260):
    kv260.versions["pynq"] = "4.0.0"
    kv260.write("/proc/device-tree/chosen/pynq_board", "KV260\0")
    assert examine(kv260)["pynq"].status == OK


def test_a_sensor_with_shared_attributes(kv260):
    for part in ("offset", "scale"):
        kv260.path(f"{IIO}/in_temp0_ps_temp_{part}").rename(kv260.path(f"{IIO}/in_temp_{part}"))
    assert examine(kv260)["temperature"].found.startswith("38.4 degrees")


def test_no_right_to_read_registers(kv260):
    kv260.remove("/dev/mem")
    checks = examine(kv260)
    assert checks["PL clock"].status == checks["PL clocks 1-3"].status == SKIPPED


NO_FRAME = {key: value for key, value in LOADED.items() if key != "agree"}
# the child's answer, how it ended, line -> status
LOADS = [
    ({**LOADED, "agree": False}, 0, {"one frame": WRONG}),
    ({**NO_FRAME, "error": "no"}, 0, {"one frame": WRONG}),
    ({**NO_FRAME, "fingerprint": "0" * 16, "error": "no"}, 0, {"kernel fingerprint": WRONG}),
    ({"error": "DeviceError: clock", "files": {}, "registers": {}}, 0, {"overlay loads": WRONG}),
    (None, -7, {"overlay loads": WRONG}),
    (None, None, {"overlay loads": WRONG}),
]


@pytest.mark.parametrize("loaded, ends, failing", LOADS)
def test_a_load_that_fails(kv260, loaded, ends, failing):
    kv260.loaded, kv260.load_ends = loaded, Finished(ends, "Bus error")
    checks = examine(kv260, load=True)
    found = {name: check.status for name, check in checks.items() if check.status in FAILING}
    assert found == failing
    assert all(checks[name].found and checks[name].remedy for name in found)


def test_a_crash_of_the_load_names_its_signal(kv260):
    kv260.loaded, kv260.load_ends = None, Finished(-7, "pynq says something\nlast words")
    assert examine(kv260, load=True)["overlay loads"].found.endswith("ended with SIGBUS: last words")


def test_a_remote_board_is_loaded_and_this_machine_not_asked_for_it(kv260):
    kv260.environ["PYNQ_REMOTE_DEVICES"], kv260.versions["pynq"] = "10.0.0.2", "3.1.2"
    report = doctor.examine(kv260.system, load=True)
    assert "10.0.0.2" in report.machine and not report.failing
    board = [check.name for check in report.checks if check.group == BOARD]
    assert board == ["overlay loads", "kernel fingerprint", "one frame"]


def test_a_clock_that_is_off_after_the_load(kv260):
    kv260.registers(0x0001_5A00, 0x0001_4800, (0x0101_0700, PL_OFF, PL_OFF, PL_OFF))
    assert examine(kv260)["PL clock"].status == OK
    check = examine(kv260, load=True)["PL clock"]
    assert check.status == WRONG and "214.29 MHz with the overlay loaded, not 250 MHz" in check.found


def test_contiguous_memory_for_a_model(kv260, sample_program):
    kv260.write("/proc/meminfo", "CmaTotal: 2048 kB\nCmaFree: 2048 kB\n")
    assert examine(kv260)["CMA"].status == WRONG
    assert examine(kv260, program=sample_program, batch_size=1)["CMA"].status == OK
    check = examine(kv260, program=sample_program, batch_size=100_000)["CMA"]
    assert check.status == WRONG and "at batch 100000" in check.found


def test_a_full_disk(kv260):
    kv260.free = 1 << 20
    checks = examine(kv260)
    assert checks["disk"].status == checks["cache folder"].status == WRONG


def test_no_garbage_stops_the_report(kv260):
    """Each file in turn empty, binary, a folder, or gone: every line is there, each failing one with a remedy."""
    files = [path for path in kv260.root.rglob("*") if path.is_file() and path.name != "mem"]
    assert len(files) > 20
    for path in files:
        kept = path.read_bytes()
        for change in (b"", b"\xff\xfe{", None, "folder"):
            path.unlink()
            if change == "folder":
                path.mkdir()
            elif change is not None:
                path.write_bytes(change)
            for check in examine(kv260).values():
                assert check.remedy or check.status not in FAILING, check
            if path.is_dir():
                path.rmdir()
            path.write_bytes(kept)
            path.chmod(0o755)
    assert not [check for check in examine(kv260).values() if check.status in FAILING]


def test_an_unexpected_error_is_a_line(kv260):
    def broken(case):
        raise RuntimeError("weird machine")

    case = object.__new__(doctor.Case)
    object.__setattr__(case, "system", kv260.system)
    check = Line("any", BOARD, broken).check(case)
    assert check.status == WRONG and "RuntimeError: weird machine" in check.found and "--json" in check.remedy


def test_groups(kv260):
    assert {c.group for c in doctor.examine(kv260.system).checks} == {"both", "board"}
    assert {c.group for c in doctor.examine(kv260.system, group="all").checks} == {"both", "host", "board"}
    kv260.remove("/proc/device-tree/compatible")
    assert {c.group for c in doctor.examine(kv260.system).checks} == {"both", "host"}
    with pytest.raises(ConfigError, match="no lines of a board"):
        doctor.examine(kv260.system, group="host", load=True)


def test_names_are_unique_and_the_report_is_json(kv260):
    names = [line.name for line in doctor.LINES]
    assert len(set(names)) == len(names)
    json.dumps([vars(check) for check in doctor.examine(kv260.system, group="all").checks])
