// One simulated kernel with its register file, streams, activation memory and weight ring: what the bridge hands to
// Python and the whole-core benches drive.
#pragma once

#include <cstring>
#include <memory>
#include <string>

#include "simulation.hpp"
#include "top.hpp"

static_assert(sizeof(word_t) == hw::kWordBits / 8, "host memory is viewed as an array of words");

// Byte offsets into `memory`, and the scalar registers.
struct qsnn_arguments {
  uint8_t* memory;
  uint64_t memory_bytes;
  uint64_t program;
  uint64_t weights_even;
  uint64_t weights_odd;
  uint64_t spill;
  uint64_t log;
  uint32_t num_instructions;
  uint32_t num_frames;
  uint32_t weight_pairs;
  uint32_t spill_words;
  uint32_t log_entries;
};

class Instance {
 public:
  static constexpr uint64_t kWordBytes = hw::kWordBits / 8;

  Instance() : outside_(new Outside()) {}
  // Streams refer to the simulation; stages refer to both.
  ~Instance() { simulation.cancel(); }

  // False, with `message`, when busy or when a range leaves the memory.
  bool start(const qsnn_arguments& a) {
    const uint64_t program_words = hw::program_header::kWords + uint64_t(a.num_instructions) * hw::instruction::kWords;
    if (simulation.busy()) return refuse("started while it runs; wait until it is done, or reset it");
    if (!inside(a, "program", a.program, program_words) || !inside(a, "weights_even", a.weights_even, a.weight_pairs) ||
        !inside(a, "weights_odd", a.weights_odd, a.weight_pairs) || !inside(a, "spill", a.spill, a.spill_words) ||
        !inside(a, "log", a.log, uint64_t(a.log_entries) * hw::log_entry::kWords)) {
      return false;
    }
    const auto at = [&a](uint64_t offset) { return reinterpret_cast<word_t*>(a.memory + offset); };
    word_t *program = at(a.program), *even = at(a.weights_even), *odd = at(a.weights_odd);
    word_t *spill = at(a.spill), *log = at(a.log);
    status = hw::status::kRunning;
    log_count = 0;
    message.clear();
    simulation.start("qsnn_top", [=] {
      qsnn_top(frames, results, program, even, odd, spill, log, outside_->activations, outside_->activations,
               outside_->ring, outside_->ring, &simulation.clock, a.num_instructions, a.num_frames, a.weight_pairs,
               a.spill_words, a.log_entries, &fingerprint, &status, &log_count);
    });
    // In order of precedence; a memory without words may lie where another begins.
    if (a.weight_pairs) simulation.memory.bind(even, "weights_even");
    if (a.weight_pairs) simulation.memory.bind(odd, "weights_odd");
    if (a.spill_words) simulation.memory.bind(spill, "spill");
    simulation.memory.bind(program, "program");
    simulation.memory.bind(log, "log");
    return true;
  }

  sim::Outcome run() {
    const sim::Outcome outcome = simulation.run();
    message = outcome == sim::Outcome::kStarved ? simulation.blocked : simulation.message;
    return outcome;
  }

  void push(const uint8_t* beat, bool last) {
    axis_word word;
    std::memcpy(static_cast<void*>(&word.data), beat, kWordBytes);
    word.keep = -1;
    word.strb = -1;
    word.last = last;
    frames.host_write(word);
  }

  bool pop(uint8_t* beat, bool& last) {
    axis_word word;
    if (!results.host_read(word)) return false;
    std::memcpy(beat, static_cast<const void*>(&word.data), kWordBytes);
    last = word.last == 1;
    return true;
  }

  void reset() {
    simulation.cancel();
    frames.host_clear();
    results.host_clear();
    message.clear();
  }

  bool read_activations(uint32_t base, uint32_t words, uint8_t* out) const {
    if (uint64_t(base) + words > uint64_t(kBankWords)) return false;
    for (uint32_t i = 0; i < words; ++i) {
      for (int bank = 0; bank < kBanks; ++bank, out += kWordBytes) {
        std::memcpy(out, static_cast<const void*>(&outside_->activations[bank][base + i]), kWordBytes);
      }
    }
    return true;
  }

  bool refuse(const std::string& text) {
    message = text;
    return false;
  }

  sim::Simulation simulation;
  hls::stream<axis_word> frames{simulation, "frames"};
  hls::stream<axis_word> results{simulation, "results"};
  std::string message;
  std::string stage_times;                  // as text, for the bridge
  uint64_t fingerprint = hw::kFingerprint;  // a register that reads its value from power-up
  volatile uint32_t status = hw::status::kOk;
  uint32_t log_count = 0;

 private:
  // The memories beside the kernel; they keep their words between calls.
  struct Outside {
    ActivationMemory activations;
    WeightRing ring;
  };

  bool inside(const qsnn_arguments& a, const char* name, uint64_t offset, uint64_t words) {
    if (offset % kWordBytes || reinterpret_cast<uintptr_t>(a.memory) % alignof(word_t)) {
      return refuse(std::string(name) + " is at " + std::to_string(offset) + ", must be 16-byte aligned");
    }
    if (offset <= a.memory_bytes && words <= (a.memory_bytes - offset) / kWordBytes) return true;
    return refuse(std::string(name) + " takes " + std::to_string(words) + " words from byte " + std::to_string(offset) +
                  ", the memory has " + std::to_string(a.memory_bytes) + " bytes");
  }

  std::unique_ptr<Outside> outside_;
};
