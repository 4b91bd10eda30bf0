#include "bench.hpp"
#include "call.hpp"

#include "stages.hpp"

namespace {

// Everything that a call's fetch sends; the last of each is END.
struct Fetched {
  std::vector<Command> commands;
  std::vector<WeightRequest> requests;
  uint32_t status() const { return commands.back().status; }
};

Fetched run_fetch(bench::Call& call, uint32_t weight_pairs) {
  sim::Simulation simulation;
  hls::stream<WeightRequest> even(simulation, "even_requests"), odd(simulation, "odd_requests");
  hls::stream<WeightRequest> unpack(simulation, "unpack_requests");
  hls::stream<Command> commands(simulation, "commands");
  uint64_t fingerprint = 0;
  bench::run(simulation, [&] {
    fetch(call.memory.data(), call.arguments.num_instructions, call.arguments.num_frames, weight_pairs,
          call.arguments.spill_words, &fingerprint, even, odd, unpack, commands);
  });
  CHECK(fingerprint == hw::kFingerprint);
  Fetched fetched;
  Command command;
  while (commands.host_read(command)) fetched.commands.push_back(command);
  WeightRequest a, b, c;
  while (even.host_read(a)) {
    CHECK(odd.host_read(b) && unpack.host_read(c));
    CHECK(b.first_pair == a.first_pair && c.first_pair == a.first_pair && b.passes == a.passes);
    CHECK(b.tile_pairs == a.tile_pairs && c.tile_pairs == a.tile_pairs && b.last == a.last && c.last == a.last);
    fetched.requests.push_back(c);
  }
  CHECK_EQUAL(odd.host_size() + unpack.host_size(), 0);
  CHECK_EQUAL(fetched.commands.back().instruction.opcode, hw::opcode::kEnd);
  CHECK(fetched.requests.back().last);
  return fetched;
}

uint32_t small_pairs() { return uint32_t(bench::small_weights().size() / 2); }

Fetched run_fetch(const std::vector<Instruction>& instructions, int frames, bench::Order order) {
  bench::Call call(instructions, {}, frames, order);
  return run_fetch(call, small_pairs());
}

Fetched run_fetch(const std::vector<Instruction>& instructions, int frames = 1) {
  return run_fetch(instructions, frames, {uint32_t(instructions.size()), 1, false});
}

}  // namespace

TEST(fetch_repeats_the_program_for_each_frame) {
  const Fetched fetched = run_fetch(bench::small_network(), 3);
  CHECK_EQUAL(fetched.status(), hw::status::kOk);
  CHECK_EQUAL(fetched.commands.size(), 10);
  CHECK_EQUAL(fetched.requests.size(), 7);
  for (size_t i = 0; i < 9; ++i) {
    CHECK_EQUAL(fetched.commands[i].frames, 1);
    CHECK_EQUAL(fetched.commands[i].last_group, i >= 6);
    CHECK(fetched.commands[i].tiles_arrive && fetched.commands[i].tiles_leave);
  }
  CHECK_EQUAL(run_fetch(bench::small_network(), 0).status(), hw::status::kOk);
}

TEST(fetch_runs_the_second_part_once_a_group_on_moved_outputs) {
  const Fetched fetched = run_fetch(bench::small_network(), 7, {bench::kSmallSplit, 3, false});
  const std::vector<Command>& commands = fetched.commands;
  CHECK_EQUAL(fetched.status(), hw::status::kOk);
  CHECK_EQUAL(commands.size(), 7 * 2 + 3 + 1);
  size_t at = 0;
  for (int frames : {3, 3, 1}) {
    const bool last = frames == 1;
    for (int frame = 0; frame < frames; ++frame) {
      CHECK_EQUAL(commands[at].instruction.opcode, hw::opcode::kReceive);
      CHECK_EQUAL(commands[at].frames, 1);
      CHECK_EQUAL(commands[at++].instruction.output_base, 0);
      CHECK_EQUAL(commands[at].instruction.output_base, 100 + 4 * frame);
      CHECK_EQUAL(commands[at].frames, 1);
      CHECK_EQUAL(commands[at++].blocks, 1);
    }
    CHECK_EQUAL(commands[at].instruction.head, 1);
    CHECK_EQUAL(commands[at].frames, frames);
    CHECK_EQUAL(commands[at].blocks, 1);
    CHECK_EQUAL(commands[at++].last_group, last);
  }
}

TEST(a_split_before_the_first_or_behind_the_last_instruction_is_one_part) {
  std::vector<Instruction> program = bench::small_network();
  program.erase(program.begin());
  CHECK_EQUAL(run_fetch(program, 5, {0, 2, false}).commands.size(), 3 * 2 + 1);
  program = bench::small_network();
  const Fetched fetched = run_fetch(program, 5, {3, 2, false});
  CHECK_EQUAL(fetched.commands.size(), 5 * 3 + 1);
  for (size_t i = 0; i < 15; ++i) CHECK_EQUAL(fetched.commands[i].last_group, i >= 12);  // TLAST in frame 4 alone
}

