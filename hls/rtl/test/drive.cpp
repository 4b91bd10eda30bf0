// The Verilog row against its C++ model (hls/src/mac_row.hpp), cycle by cycle, through the ports of the black box.
//   drive [random items] [seed]
// Every corner first, then random items; modes change from one cycle to the next, ap_ce stalls, ap_start has gaps, and
// what is at the inputs without ap_start is garbage. Prints what it measured: "latency 13 interval 1 items ...".
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <random>

#include "Vqsnn_mac_row.h"
#include "verilated.h"

#include "mac_row.hpp"

namespace {

constexpr int kSumBits[kParts] = {21, 13, 13, 13}, kWords[kParts] = {11, 7, 7, 7};

struct Item {
  int mode;
  uint8_t operand[kSlots][kInputLanes];
  uint8_t weight[kMacRows][kInputLanes];
};

struct Expected {
  int mode;
  int32_t sum[kParts][kSlots][kMacRows];
  long entered;  // enabled cycle
};

std::mt19937_64 generator;
int uniform(int low, int high) { return low + int(generator() % uint64_t(high - low + 1)); }

[[noreturn]] void fail(const char* what, long cycle) {
  std::fprintf(stderr, "cycle %ld: %s\n", cycle, what);
  std::exit(1);
}

struct Bench {
  std::unique_ptr<VerilatedContext> context{new VerilatedContext};
  std::unique_ptr<Vqsnn_mac_row> top;
  std::deque<Expected> flying;
  long cycle = 0, enabled = 0, checked = 0, last_entered = -1;
  long latency = -1, interval = -1;
  long changes = 0, stalls = 0;
  int last_mode = -1;

  Bench() {
    context->randReset(2);  // registers wake up with anything
    context->randSeed(int(generator() % 1000 + 1));
    top.reset(new Vqsnn_mac_row{context.get()});
    top->ap_clk = 0;
    top->ap_rst = 1;
    top->ap_ce = 1;
    top->ap_continue = 1;
    top->ap_start = 0;
    for (int i = 0; i < 4; ++i) clock();
    top->ap_rst = 0;
  }

  void clock() {
    top->ap_clk = 1;
    top->eval();
    top->ap_clk = 0;
    top->eval();
    ++cycle;
  }

  void compare() {
    if (flying.empty()) fail("ap_done without an item", cycle);
    const Expected& expected = flying.front();
    const long took = enabled - expected.entered;
    if (latency < 0) latency = took;
    if (took != latency) fail("the latency is not constant", cycle);
    const uint32_t* words[kParts] = {top->part0.data(), top->part1.data(), top->part2.data(), top->part3.data()};
    for (int part = 0; part < kParts; ++part) {
      for (int slot = 0; slot < kSlots; ++slot) {
        for (int row = 0; row < kMacRows; ++row) {
          const int bits = kSumBits[part], lsb = bits * (slot * kMacRows + row);
          uint64_t pair = words[part][lsb / 32];
          if (lsb / 32 + 1 < kWords[part]) pair |= uint64_t(words[part][lsb / 32 + 1]) << 32;
          const int32_t found = int32_t(uint32_t(pair >> (lsb % 32)) << (32 - bits)) >> (32 - bits);
          if (found == expected.sum[part][slot][row]) continue;
          std::fprintf(stderr, "mode %d part %d slot %d row %d: %d, the model has %d\n", expected.mode, part, slot, row,
                       found, expected.sum[part][slot][row]);
          fail("a sum differs", cycle);
        }
      }
    }
    if (!(top->part0_ap_vld && top->part1_ap_vld && top->part2_ap_vld && top->part3_ap_vld)) {
      fail("ap_done without valid", cycle);
    }
    flying.pop_front();
    ++checked;
  }

  void set_inputs(const Item& item) {
    top->mode = item.mode;
    std::memcpy(top->operands.data(), item.operand, sizeof item.operand);
    std::memcpy(top->weights.data(), item.weight, sizeof item.weight);
  }

  // One cycle with the item (start) or with garbage (no start), enabled or not.
  void step(const Item& item, bool start, bool enable) {
    set_inputs(item);
    top->ap_start = start;
    top->ap_ce = enable;
    top->eval();
    if (bool(top->ap_ready) != (start && enable)) fail("ap_ready", cycle);
    if (bool(top->ap_idle) != (!start && flying.empty())) fail("ap_idle", cycle);
    if (top->ap_done) {
      if (!enable) fail("ap_done in a stall", cycle);
      compare();
    } else if (enable && !flying.empty() && latency >= 0 && enabled - flying.front().entered >= latency) {
      fail("no ap_done for an item that is due", cycle);
    }
    if (start && enable) {
      flying.emplace_back();
      Expected& expected = flying.back();
      expected.mode = item.mode;
      expected.entered = enabled;
      mac_row(item.mode, item.operand, item.weight, expected.sum);
      if (last_entered >= 0 && (interval < 0 || enabled - last_entered < interval)) interval = enabled - last_entered;
      changes += last_entered == enabled - 1 && item.mode != last_mode;
      last_entered = enabled;
      last_mode = item.mode;
    }
    stalls += !enable;
    clock();
    enabled += enable;
  }

