// Frames and tensors between stream, spill memory and activation memory.
#include <memory>

#include "bench.hpp"

#include "stages.hpp"

namespace {

using bench::transfer;

struct Memories {
  Memories() : spill(64), banks(new ActivationMemory[1]) {
    for (word_t& word : spill) word = 0;
    for (int bank = 0; bank < kBanks; ++bank) {
      for (int i = 0; i < 32; ++i) banks[0][bank][i] = 0;
    }
  }
  std::vector<word_t> spill;
  std::unique_ptr<ActivationMemory[]> banks;
};

// Beat i holds 1000 + i.
uint32_t receive_beats(const Instruction& d, Memories& memories) {
  sim::Simulation simulation;
  hls::stream<axis_word> frames(simulation, "frames");
  for (int i = 0; i < int(d.transfer_words); ++i) {
    axis_word beat;
    beat.data = 1000 + i;
    beat.last = 0;
    frames.host_write(beat);
  }
  uint32_t stored = 0;
  bench::run(simulation, [&] { receive(d, frames, memories.banks[0], memories.spill.data(), stored); });
  CHECK_EQUAL(frames.host_size(), 0);
  return stored;
}

}  // namespace

TEST(received_words_go_to_the_banks_in_turn) {
  Memories memories;
  CHECK_EQUAL(receive_beats(transfer(hw::opcode::kReceive, 10, 3, 0), memories), 10);
  for (int i = 0; i < 10; ++i) CHECK_EQUAL(memories.banks[0][i % kBanks][3 + i / kBanks].to_int(), 1000 + i);
  CHECK_EQUAL(memories.banks[0][0][2].to_int() + memories.banks[0][10 % kBanks][3 + 10 / kBanks].to_int(), 0);
  CHECK_EQUAL(memories.spill[0].to_int(), 0);
}

// RECEIVE to the spill memory, LOAD of a part, SAVE of it to another place: every word once, its neighbours untouched.
TEST(spilled_words_come_back_in_order) {
  Memories memories;
  Instruction receive = transfer(hw::opcode::kReceive, 20, 0, 7);
  receive.spilled = 1;
  CHECK_EQUAL(receive_beats(receive, memories), 20);
  for (int i = 0; i < 64; ++i) CHECK_EQUAL(memories.spill[i].to_int(), i >= 7 && i < 27 ? 1000 + i - 7 : 0);

  sim::Simulation simulation;
  uint32_t stored = 0;
  const Instruction in = transfer(hw::opcode::kLoad, 9, 5, 10), out = transfer(hw::opcode::kSave, 9, 5, 40);
  bench::run(simulation, [&] { load(in, memories.spill.data(), memories.banks[0], stored); });
  CHECK_EQUAL(stored, 9);
  for (int i = 0; i < 9; ++i) CHECK_EQUAL(memories.banks[0][i % kBanks][5 + i / kBanks].to_int(), 1003 + i);
  CHECK_EQUAL(memories.banks[0][9 % kBanks][5 + 9 / kBanks].to_int() + memories.banks[0][0][4].to_int(), 0);

  bench::run(simulation, [&] { save(out, memories.banks[0], memories.spill.data(), stored); });
  CHECK_EQUAL(stored, 9);
  for (int i = 27; i < 64; ++i) CHECK_EQUAL(memories.spill[i].to_int(), i >= 40 && i < 49 ? 1003 + i - 40 : 0);
}