TEST(layers_follow_each_other_round_the_ring) {
  std::vector<Instruction> program = bench::small_network();
  Instruction& layer = program[1];
  layer.weight_resident = 0;
  bench::set_input(layer, 0, 9, 13, 1, 1, 8);  // 36 quadruples: two blocks, so two passes over the tile
  bench::set_output(layer, 100, 9, 13, 2, 1, 4);
  layer.output_frame_words = 0;
  const int head_beats = tile_beats(program[2]), beats = 2 * kTileBeats + head_beats;
  const int frames = 3 * hw::kWeightRingBeats / beats;
  const Fetched fetched = run_fetch(program, frames);
  CHECK_EQUAL(fetched.status(), hw::status::kOk);
  for (int frame = 0; frame < frames; ++frame) {
    const WeightRequest &first = fetched.requests[2 * frame], &second = fetched.requests[2 * frame + 1];
    CHECK_EQUAL(first.ring_base, frame * beats % hw::kWeightRingBeats);
    CHECK_EQUAL(second.ring_base, (frame * beats + 2 * kTileBeats) % hw::kWeightRingBeats);
    CHECK_EQUAL(fetched.commands[3 * frame + 1].ring_base, first.ring_base);
    CHECK_EQUAL(first.passes, 2);
    CHECK_EQUAL(second.passes, 1);
    CHECK_EQUAL(first.tile_beats, kTileBeats);
    CHECK_EQUAL(second.tile_beats, head_beats);
    CHECK_EQUAL(second.tile_pairs, 12 * tile_pairs(program[2]));
  }
}

TEST(tiles_that_stay_are_read_once_and_given_back_at_the_end) {
  const std::vector<Instruction> program = bench::small_network();
  const Fetched fetched = run_fetch(program, 3, {bench::kSmallSplit, 2, true});
  CHECK_EQUAL(fetched.status(), hw::status::kOk);
  int layers = 0, heads = 0;
  for (const Command& c : fetched.commands) {
    if (c.instruction.opcode != hw::opcode::kConvolve) continue;
    int& seen = c.instruction.head ? heads : layers;
    CHECK_EQUAL(c.ring_base, c.instruction.head ? kTileBeats : 0);
    CHECK_EQUAL(c.tiles_arrive, seen == 0);
    CHECK_EQUAL(c.tiles_leave, seen == (c.instruction.head ? 1 : 2));
    const WeightRequest& request = fetched.requests[layers + heads];
    CHECK_EQUAL(request.tile_pairs > 0, seen == 0);
    CHECK_EQUAL(request.tile_beats > 0, seen == 0);
    CHECK_EQUAL(request.passes, 1);
    CHECK_EQUAL(request.parameter_pairs, kOutputLanes / 2);
    ++seen;
  }
  CHECK_EQUAL(layers, 3);
  CHECK_EQUAL(heads, 2);
  CHECK_EQUAL(fetched.commands.back().ring_base, 0);
}

TEST(a_refusal_tells_how_many_tiles_stay_behind) {
  std::vector<Instruction> program = bench::small_network();
  program[1].output_frame_words = kBankWords;  // frame 0 fits, frame 1 does not
  const Fetched fetched = run_fetch(program, 3, {bench::kSmallSplit, 2, true});
  CHECK_EQUAL(fetched.status(), hw::status::kBadField | 1 << 8);
  CHECK_EQUAL(fetched.commands.size(), 4);
  CHECK_EQUAL(fetched.commands.back().ring_base, 1);
}

TEST(fetch_refuses_a_foreign_program) {
  bench::Call call(bench::small_network(), {}, 1);
  const word_t good = call.memory[0];
  call.memory[0].range(7, 0) = 0;
  CHECK_EQUAL(run_fetch(call, 1000).status(), hw::status::kBadMagic);
  call.memory[0] = good;
  call.memory[0].range(127, 120) = ~call.memory[0].range(127, 120);
  const Fetched fetched = run_fetch(call, 1000);
  CHECK_EQUAL(fetched.status(), hw::status::kBadFingerprint);
  CHECK_EQUAL(fetched.commands.size(), 1);
  CHECK_EQUAL(run_fetch(bench::small_network(), 1, {4, 1, false}).status(), hw::status::kBadField);
  CHECK_EQUAL(run_fetch(bench::small_network(), 1, {2, 0, false}).status(), hw::status::kBadField);
}

TEST(fetch_sends_nothing_after_a_refused_instruction) {
  std::vector<Instruction> program = bench::small_network();
  program[1].opcode = 77;
  const Fetched fetched = run_fetch(program, 2);
  CHECK_EQUAL(fetched.status(), hw::status::kBadOpcode | 1 << 8);
  CHECK_EQUAL(fetched.commands.size(), 2);
  CHECK_EQUAL(fetched.requests.size(), 1);
}
