// One synaptic operation a clock: a signed weight times an unsigned spike code, added to a sum. benchmarks/mac_energy.py
// synthesizes it for every width. `first` begins a sum anew. Operands are registered, so that a product has a whole clock
// and what switches before the registers is only their wires.
//
// A weight of one bit is +1 (bit 1) or -1 (bit 0); of more bits, two's complement.
`default_nettype none

module mac #(
    parameter WEIGHT_BITS = 8,
    parameter SPIKE_BITS = 8,
    parameter SUM_BITS = 24
) (
    input  wire                       clk,
    input  wire                       first,
    input  wire [WEIGHT_BITS-1:0]     weight,
    input  wire [SPIKE_BITS-1:0]      spike,
    output reg signed [SUM_BITS-1:0]  sum
);
  reg first_q;
  reg [WEIGHT_BITS-1:0] weight_q;
  reg [SPIKE_BITS-1:0] spike_q;

  localparam VALUE_BITS = WEIGHT_BITS == 1 ? 2 : WEIGHT_BITS;
  wire signed [VALUE_BITS-1:0] value;
  generate
    if (WEIGHT_BITS == 1) begin : binary
      assign value = {~weight_q, 1'b1};
    end else begin : signed_weight
      assign value = weight_q;
    end
  endgenerate
  wire signed [SPIKE_BITS:0] code = {1'b0, spike_q};
  wire signed [SUM_BITS-1:0] product = value * code;

  always @(posedge clk) begin
    first_q  <= first;
    weight_q <= weight;
    spike_q  <= spike;
    sum      <= (first_q ? {SUM_BITS{1'b0}} : sum) + product;
  end
endmodule
