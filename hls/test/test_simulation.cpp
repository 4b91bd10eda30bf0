#include "bench.hpp"

#include <stdexcept>
#include <string>

#include "hls_macros.hpp"
#include "hls_stream.h"

namespace {

void produce(int count, int interval, hls::stream<int>& out) {
  for (int i = 0; i < count; ++i) {
    sim::tick(interval);
    out.write(i);
  }
}

void consume(int count, int interval, hls::stream<int>& in) {
  for (int i = 0; i < count; ++i) {
    sim::tick(interval);
    CHECK_EQUAL(in.read(), i);
  }
}

void produce_and_consume(int produced, int produce_interval, int consumed, int consume_interval) {
  REGION(produce_and_consume);
  hls::stream<int, 2> tokens("tokens");
  STAGE(produce(produced, produce_interval, tokens));
  STAGE(consume(consumed, consume_interval, tokens));
  REGION_END;
}

// Needs five tokens of one stream before it takes the first of the other.
void take_in_the_wrong_order(hls::stream<int>& first, hls::stream<int>& second) {
  for (int i = 0; i < 5; ++i) second.read();
  for (int i = 0; i < 5; ++i) first.read();
}

void send_in_turn(hls::stream<int>& first, hls::stream<int>& second) {
  for (int i = 0; i < 5; ++i) {
    first.write(i);
    second.write(i);
  }
}

void deadlocked() {
  REGION(deadlocked);
  hls::stream<int, 3> first("first");
  hls::stream<int, 8> second("second");
  STAGE(send_in_turn(first, second));
  STAGE(take_in_the_wrong_order(first, second));
  REGION_END;
}

uint64_t cycles_of(sim::Simulation& simulation, int produce_interval, int consume_interval) {
  const uint64_t start = simulation.clock;
  bench::run(simulation, [=] { produce_and_consume(1000, produce_interval, 1000, consume_interval); });
  return simulation.clock - start;
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST(the_slower_stage_sets_the_pace) {
  sim::Simulation simulation;
  simulation.timing.stream_latency = 8;
  CHECK_EQUAL(cycles_of(simulation, 1, 1), 1000 + 8);
  CHECK_EQUAL(cycles_of(simulation, 5, 1), 5000 + 8);
  // The first token arrives 1 + 8 cycles after the start; from then on the reader needs 5 cycles each.
  CHECK_EQUAL(cycles_of(simulation, 1, 5), 9 + 999 * 5);
}

TEST(a_deadlock_names_stages_streams_and_fill) {
  sim::Simulation simulation;
  simulation.start("bench", deadlocked);
  CHECK(simulation.run() == sim::Outcome::kDeadlock);
  CHECK(contains(simulation.message, "send_in_turn waits to write first (holds 3 of 3)"));
  CHECK(contains(simulation.message, "take_in_the_wrong_order waits to read second (holds 0 of 8)"));
  CHECK(!simulation.busy());
  CHECK_EQUAL(cycles_of(simulation, 1, 1) > 0, true);  // the same object works on
}

TEST(tokens_left_in_a_stream_are_an_error) {
  sim::Simulation simulation;
  simulation.start("bench", [] { produce_and_consume(5, 1, 4, 1); });
  CHECK(simulation.run() == sim::Outcome::kFailed);
  CHECK(contains(simulation.message, "stream tokens keeps 1 tokens at the end of produce_and_consume"));
}

TEST(an_exception_stays_inside_its_stage) {
  sim::Simulation simulation;
  simulation.start("bench", [] { throw std::runtime_error("torn"); });
  CHECK(simulation.run() == sim::Outcome::kFailed);
  CHECK(contains(simulation.message, "bench: torn"));
}

TEST(a_starved_stage_goes_on_when_the_host_writes) {
  sim::Simulation simulation;
  hls::stream<int> input(simulation, "input");
  int sum = 0;
  simulation.start("adder", [&] {
    for (int i = 0; i < 3; ++i) sum += input.read();
  });
  input.host_write(1);
  CHECK(simulation.run() == sim::Outcome::kStarved);
  CHECK(contains(simulation.blocked, "adder waits to read input"));
  input.host_write(2);
  input.host_write(4);
  CHECK(simulation.run() == sim::Outcome::kDone);
  CHECK_EQUAL(sum, 7);
}

TEST(cancel_unwinds_stages_and_frees_what_they_own) {
  static int alive = 0;
  struct Owner {
    Owner() { ++alive; }
    ~Owner() { --alive; }
  };
  sim::Simulation simulation;
  hls::stream<int> input(simulation, "input");
  simulation.start("owner", [&] {
    Owner owner;
    REGION(inner);
    STAGE(input.read());
    REGION_END;
  });
  CHECK(simulation.run() == sim::Outcome::kStarved);
  CHECK_EQUAL(alive, 1);
  simulation.cancel();
  CHECK_EQUAL(alive, 0);
  input.host_write(1);  // wakes nobody
  CHECK(!simulation.busy());
}
