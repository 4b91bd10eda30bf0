// Programs that a damaged memory or a wrong compiler could send: each ends in a status or waits for frames. Nothing
// hangs, no token stays behind, and the kernel computes correctly afterwards.
#include "bench.hpp"
#include "call.hpp"

namespace {

// A bound of the work, so that the bench ends soon: a program may well be long and right.
int64_t work_of(const Instruction& d, int frames) {
  const int64_t groups = int64_t(d.quadruples) * frames * (int(d.chunks) + 4 * int(d.num_steps) + 1);
  return groups * (int64_t(taps_of(d)) + 1) * (int64_t(d.output_tiles) + int64_t(d.output_channel_tiles) + 1);
}

// One field takes another value: near its old one, a power of two, or any.
void change_field(Instruction& d) {
  int wanted = int(bench::uniform(0, 66));
#define CHANGE_FIELD(member, name)                                                                               \
  if (wanted-- == 0) {                                                                                           \
    const int64_t old = int64_t(d.member.to_uint64());                                                           \
    const int64_t values[] = {                                                                                   \
        old + 1, old - 1, 2 * old, old / 2, int64_t(1) << bench::uniform(0, 31), bench::uniform(0, 0xFFFFFFFF)}; \
    d.member = uint64_t(values[bench::uniform(0, 5)]);                                                           \
  }
  INSTRUCTION_FIELDS(CHANGE_FIELD)
#undef CHANGE_FIELD
}

void push_frames(Instance& kernel, int frames, int beats) {
  for (int i = 0; i < frames * beats; ++i) {
    uint8_t bytes[16];
    for (int c = 0; c < kInputLanes; ++c) bytes[c] = bench::frame_code(3, i % beats, c);
    kernel.push(bytes, i == frames * beats - 1);
  }
}

std::vector<Instruction> program_of(int kind, int mode) {
  std::vector<Instruction> program = bench::small_network(mode);
  if (kind == 1) {  // through the spill memory, with a pool and a residual on the way
    program[0].spilled = 1;
    program.insert(program.begin() + 1, bench::transfer(hw::opcode::kLoad, 8, 0, 0));
    Instruction pool = bench::empty_instruction();
    pool.opcode = hw::opcode::kPool;
    bench::set_input(pool, 0, 2, 3, 1, 1, 8);
    bench::set_output(pool, 50, 2, 3, 1, 1, 8);
    bench::set_kernel(pool, 1, 1, 1, 0);
    program.insert(program.begin() + 2, pool);
    bench::set_skip(program[3], 50, 2, 3, 1, 1, 8, 1);
    program[3].skip_mode = hw::skip::kCurrent;
  }
  return program;
}

}  // namespace

TEST(hostile_programs_end_in_a_status) {
  Instance kernel;
  int refused = 0, ran = 0;
  for (int round = 0; round < 1500; ++round) {
    const int mode = round % 3, frames = int(bench::uniform(1, 4));
    std::vector<Instruction> program = program_of(round / 3 % 2, mode);
    for (int changes = int(bench::uniform(1, 2)); changes > 0; --changes) {
      change_field(program[bench::uniform(0, int64_t(program.size()) - 1)]);
    }
    int64_t work = 0;
    for (const Instruction& d : program) work += work_of(d, frames);
    if (work > 100000) continue;
    const bench::Order order = {uint32_t(bench::uniform(0, int64_t(program.size()))), int(bench::uniform(1, 3)),
                                bench::uniform(0, 1) == 1};
    bench::Call call(program, bench::small_weights(mode), frames, order, 16);
    CHECK(kernel.start(call.arguments));
    push_frames(kernel, frames, 8);
    const sim::Outcome outcome = kernel.run();
    if (outcome != sim::Outcome::kDone && outcome != sim::Outcome::kStarved) {
      bench::fail(kernel.message.c_str(), __FILE__, __LINE__);
    }
    (outcome == sim::Outcome::kDone && kernel.status != uint32_t(hw::status::kOk) ? refused : ran) += 1;
    kernel.reset();
  }
  CHECK(refused > 100 && ran > 100);

  bench::Call call(bench::small_network(), bench::small_weights(), 1);
  CHECK(kernel.start(call.arguments));
  push_frames(kernel, 1, 8);
  CHECK(kernel.run() == sim::Outcome::kDone);
  for (int beat = 0; beat < bench::divide_up(bench::kClasses, 4); ++beat) {
    int32_t values[4];
    bool last;
    CHECK(kernel.pop(reinterpret_cast<uint8_t*>(values), last));
    for (int i = 0; i < 4; ++i) CHECK_EQUAL(values[i], bench::expected_logit(3, beat * 4 + i));
  }
}
