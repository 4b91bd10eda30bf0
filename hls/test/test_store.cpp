#include "bench.hpp"

#include <memory>

#include "stages.hpp"

namespace {

struct Bank {
  ActivationMemory words;
};

struct StoreCase {
  int height, width, tiles, steps, bits;
  int mode = hw::mode::kMultiply8;
  bool pooled = false;
  int frames = 1;
  int skip = hw::skip::kNone;
};

// Codes of the computed maps: [frame][row][column][channel][step].
struct Maps {
  int height, columns, channels, steps;
  std::vector<int> codes;

  Maps(const Instruction& d, int frames)
      : height(d.output_height),
        columns(int(d.output_column_groups) * kSlots),
        channels(int(d.output_tiles) * kOutputLanes),
        steps(d.num_steps),
        codes(size_t(frames) * height * columns * channels * steps) {}
  int& at(int frame, int row, int column, int channel, int step) {
    return codes[(((frame * height + row) * size_t(columns) + column) * channels + channel) * steps + step];
  }
};

int with_residual(int mode, int s, int k, int s_max) {
  if (mode == hw::skip::kSpike) return s + k < s_max ? s + k : s_max;
  return mode == hw::skip::kIand ? (1 - s) * k : s;
}

// Random tokens in their order; `maps` becomes what they mean.
void send_tokens(const Command& c, hls::stream<Fired>& fired, hls::stream<Residual>& residuals, Maps& maps) {
  const Instruction& d = c.instruction;
  const int largest = (1 << int(d.output_bits)) - 1;
  bench::each_pass(c, [&](int first, int length, int first_tile, int pass_tiles) {
    for (int index = first; index < first + length; ++index) {
      const bench::Quadruple q = bench::quadruple_at(d, index);
      Residual residual[kPassTiles];
      for (int t = 0; t < int(d.num_steps); ++t) {
        for (int h = 0; h < pass_tiles; ++h) {
          Fired token[kSlots];
          const int bits = d.skip_bits, bit = bits ? t * bits % 8 : 0;
          for (int slot = 0; slot < kSlots; ++slot) {
            for (int lane = 0; lane < kOutputLanes; ++lane) {
              const int s = token[slot].code[lane] = uint8_t(bench::uniform(0, largest));
              uint8_t& byte = residual[h].byte[slot][lane];
              if (bit == 0) byte = uint8_t(bench::uniform(0, 255));
              const int k = byte >> bit & ((1 << bits) - 1);
              maps.at(q.frame, q.row, q.group * kSlots + slot, (first_tile + h) * kOutputLanes + lane, t) =
                  with_residual(d.skip_mode, s, k, d.skip_s_max);
            }
          }
          for (const Fired& slot : token) fired.host_write(slot);
          if (d.skip_mode != hw::skip::kNone && bit == 0) residuals.host_write(residual[h]);
        }
      }
    }
  });
}

int stored_code(Maps& maps, bool pooled, int frame, int row, int column, int channel, int step) {
  if (!pooled) return maps.at(frame, row, column, channel, step);
  int largest = 0;
  for (int i = 0; i < 4; ++i) {
    const int code = maps.at(frame, 2 * row + i / 2, 2 * column + i % 2, channel, step);
    largest = code > largest ? code : largest;
  }
  return largest;
}

// Trains in memory against the fired codes; what is no part of the maps keeps its value.
void check_store(const StoreCase& shape) {
  constexpr int kBase = 50;
  Instruction d = bench::empty_instruction();
  d.input_steps = shape.steps;
  d.input_bits = 4;
  bench::set_output(d, kBase, shape.height, shape.width, shape.tiles, shape.steps, shape.bits, shape.pooled);
  bench::set_mode(d, shape.mode);
  bench::set_blocks(d);
  d.skip_mode = shape.skip;
  d.skip_bits = shape.skip == hw::skip::kIand ? 1 : shape.bits;
  d.skip_s_max = shape.bits > 1 ? (1 << shape.bits) - 2 : 1;
  const Command c = bench::command_of(d, shape.frames);
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
  Maps maps(d, shape.frames);
  send_tokens(c, fired, residuals, maps);
  uint32_t stored = 0;
  bench::run(simulation, [&] { store(c, fired, logits, residuals, memory->words, results, stored); });
  CHECK_EQUAL(fired.host_size() + residuals.host_size(), 0);

  const int rows = shape.pooled ? shape.height / 2 : shape.height, width = shape.pooled ? shape.width / 2 : shape.width;
  const int train_words = d.output_train_words;
  const int frame_words = rows * bench::divide_up(width, kBanks) * shape.tiles * train_words;
  CHECK_EQUAL(stored, shape.frames * rows * width * shape.tiles * train_words);
  for (int frame = 0; frame < shape.frames; ++frame) {
    const int base = kBase + frame * frame_words;
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < width; ++column) {
        for (int channel = 0; channel < shape.tiles * kInputLanes; ++channel) {
          for (int t = 0; t < shape.steps; ++t) {
            CHECK_EQUAL(bench::code_at(memory->words, base, row, column, width, shape.tiles, channel, t, shape.bits,
                                       train_words),
                        stored_code(maps, shape.pooled, frame, row, column, channel, t));
          }
        }
        for (int word = 0; word < shape.tiles * train_words; ++word) {
          memory->words[column % kBanks]
                       [bench::bank_word(base, row, column, width, 1, 0, shape.tiles * train_words, word)] = untouched;
        }
      }
    }
  }
  for (const auto& bank : memory->words) {
    for (const word_t& word : bank) CHECK(word == untouched);
  }
}

}  // namespace

