// The clocks of the event model: memory ports, the DMA, knobs and the account of what held a stage up.
#include "bench.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "hls_macros.hpp"
#include "hls_stream.h"

namespace {

constexpr int kReaders = 3;
constexpr int kReadWords = 4000;
const int memories[kReaders] = {};

// Asserts low <= a <= high and says what it was.
void check_between(uint64_t low, uint64_t a, uint64_t high, int line) {
  if (low <= a && a <= high) return;
  std::fprintf(stderr, "%llu is not in %llu..%llu\n", static_cast<unsigned long long>(a),
               static_cast<unsigned long long>(low), static_cast<unsigned long long>(high));
  bench::fail("out of bounds", __FILE__, line);
}
#define CHECK_BETWEEN(low, a, high) check_between(low, a, high, __LINE__)

void read_memory(const int* memory, int words, hls::stream<int>& out) {
  READ_BURST(memory, words);
  for (int i = 0; i < words; ++i) {
    PIPELINE(1);
    BEAT;
    out.write(i);
  }
}

void write_memory(const int* memory, int words, hls::stream<int>& in) {
  WRITE_BURST(memory, words);
  for (int i = 0; i < words; ++i) {
    PIPELINE(1);
    BEAT;
    in.read();
  }
}

void drop(int words, int interval, hls::stream<int>& in) {
  for (int i = 0; i < words; ++i) {
    PIPELINE(interval);
    in.read();
  }
}

// `active` readers with a port and a consumer each; order: which stages are spawned first.
void read_all(int active, const std::array<int, kReaders>& order) {
  REGION(read_all);
  STREAM(int, words_0, 4);
  STREAM(int, words_1, 4);
  STREAM(int, words_2, 4);
  hls::stream<int>* const words[kReaders] = {&words_0, &words_1, &words_2};
  for (int at = 0; at < kReaders; ++at) {
    const int i = order[at];
    if (i >= active) continue;
    hls::stream<int>& out = *words[i];
    region_of_stages.spawn("read_memory", [i, &out] { read_memory(&memories[i], kReadWords, out); });
    region_of_stages.spawn("drop", [&out] { drop(kReadWords, 1, out); });
  }
  REGION_END;
}

std::vector<sim::StageTimes> account_of(sim::Simulation& simulation, std::function<void()> stages) {
  simulation.start("bench", std::move(stages));
  for (int i = 0; i < kReaders; ++i) simulation.memory.bind(&memories[i], "memory_" + std::to_string(i));
  if (simulation.run() != sim::Outcome::kDone) bench::fail(simulation.message.c_str(), __FILE__, __LINE__);
  return simulation.stage_times;
}

uint64_t clocks_of(sim::Simulation& simulation, std::function<void()> stages) {
  const uint64_t start = simulation.clock;
  account_of(simulation, std::move(stages));
  return simulation.clock - start;
}

uint64_t waited(const sim::StageTimes& stage, sim::Wait::Kind kind) {
  uint64_t cycles = 0;
  for (const sim::Wait& wait : stage.waits) cycles += wait.kind == kind ? wait.cycles : 0;
  return cycles;
}

// One line a stage, in an order of its own.
std::vector<std::string> lines_of(const std::vector<sim::StageTimes>& stages) {
  std::vector<std::string> lines;
  for (const sim::StageTimes& stage : stages) {
    std::string line = stage.stage + " " + std::to_string(stage.begin) + " " + std::to_string(stage.end);
    std::vector<std::string> waits;
    for (const sim::Wait& wait : stage.waits) {
      waits.push_back(" " + wait.name + " " + std::to_string(wait.kind) + " " + std::to_string(wait.cycles));
    }
    std::sort(waits.begin(), waits.end());
    for (const std::string& wait : waits) line += wait;
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

void produce_slowly(int count, hls::stream<int>& out) {
  for (int i = 0; i < count; ++i) {
    PIPELINE(1);
    out.write(i);
  }
}

// Takes 32 tokens in a row every 64 clocks, as the array takes a block.
void consume_in_blocks(int count, hls::stream<int>& in) {
  for (int i = 0; i < count; ++i) {
    PIPELINE(i % 32 == 0 ? 33 : 1);
    in.read();
  }
}

void blocks() {
  REGION(blocks);
  STREAM(int, block_tokens, 32);
  STAGE(produce_slowly(640, block_tokens));
  STAGE(consume_in_blocks(640, block_tokens));
  REGION_END;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST(a_port_pays_its_latency_once_and_then_keeps_its_pace) {
  sim::Simulation simulation;
  // 256 ns are 64 clocks; then 4 clocks for 3 words, and the stream's latency behind the last.
  CHECK_BETWEEN(64 + 5333, clocks_of(simulation, [] { read_all(1, {0, 1, 2}); }), 64 + 5333 + 12);
  simulation.set_timing("port_efficiency", 100);
  CHECK_BETWEEN(64 + 4000, clocks_of(simulation, [] { read_all(1, {0, 1, 2}); }), 64 + 4000 + 12);
  simulation.set_timing("clock_mhz", 500);
  CHECK_BETWEEN(128 + 4000, clocks_of(simulation, [] { read_all(1, {0, 1, 2}); }), 128 + 4000 + 12);
  // 128 words on their way at once are one word in two clocks when the way takes 256.
  simulation.set_timing("clock_mhz", 250);
  simulation.set_timing("ddr_read_ns", 1024);
  CHECK_BETWEEN(256 + 8000, clocks_of(simulation, [] { read_all(1, {0, 1, 2}); }), 256 + 8000 + 12);
}

TEST(ports_share_the_controller_fairly_and_only_when_they_must) {
  sim::Simulation simulation;
  const uint64_t alone = clocks_of(simulation, [] { read_all(1, {0, 1, 2}); });
  // 19.2 GB/s at 75 % are 3.6 words a clock: enough for three ports of 0.75.
  CHECK_BETWEEN(alone, clocks_of(simulation, [] { read_all(3, {0, 1, 2}); }), alone + 64);
  // At 25 % they are 1.2 words for three ports that want 2.25, and none may be served much before the others.
  simulation.set_timing("controller_efficiency", 25);
  const auto stages = account_of(simulation, [] { read_all(3, {0, 1, 2}); });
  for (const sim::StageTimes& stage : stages) {
    if (stage.stage != "read_memory") continue;
    CHECK_BETWEEN(10000 - 2 * 64, stage.end - stage.begin, 10000 + 2 * 64);
  }
}

TEST(times_do_not_depend_on_the_order_in_which_stages_run) {
  sim::Simulation first;
  first.set_timing("controller_efficiency", 30);
  const auto expected = lines_of(account_of(first, [] { read_all(3, {0, 1, 2}); }));
  for (const std::array<int, kReaders>& order :
       {std::array<int, kReaders>{2, 1, 0}, std::array<int, kReaders>{1, 2, 0}, std::array<int, kReaders>{0, 2, 1}}) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      sim::Simulation simulation;
      simulation.set_timing("controller_efficiency", 30);
      simulation.set_timing("schedule_seed", seed);
      CHECK(lines_of(account_of(simulation, [=] { read_all(3, order); })) == expected);
    }
  }
}

TEST(a_writer_waits_for_room_and_for_the_last_response) {
  sim::Simulation simulation;
  const auto copy = [] {
    REGION(copy);
    STREAM(int, words_0, 4);
    STAGE(produce_slowly(kReadWords, words_0));
    STAGE(write_memory(&memories[0], kReadWords, words_0));
    REGION_END;
  };
  CHECK_BETWEEN(5333 + 64, clocks_of(simulation, copy), 5333 + 64 + 80);  // the first burst must be complete
  simulation.set_timing("ddr_write_ns", 512);
  CHECK_BETWEEN(5333 + 128, clocks_of(simulation, copy), 5333 + 128 + 80);
}

TEST(a_loop_must_move_the_words_it_announced) {
  for (const int moved : {7, 9}) {
    sim::Simulation simulation;
    simulation.start("bench", [=] {
      READ_BURST(&memories[0], 8);
      for (int i = 0; i < moved; ++i) BEAT;
    });
    CHECK(simulation.run() == sim::Outcome::kFailed);
    CHECK(
        has(simulation.message, moved < 8 ? "moved fewer words than it announced" : "moves more words than announced"));
  }
}

TEST(the_dma_sets_the_pace_of_host_streams) {
  sim::Simulation simulation;
  hls::stream<int> frames(simulation, "frames");
  hls::stream<int> results(simulation, "results");
  const auto pass = [&] {
    for (int i = 0; i < 4096; ++i) {
      PIPELINE(1);
      results.write(frames.read());
    }
  };
  const auto run = [&](int piece) {
    const uint64_t start = simulation.clock;
    simulation.start("bench", pass);
    for (int i = 0; i < 4096; ++i) {
      frames.host_write(i);
      if (i % piece == piece - 1 && i < 4095) CHECK(simulation.run() == sim::Outcome::kStarved);
    }
    CHECK(simulation.run() == sim::Outcome::kDone);
    int word = 0;
    for (int i = 0; i < 4096; ++i) CHECK(results.host_read(word) && word == i);
    return simulation.clock - start;
  };
  const uint64_t at_once = run(4096);
  CHECK_BETWEEN(64 + 5461 - 2, at_once, 64 + 5461 + 8);
  CHECK_EQUAL(run(4096), at_once);
  CHECK_BETWEEN(at_once - 8, run(1024), at_once + 8);  // the host's pieces take no time of their own
  simulation.set_timing("dma_efficiency", 50);
  CHECK_BETWEEN(64 + 8192 - 2, run(4096), 64 + 8192 + 8);
}

TEST(unknown_constants_are_refused_with_the_known_ones) {
  sim::Simulation simulation;
  for (const char* name : {"luck", "interval", "interval:", "interval:luck", "depth:drop", "latency:"}) {
    const std::string refusal = simulation.set_timing(name, 1);
    CHECK(has(refusal, ("no timing constant " + std::string(name)).c_str()));
    CHECK(has(refusal, "port_efficiency"));
    CHECK(has(refusal, "consume_in_blocks"));
    CHECK(has(refusal, "block_tokens"));
  }
  CHECK(has(simulation.set_timing("port_efficiency", 101), "must be 1 to 100"));
  CHECK(has(simulation.set_timing("depth:block_tokens", 0), "must be 1 to"));
  CHECK_EQUAL(simulation.set_timing("latency:block_tokens", 0).size(), 0);
}

TEST(interval_depth_and_latency_move_what_they_name) {
  sim::Simulation simulation;
  // 20 blocks of 64 clocks: while the consumer pauses, the producer fills the stream.
  const uint64_t buffered = clocks_of(simulation, blocks);
  CHECK_BETWEEN(20 * 64, buffered, 20 * 64 + 16);
  simulation.set_timing("interval:produce_slowly", 2);
  CHECK_BETWEEN(buffered, clocks_of(simulation, blocks), buffered + 32);  // one in two clocks is just enough
  simulation.set_timing("interval:produce_slowly", 3);
  CHECK_BETWEEN(3 * 640, clocks_of(simulation, blocks), 3 * 640 + 48);
  simulation.set_timing("depth:block_tokens", 1);  // nothing buffered: 33 clocks, then 31 times 3
  CHECK_BETWEEN(20 * (33 + 31 * 3) - 64, clocks_of(simulation, blocks), 20 * (33 + 31 * 3) + 16);
  simulation.set_timing("interval:produce_slowly", 1);
  CHECK_BETWEEN(20 * 64, clocks_of(simulation, blocks), 20 * 64 + 16);
  simulation.set_timing("interval:consume_in_blocks", 2);
  CHECK_BETWEEN(2 * 20 * 64, clocks_of(simulation, blocks), 2 * 20 * 64 + 16);

  sim::Simulation other;
  const auto pair = [] {
    REGION(pair);
    STREAM(int, pair_tokens, 4);
    STAGE(produce_slowly(100, pair_tokens));
    STAGE(drop(100, 1, pair_tokens));
    REGION_END;
  };
  CHECK_EQUAL(clocks_of(other, pair), 108);
  other.set_timing("latency:pair_tokens", 30);
  CHECK_EQUAL(clocks_of(other, pair), 130);
}

TEST(waits_and_work_add_up_to_the_life_of_a_stage) {
  sim::Simulation simulation;
  for (const auto& stage : account_of(simulation, [] { read_all(1, {0, 1, 2}); })) {
    uint64_t waits = 0;
    for (const sim::Wait& wait : stage.waits) waits += wait.cycles;
    const uint64_t busy = stage.end - stage.begin - waits;
    if (stage.stage == "read_memory") {
      CHECK_EQUAL(busy, kReadWords);
      CHECK(waited(stage, sim::Wait::kMemory) == waits && stage.waits[0].name == "memory_0");
    } else if (stage.stage == "drop") {
      CHECK_EQUAL(busy, kReadWords);
      CHECK(waited(stage, sim::Wait::kToken) == waits && stage.waits[0].name == "words_0");
    } else {
      CHECK_EQUAL(busy, 0);
      CHECK_EQUAL(waited(stage, sim::Wait::kRegion), waits);
    }
  }
  for (const auto& stage : account_of(simulation, blocks)) {
    if (stage.stage == "produce_slowly") CHECK_BETWEEN(500, waited(stage, sim::Wait::kRoom), 640);
  }
}
