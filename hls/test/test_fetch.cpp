#include "bench.hpp"
#include "call.hpp"

#include "check.hpp"
#include "stages.hpp"

namespace {

struct Fetched {
  uint32_t status;
  size_t commands;
  size_t requests;
};

Fetched run_fetch(const std::vector<Instruction>& instructions, int frames, word_t header, uint32_t weight_words) {
  bench::Call call(instructions, {}, frames);
  call.memory[0] = header;
  sim::Simulation simulation;
  hls::stream<WeightRequest> reads(simulation, "read_requests"), unpacks(simulation, "unpack_requests");
  hls::stream<Command> commands(simulation, "commands");
  uint64_t fingerprint = 0;
  bench::run(simulation, [&] {
    fetch(call.memory.data(), uint32_t(instructions.size()), frames, weight_words, &fingerprint, reads, unpacks,
          commands);
  });
  CHECK(fingerprint == hw::kFingerprint);
  CHECK_EQUAL(reads.host_size(), unpacks.host_size());
  const Fetched counts = {0, commands.host_size() - 1, reads.host_size() - 1};
  Command command;
  while (commands.host_read(command)) {
  }
  CHECK_EQUAL(command.instruction.opcode, hw::opcode::kEnd);
  return {command.status, counts.commands, counts.requests};
}

Fetched run_fetch(const std::vector<Instruction>& instructions, int frames = 1) {
  return run_fetch(instructions, frames, bench::program_header(), uint32_t(bench::small_weights().size()));
}

}  // namespace

TEST(fetch_repeats_the_program_for_each_frame) {
  const Fetched fetched = run_fetch(bench::small_network(), 3);
  CHECK_EQUAL(fetched.status, hw::status::kOk);
  CHECK_EQUAL(fetched.commands, 9);
  CHECK_EQUAL(fetched.requests, 6);
  CHECK_EQUAL(run_fetch(bench::small_network(), 0).status, hw::status::kOk);
}

TEST(fetch_refuses_a_foreign_program) {
  word_t header = bench::program_header();
  header.range(7, 0) = 0;
  CHECK_EQUAL(run_fetch(bench::small_network(), 1, header, 1000).status, hw::status::kBadMagic);
  header = bench::program_header();
  header.range(127, 120) = ~header.range(127, 120);
  const Fetched fetched = run_fetch(bench::small_network(), 1, header, 1000);
  CHECK_EQUAL(fetched.status, hw::status::kBadFingerprint);
  CHECK_EQUAL(fetched.commands, 0);
}

TEST(fetch_sends_nothing_after_a_refused_instruction) {
  std::vector<Instruction> program = bench::small_network();
  program[1].opcode = 77;
  const Fetched fetched = run_fetch(program, 2);
  CHECK_EQUAL(fetched.status, hw::status::kBadOpcode | 1 << 8);
  CHECK_EQUAL(fetched.commands, 1);
  CHECK_EQUAL(fetched.requests, 0);
}

// One field at a time leaves the overlay: each must be refused, whatever the others say.
TEST(check_refuses_every_field_that_leaves_the_overlay) {
  const uint32_t weight_words = uint32_t(bench::small_weights().size());
  const Instruction layer = bench::small_network()[1], head = bench::small_network()[2];
  CHECK_EQUAL(check(layer, weight_words), hw::status::kOk);
  CHECK_EQUAL(check(layer, 63), hw::status::kBadField);
#define CHECK_REFUSED(base, member, value)                      \
  do {                                                          \
    Instruction d = base;                                       \
    d.member = value;                                           \
    CHECK_EQUAL(check(d, weight_words), hw::status::kBadField); \
  } while (false)
  CHECK_REFUSED(layer, input_base, kBankWords - 1);
  CHECK_REFUSED(layer, output_base, kBankWords - 1);
  CHECK_REFUSED(layer, input_channel_tiles, 0);
  CHECK_REFUSED(layer, input_width, 5);
  CHECK_REFUSED(layer, input_column_groups, 0);
  CHECK_REFUSED(layer, input_first_tile, 1);
  CHECK_REFUSED(layer, input_tiles, 0);
  CHECK_REFUSED(layer, input_bits, 3);
  CHECK_REFUSED(layer, input_train_words, 2);
  CHECK_REFUSED(layer, input_steps, 2);
  CHECK_REFUSED(layer, num_steps, 0);
  CHECK_REFUSED(layer, num_steps, hw::kMaximumSteps + 1);
  CHECK_REFUSED(layer, kernel_height, 0);
  CHECK_REFUSED(layer, kernel_width, hw::kMaximumKernel + 1);
  CHECK_REFUSED(layer, stride, 0);
  CHECK_REFUSED(layer, storage_bits, 5);
  CHECK_REFUSED(layer, s_max, 16);
  CHECK_REFUSED(layer, output_bits, 0);
  CHECK_REFUSED(layer, output_width, 5);
  CHECK_REFUSED(layer, output_base, 1);  // on top of the input
  CHECK_REFUSED(layer, output_tiles, kMaximumOutputTiles + 1);
  CHECK_REFUSED(layer, quadruples, 3);
  CHECK_REFUSED(layer, block_quadruples, 0);
  CHECK_REFUSED(layer, block_quadruples, hw::kBlockGroups + 1);
  CHECK_REFUSED(layer, blocks, 0);
  CHECK_REFUSED(layer, blocks, 2);
  CHECK_REFUSED(layer, weight_words, 1);
  CHECK_REFUSED(layer, weight_offset, 0xFFFFFFFF);
  CHECK_REFUSED(layer, skip_mode, 3);
  CHECK_REFUSED(layer, skip_mode, hw::skip::kSpike);  // without a residual tensor
  CHECK_REFUSED(head, num_classes, 0);
  CHECK_REFUSED(head, num_classes, kOutputLanes + 1);
  CHECK_REFUSED(head, output_first_tile, 1);
  CHECK_REFUSED(bench::small_network()[0], receive_words, kBanks * kBankWords + 1);
#undef CHECK_REFUSED
}
