#include "bench.hpp"
#include "call.hpp"

namespace {

constexpr int kModes[] = {hw::mode::kMultiply8, hw::mode::kMultiply4, hw::mode::kMuxAdd};

void push_frame(Instance& kernel, int first, int from, int to, bool last) {
  for (int beat = from; beat < to; ++beat) {
    uint8_t bytes[16];
    for (int c = 0; c < kInputLanes; ++c) bytes[c] = bench::frame_code(first, beat, c);
    kernel.push(bytes, last && beat == to - 1);
  }
}

void check_logits(Instance& kernel, int first, bool last_frame, int largest = 15) {
  const int beats = bench::divide_up(bench::kClasses, 4);
  for (int beat = 0; beat < beats; ++beat) {
    int32_t values[4];
    bool last;
    CHECK(kernel.pop(reinterpret_cast<uint8_t*>(values), last));
    CHECK_EQUAL(last, last_frame && beat == beats - 1);
    for (int i = 0; i < 4; ++i) CHECK_EQUAL(values[i], bench::expected_logit(first, beat * 4 + i, largest));
  }
}

// Runs a call on frames that begin at first, first + 1, ... and checks every result.
void run_frames(Instance& kernel, bench::Call& call, int first, int largest = 15) {
  const int frames = int(call.arguments.num_frames);
  CHECK(kernel.start(call.arguments));
  for (int frame = 0; frame < frames; ++frame) push_frame(kernel, first + frame, 0, 8, frame == frames - 1);
  if (kernel.run() != sim::Outcome::kDone) bench::fail(kernel.message.c_str(), __FILE__, __LINE__);
  CHECK_EQUAL(kernel.status, hw::status::kOk);
  for (int frame = 0; frame < frames; ++frame) check_logits(kernel, first + frame, frame == frames - 1, largest);
  CHECK_EQUAL(kernel.results.host_size(), 0);
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

TEST(groups_of_frames_in_every_mode) {
  for (int mode : kModes) {
    for (bool stay : {false, true}) {
      Instance kernel;
      for (int frames : {1, 2, 3, 7}) {
        bench::Call call(bench::small_network(mode), bench::small_weights(mode), frames, {bench::kSmallSplit, 3, stay});
        run_frames(kernel, call, frames, (1 << bench::small_bits(mode)) - 1);
        CHECK_EQUAL(kernel.log_count, 2 * frames + bench::divide_up(frames, 3));
      }
    }
  }
}

// Nothing of program B reaches program A through the ring or the activation memory, whose words stay.
TEST(a_b_a) {
  Instance kernel;
  bench::Call a(bench::small_network(), bench::small_weights(), 4, {bench::kSmallSplit, 2, true});
  bench::Call b(bench::small_network(hw::mode::kMultiply4), bench::small_weights(hw::mode::kMultiply4), 3,
                {bench::kSmallSplit, 2, false});
  uint64_t cycles[2];
  for (uint64_t& taken : cycles) {
    const uint64_t before = kernel.simulation.clock;
    run_frames(kernel, a, 5);
    taken = kernel.simulation.clock - before;
    run_frames(kernel, b, 1);
  }
  CHECK_EQUAL(cycles[0], cycles[1]);
}

// The input goes through the spill memory, and so does the layer's output, to another place.
TEST(tensors_go_through_the_spill_memory) {
  std::vector<Instruction> program = bench::small_network();
  program[0].spilled = 1;
  program[0].spill_offset = 3;
  program[1].output_frame_words = 0;
  program[2].input_base = 300;
  program.insert(program.begin() + 1, bench::transfer(hw::opcode::kLoad, 8, 0, 3));
  program.insert(program.begin() + 3, bench::transfer(hw::opcode::kSave, 16, 100, 20));
  program.insert(program.begin() + 4, bench::transfer(hw::opcode::kLoad, 16, 300, 20));
  Instance kernel;
  bench::Call call(program, bench::small_weights(), 3, 36);
  run_frames(kernel, call, 2);
  call.arguments.spill_words = 35;
  CHECK(kernel.start(call.arguments));
  push_frame(kernel, 0, 0, 8, true);
  CHECK(kernel.run() == sim::Outcome::kDone);
  CHECK_EQUAL(kernel.status, hw::status::kBadField | 3 << 8);
  CHECK_EQUAL(call.memory[call.spill_at + 2].to_int(), 0);
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

// Tiles stay in the ring for executions that a refusal prevents: the next call finds an empty ring.
TEST(a_refusal_in_a_later_frame_leaves_the_ring_empty) {
  Instance kernel;
  std::vector<Instruction> program = bench::small_network();
  program[1].output_frame_words = kBankWords;
  bench::Call refused(program, bench::small_weights(), 2, {bench::kSmallSplit, 2, true});
  CHECK(kernel.start(refused.arguments));
  push_frame(kernel, 0, 0, 8, false);
  push_frame(kernel, 1, 0, 8, true);
  CHECK(kernel.run() == sim::Outcome::kDone);
  CHECK_EQUAL(kernel.status, hw::status::kBadField | 1 << 8);
  bench::Call call(bench::small_network(), bench::small_weights(), 2, {bench::kSmallSplit, 2, true});
  run_frames(kernel, call, 3);
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
  arguments.weights_odd = arguments.memory_bytes - 16;
  CHECK(!kernel.start(arguments));
  CHECK(kernel.message.find("weights_odd takes") != std::string::npos);
  arguments = call.arguments;
  arguments.spill_words = 0xFFFFFFFF;
  CHECK(!kernel.start(arguments));
  CHECK(kernel.message.find("spill takes") != std::string::npos);
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
