"""The overlay's own Verilog, simulated where Icarus Verilog is installed."""

import shutil
import subprocess

import pytest

from pynq_qsnn.paths import resource

pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="no iverilog: apt-get install iverilog")

BENCH = """
module bench;
  reg clk = 0, resetn = 0, write = 0, read_ce = 0;
  reg [3:0] write_address = 0, read_address = 0;
  reg [127:0] write_data = 0;
  wire [127:0] read_data;
  wire [63:0] now;
  integer i, errors = 0;
  activation_bank #(.WORDS(16), .ADDRESS_BITS(4)) bank (
      .clk(clk), .write_address(write_address), .write_ce(write), .write_we(write), .write_data(write_data),
      .read_address(read_address), .read_ce(read_ce), .read_data(read_data));
  cycle_counter counter (.clk(clk), .resetn(resetn), .now(now));
  always #1 clk = ~clk;

  task check(input [127:0] found, input [127:0] wanted);
    if (found !== wanted) begin
      errors = errors + 1;
      $display("found %h, wanted %h", found, wanted);
    end
  endtask

  function [127:0] word(input [31:0] address);
    word = {4{32'h1000 + address}};
  endfunction

  initial begin
    for (i = 0; i < 16; i = i + 1) begin
      @(negedge clk) write = 1; write_address = i; write_data = word(i);
    end
    @(negedge clk) write = 0; resetn = 1; read_ce = 1;
    // one address a clock; each word appears three clocks after its address
    for (i = 0; i < 16 + 3; i = i + 1) begin
      read_address = i;
      if (i >= 3) check(read_data, word(i - 3));
      @(negedge clk);
    end
    // a stall holds the words in flight
    read_address = 5; @(negedge clk);
    read_address = 6; @(negedge clk);
    read_ce = 0; repeat (4) @(negedge clk);
    read_ce = 1; @(negedge clk); check(read_data, word(5));
    @(negedge clk); check(read_data, word(6));
    check(now, 19 + 2 + 4 + 2);
    $display("errors %0d", errors);
    $finish;
  end
endmodule
"""


def test_memory_latency_stall_and_counter(tmp_path):
    bench, program = tmp_path / "bench.v", tmp_path / "bench"
    bench.write_text(BENCH)
    sources = sorted(resource("overlays", "kv260", "rtl").glob("*.v"))
    subprocess.run(["iverilog", "-Wall", "-g2005", "-o", program, bench, *sources], check=True, timeout=30)
    done = subprocess.run(["vvp", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "errors 0"
