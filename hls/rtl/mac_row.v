// 4 output lanes x 16 input lanes x 4 slots on 128 DSP48E2, in three modes; hls/src/mac_row.hpp is the same function in
// C++ and says what the modes mean. Stateless but for its pipeline: one item a cycle, LATENCY cycles (README.md), and
// the mode travels with the item. Nothing is reset: an item's results depend on that item alone.
//
// 16 chains of 8. Position k of a chain serves the input lanes k and k + 8.
//   W, Q  chain {row, half of the lanes, slot pair}: lane k + 8 * half;  P = Z + D * B
//   M     chain {plane, slot}: one of the two lanes at A:B and one at C, each added or not;  P = Z + (A:B or 0) + (C or 0)
// The multiplier takes D * B. Of A:B and C in M only 6 bits of B share a pin with W and Q, because the lane at A:B and the
// first of its four rows are those of the weight that W and Q have at this B.
//
// Cycles of an item, counted from the cycle in which it is at the inputs:
//   1           input registers; operands and weights in the form of their mode
//   1 + k       ports A, B and D of position k        2 + k   port C and OPMODE
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
    output wire [335:0] part0,  // 21 bits each, slot * 4 + row
    output wire [207:0] part1,  // 13 bits each
    output wire [207:0] part2,
    output wire [207:0] part3
);
  wire q_in = mode[0];
  wire m_in = mode[1];

  // ---- mode of the item in each cycle ------------------------------------------------------------------------------
  localparam MODE_STAGES = 11;
  (* max_fanout = 64 *) reg [MODE_STAGES:1] is_q, is_m;
  (* max_fanout = 64 *) reg not_w;  // in cycle 7
  always @(posedge clk)
    if (ce) begin
      is_q <= {is_q[MODE_STAGES-1:1], q_in};
      is_m <= {is_m[MODE_STAGES-1:1], m_in};
      not_w <= is_q[6] | is_m[6];
    end

  // ---- input registers and the skew of the positions ---------------------------------------------------------------
  // Weights take 9 bits. W: int8 with its sign repeated. Q: low nibble w0 and above it w1 - (w0 < 0), which is what stands
  // above w0 in w0 + w1 << 11. M: w + 128, an int8 with its sign inverted.
  // Operands take 8 bits. The second of a slot pair is at D << 18: its upper nibble is where u4 codes of Q belong, << 22.
  wire [64*9-1:0] w_skewed;  // lane k or k + 8: in cycle 1 + k
  wire [64*8-1:0] x_skewed;
  wire [64*8-1:0] w_late;  // in cycle 2 + k; 0 in W and Q at the first positions of their cascades
  genvar i, k, h, j, pair, plane, slot, row;
  generate
    for (i = 0; i < 64; i = i + 1) begin : byte_input
      wire [7:0] w = weights[i*8+:8];
      wire [7:0] x = operands[i*8+:8];
      wire negative = q_in & w[3];  // the decrement is written out
      wire [3:0] borrow = {4{negative}} & {~|w[6:4], ~|w[5:4], ~w[4], 1'b1};
      reg [8:0] w_registered;
      reg [7:0] x_registered;
      always @(posedge clk)
        if (ce) begin
          w_registered[7:0] <= {w[7] ^ borrow[3] ^ m_in, w[6:4] ^ borrow[2:0], w[3:0]};
          if (m_in) w_registered[8] <= 1'b0;
          else w_registered[8] <= w[7] | borrow[3];
        end
      if (i / 16 % 2 == 0) begin : first_of_pair
        always @(posedge clk)
          if (ce) begin
            x_registered[3:0] <= x[3:0];
            if (q_in) x_registered[7:4] <= 4'd0;
            else x_registered[7:4] <= x[7:4];
          end
      end else begin : second_of_pair
        always @(posedge clk)
          if (ce) begin
            if (q_in) x_registered[3:0] <= 4'd0;
            else x_registered[3:0] <= x[3:0];
            x_registered[7:4] <= q_in ? x[3:0] : x[7:4];
          end
      end
      mac_delay #(
          .WIDTH(17),
          .DEPTH(i % 8)
      ) skew (
          .clk(clk),
          .ce (ce),
          .d  ({w_registered, x_registered}),
          .q  ({w_skewed[i*9+:9], x_skewed[i*8+:8]})
      );
      reg [7:0] late;
      if (i % 4 == 0) begin : first_of_cascade
        always @(posedge clk)
          if (ce) begin
            if (!is_m[1+i%8]) late <= 8'd0;
            else late <= w_skewed[i*9+:8];
          end
      end else begin : other_of_cascade
        always @(posedge clk) if (ce) late <= w_skewed[i*9+:8];
      end
      assign w_late[i*8+:8] = late;
    end
  endgenerate

  // ---- ports of the DSPs, for each position ------------------------------------------------------------------------
  // D does not depend on the row; A, B and C not on the slot pair.
  wire [8*8*30-1:0] port_a;  // (k * 4 + row) * 2 + half
  wire [8*8*18-1:0] port_b;
  wire [8*8*48-1:0] port_c;
  wire [8*4*27-1:0] port_d;  // (k * 2 + half) * 2 + pair
  wire [8*16*2-1:0] select_x, select_y;  // k * 16 + plane * 4 + slot
  wire [8*3-1:0] select_z;
  generate
    for (k = 0; k < 8; k = k + 1) begin : port
      wire m = is_m[1+k];
      wire q = is_q[1+k];

      // The first position of a cascade begins with half of the range of each field: no field is negative, so none
      // borrows from the next. W: 2^17 in both of 18 bits; Q: 2^10 in all four of 11. Position 4 takes C in W only.
      wire [47:0] bias;
      if (k == 0) begin : first
        reg [2:0] z;
        reg bias_w;
        always @(posedge clk)
          if (ce) begin
            z <= {1'b0, ~m, ~m};
            bias_w <= ~(q | m);
          end
        assign select_z[k*3+:3] = z;
        assign bias = is_q[2+k] ? 48'h0801_0020_0400 : bias_w ? 48'h0008_0002_0000 : 48'd0;
      end else if (k == 4) begin : second
        reg [2:0] z;
        reg bias_w;
        always @(posedge clk)
          if (ce) begin
            z <= {1'b0, ~(q | m), 1'b1};
            bias_w <= ~m;
          end
        assign select_z[k*3+:3] = z;
        assign bias = bias_w ? 48'h0008_0002_0000 : 48'd0;
      end else begin : other
        assign select_z[k*3+:3] = 3'b001;
        assign bias = 48'd0;
      end

      for (h = 0; h < 2; h = h + 1) begin : half
        for (pair = 0; pair < 2; pair = pair + 1) begin : slot_pair
          assign port_d[((k*2+h)*2+pair)*27+:27] =
              {1'b0, x_skewed[((pair*2+1)*16+h*8+k)*8+:8], 10'd0, x_skewed[((pair*2)*16+h*8+k)*8+:8]};
        end
        for (row = 0; row < 4; row = row + 1) begin : output_lane
          // Four fields of 12 bits, the rows in turn from this one on: lane k + 8 * half at A:B, the other one at C.
          wire [47:0] ab, c;
          for (j = 0; j < 4; j = j + 1) begin : field
            assign ab[j*12+:12] = {4'd0, w_skewed[((row+j)%4*16+h*8+k)*9+:8]};
            assign c[j*12+:12]  = {4'd0, w_late[((row+j)%4*16+(1-h)*8+k)*8+:8]};
          end
          // Up to bit 11 a weight of M is one of W with a sign of 0.
          wire [8:0] w = w_skewed[(row*16+h*8+k)*9+:9];
          wire [5:0] above = m ? ab[17:12] : {6{w[8]}};
          wire unused = &{1'b0, ab[11:0]};
          assign port_a[((k*4+row)*2+h)*30+:30] = ab[47:18];
          assign port_b[((k*4+row)*2+h)*18+:18] =
              {above[5:3], q ? w[7:5] : above[2:0], q ? {w[4], {7{w[3]}}} : {{4{w[8]}}, w[7:4]}, w[3:0]};
          assign port_c[((k*4+row)*2+h)*48+:48] = c | bias;
        end
      end

      // Registers before those of the DSP, because OPMODE is due a cycle after A and B.
      for (plane = 0; plane < 4; plane = plane + 1) begin : bit_plane
        for (slot = 0; slot < 4; slot = slot + 1) begin : chain_of_m
          localparam HALF = slot / 2;  // of the lane at A:B
          reg [1:0] x, y;
          always @(posedge clk)
            if (ce) begin
              if (!m) begin
                x <= 2'b01;
                y <= 2'b01;
              end else begin
                x <= {2{x_skewed[(slot*16+HALF*8+k)*8+plane]}};
                y <= {2{x_skewed[(slot*16+(1-HALF)*8+k)*8+plane]}};
              end
            end
          assign select_x[(k*16+plane*4+slot)*2+:2] = x;
          assign select_y[(k*16+plane*4+slot)*2+:2] = y;
        end
      end
    end
  endgenerate

  // ---- the chains --------------------------------------------------------------------------------------------------
  wire [16*48-1:0] p_middle, p_end;
  generate
    for (i = 0; i < 16; i = i + 1) begin : chain  // W, Q: (row * 2 + half) * 2 + pair;  M: plane * 4 + slot
      wire [8*30-1:0] a;
      wire [8*18-1:0] b;
      wire [8*48-1:0] c;
      wire [8*27-1:0] d;
      wire [8*2-1:0] x, y;
      for (k = 0; k < 8; k = k + 1) begin : position
        assign a[k*30+:30] = port_a[(k*8+i/2)*30+:30];
        assign b[k*18+:18] = port_b[(k*8+i/2)*18+:18];
        assign c[k*48+:48] = port_c[(k*8+i/2)*48+:48];
        assign d[k*27+:27] = port_d[(k*4+i%4)*27+:27];
        assign x[k*2+:2]   = select_x[(k*16+i)*2+:2];
        assign y[k*2+:2]   = select_y[(k*16+i)*2+:2];
      end
      mac_chain dsps (
          .clk(clk),
          .ce(ce),
          .a(a),
          .b(b),
          .c(c),
          .d(d),
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
  // Fields are added with their biases, unsigned. At the outputs four fields of W carry 2^19, two of Q 2^11,
  // and `early` holds the rest to 2^19. Taking off a power of two that is the top bit of the result is inverting that bit.
  // M has no bias.
  localparam [18:0] REST = 19'h7F800;  // 2^19 - 2^11
  wire [4*2*2*19-1:0] early;  // W, first cascades: (row * 2 + pair) * 2 + slot of the pair, in cycle 12; REST in Q; 0 in M
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
        // REST is known in cycle 8; it is taken back in M by the last register of its 8 bits.
        mac_delay #(
            .WIDTH(22),
            .DEPTH(4)
        ) wait_for_end (
            .clk(clk),
            .ce (ce),
            .d  ({early_high[10:0], early_low[10:0]}),
            .q  ({early[PLACE*38+19+:11], early[PLACE*38+:11]})
        );
        (* srl_style = "srl" *) reg [16*3-1:0] waiting;
        reg [15:0] at_end;
        always @(posedge clk)
          if (ce) begin
            waiting <= {waiting[16*2-1:0], early_high[18:11], early_low[18:11]};
            if (is_m[11]) at_end <= 16'd0;
            else at_end <= waiting[16*2+:16];
          end
        assign early[PLACE*38+30+:8] = at_end[15:8];
        assign early[PLACE*38+11+:8] = at_end[7:0];

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

  // ---- M: fields as they are -----------------------------------------------------------------------------------------
  wire [16*4*12-1:0] gated;  // (plane * 4 + slot) * 4 + row; 0 in W and Q
  generate
    for (i = 0; i < 16; i = i + 1) begin : plane_of_slot
      for (row = 0; row < 4; row = row + 1) begin : field
        reg [11:0] sum;
        always @(posedge clk)
          if (ce) begin
            if (!is_m[11]) sum <= 12'd0;
            else sum <= p_end[i*48+(row+4-i/4)%4*12+:12];  // the first field of chain i is row i / 4
          end
        assign gated[(i*4+row)*12+:12] = sum;
      end
    end
  endgenerate

  // ---- outputs: what a mode does not compute is zero ----------------------------------------------------------------
  reg not_m;  // in cycle 12
  always @(posedge clk) if (ce) not_m <= ~is_m[11];
  generate
    for (slot = 0; slot < 4; slot = slot + 1) begin : slot_out
      for (row = 0; row < 4; row = row + 1) begin : row_out
        localparam PLACE = (row * 2 + slot / 2) * 2 + slot % 2;
        localparam FIELD = slot * 4 + row;
        wire [11:0] odd_field = odd[PLACE*12+:12];
        wire [18:0] second = late[PLACE*19+:19] | {7'd0, gated[FIELD*12+:12]};
        reg  [19:0] sum0;
        reg  [12:0] sum1;  // signed in Q, unsigned in M
        reg [11:0] sum2, sum3;
        always @(posedge clk)
          if (ce) begin
            sum0 <= {not_m, early[PLACE*19+:19]} + {1'b0, second};
            sum1 <= {1'b0, gated[(16+FIELD)*12+:12]} | {{2{~odd_field[11]}}, odd_field[10:0]};
            sum2 <= gated[(32+FIELD)*12+:12];
            sum3 <= gated[(48+FIELD)*12+:12];
          end
        assign part0[FIELD*21+:21] = {sum0[19], sum0};
        assign part1[FIELD*13+:13] = sum1;
        assign part2[FIELD*13+:13] = {1'b0, sum2};
        assign part3[FIELD*13+:13] = {1'b0, sum3};
      end
    end
  endgenerate
endmodule

`default_nettype wire
