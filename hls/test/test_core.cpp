#include "bench.hpp"
#include "call.hpp"

namespace {

void push_frame(Instance& kernel, int first, int from, int to, bool last) {
  for (int beat = from; beat < to; ++beat) {
    uint8_t bytes[16];
    for (int c = 0; c < kInputLanes; ++c) bytes[c] = bench::frame_code(first, beat, c);
    kernel.push(bytes, last && beat == to - 1);
  }
}

void check_logits(Instance& kernel, int first, bool last_frame) {
  const int beats = bench::divide_up(bench::kClasses, 4);
  for (int beat = 0; beat < beats; ++beat) {
    int32_t values[4];
    bool last;
    CHECK(kernel.pop(reinterpret_cast<uint8_t*>(values), last));
    CHECK_EQUAL(last, last_frame && beat == beats - 1);
    for (int i = 0; i < 4; ++i) CHECK_EQUAL(values[i], bench::expected_logit(first, beat * 4 + i));
  }
}

}  // namespace

TEST(the_core_runs_frames_and_logs_their_time) {
  Instance kernel;
  bench::Call call(bench::small_network(), bench::small_weights(), 2);
  CHECK(kernel.start(call.arguments));
  push_frame(kernel, 0, 0, 8, false);
  push_frame(kernel, 9, 0, 8, true);
  CHECK(kernel.run() == sim::Outcome::kDone);
  CHECK_EQUAL(kernel.status, hw::status::kOk);
  check_logits(kernel, 0, false);
  check_logits(kernel, 9, true);
  CHECK_EQUAL(kernel.results.host_size(), 0);

  CHECK_EQUAL(kernel.log_count, 6);
  uint64_t time = 0;
  for (int i = 0; i < 6; ++i) {
    const word_t entry = call.memory[call.log_at + i];
    const uint64_t start = entry.range(63, 0).to_uint64(), end = entry.range(127, 64).to_uint64();
    CHECK(start >= time && end > start);
    time = end;
  }
  CHECK(kernel.simulation.clock >= time);
}

TEST(a_core_without_frames_waits_and_goes_on) {
  Instance kernel;
  bench::Call call(bench::small_network(), bench::small_weights(), 1);
  CHECK(kernel.start(call.arguments));
  push_frame(kernel, 3, 0, 5, false);
  CHECK(kernel.run() == sim::Outcome::kStarved);
  CHECK(kernel.message.find("execute waits to read frames") != std::string::npos);
  CHECK(!kernel.start(call.arguments));  // busy
  push_frame(kernel, 3, 5, 8, true);
  CHECK(kernel.run() == sim::Outcome::kDone);
  check_logits(kernel, 3, true);
}

TEST(reset_stops_a_hung_core) {
  Instance kernel;
  bench::Call call(bench::small_network(), bench::small_weights(), 1);
  CHECK(kernel.start(call.arguments));
  push_frame(kernel, 1, 0, 5, true);
  CHECK(kernel.run() == sim::Outcome::kStarved);
  kernel.reset();
  CHECK(kernel.start(call.arguments));
  push_frame(kernel, 2, 0, 8, true);
  CHECK(kernel.run() == sim::Outcome::kDone);
  check_logits(kernel, 2, true);
}

TEST(a_refused_instruction_ends_the_call_without_results) {
  Instance kernel;
  std::vector<Instruction> program = bench::small_network();
  program[2].storage_bits = 3;
  bench::Call call(program, bench::small_weights(), 2);
  CHECK(kernel.start(call.arguments));
  push_frame(kernel, 0, 0, 8, true);
  CHECK(kernel.run() == sim::Outcome::kDone);
  CHECK_EQUAL(kernel.status, hw::status::kBadField | 2 << 8);
  CHECK_EQUAL(kernel.results.host_size(), 0);
  CHECK_EQUAL(kernel.log_count, 2);
}

TEST(log_entries_beyond_the_capacity_are_dropped) {
  Instance kernel;
  bench::Call call(bench::small_network(), bench::small_weights(), 1);
  call.arguments.log_entries = 2;
  CHECK(kernel.start(call.arguments));
  push_frame(kernel, 0, 0, 8, true);
  CHECK(kernel.run() == sim::Outcome::kDone);
  CHECK_EQUAL(kernel.log_count, 2);
  CHECK(call.memory[call.log_at + 2] == word_t(0));
}

TEST(addresses_outside_the_memory_are_refused) {
  Instance kernel;
  bench::Call call(bench::small_network(), bench::small_weights(), 1);
  qsnn_arguments arguments = call.arguments;
  arguments.weights = arguments.memory_bytes - 16;
  CHECK(!kernel.start(arguments));
  CHECK(kernel.message.find("weights takes") != std::string::npos);
  arguments = call.arguments;
  arguments.program = ~uint64_t(0) - 15;
  CHECK(!kernel.start(arguments));
  arguments = call.arguments;
  arguments.log += 8;
  CHECK(!kernel.start(arguments));
  arguments = call.arguments;
  arguments.num_instructions = 0xFFFFFFFF;
  CHECK(!kernel.start(arguments));
}
