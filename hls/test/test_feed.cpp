#include "bench.hpp"

#include <memory>

#include "stages.hpp"

namespace {

struct Memory {
  ActivationMemory words;
};

std::unique_ptr<Memory> random_memory() {
  std::unique_ptr<Memory> memory(new Memory);
  for (auto& bank : memory->words) {
    for (word_t& word : bank) {
      word.range(63, 0) = uint64_t(bench::uniform(0, INT64_MAX - 1)) * 2 + 1;
      word.range(127, 64) = uint64_t(bench::uniform(0, INT64_MAX - 1)) * 2;
    }
  }
  return memory;
}

int input_code(const Memory& memory, const Instruction& d, int frame, int row, int column, int channel, int step) {
  if (row < 0 || column < 0 || row >= int(d.input_height) || column >= int(d.input_width)) return 0;
  const int base = int(d.input_base) + frame * int(d.input_frame_words);
  return bench::code_at(memory.words, base, row, column, d.input_width, d.input_channel_tiles, channel, step,
                        d.input_bits, d.input_train_words);
}

int skip_code(const Memory& memory, const Instruction& d, int frame, int row, int column, int channel, int step) {
  row *= int(d.skip_stride);
  column *= int(d.skip_stride);
  if (row >= int(d.skip_height) || column >= int(d.skip_width)) return 0;
  if (channel >= int(d.skip_channel_tiles) * kInputLanes) return 0;
  const int base = int(d.skip_base) + frame * int(d.skip_frame_words);
  return bench::code_at(memory.words, base, row, column, d.skip_width, d.skip_channel_tiles, channel, step, d.skip_bits,
                        d.skip_train_words);
}

// One operand: in MUX_ADD 4 / bits codes a byte, of which those behind the last step may be anything.
void check_operand(const Memory& memory, const Instruction& d, const bench::Quadruple& q, int kernel_row,
                   int kernel_column, int input_tile, int chunk, const Operand& operand) {
  const bool nibbles = d.mode == hw::mode::kMuxAdd;
  const int bits = d.input_bits, codes = nibbles ? 4 / bits : 1;
  const int row = q.row * int(d.row_stride) + kernel_row - int(d.padding_top);
  for (int slot = 0; slot < kSlots; ++slot) {
    const int column = (q.group * kSlots + slot) * int(d.column_stride) + kernel_column - int(d.padding_left);
    for (int lane = 0; lane < kInputLanes; ++lane) {
      const int channel = (int(d.input_first_tile) + input_tile) * kInputLanes + lane, byte = operand.code[slot][lane];
      CHECK(byte < 1 << (nibbles ? 4 : bits));
      for (int k = 0; k < codes && chunk * codes + k < int(d.input_steps); ++k) {
        CHECK_EQUAL(byte >> (k * bits) & ((1 << bits) - 1),
                    input_code(memory, d, q.frame, row, column, channel, chunk * codes + k));
      }
    }
  }
}

void check_residual(const Memory& memory, const Instruction& d, const bench::Quadruple& q, int word, int tile,
                    const Residual& residual) {
  for (int slot = 0; slot < kSlots; ++slot) {
    for (int lane = 0; lane < kOutputLanes; ++lane) {
      const int bits = d.skip_bits, codes = 8 / bits;
      for (int k = 0; k < codes && word * codes + k < int(d.num_steps); ++k) {
        CHECK_EQUAL(residual.byte[slot][lane] >> (k * bits) & ((1 << bits) - 1),
                    skip_code(memory, d, q.frame, q.row, q.group * kSlots + slot, tile * kOutputLanes + lane,
                              word * codes + k));
      }
    }
  }
}

// Every token of `feed` against the address formula of the contract.
void check_feed(const Instruction& d, int frames = 1) {
  const Command c = bench::command_of(d, frames);
  const std::unique_ptr<Memory> memory = random_memory();
  sim::Simulation simulation;
  hls::stream<Operand> operands(simulation, "operands");
  hls::stream<Residual> current(simulation, "current_residuals"), spike(simulation, "spike_residuals");
  bench::run(simulation, [&] { feed(c, memory->words, operands, current, spike); });

  auto& residuals = d.skip_mode == hw::skip::kCurrent ? current : spike;
  bench::each_pass(c, [&](int first, int length, int tile, int tiles) {
    for (int tap = 0; tap < taps_of(d); ++tap) {
      const int position = tap / int(d.input_tiles), width = d.kernel_width;
      for (int q = first; q < first + length; ++q) {
        for (int chunk = 0; chunk < int(d.chunks); ++chunk) {
          Operand operand;
          CHECK(operands.host_read(operand));
          check_operand(*memory, d, bench::quadruple_at(d, q), position / width, position % width,
                        tap % int(d.input_tiles), chunk, operand);
        }
      }
    }
    if (d.skip_mode == hw::skip::kNone) return;
    for (int q = first; q < first + length; ++q) {
      for (int word = 0; word < int(d.skip_train_words); ++word) {
        for (int h = 0; h < tiles; ++h) {
          Residual residual;
          CHECK(residuals.host_read(residual));
          check_residual(*memory, d, bench::quadruple_at(d, q), word, int(d.output_first_tile) + tile + h, residual);
        }
      }
    }
  });
  CHECK_EQUAL(operands.host_size() + current.host_size() + spike.host_size(), 0);
}

Instruction convolution(int height, int width, int kernel, int stride, int padding, int steps, int bits,
                        int mode = hw::mode::kMultiply8, bool pooled = false) {
  Instruction d = bench::empty_instruction();
  bench::set_input(d, 100, height, width, 2, steps, bits);
  bench::set_kernel(d, kernel, kernel, stride, padding);
  const int rows = (height + 2 * padding - kernel) / stride + 1, columns = (width + 2 * padding - kernel) / stride + 1;
  bench::set_output(d, 4000, rows, columns, 5, steps, bits, pooled);
  bench::set_mode(d, mode);
  bench::set_blocks(d);
  return d;
}

void add_skip(Instruction& d, int mode, int stride, int tiles, int bits) {
  d.skip_mode = mode;
  bench::set_skip(d, 2000, int(d.output_height) * stride, int(d.output_width) * stride - (stride - 1), tiles,
                  d.num_steps, bits, stride);
}

}  // namespace

