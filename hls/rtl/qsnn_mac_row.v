// mac_row.v with the ports that Vitis HLS gives to a black box (qsnn_mac_row.json). An item enters in every cycle with
// ap_start and ap_ce; LATENCY enabled cycles later its sums are at the outputs, with ap_done and the valid signals.
// ap_ce stops everything. ap_continue is taken for granted: the caller's pipeline stalls by ap_ce.
`default_nettype none

module qsnn_mac_row (
    input  wire         ap_clk,
    input  wire         ap_rst,
    input  wire         ap_ce,
    input  wire         ap_start,
    input  wire         ap_continue,
    output wire         ap_idle,
    output wire         ap_ready,
    output wire         ap_done,
    input  wire [  1:0] mode,
    input  wire [511:0] operands,
    input  wire [511:0] weights,
    output wire [335:0] part0,
    output wire         part0_ap_vld,
    output wire [207:0] part1,
    output wire         part1_ap_vld,
    output wire [207:0] part2,
    output wire         part2_ap_vld,
    output wire [207:0] part3,
    output wire         part3_ap_vld
);
  localparam LATENCY = 13;

  // Which stages hold an item: the only registers with a reset.
  reg [LATENCY-1:0] valid;
  always @(posedge ap_clk)
    if (ap_rst) valid <= {LATENCY{1'b0}};
    else if (ap_ce) valid <= {valid[LATENCY-2:0], ap_start};

  assign ap_ready = ap_start & ap_ce;
  assign ap_done = valid[LATENCY-1] & ap_ce;
  assign ap_idle = ~(ap_start | (|valid));
  assign {part0_ap_vld, part1_ap_vld, part2_ap_vld, part3_ap_vld} = {4{ap_done}};
  wire unused = &{1'b0, ap_continue};

  mac_row multiplier (
      .clk(ap_clk),
      .ce(ap_ce),
      .mode(mode),
      .operands(operands),
      .weights(weights),
      .part0(part0),
      .part1(part1),
      .part2(part2),
      .part3(part3)
  );
endmodule

`default_nettype wire
