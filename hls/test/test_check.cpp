#include "bench.hpp"

#include "check.hpp"

namespace {

using bench::transfer;
constexpr int kOk = hw::status::kOk, kBadField = hw::status::kBadField;
constexpr Limits kAmple = {1u << 20, 1u << 20, false};

int check_frames(const Instruction& d, int frames = 1, Limits limits = kAmple, int ring_base = 0) {
  Command c = bench::command_of(d, frames);
  c.ring_base = uint16_t(ring_base);
  return check(c, limits);
}

Instruction small(int index) { return bench::small_network()[index]; }

// 4 x 10 map of two channel tiles, with a residual and a fused maximum.
Instruction pooled_layer() {
  Instruction d = bench::empty_instruction();
  d.opcode = hw::opcode::kConvolve;
  bench::set_input(d, 0, 4, 10, 2, 4, 2);
  bench::set_output(d, 2000, 4, 10, 2, 4, 2, true);
  bench::set_mode(d, hw::mode::kMuxAdd);
  bench::set_blocks(d);
  bench::set_kernel(d, 3, 3, 1, 1);
  bench::set_skip(d, 1000, 4, 10, 2, 4, 2, 1);
  d.skip_mode = hw::skip::kSpike;
  d.s_max = d.skip_s_max = 3;
  bench::set_weights(d, 8, 0);
  return d;
}

}  // namespace

