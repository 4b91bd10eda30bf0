// DEPTH registers in a row: shift registers of the fabric (SRL16E) where there are enough of them. srl_reg: the last
// one stays a flip-flop, whose output is faster than a shift register's.
`default_nettype none

module mac_delay #(
    parameter WIDTH = 1,
    parameter DEPTH = 1
) (
    input  wire             clk,
    input  wire             ce,
    input  wire [WIDTH-1:0] d,
    output wire [WIDTH-1:0] q
);
  generate
    if (DEPTH == 0) begin : wires
      assign q = d;
      wire unused = &{1'b0, clk, ce};
    end else if (DEPTH == 1) begin : registers
      reg [WIDTH-1:0] stage;
      always @(posedge clk) if (ce) stage <= d;
      assign q = stage;
    end else begin : shift_registers
      (* srl_style = "srl_reg" *) reg [WIDTH*DEPTH-1:0] stage;
      always @(posedge clk) if (ce) stage <= {stage[WIDTH*(DEPTH-1)-1:0], d};
      assign q = stage[WIDTH*DEPTH-1:WIDTH*(DEPTH-1)];
    end
  endgenerate
endmodule

`default_nettype wire
