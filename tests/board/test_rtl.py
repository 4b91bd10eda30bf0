"""The overlay's own Verilog: simulated by Icarus Verilog, linted by Verilator, where they are installed."""

import shutil
import subprocess

import pytest

from pynq_qsnn.hwspec import load_config
from pynq_qsnn.paths import resource

CONFIG = load_config()
SOURCES = sorted(resource("overlays", "kv260", "rtl").glob("*.v"))
needs_iverilog = pytest.mark.skipif(shutil.which("iverilog") is None, reason="no iverilog: apt-get install iverilog")
needs_verilator = pytest.mark.skipif(shutil.which("verilator") is None, reason="no verilator: apt-get install it")

COUNTER_BENCH = """
module bench;
  reg clk = 0, resetn = 0;
  wire [63:0] now;
  cycle_counter counter (.clk(clk), .resetn(resetn), .now(now));
  always #1 clk = ~clk;
  initial begin
    repeat (3) @(negedge clk);
    if (now !== 0) $display("in reset: %0d", now);
    resetn = 1;
    repeat (1000) @(negedge clk);
    if (now !== 1000) $display("after 1000 clocks: %0d", now);
    $display("done");
    $finish;
  end
endmodule
"""

# Reads and writes at random on both ports, with random enables, against a memory and a pipeline of the bench's own.
# No word is read in the clock in which it is written. The bench's pipeline is three clocks with read_ce long.
MEMORY_BENCH = """
module bench;
  localparam WORDS = {words}, BITS = {bits}, ADDRESS = {address_bits};
  reg clk = 0, write_ce = 0, write_we = 0, read_ce = 0;
  reg [ADDRESS-1:0] write_address = 0, read_address = 0;
  reg [BITS-1:0] write_data = 0;
  wire [BITS-1:0] read_data;
  reg [BITS-1:0] model [0:WORDS-1];
  reg [BITS-1:0] first, second, third;
  integer i, checked = 0, reads = 0, errors = 0, seed = {seed};
  {module} #(.WORDS(WORDS), .WORD_BITS(BITS), .ADDRESS_BITS(ADDRESS)) memory (
      .clk(clk), .write_address(write_address), .write_ce(write_ce), .write_we(write_we), .write_data(write_data),
      .read_address(read_address), .read_ce(read_ce), .read_data(read_data));
  always #1 clk = ~clk;

  function [BITS-1:0] word(input integer value);
    integer j;
    for (j = 0; j < BITS / 32; j = j + 1) word[32*j +: 32] = value * 32'h9E3779B1 + j * 32'h85EBCA6B;
  endfunction

  task write(input integer address, input [BITS-1:0] data);
    begin
      @(negedge clk) write_ce = 1; write_we = 1; write_address = address; write_data = data;
      model[address] = data;
    end
  endtask

  // One clock: the model moves exactly when the memory should.
  task clock;
    begin
      @(posedge clk);
      if (read_ce) begin
        third = second; second = first; first = model[read_address];
        reads = reads + 1;
      end
      if (write_ce && write_we) model[write_address] = write_data;
      @(negedge clk);
      if (reads >= 3) begin
        checked = checked + 1;
        if (read_data !== third) begin
          errors = errors + 1;
          if (errors < 5) $display("clock %0d: found %h, wanted %h", checked, read_data, third);
        end
      end
    end
  endtask

  initial begin
    for (i = 0; i < WORDS; i = i + 1) write(i, word(i));
    @(negedge clk) write_ce = 0;
    // one address a clock, up to the last
    for (i = 0; i < WORDS; i = i + 1) begin
      read_ce = 1; read_address = i; clock;
    end
    // a stall holds the words in flight, whatever the address does meanwhile
    repeat (5) begin
      read_ce = 0; read_address = $unsigned($random(seed)) % WORDS; clock;
    end
    for (i = 0; i < {clocks}; i = i + 1) begin
      read_ce = $random(seed);
      write_ce = $random(seed);
      write_we = $random(seed);
      // half of the time in one corner of 4 words, so that what was just written is read
      read_address = $unsigned($random(seed)) % ($random(seed) & 1 ? WORDS : 4);
      write_address = $unsigned($random(seed)) % ($random(seed) & 1 ? WORDS : 4);
      write_data = word($random(seed));
      if (write_address == read_address) write_ce = 0;
      clock;
    end
    $display("errors %0d of %0d", errors, checked);
    $finish;
  end
endmodule
"""


def simulate(folder, text: str) -> str:
    """What a bench prints."""
    bench, program = folder / "bench.v", folder / "bench"
    bench.write_text(text)
    subprocess.run(["iverilog", "-Wall", "-g2005", "-o", program, bench, *SOURCES], check=True, timeout=60)
    done = subprocess.run(["vvp", program], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


@needs_iverilog
def test_cycle_counter(tmp_path):
    assert simulate(tmp_path, COUNTER_BENCH) == "done"


@needs_iverilog
@pytest.mark.parametrize(
    "module, words, bits",
    [
        ("activation_bank", 16, 128),
        ("activation_bank", CONFIG.activation_bank_words, CONFIG.bus_bits),
        ("weight_ring", 24, 512),
        ("weight_ring", CONFIG.weight_ring_beats, CONFIG.weight_beat_bits),
    ],
)
def test_memory_latency_stalls_and_random_traffic(tmp_path, module, words, bits):
    clocks = 4000
    printed = simulate(
        tmp_path,
        MEMORY_BENCH.format(
            module=module,
            words=words,
            bits=bits,
            address_bits=(words - 1).bit_length(),
            clocks=clocks,
            seed=words,
        ),
    )
    assert printed == f"errors 0 of {words + 5 + clocks - 2}"


@needs_iverilog
def test_the_bench_sees_a_wrong_latency(tmp_path):
    text = MEMORY_BENCH.format(module="weight_ring", words=24, bits=512, address_bits=5, clocks=100, seed=1)
    printed = simulate(tmp_path, text.replace(".WORDS(WORDS)", ".WORDS(WORDS), .READ_LATENCY(2)"))
    assert int(printed.rpartition("errors ")[2].split()[0]) > 50


@needs_verilator
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_lint(source):
    command = ["verilator", "--lint-only", "-Wall", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
