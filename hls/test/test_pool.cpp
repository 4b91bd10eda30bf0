#include "bench.hpp"

#include <memory>

#include "stages.hpp"

namespace {

struct Pooled {
  ActivationMemory words;
};

void check_pool(int height, int width, int kernel, int stride, int steps, int bits, int out_bits, int kind, int shift,
                int frames = 1) {
  Instruction d = bench::empty_instruction();
  bench::set_input(d, 10, height, width, 2, steps, bits);
  d.input_frame_words = int(d.input_frame_words) + 3;
  const int rows = (height - kernel) / stride + 1, columns = (width - kernel) / stride + 1;
  bench::set_output(d, 3000, rows, columns, 2, steps, out_bits);
  bench::set_kernel(d, kernel, kernel, stride, 0);
  d.pool_kind = kind;
  d.pool_shift = shift;
  const Command c = bench::command_of(d, frames);
  std::unique_ptr<Pooled> memory(new Pooled);
  for (auto& bank : memory->words) {
    for (word_t& word : bank) {
      for (int lane = 0; lane < kInputLanes; ++lane) word.range(8 * lane + 7, 8 * lane) = bench::uniform(0, 255);
    }
  }
  sim::Simulation simulation;
  uint32_t stored = 0;
  bench::run(simulation, [&] { pool(c, memory->words, memory->words, stored); });

  const int frame_words = int(d.quadruples) * 2 * int(d.output_train_words);
  CHECK_EQUAL(stored, frames * frame_words);
  for (int i = 0; i < frames * rows * columns; ++i) {
    const int frame = i / (rows * columns), row = i / columns % rows, column = i % columns;
    for (int channel = 0; channel < 2 * kInputLanes; ++channel) {
      for (int t = 0; t < steps; ++t) {
        int largest = 0, sum = 0;
        for (int position = 0; position < kernel * kernel; ++position) {
          const int base = 10 + frame * int(d.input_frame_words);
          const int in_row = row * stride + position / kernel, in_column = column * stride + position % kernel;
          const int code =
              bench::code_at(memory->words, base, in_row, in_column, width, 2, channel, t, bits, d.input_train_words);
          largest = code > largest ? code : largest;
          sum += code;
        }
        const int expected = kind == hw::pool::kMaximum ? largest : (sum + ((1 << shift) >> 1)) >> shift;
        CHECK_EQUAL(bench::code_at(memory->words, 3000 + frame * frame_words, row, column, columns, 2, channel, t,
                                   out_bits, d.output_train_words),
                    expected);
      }
    }
  }
  // A pixel a clock.
  const int trains = 2 * (kind == hw::pool::kMaximum ? int(d.output_train_words) : steps);
  const int slots = columns == 1 ? 1 : kSlots;
  CHECK_EQUAL(simulation.clock, uint64_t(frames) * int(d.quadruples) * trains * slots * kernel * kernel);
}

}  // namespace

TEST(pool_takes_the_maximum) {
  check_pool(8, 9, 2, 2, 4, 1, 1, hw::pool::kMaximum, 0);
  check_pool(7, 7, 3, 1, 3, 2, 2, hw::pool::kMaximum, 0);
  check_pool(9, 13, 3, 3, 1, 8, 8, hw::pool::kMaximum, 0, 2);
  check_pool(8, 20, 4, 4, 2, 4, 4, hw::pool::kMaximum, 0);
}

TEST(pool_sums_and_averages_with_rounding) {
  check_pool(6, 6, 3, 2, 5, 1, 4, hw::pool::kSum, 0);
  check_pool(4, 8, 2, 2, 2, 4, 8, hw::pool::kSum, 0, 3);
  check_pool(8, 8, 2, 2, 3, 8, 8, hw::pool::kSum, 2);
  check_pool(16, 16, 16, 1, 1, 8, 8, hw::pool::kSum, 8);
  check_pool(5, 18, 2, 1, 9, 2, 2, hw::pool::kSum, 2, 2);
  for (int shift = 6; shift <= 16; shift += 2) check_pool(9, 9, 8, 1, 2, 8, 8, hw::pool::kSum, shift);
}

TEST(pool_of_one_column_takes_one_slot) {
  check_pool(4, 4, 4, 4, 4, 1, 4, hw::pool::kSum, 0, 4);
  check_pool(8, 9, 8, 2, 3, 4, 8, hw::pool::kSum, 6, 2);
  check_pool(6, 6, 6, 4, 9, 2, 2, hw::pool::kMaximum, 0, 2);
}
