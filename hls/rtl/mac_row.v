// 4 output lanes x 16 input lanes x 4 slots on 128 DSP48E2, in three modes; hls/src/mac_row.hpp is the same function in
// C++ and says what the modes mean. Stateless but for its pipeline: one item a cycle, LATENCY cycles (README.md), and
// the mode travels with the item. Nothing is reset: an item's results depend on that item alone.
//
// 16 chains of 8. Position k of a chain serves the input lanes k and k + 8.
//   W, Q  chain {row, half of the lanes, slot pair}: lane k + 8 * half;  P = Z + A * B
//   M     chain {plane, slot}: lane k at A:B and lane k + 8 at C, each added or not;  P = Z + (A:B or 0) + (C or 0)
//
// Cycles of an item, counted from the cycle in which it is at the inputs:
//   1           input registers; mode decoded; int4 weights of Q made ready for packing
//   1 + k       ports A and B of position k          2 + k   port C and OPMODE
//   4 + k       P of position k: 7 in the middle of a chain, 11 at its end
//   8           W: sums of the first cascades of both halves of the lanes, kept until 12
//   12          sums or fields of the ends of the chains
//   13          outputs
`default_nettype none

module mac_row (
    input  wire           clk,
    input  wire           ce,
    input  wire [    1:0] mode,      // hw::mode: 0 W, 1 Q, 2 M
    input  wire [  511:0] operands,  // byte slot * 16 + lane
    input  wire [  511:0] weights,   // byte row * 16 + lane
    output wire [4*336-1:0] sums     // 21 bits each, (part * 4 + slot) * 4 + row
);
  localparam [1:0] MULTIPLY4 = 2'd1, MUX_ADD = 2'd2;

  // ---- mode of the item in each cycle ------------------------------------------------------------------------------
  localparam MODE_STAGES = 11;
  (* max_fanout = 64 *) reg [MODE_STAGES:1] is_q, is_m;
  (* max_fanout = 64 *) reg not_w;  // in cycle 7
  always @(posedge clk)
    if (ce) begin
      is_q <= {is_q[MODE_STAGES-1:1], mode == MULTIPLY4};
      is_m <= {is_m[MODE_STAGES-1:1], mode == MUX_ADD};
      not_w <= is_q[6] | is_m[6];
    end

  // ---- input registers and the skew of the positions ---------------------------------------------------------------
  // A weight takes 9 bits: int8 with its sign repeated, or low nibble w0 and above it w1 - (w0 < 0), which is what
  // stands above w0 in w0 + w1 << 11.
  wire [64*9-1:0] w_registered;
  wire [64*8-1:0] x_registered;
  wire [64*9-1:0] w_skewed;  // lane k or k + 8: in cycle 1 + k
  wire [64*8-1:0] x_skewed;
  wire [32*8-1:0] w_upper;  // lanes k + 8 once more, row * 8 + k: in cycle 2 + k
  genvar i, k, h, pair, plane, slot, row;
  generate
    for (i = 0; i < 64; i = i + 1) begin : byte_input
      wire [7:0] w = weights[i*8+:8];
      wire negative = (mode == MULTIPLY4) & w[3];  // the decrement is written out: one LUT a bit
      wire [3:0] borrow = {4{negative}} & {~|w[6:4], ~|w[5:4], ~w[4], 1'b1};
      wire [4:0] above = {w[7] | borrow[3], w[7:4] ^ borrow};
      mac_delay #(
          .WIDTH(17),
          .DEPTH(1)
      ) registers (
          .clk(clk),
          .ce (ce),
          .d  ({above, w[3:0], operands[i*8+:8]}),
          .q  ({w_registered[i*9+:9], x_registered[i*8+:8]})
      );
      mac_delay #(
          .WIDTH(17),
          .DEPTH(i % 8)
      ) skew (
          .clk(clk),
          .ce (ce),
          .d  ({w_registered[i*9+:9], x_registered[i*8+:8]}),
          .q  ({w_skewed[i*9+:9], x_skewed[i*8+:8]})
      );
      if (i % 16 >= 8) begin : upper_lane
        mac_delay #(
            .WIDTH(8),
            .DEPTH(1)
        ) port_c (
            .clk(clk),
            .ce (ce),
            .d  (w_skewed[i*9+:8]),
            .q  (w_upper[((i/16)*8+i%8)*8+:8])
        );
      end
    end
  endgenerate

  // w + 128 of the four rows in fields of 12 bits: an int8 with its sign inverted.
  function [47:0] fields;
    input [31:0] w;
    fields = {
      4'd0, ~w[31], w[30:24], 4'd0, ~w[23], w[22:16], 4'd0, ~w[15], w[14:8], 4'd0, ~w[7], w[6:0]
    };
  endfunction

  // ---- ports of the DSPs, for each position ------------------------------------------------------------------------
  // A does not depend on the row, B not on the slot pair, C only on the position.
  wire [8*4*30-1:0] port_a;  // (k * 2 + half) * 2 + pair
  wire [8*8*18-1:0] port_b;  // (k * 4 + row) * 2 + half
  wire [8*48-1:0] port_c;
  wire [8*16*2-1:0] select_x, select_y;  // k * 16 + plane * 4 + slot
  wire [8*3-1:0] select_z;
  generate
    for (k = 0; k < 8; k = k + 1) begin : port
      wire m = is_m[1+k];
      wire q = is_q[1+k];
      wire [47:0] ab = fields({w_skewed[(48+k)*9+:8], w_skewed[(32+k)*9+:8], w_skewed[(16+k)*9+:8], w_skewed[k*9+:8]});
      wire [47:0] c_fields = fields({w_upper[(24+k)*8+:8], w_upper[(16+k)*8+:8], w_upper[(8+k)*8+:8], w_upper[k*8+:8]});

      for (h = 0; h < 2; h = h + 1) begin : half
        for (pair = 0; pair < 2; pair = pair + 1) begin : slot_pair
          wire [7:0] x0 = x_skewed[((pair*2)*16+h*8+k)*8+:8];
          wire [7:0] x1 = x_skewed[((pair*2+1)*16+h*8+k)*8+:8];
          assign port_a[((k*2+h)*2+pair)*30+:30] = m ? ab[47:18]
              : q ? {4'd0, x1[3:0], 18'd0, x0[3:0]} : {4'd0, x1, 10'd0, x0};
        end
        for (row = 0; row < 4; row = row + 1) begin : output_lane
          wire [8:0] weight = w_skewed[(row*16+h*8+k)*9+:9];
          assign port_b[((k*4+row)*2+h)*18+:18] = m ? ab[17:0]
              : q ? {{2{weight[8]}}, weight[8:4], {7{weight[3]}}, weight[3:0]} : {{9{weight[8]}}, weight};
        end
      end

      // Registers before those of the DSP, because OPMODE is due a cycle after A and B.
      for (plane = 0; plane < 4; plane = plane + 1) begin : bit_plane
        for (slot = 0; slot < 4; slot = slot + 1) begin : chain_of_m
          reg [1:0] x, y;
          always @(posedge clk)
            if (ce) begin
              if (!m) begin
                x <= 2'b01;
                y <= 2'b01;
              end else begin
                x <= {2{x_skewed[(slot*16+k)*8+plane]}};
                y <= {2{x_skewed[(slot*16+8+k)*8+plane]}};
              end
            end
          assign select_x[(k*16+plane*4+slot)*2+:2] = x;
          assign select_y[(k*16+plane*4+slot)*2+:2] = y;
        end
      end

      // The first position of a cascade begins with half of the range of each field: no field is negative, so none
      // borrows from the next. W: 2^17 in both of 18 bits; Q: 2^10 in all four of 11.
      if (k == 0) begin : first
        reg [2:0] z;
        always @(posedge clk) if (ce) z <= {1'b0, ~m, ~m};
        assign select_z[k*3+:3] = z;
        assign port_c[k*48+:48] = is_m[2+k] ? c_fields
            : is_q[2+k] ? 48'h0801_0020_0400 : 48'h0008_0002_0000;
      end else if (k == 4) begin : second
        reg [2:0] z;
        always @(posedge clk) if (ce) z <= {1'b0, ~(q | m), 1'b1};
        assign select_z[k*3+:3] = z;
        assign port_c[k*48+:48] = is_m[2+k] ? c_fields : 48'h0008_0002_0000;
      end else begin : other
        assign select_z[k*3+:3] = 3'b001;
        assign port_c[k*48+:48] = c_fields;
      end
    end
  endgenerate

  // ---- the chains --------------------------------------------------------------------------------------------------
  wire [16*48-1:0] p_middle, p_end;
  generate
    for (i = 0; i < 16; i = i + 1) begin : chain  // W, Q: (row * 2 + half) * 2 + pair;  M: plane * 4 + slot
      wire [8*30-1:0] a;
      wire [8*18-1:0] b;
      wire [8*2-1:0] x, y;
      for (k = 0; k < 8; k = k + 1) begin : position
        assign a[k*30+:30] = port_a[(k*4+i%4)*30+:30];
        assign b[k*18+:18] = port_b[(k*8+i/2)*18+:18];
        assign x[k*2+:2]   = select_x[(k*16+i)*2+:2];
        assign y[k*2+:2]   = select_y[(k*16+i)*2+:2];
      end
      mac_chain dsps (
          .clk(clk),
          .ce(ce),
          .a(a),
          .b(b),
          .c(port_c),
          .x(x),
          .y(y),
          .z(select_z),
          .p_middle(p_middle[i*48+:48]),
          .p_end(p_end[i*48+:48])
      );
      wire unused = &{1'b0, p_middle[i*48+36+:12]};
    end
  endgenerate

  // ---- W and Q: fields of both halves of the lanes -----------------------------------------------------------------
  // Fields are added with their biases, unsigned. At the outputs four fields of W carry 2^19, two of Q 2^11, and what M
  // puts in their place 2^11; where a bias is missing to 2^19, `early` holds the rest. Taking off a power of two that is
  // the top bit of the result is inverting that bit.
  localparam [18:0] REST = 19'h7F800;  // 2^19 - 2^11
  wire [4*2*2*19-1:0] early;  // W, first cascades: (row * 2 + pair) * 2 + slot of the pair, in cycle 12; else REST
  wire [4*2*2*19-1:0] late;  // W, second cascades, or Q, output lane 2 * row; 0 in M
  wire [4*2*2*12-1:0] odd;  // Q, output lane 2 * row + 1; else only the bias
  generate
    for (row = 0; row < 4; row = row + 1) begin : row_of_sums
      for (pair = 0; pair < 2; pair = pair + 1) begin : pair_of_sums
        localparam PLACE = row * 2 + pair;
        wire [35:0] m0 = p_middle[(row*4+pair)*48+:36];
        wire [35:0] m1 = p_middle[(row*4+2+pair)*48+:36];
        wire [43:0] e0 = p_end[(row*4+pair)*48+:44];
        wire [43:0] e1 = p_end[(row*4+2+pair)*48+:44];

        reg [18:0] early_low, early_high;
        always @(posedge clk)
          if (ce) begin
            if (not_w) begin
              early_low  <= REST;
              early_high <= REST;
            end else begin
              early_low  <= {1'b0, m0[17:0]} + {1'b0, m1[17:0]};
              early_high <= {1'b0, m0[35:18]} + {1'b0, m1[35:18]};
            end
          end
        mac_delay #(
            .WIDTH(38),
            .DEPTH(4)
        ) wait_for_end (
            .clk(clk),
            .ce (ce),
            .d  ({early_high, early_low}),
            .q  (early[PLACE*38+:38])
        );

        // In Q bit 11 is the carry of the fields of 11 bits; what stands above it does not count.
        wire q = is_q[11];
        wire [17:0] low0 = {e0[17:12], e0[11] & ~q, e0[10:0]};
        wire [17:0] low1 = {e1[17:12], e1[11] & ~q, e1[10:0]};
        wire [17:0] high0 = {e0[35:30], e0[29] & ~q, q ? e0[32:22] : e0[28:18]};
        wire [17:0] high1 = {e1[35:30], e1[29] & ~q, q ? e1[32:22] : e1[28:18]};
        wire [18:0] low = {1'b0, low0} + {1'b0, low1};
        wire [18:0] high = {1'b0, high0} + {1'b0, high1};
        reg [18:0] late_low, late_high;
        reg [11:0] odd_low, odd_high;
        always @(posedge clk)
          if (ce) begin
            if (is_m[11]) begin
              late_low[11:0]  <= 12'd0;
              late_high[11:0] <= 12'd0;
            end else begin
              late_low[11:0]  <= low[11:0];
              late_high[11:0] <= high[11:0];
            end
            if (is_m[11] | q) begin
              late_low[18:12]  <= 7'd0;
              late_high[18:12] <= 7'd0;
            end else begin
              late_low[18:12]  <= low[18:12];
              late_high[18:12] <= high[18:12];
            end
            if (!q) begin
              odd_low  <= 12'h800;
              odd_high <= 12'h800;
            end else begin
              odd_low  <= {1'b0, e0[21:11]} + {1'b0, e1[21:11]};
              odd_high <= {1'b0, e0[43:33]} + {1'b0, e1[43:33]};
            end
          end
        assign late[PLACE*38+:38] = {late_high, late_low};
        assign odd[PLACE*24+:24]  = {odd_high, odd_low};
      end
    end
  endgenerate

  // ---- M: fields of the rows less 128 for each bit that is set ------------------------------------------------------
  // Full adders written out, because a tool would take carry chains for so few bits.
  function [1:0] count3;
    input [2:0] bits;
    count3 = {(bits[0] & bits[1]) | (bits[2] & (bits[0] | bits[1])), ^bits};
  endfunction

  function [3:0] count8;
    input [7:0] bits;
    reg [1:0] a, b, ones, twos, fours;
    begin
      a = count3(bits[2:0]);
      b = count3(bits[5:3]);
      ones = count3({a[0], b[0], bits[6]});
      twos = count3({a[1], b[1], ones[1]});
      fours = {ones[0] & bits[7], ones[0] ^ bits[7]};  // carry and bit of the ones
      count8 = {twos[1] & twos[0] & fours[1], twos[1] ^ (twos[0] & fours[1]), twos[0] ^ fours[1], fours[0]};
    end
  endfunction

  wire [16*4*12-1:0] gated;  // (plane * 4 + slot) * 4 + row, plane 0 with a bias of 2^11; 0 in W and Q
  generate
    for (i = 0; i < 16; i = i + 1) begin : plane_of_slot
      wire [15:0] set;
      for (k = 0; k < 16; k = k + 1) begin : lane
        assign set[k] = x_registered[((i%4)*16+k)*8+i/4];
      end
      reg [3:0] lower, upper;  // cycle 2
      reg [4:0] count;  // cycle 3
      wire [4:0] count_at_end;  // cycle 11
      always @(posedge clk)
        if (ce) begin
          lower <= count8(set[7:0]);
          upper <= count8(set[15:8]);
          count <= {1'b0, lower} + {1'b0, upper};
        end
      mac_delay #(
          .WIDTH(5),
          .DEPTH(8)
      ) wait_for_end (
          .clk(clk),
          .ce (ce),
          .d  (count),
          .q  (count_at_end)
      );
      for (row = 0; row < 4; row = row + 1) begin : field
        wire [11:0] sum = p_end[i*48+row*12+:12];
        reg  [11:0] signed_sum;
        always @(posedge clk)
          if (ce) begin
            if (!is_m[11]) signed_sum <= 12'd0;
            else signed_sum <= {(i < 4 ? 5'd16 ^ (sum[11:7] - count_at_end) : sum[11:7] - count_at_end), sum[6:0]};
          end
        assign gated[(i*4+row)*12+:12] = signed_sum;
      end
    end
  endgenerate

  // ---- outputs: what a mode does not compute is zero ----------------------------------------------------------------
  generate
    for (slot = 0; slot < 4; slot = slot + 1) begin : slot_out
      for (row = 0; row < 4; row = row + 1) begin : row_out
        localparam PLACE = (row * 2 + slot / 2) * 2 + slot % 2;
        wire [11:0] odd_field = odd[PLACE*12+:12];
        wire [18:0] second = late[PLACE*19+:19] | {7'd0, gated[(slot*4+row)*12+:12]};
        reg  [19:0] part0;
        reg [11:0] part1, part2, part3;
        always @(posedge clk)
          if (ce) begin
            part0 <= {1'b1, early[PLACE*19+:19]} + {1'b0, second};
            part1 <= gated[((4+slot)*4+row)*12+:12] | {~odd_field[11], odd_field[10:0]};
            part2 <= gated[((8+slot)*4+row)*12+:12];
            part3 <= gated[((12+slot)*4+row)*12+:12];
          end
        assign sums[(slot*4+row)*21+:21] = {part0[19], part0};
        assign sums[((4+slot)*4+row)*21+:21] = {{9{part1[11]}}, part1};
        assign sums[((8+slot)*4+row)*21+:21] = {{9{part2[11]}}, part2};
        assign sums[((12+slot)*4+row)*21+:21] = {{9{part3[11]}}, part3};
      end
    end
  endgenerate
endmodule

`default_nettype wire
