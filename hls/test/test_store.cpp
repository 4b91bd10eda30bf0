#include "bench.hpp"

#include <memory>

#include "stages.hpp"

namespace {

struct Bank {
  ActivationMemory words;
};

// Trains in memory against the fired codes; what lies outside the tensor keeps its value.
void check_store(int height, int width, int tiles, int steps, int bits, bool residual_added) {
  Instruction d = bench::empty_instruction();
  d.input_steps = steps;
  bench::set_output(d, 50, height, width, tiles, steps, bits);
  bench::set_blocks(d);
  const int largest = (1 << bits) - 1;
  d.skip_mode = residual_added ? hw::skip::kSpike : hw::skip::kNone;
  d.skip_s_max = largest > 1 ? largest - 1 : 1;
  const word_t untouched = ~word_t(0);
  std::unique_ptr<Bank> memory(new Bank);
  for (auto& bank : memory->words) {
    for (word_t& word : bank) word = untouched;
  }

  sim::Simulation simulation;
  hls::stream<Fired> fired(simulation, "fired");
  hls::stream<Logits> logits(simulation, "logits");
  hls::stream<Residual> residuals(simulation, "spike_residuals");
  hls::stream<axis_word> results(simulation, "results");
  const int columns = int(d.output_column_groups) * kSlots, channels = int(d.output_tiles) * kOutputLanes;
  std::vector<int> codes(size_t(height) * columns * channels * steps);
  for (int first = 0; first < int(d.quadruples); first += int(d.block_quadruples)) {
    for (int tile = 0; tile < int(d.output_tiles); ++tile) {
      for (int q = first; q < first + int(d.block_quadruples) && q < int(d.quadruples); ++q) {
        for (int t = 0; t < steps; ++t) {
          Residual residual;
          for (int slot = 0; slot < kSlots; ++slot) {
            Fired token;
            for (int lane = 0; lane < kOutputLanes; ++lane) {
              const int s = token.code[lane] = uint8_t(bench::uniform(0, largest));
              const int k = residual.code[slot][lane] = uint8_t(bench::uniform(0, largest));
              const int sum = s + k < int(d.skip_s_max) ? s + k : int(d.skip_s_max);
              codes[((q * kSlots + slot) * size_t(channels) + tile * kOutputLanes + lane) * steps + t] =
                  residual_added ? sum : s;
            }
            fired.host_write(token);
          }
          if (residual_added) residuals.host_write(residual);
        }
      }
    }
  }
  uint32_t stored = 0;
  bench::run(simulation, [&] { store(d, false, fired, logits, residuals, memory->words, results, stored); });

  CHECK_EQUAL(stored, height * width * tiles * int(d.output_train_words));
  for (int row = 0; row < height; ++row) {
    for (int column = 0; column < width; ++column) {
      for (int channel = 0; channel < tiles * kInputLanes; ++channel) {
        for (int t = 0; t < steps; ++t) {
          const int found =
              bench::code_at(memory->words, 50, row, column, width, tiles, channel, t, bits, d.output_train_words);
          CHECK_EQUAL(found, codes[((row * columns + column) * size_t(channels) + channel) * steps + t]);
        }
      }
    }
  }
  const int end = 50 + int(d.quadruples) * tiles * int(d.output_train_words);
  for (const auto& bank : memory->words) CHECK(bank[49] == untouched && bank[end] == untouched);
}

}  // namespace

TEST(store_packs_trains_into_their_banks) {
  check_store(3, 9, 3, 1, 8, false);  // the last half tile and three columns are suppressed
  check_store(2, 4, 1, 5, 2, false);
  check_store(1, 1, 2, 8, 1, false);
  check_store(5, 7, 4, 3, 4, true);
  check_store(4, 13, 2, 9, 1, true);
  check_store(3, 3, 1, 4, 8, true);
}

TEST(store_sends_logits_with_tlast_after_the_last_frame) {
  for (int classes : {1, 4, 10, 33, 64}) {
    for (bool last_frame : {false, true}) {
      Instruction d = bench::empty_instruction();
      d.head = 1;
      d.num_classes = classes;
      d.output_tiles = bench::divide_up(classes, kOutputLanes);
      sim::Simulation simulation;
      hls::stream<Fired> fired(simulation, "fired");
      hls::stream<Logits> logits(simulation, "logits");
      hls::stream<Residual> residuals(simulation, "spike_residuals");
      hls::stream<axis_word> results(simulation, "results");
      for (int tile = 0; tile < int(d.output_tiles); ++tile) {
        Logits token;
        for (int lane = 0; lane < kOutputLanes; ++lane) token.sum[lane] = -1 - tile * kOutputLanes - lane;
        logits.host_write(token);
      }
      Bank* const no_memory = nullptr;
      uint32_t stored = 0;
      bench::run(simulation,
                 [&] { store(d, last_frame, fired, logits, residuals, no_memory->words, results, stored); });

      const int beats = bench::divide_up(classes, 4);
      CHECK_EQUAL(results.host_size(), beats);
      for (int beat = 0; beat < beats; ++beat) {
        axis_word word;
        results.host_read(word);
        CHECK_EQUAL(word.last, last_frame && beat == beats - 1);
        CHECK_EQUAL(word.keep, 0xFFFF);
        for (int i = 0; i < 4; ++i) {
          const int c = beat * 4 + i;
          CHECK_EQUAL(int32_t(word.data.range(32 * i + 31, 32 * i).to_uint()), c < classes ? -1 - c : 0);
        }
      }
    }
  }
}