  void drain() {
    Item garbage = {};
    for (int i = 0; i < 100 && !flying.empty(); ++i) step(garbage, false, true);
    if (!flying.empty()) fail("items never came out", cycle);
  }
};

Item random_item(int mode, int kind) {
  static const uint8_t int8_limits[] = {0x81, 0x7F}, int4_limits[] = {0x88, 0x77, 0x87, 0x78};
  Item item;
  item.mode = mode;
  for (auto& slot : item.operand) {
    for (uint8_t& code : slot) code = uint8_t(kind == 0 ? 255 * uniform(0, 1) : uniform(0, 255));
  }
  for (auto& row : item.weight) {
    for (uint8_t& weight : row) {
      if (mode == hw::mode::kMultiply4) {
        weight = kind == 0 ? int4_limits[uniform(0, 3)] : uint8_t(uniform(0, 255));
      } else {
        weight = kind == 0 ? int8_limits[uniform(0, 1)] : uint8_t(uniform(-127, 127));
      }
    }
  }
  return item;
}

// Neighbours in a packing (slots of a pair, nibbles, rows) take every pair of corner values; three modes in turn.
void corners(Bench& bench) {
  const uint8_t codes[] = {0, 1, 8, 15, 16, 127, 128, 254, 255};
  const uint8_t int8s[] = {0x81, 0x82, 0xC0, 0xFF, 0x00, 0x01, 0x40, 0x7E, 0x7F};
  const uint8_t int4s[] = {0x00, 0x88, 0x87, 0x78, 0x77, 0x8F, 0xF8, 0x0F, 0xF0};
  constexpr int kCorners = 9, kPairs = kCorners * kCorners;
  for (int pattern = 0; pattern < 3; ++pattern) {  // all lanes alike, halves of the lanes, neighbouring lanes differ
    for (int code = 0; code < kPairs; ++code) {
      for (int weight = 0; weight < kPairs; ++weight) {
        for (int mode = 0; mode < 3; ++mode) {
          Item item;
          item.mode = mode;
          for (int lane = 0; lane < kInputLanes; ++lane) {
            const int swap = pattern == 0 ? 0 : pattern == 1 ? lane / 8 : lane % 2;
            for (int slot = 0; slot < kSlots; ++slot) {
              const int pair = (code + slot / 2 * 23) % kPairs;
              item.operand[slot][lane] = codes[(slot + swap) % 2 ? pair / kCorners : pair % kCorners];
            }
            for (int row = 0; row < kMacRows; ++row) {
              const int pair = (weight + row / 2 * 23) % kPairs, index = row % 2 ? pair / kCorners : pair % kCorners;
              item.weight[row][lane] = mode == hw::mode::kMultiply4 ? int4s[index] : int8s[index];
            }
          }
          bench.step(item, true, true);
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const long random_items = argc > 1 ? std::atol(argv[1]) : 1000000;
  generator.seed(argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 1);
  Bench bench;
  corners(bench);
  bench.drain();
  const long corner_items = bench.checked;
  // Stretches of three kinds: everything in every cycle, with stalls, with stalls and gaps.
  int stretch = 0, kind = 0, mode = 0, behaviour = 0;
  while (bench.checked + long(bench.flying.size()) < corner_items + random_items) {
    if (stretch-- == 0) {
      stretch = uniform(20, 200);
      kind = uniform(0, 3);
      mode = uniform(0, 5);  // 3 and above: any mode in any cycle
      behaviour = uniform(0, 3);
    }
    const bool enable = behaviour < 2 || uniform(0, 2) > 0, start = behaviour < 3 || uniform(0, 1);
    bench.step(random_item(mode < 3 ? mode : uniform(0, 2), kind), start, enable);
  }
  bench.drain();
  bench.top->final();
  std::printf("latency %ld interval %ld items %ld corners %ld mode_changes %ld stalls %ld cycles %ld\n", bench.latency,
              bench.interval, bench.checked, corner_items, bench.changes, bench.stalls, bench.cycle);
  return 0;
}
