"""The C++ benches, the sources as Vitis HLS sees them, and csynth.tcl."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pynq_qsnn.hwspec import DEFAULT_CONFIG
from pynq_qsnn.paths import resource
from pynq_qsnn.runtime.csim import ap_types

HLS = resource("hls")
COMMANDS = Path(__file__).with_name("vitis_commands.tcl")


def compile_flags(*more: str) -> list[str]:
    folders = [f"-I{HLS / name}" for name in ("include", "src", "sim")]
    return ["g++", *more, "-Wno-unknown-pragmas", *folders, "-isystem", str(ap_types())]


def test_benches_pass_with_exact_widths(tmp_path):
    benches = tmp_path / "benches"
    build = [*compile_flags("-std=c++17", "-O1", "-fno-strict-aliasing", "-DQSNN_EXACT_WIDTHS")]
    subprocess.run([*build, str(HLS / "test" / "benches.cpp"), "-o", str(benches)], check=True)
    done = subprocess.run([benches], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    assert int(re.search(r"(\d+) benches passed", done.stdout)[1]) >= 36


def test_stages_also_run_one_after_the_other(tmp_path):
    """As in the C simulation of Vitis HLS: its test bench, plain calls for stages, unbounded streams."""
    bench = tmp_path / "vitis_testbench"
    sequential = f"-I{Path(__file__).with_name('sequential')}"
    flags = compile_flags("-std=c++14", "-O0", "-D__VITIS_HLS__", "-fno-strict-aliasing", sequential)
    whole = tmp_path / "whole.cpp"
    paths = [*sorted((HLS / "src").glob("*.cpp")), HLS / "test" / "vitis_testbench.cpp"]
    whole.write_text("".join(f'#include "{path}"\n' for path in paths))
    subprocess.run([*flags, str(whole), "-o", str(bench)], check=True)
    done = subprocess.run([bench], capture_output=True, text=True, check=False)
    assert done.stdout == "0 errors\n" and done.returncode == 0, done.stderr


def test_kernel_sources_stay_synthesizable():
    """No dynamic memory, recursion by virtual calls, containers, non-blocking stream access or clocks of its own."""
    banned = r"\b(new|delete|malloc|virtual|throw|std::(vector|string|function)|read_nb|write_nb|(empty|full)\(\))\b"
    for path in sorted((HLS / "src").iterdir()):
        code = re.sub(r"//.*|#.*|static_assert\([^;]*;", "", path.read_text())
        assert not re.search(banned, code), path.name
        assert len(path.read_text().splitlines()) < 300, path.name


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh: apt-get install tcl")
@pytest.mark.parametrize(
    "version, variables, refusal",
    [
        ("2022.2", {}, None),
        ("2023.1", {}, None),
        ("2024.2.1", {"XILINX_HLS": "/tools/Vitis_HLS/2022.1"}, None),
        ("2022.1", {"XILINX_HLS": "/tools/Vitis_HLS/2023.2"}, "this is Vitis HLS 2022.1; use 2022.2, 2023.1, 2023.2,"),
        ("2025.1", {}, "this is Vitis HLS 2025.1"),
        ("", {"XILINX_HLS": "/tools/Vitis_HLS/2023.2"}, None),
        ("", {"XILINX_VITIS": "/tools/Vitis/2024.2"}, None),
        ("", {"XILINX_VITIS": "/tools/2025.1/Vitis"}, "this is Vitis HLS 2025.1"),
        ("", {"XILINX_VITIS": "/tools/Vitis"}, "cannot tell the version"),
        ("", {}, "cannot tell the version"),
    ],
)
def test_csynth_script(version, variables, refusal):
    command = ["tclsh", str(COMMANDS), str(HLS / "csynth.tcl"), version]
    variables = {"XILINX_HLS": "", "XILINX_VITIS": "", **variables}
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (refusal is None), done.stdout + done.stderr
    if refusal:
        assert refusal in done.stdout
        return
    config = json.loads(Path(DEFAULT_CONFIG).read_text())
    assert f"set_part {config['part']}" in done.stdout
    assert f"create_clock -period {1000 / config['clock_mhz']:.3f}" in done.stdout
    boxes = {path.stem for path in (HLS / "rtl").glob("*.json")}
    assert set(re.findall(r"add_files -blackbox \S*/(\w+)\.json", done.stdout)) == boxes == {"qsnn_mac_row"}
    # Paths of the description that the tool gets are whole ones: it does not look where the description lies.
    box = json.loads((HLS / "build" / "qsnn_mac_row.json").read_text())
    named = [*box["rtl_files"], *(entry["c_file"] for entry in box["c_files"])]
    named += re.findall(r"-I(\S+)", " ".join(entry["cflag"] for entry in box["c_files"]))
    assert len(named) >= 6 and all(Path(name).is_absolute() and Path(name).exists() for name in named)
    added = re.findall(r"add_files \S*/(\w+)\.cpp -cflags", done.stdout)
    sources = {path.stem for path in (HLS / "src").glob("*.cpp")}
    assert sorted(added) == sorted(sources - boxes) and boxes < sources


def test_one_list_of_releases():
    """Kernel and bitstream are made with the same release; what is said of it elsewhere names the ends of the list."""
    root = HLS.parent
    lists = [
        re.findall(r"^set accepted {(.*)}$", (root / script).read_text(), re.MULTILINE)
        for script in ("hls/csynth.tcl", "overlays/kv260/build.tcl")
    ]
    assert len(lists[0]) == 1 and lists[0] == lists[1]
    releases = lists[0][0].split()
    for document in ("README.md", "hls/README.md", "pynq_qsnn/doctor/overlay.py"):
        named = re.findall(r"(20\d\d\.\d) - (20\d\d\.\d)", (root / document).read_text())
        assert set(named) == {(releases[0], releases[-1])}, document


@pytest.mark.parametrize(
    "tools, command", [(["vitis-run", "vitis_hls"], "vitis-run --mode hls --tcl"), ([], "vitis_hls -f")]
)
def test_csynth_prefers_vitis_run(tmp_path, tools, command):
    for name in ("make", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name))
    for tool in tools:
        (tmp_path / tool).touch(mode=0o755)
    words = ["make", "-n", "--no-print-directory", "-C", str(HLS), "csynth"]
    for more, expected in (([], command), (["HLS_RUN=other -f"], "other -f")):
        environment = {"PATH": str(tmp_path)}
        done = subprocess.run([*words, *more], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == f"{expected} csynth.tcl\n"


@pytest.mark.skipif(shutil.which("clang-format") is None, reason="no clang-format: pip install clang-format")
def test_sources_are_formatted():
    sources = [p for folder in ("src", "sim", "test") for p in (HLS / folder).iterdir()]
    subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, sources)], check=True)
