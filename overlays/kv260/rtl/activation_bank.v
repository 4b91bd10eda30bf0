// One bank of the activation memory: UltraRAM with a write port and a read port, both of the kernel.
//
// The read data arrive READ_LATENCY clocks after the address, the `latency` that hls/src/top.cpp declares for
// activations_read: the memory's own register and the ones that Vivado pulls into the URAM column (OREG, cascade).
// UltraRAM has no initial contents: the compiler never lets a layer read a word that no layer has written.
`default_nettype none

module activation_bank #(
    parameter integer WORDS = 8192,
    parameter integer WORD_BITS = 128,
    parameter integer ADDRESS_BITS = 13,
    parameter integer READ_LATENCY = 3
) (
    input  wire                    clk,
    input  wire [ADDRESS_BITS-1:0] write_address,
    input  wire                    write_ce,
    input  wire                    write_we,
    input  wire [WORD_BITS-1:0]    write_data,
    input  wire [ADDRESS_BITS-1:0] read_address,
    input  wire                    read_ce,
    output wire [WORD_BITS-1:0]    read_data
);
  (* ram_style = "ultra" *) reg [WORD_BITS-1:0] memory [0:WORDS-1];
  reg [WORD_BITS-1:0] stage [0:READ_LATENCY-1];

  always @(posedge clk) begin
    if (write_ce && write_we) memory[write_address] <= write_data;
  end

  // Every stage moves with ce, as in the memories that Vitis HLS generates itself: the kernel holds ce while reads are
  // in flight and drops it when their pipeline stalls, and no word is lost.
  integer i;
  always @(posedge clk) begin
    if (read_ce) begin
      stage[0] <= memory[read_address];
      for (i = 1; i < READ_LATENCY; i = i + 1) stage[i] <= stage[i-1];
    end
  end

  assign read_data = stage[READ_LATENCY-1];
endmodule

`default_nettype wire
