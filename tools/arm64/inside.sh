#!/usr/bin/env bash
# The part of run.sh that runs inside the arm64 root. Every step is printed with its wall time.
set -euo pipefail
cd /root/check

step() { # step TITLE COMMAND...
    echo "== $1"
    shift
    local begin=$SECONDS
    "$@"
    echo "   $((SECONDS - begin)) s"
}

date -u +%F
uname -srm
python3 --version
g++ --version | head -n 1

# As on a board without a network. PYNQ_REMOTE=1 is pynq's own way to leave out its C libraries for audio and video, which
# need the headers of Kria-PYNQ's libdrm, and its notebooks. On a KV260 none of this happens: Kria-PYNQ has installed pynq.
export PYNQ_REMOTE=1
install() { /root/venv/bin/pip install --quiet --no-index --find-links /root/packages "$@"; }
rm -rf /root/venv
step "python3 -m venv" python3 -m venv /root/venv
step "setuptools, wheel" install setuptools wheel
step "pip install 'pynq-qsnn[board]'" install --no-build-isolation 'pynq-qsnn[board]'
step "test tools" install -r <(printf '%s\n' pytest hypothesis nbclient ipykernel matplotlib)
install --no-deps hls4ml # the ap_int headers that the emulated board's kernel is compiled with
/root/venv/bin/pip list 2>/dev/null | grep -iE '^(numpy|pynq|pydantic|typing_extensions|grpcio)'

export PATH=/root/venv/bin:$PATH
step "pynq-qsnn --version" pynq-qsnn --version
# Not here: the overlay's build scripts and Verilog, which no board runs, and what asks whether Python keeps up with the
# board's time, which it does not under qemu.
step "driver and power meter" pytest -q -r fE tests/board tests/power --ignore tests/board/test_build_script.py \
    --ignore tests/board/test_rtl.py --ignore tests/power/test_power_emulated.py \
    --deselect tests/board/test_stream.py::test_keeps_the_kernel_busy
step "simulator, bit for bit" pytest -q -r fE tests/simulator
step "pynq get-notebooks pynq-qsnn" pynq get-notebooks pynq-qsnn --quiet --device KV260 --path .
step "notebook $1" python - "pynq-qsnn/$1" <<'PYTHON'
import sys, nbformat, nbclient

notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=None).execute()
for cell in notebook.cells:
    for output in cell.get("outputs", ()):
        if output.get("name") == "stdout":  # what is drawn is drawn for nobody, and progress bars are in stderr
            print(output["text"], end="")
PYTHON