#define CHECK_REFUSED(base, member, value)                                                          \
  do {                                                                                              \
    Instruction changed = base;                                                                     \
    changed.member = value;                                                                         \
    bench::check_equal(check_frames(changed), kBadField, #member " = " #value, __FILE__, __LINE__); \
  } while (false)

// One field at a time leaves the overlay: each must be refused, whatever the others say.
TEST(check_refuses_every_field_that_leaves_the_overlay) {
  const Instruction layer = small(1);
  CHECK_EQUAL(check_frames(layer), kOk);
  CHECK_EQUAL(check_frames(layer, 1, {uint32_t(layer.weight_pairs), 0, false}), kOk);
  CHECK_EQUAL(check_frames(layer, 1, {uint32_t(layer.weight_pairs) - 1, 0, false}), kBadField);
  CHECK_REFUSED(layer, input_base, kBankWords - 1);
  CHECK_REFUSED(layer, output_base, kBankWords - 1);
  CHECK_REFUSED(layer, output_base, 1);  // on top of the input
  CHECK_REFUSED(layer, input_channel_tiles, 0);
  CHECK_REFUSED(layer, input_width, 5);
  CHECK_REFUSED(layer, input_height, 0);
  CHECK_REFUSED(layer, input_column_groups, 0);
  CHECK_REFUSED(layer, input_first_tile, 1);
  CHECK_REFUSED(layer, input_tiles, 0);
  CHECK_REFUSED(layer, input_bits, 3);
  CHECK_REFUSED(layer, input_train_words, 2);
  CHECK_REFUSED(layer, input_steps, 2);
  CHECK_REFUSED(layer, chunks, 0);
  CHECK_REFUSED(layer, chunks, 2);
  CHECK_REFUSED(layer, mode, hw::mode::kMultiply4);  // of 8-bit codes and weights
  CHECK_REFUSED(layer, mode, hw::mode::kMuxAdd);
  CHECK_REFUSED(layer, mode, 3);
  CHECK_REFUSED(layer, num_steps, 0);
  CHECK_REFUSED(layer, num_steps, hw::kMaximumSteps + 1);
  CHECK_REFUSED(layer, kernel_height, 0);
  CHECK_REFUSED(layer, kernel_width, hw::kMaximumKernel + 1);
  CHECK_REFUSED(layer, row_stride, 0);
  CHECK_REFUSED(layer, column_stride, 0);
  CHECK_REFUSED(layer, storage_bits, 5);
  CHECK_REFUSED(layer, s_max, 16);
  CHECK_REFUSED(layer, output_bits, 0);
  CHECK_REFUSED(layer, output_width, 5);
  CHECK_REFUSED(layer, stored_width, 4);
  CHECK_REFUSED(layer, stored_column_groups, 2);
  CHECK_REFUSED(layer, output_channel_tiles, 0);
  CHECK_REFUSED(layer, output_tiles, kMaximumOutputTiles + 1);
  CHECK_REFUSED(layer, quadruples, 3);
  CHECK_REFUSED(layer, block_quadruples, 0);
  CHECK_REFUSED(layer, block_quadruples, hw::kBlockGroups + 1);
  CHECK_REFUSED(layer, weight_pairs, 1);
  CHECK_REFUSED(layer, weight_offset, 0xFFFFFFFF);
  CHECK_REFUSED(layer, skip_mode, hw::skip::kSpike);  // without a residual tensor

  const Instruction head = small(2);
  CHECK_EQUAL(check_frames(head), kOk);
  CHECK_REFUSED(head, num_classes, 0);
  CHECK_REFUSED(head, num_classes, kOutputLanes + 1);
  CHECK_REFUSED(head, output_first_tile, 1);
  CHECK_REFUSED(head, pooled, 1);
}

TEST(check_refuses_codes_and_weights_too_wide_for_the_mode) {
  for (int mode : {hw::mode::kMultiply4, hw::mode::kMuxAdd}) {
    for (int bits : {1, 2, 4, 8}) {
      for (int storage : {1, 2, 4, 8}) {
        Instruction d = bench::empty_instruction();
        d.opcode = hw::opcode::kConvolve;
        bench::set_input(d, 0, 2, 3, 1, 4, bits);
        bench::set_output(d, 100, 2, 3, 6, 4, 1);
        bench::set_mode(d, mode);
        bench::set_blocks(d);
        bench::set_kernel(d, 1, 1, 1, 0);
        d.s_max = 1;
        bench::set_weights(d, storage, 0);
        const bool fits = mode == hw::mode::kMuxAdd ? bits <= 2 : bits <= 4 && storage <= 4;
        CHECK_EQUAL(check_frames(d), fits ? kOk : kBadField);
      }
    }
  }
}

TEST(check_refuses_maps_and_residuals_that_do_not_fit) {
  const Instruction layer = pooled_layer();
  CHECK_EQUAL(check_frames(layer), kOk);
  CHECK_REFUSED(layer, stored_width, 10);
  CHECK_REFUSED(layer, stored_column_groups, 3);
  CHECK_REFUSED(layer, block_quadruples, 1);  // half a pair of rows
  CHECK_REFUSED(layer, chunks, 4);
  CHECK_REFUSED(layer, skip_base, kBankWords - 1);
  CHECK_REFUSED(layer, skip_base, 2001);  // what the layer overwrites
  CHECK_REFUSED(layer, skip_bits, 3);
  CHECK_REFUSED(layer, skip_stride, 0);
  CHECK_REFUSED(layer, skip_stride, 3);
  CHECK_REFUSED(layer, skip_train_words, 9);
  CHECK_REFUSED(layer, skip_s_max, 4);
  CHECK_REFUSED(layer, skip_mode, hw::skip::kIand);  // of 2-bit codes
  Instruction odd = layer;
  bench::set_output(odd, 2000, 3, 10, 2, 4, 2, true);
  CHECK_EQUAL(check_frames(odd), kBadField);
  bench::set_output(odd, 2000, 4, 1, 2, 4, 2, true);  // nothing to store
  CHECK_EQUAL(check_frames(odd), kBadField);
}

TEST(check_counts_every_frame_of_a_group) {
  const Instruction layer = pooled_layer();
  const int stored_words = 2 * 2 * 2 * 1;
  Instruction d = layer;
  d.input_base = 0;
  d.skip_base = 5000;
  d.input_frame_words = d.skip_frame_words = 24;
  d.output_base = 3 * 24 + 24;
  CHECK_EQUAL(check_frames(d, 4), kOk);
  CHECK_EQUAL(check_frames(d, 5), kBadField);  // the fifth input lies on the first output
  d.output_base = 5000 - 4 * stored_words;
  CHECK_EQUAL(check_frames(d, 4), kOk);
  CHECK_EQUAL(check_frames(d, 5), kBadField);  // the fifth output lies on the first residual
  d.output_base = kBankWords - 4 * stored_words;
  CHECK_EQUAL(check_frames(d, 4), kOk);
  CHECK_EQUAL(check_frames(d, 5), kBadField);
  d = layer;
  d.input_frame_words = 0xFFFF;
  CHECK_EQUAL(check_frames(d, 1), kOk);
  CHECK_EQUAL(check_frames(d, 2), kBadField);
  CHECK_EQUAL(check_frames(layer, 0), kBadField);

  Instruction head = small(2);
  CHECK_EQUAL(check_frames(head, 4), kOk);
  bench::set_output(head, 0, 1, 1, 4, 1, 8);
  bench::set_weights(head, 2, 0);
  CHECK_EQUAL(check_frames(head, 1), kOk);
  CHECK_EQUAL(check_frames(head, 4), kBadField);  // sums would come tile after tile
  head.block_quadruples = 1;
  CHECK_EQUAL(check_frames(head, 4), kOk);
}

TEST(check_keeps_tiles_inside_the_ring) {
  const Limits stay = {1u << 20, 0, true};
  Instruction layer = small(1);
  const int last = hw::kWeightRingBeats - kTileBeats;
  CHECK_EQUAL(check_frames(layer, 1, stay, last), kOk);
  CHECK_EQUAL(check_frames(layer, 1, stay, last + 1), kBadField);
  CHECK_EQUAL(check_frames(layer, 1, kAmple, last + 1), kOk);  // round the ring
  bench::set_input(layer, 0, 9, 13, 1, 1, 8);
  bench::set_output(layer, 100, 9, 13, 2, 1, 4);
  CHECK_EQUAL(check_frames(layer, 1, stay), kOk);
  layer.weight_resident = 0;
  CHECK_EQUAL(check_frames(layer, 1, stay), kBadField);  // would be read for each of two blocks
  CHECK_EQUAL(check_frames(layer), kOk);

  Instruction large = small(1);
  const int most = hw::kWeightRingBeats / kTileBeats;
  bench::set_input(large, 0, 1, 1, most, 1, 8);
  bench::set_output(large, 5000, 1, 1, 2, 1, 4);
  bench::set_weights(large, 1, 0);
  CHECK_EQUAL(check_frames(large), kOk);
  bench::set_input(large, 0, 1, 1, most + 1, 1, 8);
  bench::set_weights(large, 1, 0);
  CHECK_EQUAL(check_frames(large), kOk);
  large.weight_resident = 1;
  CHECK_EQUAL(check_frames(large), kBadField);
}

TEST(check_keeps_transfers_inside_both_memories) {
  const Limits limits = {0, 1000, false};
  const int receive = hw::opcode::kReceive, load = hw::opcode::kLoad, save = hw::opcode::kSave;
  CHECK_EQUAL(check_frames(transfer(receive, kBanks * kBankWords, 0, 5000), 1, limits), kOk);
  CHECK_EQUAL(check_frames(transfer(receive, kBanks * kBankWords + 1, 0, 0), 1, limits), kBadField);
  Instruction spilled = transfer(receive, 900, 0xFFFF, 100);
  spilled.spilled = 1;
  CHECK_EQUAL(check_frames(spilled, 1, limits), kOk);
  spilled.transfer_words = 901;
  CHECK_EQUAL(check_frames(spilled, 1, limits), kBadField);
  for (int opcode : {load, save}) {
    CHECK_EQUAL(check_frames(transfer(opcode, 1000, kBankWords - 250, 0), 1, limits), kOk);
    CHECK_EQUAL(check_frames(transfer(opcode, 1000, kBankWords - 249, 0), 1, limits), kBadField);
    CHECK_EQUAL(check_frames(transfer(opcode, 1000, 0, 1), 1, limits), kBadField);
    CHECK_EQUAL(check_frames(transfer(opcode, 2, 0, 0xFFFFFFFF), 1, limits), kBadField);
    CHECK_EQUAL(check_frames(transfer(opcode, 1000, 0, 0), 2, limits), kBadField);  // of which frame?
  }
  CHECK_EQUAL(check_frames(transfer(9, 0, 0, 0), 1, limits), hw::status::kBadOpcode);
}

TEST(check_bounds_pools) {
  Instruction pool = bench::empty_instruction();
  pool.opcode = hw::opcode::kPool;
  bench::set_input(pool, 0, 4, 8, 3, 5, 2);
  bench::set_output(pool, 500, 2, 4, 3, 5, 2);
  bench::set_kernel(pool, 2, 2, 2, 0);
  CHECK_EQUAL(check_frames(pool), kOk);
  CHECK_EQUAL(check_frames(pool, 4), kOk);
  CHECK_REFUSED(pool, column_stride, 1);
  CHECK_REFUSED(pool, output_base, 20);
  CHECK_REFUSED(pool, output_base, kBankWords - 1);
  CHECK_REFUSED(pool, pool_shift, 17);
  CHECK_REFUSED(pool, output_channel_tiles, 4);
  CHECK_REFUSED(pool, output_bits, 1);  // a maximum keeps the width
  CHECK_REFUSED(pool, input_steps, 1);
  CHECK_REFUSED(pool, quadruples, 1);
}

#undef CHECK_REFUSED
