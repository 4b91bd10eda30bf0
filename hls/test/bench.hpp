// What the benches share: registration, checks, a simulation for single stages, random numbers, addresses.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "programs.hpp"
#include "simulation.hpp"
#include "types.hpp"

namespace bench {

struct Case {
  const char* name;
  void (*run)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

[[noreturn]] inline void fail(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what);
  std::exit(1);
}

template <typename A, typename B>
void check_equal(const A& a, const B& b, const char* what, const char* file, int line) {
  if (int64_t(a) == int64_t(b)) return;
  std::fprintf(stderr, "%lld is not %lld\n", static_cast<long long>(a), static_cast<long long>(b));
  fail(what, file, line);
}

// Run stages to the end; they must neither fail nor block.
inline void run(sim::Simulation& simulation, std::function<void()> stages) {
  simulation.start("bench", std::move(stages));
  if (simulation.run() == sim::Outcome::kDone) return;
  std::fprintf(stderr, "%s%s\n", simulation.message.c_str(), simulation.blocked.c_str());
  fail("the stages did not finish", __FILE__, __LINE__);
}

// Uniform in low..high, the same in every run.
inline int64_t uniform(int64_t low, int64_t high) {
  static std::mt19937_64 generator(20240601);
  return low + int64_t(generator() % uint64_t(high - low + 1));
}

// The address formula of pynq_qsnn/hwspec.py, divisions and all.
inline int bank_word(int base, int row, int column, int width, int tiles, int tile, int train_words, int word) {
  return base + ((row * divide_up(width, kBanks) + column / kBanks) * tiles + tile) * train_words + word;
}

inline int code_at(const ActivationMemory memory, int base, int row, int column, int width, int tiles, int channel,
                   int step, int bits, int train_words) {
  const int address = bank_word(base, row, column, width, tiles, channel / kInputLanes, train_words, step * bits / 8);
  const word_t word = memory[column % kBanks][address];
  const int lane = channel % kInputLanes;
  return (word.range(8 * lane + 7, 8 * lane).to_int() >> (step * bits % 8)) & ((1 << bits) - 1);
}

// Where quadruple `index` of a group of frames lies, by division (the stages count).
struct Quadruple {
  int frame, row, group;
};

inline Quadruple quadruple_at(const Instruction& d, int index) {
  const int groups = d.output_column_groups, in_frame = index % int(d.quadruples);
  Quadruple q = {index / int(d.quadruples), in_frame / groups, in_frame % groups};
  if (d.pooled) {
    const int pair = in_frame / (2 * groups), in_pair = in_frame % (2 * groups);
    q.row = 2 * pair + in_pair % 2;
    q.group = in_pair / 2;
  }
  return q;
}

// Calls visit(first quadruple, quadruples, first output tile, output tiles) for each block and pass, in order.
template <typename Visit>
void each_pass(const Command& c, Visit visit) {
  const Instruction& d = c.instruction;
  const int total = int(d.quadruples) * c.frames, full = d.block_quadruples, tiles = d.output_tiles;
  const int both = d.mode == hw::mode::kMultiply4 ? 2 : 1;
  for (int first = 0; first < total; first += full) {
    for (int tile = 0; tile < tiles; tile += both) {
      visit(first, total - first < full ? total - first : full, tile, tiles - tile < both ? tiles - tile : both);
    }
  }
}

// The streams of partial sums, with the host at one end, and one token of each.
struct Parts {
  PartialSum wide;
  NarrowSum narrow[kNarrowParts];
  SpikeCount spikes;

  // Sum of an output lane: of the pass's 64 in MULTIPLY4, of plane `part` in MUX_ADD.
  int64_t sum(const Instruction& d, int part, int slot, int lane) const {
    if (d.mode == hw::mode::kMultiply8) return wide.sum[slot][lane];
    if (d.mode == hw::mode::kMultiply4) {
      return lane & 1 ? int64_t(narrow[0].sum[slot][lane / 2]) : int64_t(wide.sum[slot][lane / 2]);
    }
    const int64_t biased = part ? int64_t(narrow[part - 1].sum[slot][lane]) : int64_t(wide.sum[slot][lane]);
    return biased - 128 * int64_t(spikes.count[part][slot]);
  }
};

struct PartialSums {
  explicit PartialSums(sim::Simulation& simulation)
      : wide(simulation, "partial_sums"),
        narrow{{simulation, "narrow_sums"}, {simulation, "narrow_sums"}, {simulation, "narrow_sums"}},
        spikes(simulation, "spike_counts") {}

  // The oldest token of the streams that the mode uses.
  bool read(const Instruction& d, Parts& parts) {
    if (!wide.host_read(parts.wide)) return false;
    for (int i = 0; i < parts_of(d) - 1; ++i) {
      if (!narrow[i].host_read(parts.narrow[i])) return false;
    }
    return d.mode != hw::mode::kMuxAdd || spikes.host_read(parts.spikes);
  }

  void write(const Instruction& d, const Parts& parts) {
    wide.host_write(parts.wide);
    for (int i = 0; i < parts_of(d) - 1; ++i) narrow[i].host_write(parts.narrow[i]);
    if (d.mode == hw::mode::kMuxAdd) spikes.host_write(parts.spikes);
  }

  size_t host_size() const {
    size_t tokens = wide.host_size() + spikes.host_size();
    for (const auto& stream : narrow) tokens += stream.host_size();
    return tokens;
  }

  hls::stream<PartialSum> wide;
  hls::stream<NarrowSum> narrow[kNarrowParts];
  hls::stream<SpikeCount> spikes;
};

}  // namespace bench

#define TEST(name)                                                                       \
  static void name();                                                                    \
  static const bool registered_##name = (bench::cases().push_back({#name, name}), true); \
  static void name()
#define CHECK(condition) ((condition) ? void() : bench::fail(#condition, __FILE__, __LINE__))
#define CHECK_EQUAL(a, b) bench::check_equal(a, b, #a " == " #b, __FILE__, __LINE__)
