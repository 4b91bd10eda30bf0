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

int input_code(const Memory& memory, const Instruction& d, int row, int column, int channel, int step) {
  if (row < 0 || column < 0 || row >= int(d.input_height) || column >= int(d.input_width)) return 0;
  return bench::code_at(memory.words, d.input_base, row, column, d.input_width, d.input_channel_tiles, channel, step,
                        d.input_bits, d.input_train_words);
}

int skip_code(const Memory& memory, const Instruction& d, int row, int column, int channel, int step) {
  row *= int(d.skip_stride);
  column *= int(d.skip_stride);
  if (row >= int(d.skip_height) || column >= int(d.skip_width)) return 0;
  if (channel >= int(d.skip_channel_tiles) * kInputLanes) return 0;
  return bench::code_at(memory.words, d.skip_base, row, column, d.skip_width, d.skip_channel_tiles, channel, step,
                        d.skip_bits, d.skip_train_words);
}

void check_block_tile(const Memory& memory, const Instruction& d, int first, int length, int tile,
                      hls::stream<Operand>& operands, hls::stream<Residual>& residuals) {
  const int groups = d.output_column_groups;
  for (int kr = 0; kr < int(d.kernel_height); ++kr) {
    for (int kc = 0; kc < int(d.kernel_width); ++kc) {
      for (int input_tile = 0; input_tile < int(d.input_tiles); ++input_tile) {
        for (int q = first; q < first + length; ++q) {
          for (int step = 0; step < int(d.input_steps); ++step) {
            Operand operand;
            CHECK(operands.host_read(operand));
            for (int slot = 0; slot < kSlots; ++slot) {
              for (int lane = 0; lane < kInputLanes; ++lane) {
                const int row = q / groups * int(d.stride) + kr - int(d.padding);
                const int column = (q % groups * kSlots + slot) * int(d.stride) + kc - int(d.padding);
                const int channel = (int(d.input_first_tile) + input_tile) * kInputLanes + lane;
                CHECK_EQUAL(operand.code[slot][lane], input_code(memory, d, row, column, channel, step));
              }
            }
          }
        }
      }
    }
  }
  if (d.skip_mode == hw::skip::kNone) return;
  for (int q = first; q < first + length; ++q) {
    for (int step = 0; step < int(d.num_steps); ++step) {
      Residual residual;
      CHECK(residuals.host_read(residual));
      for (int slot = 0; slot < kSlots; ++slot) {
        for (int lane = 0; lane < kOutputLanes; ++lane) {
          const int channel = (int(d.output_first_tile) + tile) * kOutputLanes + lane;
          CHECK_EQUAL(residual.code[slot][lane],
                      skip_code(memory, d, q / groups, q % groups * kSlots + slot, channel, step));
        }
      }
    }
  }
}

// Every token of `feed` against the address formula of the contract.
void check_feed(Instruction d) {
  bench::set_blocks(d);
  const std::unique_ptr<Memory> memory = random_memory();
  sim::Simulation simulation;
  hls::stream<Operand> operands(simulation, "operands");
  hls::stream<Residual> current(simulation, "current_residuals"), spike(simulation, "spike_residuals");
  bench::run(simulation, [&] { feed(d, memory->words, operands, current, spike); });

  auto& residuals = d.skip_mode == hw::skip::kSpike ? spike : current;
  for (int block = 0; block < int(d.blocks); ++block) {
    const int first = block * int(d.block_quadruples), left = int(d.quadruples) - first;
    const int length = left < int(d.block_quadruples) ? left : int(d.block_quadruples);
    for (int tile = 0; tile < int(d.output_tiles); ++tile) {
      check_block_tile(*memory, d, first, length, tile, operands, residuals);
    }
  }
  CHECK_EQUAL(operands.host_size() + current.host_size() + spike.host_size(), 0);
}

Instruction convolution(int height, int width, int kernel, int stride, int padding, int steps, int bits) {
  Instruction d = bench::empty_instruction();
  bench::set_input(d, 100, height, width, 2, steps, bits);
  d.kernel_height = d.kernel_width = kernel;
  d.stride = stride;
  d.padding = padding;
  const int rows = (height + 2 * padding - kernel) / stride + 1, columns = (width + 2 * padding - kernel) / stride + 1;
  bench::set_output(d, 4000, rows, columns, 3, steps, bits);
  return d;
}

void set_skip(Instruction& d, int mode, int stride, int tiles, int bits) {
  d.skip_mode = mode;
  d.skip_stride = stride;
  d.skip_base = 2000;
  d.skip_height = int(d.output_height) * stride;
  d.skip_width = int(d.output_width) * stride - (stride - 1);
  d.skip_column_groups = bench::divide_up(d.skip_width, kBanks);
  d.skip_channel_tiles = tiles;
  d.skip_bits = bits;
  d.skip_train_words = bench::divide_up(int(d.num_steps) * bits, 8);
}

}  // namespace

TEST(feed_reads_windows_of_every_stride) {
  for (int stride = 1; stride <= 4; ++stride) check_feed(convolution(9, 11, 3, stride, 1, 3, 2));
  check_feed(convolution(7, 5, 7, 2, 6, 1, 8));
  check_feed(convolution(12, 33, 1, 1, 0, 8, 1));
}

TEST(feed_reads_a_group_of_input_tiles) {
  Instruction d = convolution(6, 6, 3, 1, 1, 2, 4);
  d.input_first_tile = 1;
  d.input_tiles = 1;
  d.output_first_tile = 1;
  d.output_tiles = 1;
  check_feed(d);
}

TEST(feed_sends_residuals_after_the_operands_of_a_block) {
  Instruction d = convolution(8, 9, 3, 1, 1, 4, 2);
  set_skip(d, hw::skip::kSpike, 1, 3, 4);
  check_feed(d);
  set_skip(d, hw::skip::kCurrent, 2, 1, 1);  // subsampled, channels padded with zeros
  check_feed(d);
  d.input_steps = 1;  // a static image: the residual still has all steps
  d.input_train_words = 1;
  check_feed(d);
}
