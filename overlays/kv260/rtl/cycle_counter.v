// The kernel's clock: counts cycles from reset on and never stops, so that no state of the kernel can change the time.
`default_nettype none

module cycle_counter (
    input  wire        clk,
    input  wire        resetn,
    output reg  [63:0] now
);
  always @(posedge clk) begin
    if (!resetn) now <= 64'd0;
    else now <= now + 64'd1;
  end
endmodule

`default_nettype wire
