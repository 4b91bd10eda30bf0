// Behaviour of the DSP48E2 slice as far as mac_chain.v uses it, written from its user guide (UG579): both
// registers of B with INMODE choosing the first for the multiplier, D alone as its other factor, A:B, C, and a dynamic OPMODE. Any attribute
// value or OPMODE beyond that ends the simulation. For simulation only; synthesis has the primitive.
`default_nettype none

module DSP48E2 #(
    parameter USE_MULT = "MULTIPLY",
    parameter USE_SIMD = "ONE48",
    parameter AMULTSEL = "A",
    parameter BMULTSEL = "B",
    parameter A_INPUT = "DIRECT",
    parameter B_INPUT = "DIRECT",
    parameter integer AREG = 1,
    parameter integer BREG = 1,
    parameter integer ACASCREG = 1,
    parameter integer BCASCREG = 1,
    parameter integer CREG = 1,
    parameter integer MREG = 1,
    parameter integer PREG = 1,
    parameter integer OPMODEREG = 1,
    parameter integer INMODEREG = 1,
    parameter integer ALUMODEREG = 1,
    parameter integer CARRYINREG = 1,
    parameter integer CARRYINSELREG = 1,
    parameter integer ADREG = 1,
    parameter integer DREG = 1
) (
    input  wire        CLK,
    input  wire [29:0] A,
    input  wire [17:0] B,
    input  wire [47:0] C,
    input  wire [26:0] D,
    input  wire [47:0] PCIN,
    output wire [47:0] PCOUT,
    output wire [47:0] P,
    input  wire [ 8:0] OPMODE,
    input  wire [ 4:0] INMODE,
    input  wire [ 3:0] ALUMODE,
    input  wire        CARRYIN,
    input  wire [ 2:0] CARRYINSEL,
    input  wire        CEA1,
    input  wire        CEA2,
    input  wire        CEB1,
    input  wire        CEB2,
    input  wire        CEC,
    input  wire        CEM,
    input  wire        CEP,
    input  wire        CECTRL,
    input  wire        CEAD,
    input  wire        CED,
    input  wire        CEALUMODE,
    input  wire        CEINMODE,
    input  wire        CECARRYIN,
    input  wire        RSTA,
    input  wire        RSTB,
    input  wire        RSTC,
    input  wire        RSTD,
    input  wire        RSTM,
    input  wire        RSTP,
    input  wire        RSTCTRL,
    input  wire        RSTALUMODE,
    input  wire        RSTINMODE,
    input  wire        RSTALLCARRYIN,
    input  wire [29:0] ACIN,
    input  wire [17:0] BCIN,
    input  wire        CARRYCASCIN,
    input  wire        MULTSIGNIN,
    output wire [29:0] ACOUT,
    output wire [17:0] BCOUT,
    output wire        CARRYCASCOUT,
    output wire [ 3:0] CARRYOUT,
    output wire        MULTSIGNOUT,
    output wire        OVERFLOW,
    output wire        PATTERNBDETECT,
    output wire        PATTERNDETECT,
    output wire        UNDERFLOW,
    output wire [ 7:0] XOROUT
);
  initial begin
    if (USE_MULT != "DYNAMIC" || USE_SIMD != "ONE48" || AMULTSEL != "AD" || BMULTSEL != "B" || A_INPUT != "DIRECT"
        || B_INPUT != "DIRECT" || AREG != 2 || BREG != 2 || ACASCREG != 2 || BCASCREG != 2 || CREG != 1 || MREG != 1
        || PREG != 1 || OPMODEREG != 1 || INMODEREG != 0 || ALUMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0
        || ADREG != 0 || DREG != 1) begin
      $display("DSP48E2: this model has no such attribute value");
      $fatal;
    end
  end

  reg [29:0] a1, a2;
  reg [17:0] b1, b2;
  reg [26:0] d;
  reg [47:0] c, p;
  reg [44:0] m;
  reg [8:0] opmode;

  wire signed [26:0] factor_d = d;  // of D + A, INMODE takes only D
  wire signed [17:0] factor_b = b1;
  wire signed [44:0] product = factor_d * factor_b;

  wire [47:0] x = opmode[1:0] == 2'b01 ? {{3{m[44]}}, m} : opmode[1:0] == 2'b11 ? {a2, b2} : 48'd0;
  wire [47:0] y = opmode[3:2] == 2'b11 ? c : 48'd0;  // 01: the product is whole in x
  wire [47:0] z = opmode[6:4] == 3'b001 ? PCIN : opmode[6:4] == 3'b011 ? c : 48'd0;

  always @(posedge CLK) begin
    if (CEA1) a1 <= A;
    if (CEA2) a2 <= a1;
    if (CEB1) b1 <= B;
    if (CEB2) b2 <= b1;
    if (CEC) c <= C;
    if (CED) d <= D;
    if (CEM) m <= product;
    if (CECTRL) opmode <= OPMODE;
    if (CEP) p <= z + x + y;
  end

  wire known_opmode = OPMODE[8:7] == 2'b00 && OPMODE[1:0] != 2'b10 && OPMODE[3:2] != 2'b10
      && ((OPMODE[1:0] == 2'b01) == (OPMODE[3:2] == 2'b01))
      && (OPMODE[6:4] == 3'b000 || OPMODE[6:4] == 3'b001 || OPMODE[6:4] == 3'b011);
  wire known_pins = INMODE == 5'b10111 && ALUMODE == 4'b0000 && !CARRYIN && CARRYINSEL == 3'b000
      && !(RSTA || RSTB || RSTC || RSTD || RSTM || RSTP || RSTCTRL || RSTALUMODE || RSTINMODE || RSTALLCARRYIN)
      && !CEAD;
  reg started = 1'b0;  // OPMODE comes from registers, which hold anything before the first item
  always @(posedge CLK)
    if (CECTRL) begin
      started <= 1'b1;
      if (!known_pins || (started && !known_opmode)) begin
        $display("DSP48E2: this model does not have OPMODE %b, INMODE %b, ALUMODE %b, or a pin in use", OPMODE, INMODE,
                 ALUMODE);
        $fatal;
      end
    end

  assign P = p;
  assign PCOUT = p;
  assign ACOUT = a2;
  assign BCOUT = b2;
  assign {CARRYCASCOUT, CARRYOUT, MULTSIGNOUT, OVERFLOW, PATTERNBDETECT, PATTERNDETECT, UNDERFLOW, XOROUT} = 18'd0;
  wire unused = &{1'b0, CEALUMODE, CEINMODE, CECARRYIN, ACIN, BCIN, CARRYCASCIN, MULTSIGNIN, opmode[8:7]};
endmodule

`default_nettype wire
