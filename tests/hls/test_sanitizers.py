"""The benches under AddressSanitizer and UBSan (`make -C hls sanitize`); both see into the stages."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pynq_qsnn.paths import resource

HLS = resource("hls")

# A stage on its own stack; the number of arguments chooses what it does wrong.
STAGE = """
#include <cstdio>
#include "ddr.cpp"
#include "simulation.cpp"

__attribute__((noinline)) int element(const volatile int* code, int index) { return code[index]; }

int main(int argc, char**) {
  sim::Simulation simulation;
  for (int run = 0; run < 3; ++run) {
    simulation.start("bench", [&] {
      volatile int code[4] = {1, 2, 3, 2147483647}, result = 0;
      const int fault = argc - 1;
      if (fault == 0) result = element(code, 3);
      if (fault == 1) result = element(code, fault + 3);
      if (fault == 2) result = code[fault + 2];
      if (fault == 3) result = code[3] + 1;
      if (fault == 4) result = 1 << (code[3] & 63);
      std::printf("%d", int(result));
    });
    if (simulation.run() != sim::Outcome::kDone) return 2;
  }
  std::printf("through");
}
"""


def make(*arguments, **options):
    command = ["make", "-C", str(HLS), f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    (folder / "stage.cpp").write_text(STAGE)
    flags = next(line for line in (HLS / "Makefile").read_text().splitlines() if line.startswith("SANITIZE :="))
    includes = [f"-I{HLS / name}" for name in ("include", "sim")]
    build = ["g++", *flags.split(":=")[1].split(), "-O1", *includes, "stage.cpp", "-o", "stage"]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    if "libasan" in done.stderr or "libubsan" in done.stderr:
        pytest.skip("g++ has no sanitizers here")
    assert done.returncode == 0, done.stderr
    return folder / "stage"


@pytest.mark.parametrize(
    "fault, found",
    [(0, None), (1, "stack-buffer-overflow"), (2, "out of bounds"), (3, "integer overflow"), (4, "shift exponent")],
)
def test_a_fault_in_a_stage_is_found(stage, fault, found):
    done = subprocess.run([stage, *"x" * fault], capture_output=True, text=True, check=False)
    if found:
        assert done.returncode != 0 and found in done.stderr
    else:
        assert done.returncode == 0 and done.stdout.endswith("through"), done.stderr


def test_the_benches_are_clean(stage, tmp_path):
    done = make("sanitize", f"BUILD={tmp_path}", timeout=900)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-3000:]
    assert int(re.search(r"(\d+) benches passed", done.stdout)[1]) >= 36
    assert "runtime error" not in done.stderr and "ERROR" not in done.stderr
