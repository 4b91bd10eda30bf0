#include "stages.hpp"

namespace {

// HLS C has no clock: `now` is a free-running counter outside. The sample must not move across the work it measures;
// taking a result of that work as an argument, in a function of its own, is the dependence that keeps it in place.
uint64_t sample_now(const volatile uint64_t* now, uint32_t after) {
  HLS(INLINE off)
  constexpr uint32_t kNever = 0xFFFFFFFF;
  return after == kNever ? 0 : *now;
}

}  // namespace

// for command: sample, run it, sample, log. Instructions never overlap: each ends with its last word stored. END gives
// back the tiles that stay in the ring for executions that a refused instruction prevents.
void execute(hls::stream<Command>& commands, hls::stream<word_t>& parameters, const WeightRing ring_read,
             hls::stream<TileToken>& arrivals, hls::stream<TileToken>& occupancy, hls::stream<axis_word>& frames,
             hls::stream<axis_word>& results, const ActivationMemory activations_read,
             ActivationMemory activations_write, word_t* spill, const volatile uint64_t* now,
             hls::stream<LogEntry>& log_entries, volatile uint32_t* status) {
  *status = hw::status::kRunning;
  bool running = true;
instructions:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 1000 avg = 12)
    const Command command = commands.read();
    const Instruction& d = command.instruction;
    LogEntry entry = {0, 0, false};
    if (d.opcode == hw::opcode::kEnd) {
      // II = 1: one token a cycle.
    give_back_tiles:
      for (int i = 0; i < int(command.ring_base); ++i) {
        HLS(LOOP_TRIPCOUNT min = 0 max = 2560 avg = 0)
        PIPELINE(1);
        occupancy.read();
      }
      running = false;
      entry.last = true;
      *status = command.status;
    } else {
      uint32_t stored_words = 0;
      entry.start = sample_now(now, uint32_t(d.opcode));
      if (d.opcode == hw::opcode::kReceive) {
        receive(d, frames, activations_write, spill, stored_words);
      } else if (d.opcode == hw::opcode::kConvolve) {
        run_layer(command, parameters, ring_read, arrivals, occupancy, results, activations_read, activations_write,
                  stored_words);
      } else if (d.opcode == hw::opcode::kPool) {
        pool(command, activations_read, activations_write, stored_words);
      } else if (d.opcode == hw::opcode::kLoad) {
        load(d, spill, activations_write, stored_words);
      } else {
        save(d, activations_read, spill, stored_words);
      }
      entry.end = sample_now(now, stored_words);
    }
    log_entries.write(entry);
  }
}
