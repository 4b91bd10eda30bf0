// Eight DSP48E2 in a cascade. Position k works one cycle after position k - 1: its inputs come one cycle later.
//
// One item in one position, in cycles after its a, b and d are at the pins:
//   1  D, B1; A1      the multiplier's inputs: INMODE selects B1, and of D + A only D
//   2  M; A2:B2; C    M = D * B1, while A2:B2 holds the same item for the X multiplexer: both paths take two cycles,
//                     so that items of different modes may follow each other. c, x, y and z are due a cycle after them.
//   3  P = Z + X + Y
//
// x, y: 01 the product, 11 A:B (x) or C (y), 00 nothing. z: 001 PCIN, 011 C, 000 nothing.
`default_nettype none

module mac_chain (
    input  wire            clk,
    input  wire            ce,
    input  wire [8*30-1:0] a,
    input  wire [8*18-1:0] b,
    input  wire [8*27-1:0] d,
    input  wire [8*48-1:0] c,
    input  wire [ 8*2-1:0] x,
    input  wire [ 8*2-1:0] y,
    input  wire [ 8*3-1:0] z,
    output wire [    47:0] p_middle,  // of position 3
    output wire [    47:0] p_end      // of position 7
);
  wire [8*48-1:0] p;
  wire [9*48-1:0] cascade;
  assign cascade[47:0] = 48'd0;
  assign p_middle = p[3*48+:48];
  assign p_end = p[7*48+:48];
  // P of the other positions only goes on as PCOUT, PCOUT of the last one nowhere.
  wire unused = &{1'b0, p, cascade[8*48+:48]};

  genvar k;
  generate
    for (k = 0; k < 8; k = k + 1) begin : position
      DSP48E2 #(
          .USE_MULT("DYNAMIC"),  // the timing of both paths counts
          .USE_SIMD("ONE48"),
          .AMULTSEL("AD"),
          .BMULTSEL("B"),
          .A_INPUT("DIRECT"),
          .B_INPUT("DIRECT"),
          .AREG(2),
          .BREG(2),
          .ACASCREG(2),
          .BCASCREG(2),
          .CREG(1),
          .MREG(1),
          .PREG(1),
          .OPMODEREG(1),
          .INMODEREG(0),         // constants need no register
          .ALUMODEREG(0),
          .CARRYINREG(0),
          .CARRYINSELREG(0),
          .ADREG(0),
          .DREG(1)
      ) dsp (
          .CLK(clk),
          .A(a[k*30+:30]),
          .B(b[k*18+:18]),
          .C(c[k*48+:48]),
          .D(d[k*27+:27]),
          .PCIN(cascade[k*48+:48]),
          .PCOUT(cascade[(k+1)*48+:48]),
          .P(p[k*48+:48]),
          .OPMODE({2'b00, z[k*3+:3], y[k*2+:2], x[k*2+:2]}),
          .INMODE(5'b10111),
          .ALUMODE(4'b0000),
          .CARRYIN(1'b0),
          .CARRYINSEL(3'b000),
          .CEA1(ce),
          .CEA2(ce),
          .CEB1(ce),
          .CEB2(ce),
          .CEC(ce),
          .CEM(ce),
          .CEP(ce),
          .CECTRL(ce),
          .CEAD(1'b0),
          .CED(ce),
          .CEALUMODE(1'b0),
          .CEINMODE(1'b0),
          .CECARRYIN(1'b0),
          .RSTA(1'b0),
          .RSTB(1'b0),
          .RSTC(1'b0),
          .RSTD(1'b0),
          .RSTM(1'b0),
          .RSTP(1'b0),
          .RSTCTRL(1'b0),
          .RSTALUMODE(1'b0),
          .RSTINMODE(1'b0),
          .RSTALLCARRYIN(1'b0),
          .ACIN(30'd0),
          .BCIN(18'd0),
          .CARRYCASCIN(1'b0),
          .MULTSIGNIN(1'b0),
          .ACOUT(),
          .BCOUT(),
          .CARRYCASCOUT(),
          .CARRYOUT(),
          .MULTSIGNOUT(),
          .OVERFLOW(),
          .PATTERNBDETECT(),
          .PATTERNDETECT(),
          .UNDERFLOW(),
          .XOROUT()
      );
    end
  endgenerate
endmodule

`default_nettype wire