TEST(feed_reads_windows_of_every_stride) {
  for (int stride = 1; stride <= 4; ++stride) check_feed(convolution(9, 11, 3, stride, 1, 3, 2));
  check_feed(convolution(7, 5, 7, 2, 6, 1, 8));
  check_feed(convolution(12, 33, 1, 1, 0, 8, 1));
}

// Rows, columns and tiles up to the last that a field can name, and banks filled to the last word.
TEST(feed_reaches_the_ends_of_the_largest_maps) {
  Instruction tall = convolution(4095, 4, 1, 1, 0, 1, 8);
  check_feed(tall);
  Instruction wide = convolution(1, 4095, 1, 1, 0, 1, 8);
  check_feed(wide);
  Instruction deep = convolution(1, 1, 1, 1, 0, 1, 8);
  bench::set_input(deep, 100, 1, 1, 4095, 1, 8);
  deep.input_first_tile = 4094;
  deep.input_tiles = 1;
  check_feed(deep);
  Instruction full = convolution(3, 4, 1, 1, 0, 32, 8);
  bench::set_input(full, 0, 3, 4, 128, 32, 8);  // 3 x 128 x 32 words
  full.input_first_tile = 127;
  full.input_tiles = 1;
  check_feed(full);
  Instruction strided = convolution(4095, 1, 1, 15, 0, 1, 8);
  check_feed(strided);
}

TEST(feed_strides_rows_and_columns_apart) {
  for (int row_stride = 1; row_stride <= 2; ++row_stride) {
    Instruction d = convolution(8, 10, 3, 1, 1, 2, 4);
    d.kernel_width = 2;
    d.row_stride = row_stride;
    d.column_stride = 3 - row_stride;
    d.padding_left = 1;
    bench::set_output(d, 4000, row_stride == 1 ? 8 : 4, row_stride == 1 ? 5 : 10, 2, 2, 4);
    check_feed(d);
  }
}

TEST(feed_reads_a_band_of_rows) {
  Instruction d = convolution(7, 6, 3, 1, 1, 2, 4);
  d.padding_top = 0;  // the band starts inside the map, with a row of the band above
  bench::set_output(d, 4000, 6, 6, 2, 2, 4);
  check_feed(d);  // the last row of the last window lies below
}

TEST(feed_reads_a_group_of_input_tiles) {
  Instruction d = convolution(6, 6, 3, 1, 1, 2, 4);
  d.input_first_tile = 1;
  d.input_tiles = 1;
  d.output_first_tile = 1;
  d.output_tiles = 1;
  check_feed(d);
}

TEST(feed_reads_nibbles_for_the_planes) {
  check_feed(convolution(5, 9, 3, 1, 1, 7, 1, hw::mode::kMuxAdd));  // the last nibble holds three steps
  check_feed(convolution(5, 9, 3, 2, 1, 5, 2, hw::mode::kMuxAdd));
  check_feed(convolution(5, 9, 3, 1, 1, 3, 4, hw::mode::kMuxAdd));
}

TEST(feed_reads_frames_one_behind_the_other) {
  check_feed(convolution(5, 6, 3, 1, 1, 2, 4), 3);
  Instruction d = convolution(4, 9, 3, 2, 1, 4, 1, hw::mode::kMuxAdd);
  d.input_frame_words = int(d.input_frame_words) + 17;
  add_skip(d, hw::skip::kCurrent, 1, 3, 4);
  d.skip_frame_words = int(d.skip_frame_words) + 5;
  check_feed(d, 4);
}

TEST(feed_alternates_the_rows_of_a_pooled_pair) {
  check_feed(convolution(6, 11, 3, 1, 1, 3, 2, hw::mode::kMultiply8, true));
  Instruction d = convolution(4, 5, 1, 1, 0, 4, 1, hw::mode::kMuxAdd, true);
  add_skip(d, hw::skip::kSpike, 1, 5, 1);
  check_feed(d, 3);
}

TEST(feed_sends_residuals_after_the_operands_of_a_block) {
  Instruction d = convolution(8, 9, 3, 1, 1, 4, 2);
  add_skip(d, hw::skip::kSpike, 1, 5, 4);
  check_feed(d);
  add_skip(d, hw::skip::kIand, 1, 5, 1);
  check_feed(d);
  add_skip(d, hw::skip::kCurrent, 2, 1, 1);  // subsampled, channels padded with zeros
  check_feed(d);
  d.input_steps = 1;  // a static image: the residual still has all steps
  d.input_train_words = 1;
  bench::set_mode(d, hw::mode::kMultiply8);
  bench::set_blocks(d);
  check_feed(d);
}

TEST(feed_sends_residuals_of_both_output_tiles) {
  Instruction d = convolution(5, 9, 3, 1, 1, 3, 4, hw::mode::kMultiply4);  // three output tiles: two and one
  add_skip(d, hw::skip::kCurrent, 1, 5, 8);
  check_feed(d, 2);
}
