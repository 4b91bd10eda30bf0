// The weight ring: UltraRAM with a write port (unpack_weights) and a read port (hold_weights), both of the kernel.
//
// A word is a beat of the wide weight path: 64 int8 weights, or 128 int4. The read data arrive READ_LATENCY clocks
// after the address, the `latency` that hls/src/top.cpp declares for ring_read: the memory's own register and the ones
// that Vivado pulls into the URAM column (OREG, cascade). 20480 x 512 bits are 8 columns of 5 URAMs.
// No word is read in the clock in which it is written: the kernel's tokens keep both ends of the ring apart (WeightRing
// in hls/src/types.hpp), so what such a read returns does not matter.
`default_nettype none

module weight_ring #(
    parameter integer WORDS = 20480,
    parameter integer WORD_BITS = 512,
    parameter integer ADDRESS_BITS = 15,
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

  // Every stage moves with ce, see activation_bank.v.
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