TEST(store_packs_trains_into_their_banks) {
  check_store({3, 9, 3, 1, 8});  // the last half tile and three columns are suppressed
  check_store({2, 4, 1, 5, 2});
  check_store({1, 1, 2, 8, 1});
  check_store({4, 12, 2, 32, 8});
}

TEST(store_adds_the_residual_of_the_spikes) {
  for (int mode : {hw::mode::kMultiply8, hw::mode::kMultiply4}) {
    check_store({5, 7, 4, 3, 4, mode, false, 1, hw::skip::kSpike});
    check_store({4, 13, 2, 9, 1, mode, false, 2, hw::skip::kSpike});
    check_store({3, 3, 1, 4, 8, mode, false, 1, hw::skip::kSpike});
    check_store({3, 6, 5, 5, 1, mode, false, 1, hw::skip::kIand});
  }
}

TEST(store_takes_two_output_tiles_a_pass) {
  check_store({3, 9, 4, 3, 4, hw::mode::kMultiply4});
  check_store({3, 9, 5, 9, 2, hw::mode::kMultiply4});  // three output tiles: two and half of one
}

TEST(store_puts_frames_behind_each_other) {
  check_store({1, 1, 4, 4, 1, hw::mode::kMuxAdd, false, 4});
  check_store({3, 5, 3, 3, 4, hw::mode::kMultiply4, false, 3});
}

TEST(store_takes_the_maximum_of_2x2_windows) {
  for (int mode : {hw::mode::kMultiply8, hw::mode::kMultiply4, hw::mode::kMuxAdd}) {
    for (int width : {2, 3, 4, 5, 7, 8, 9, 12, 13, 18}) check_store({4, width, 3, 4, 2, mode, true, 2});
    check_store({6, 32, 2, 4, 1, mode, true});
    check_store({2, 10, 1, 3, 8, mode, true});
    check_store({8, 10, 5, 9, 4, mode, true, 3, hw::skip::kSpike});
    check_store({4, 6, 4, 11, 1, mode, true, 2, hw::skip::kIand});
  }
}

TEST(store_sends_logits_with_tlast_after_the_last_frame) {
  for (int classes : {1, 4, 10, 33, 64}) {
    for (int frames : {1, 3}) {
      for (bool last_group : {false, true}) {
        Instruction d = bench::empty_instruction();
        d.head = 1;
        d.num_classes = classes;
        d.output_tiles = bench::divide_up(classes, kOutputLanes);
        Command c = bench::command_of(d, frames);
        c.last_group = last_group;
        sim::Simulation simulation;
        hls::stream<Fired> fired(simulation, "fired");
        hls::stream<Logits> logits(simulation, "logits");
        hls::stream<Residual> residuals(simulation, "spike_residuals");
        hls::stream<axis_word> results(simulation, "results");
        for (int tile = 0; tile < frames * int(d.output_tiles); ++tile) {
          const int frame = tile / int(d.output_tiles), first = tile % int(d.output_tiles) * kOutputLanes;
          Logits token;
          for (int lane = 0; lane < kOutputLanes; ++lane) token.sum[lane] = -1 - 1000 * frame - first - lane;
          logits.host_write(token);
        }
        word_t(*const no_memory)[kBankWords] = nullptr;
        uint32_t stored = 0;
        bench::run(simulation, [&] { store(c, fired, logits, residuals, no_memory, results, stored); });

        const int beats = bench::divide_up(classes, 4);
        CHECK_EQUAL(stored, frames * beats);
        CHECK_EQUAL(results.host_size(), frames * beats);
        for (int beat = 0; beat < frames * beats; ++beat) {
          axis_word word;
          results.host_read(word);
          CHECK_EQUAL(word.last, last_group && beat == frames * beats - 1);
          CHECK_EQUAL(word.keep, 0xFFFF);
          for (int i = 0; i < 4; ++i) {
            const int k = beat % beats * 4 + i, expected = k < classes ? -1 - 1000 * (beat / beats) - k : 0;
            CHECK_EQUAL(int32_t(word.data.range(32 * i + 31, 32 * i).to_uint()), expected);
          }
        }
      }
    }
  }
}
