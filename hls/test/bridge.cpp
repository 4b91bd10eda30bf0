// C interface of the simulated kernel for pynq_qsnn/runtime/csim.py. No exception leaves it: functions return a
// negative code and qsnn_message tells why.
#include <new>

#include "instance.hpp"

#include "../sim/kernel.cpp"

namespace {

constexpr int kDone = 1, kBlocked = 0, kOk = 0, kError = -1;

template <typename Action>
int guarded(Instance* instance, Action action) {
  try {
    return action();
  } catch (const std::exception& error) {
    instance->refuse(error.what());
  } catch (...) {
    instance->refuse("unknown exception");
  }
  return kError;
}

}  // namespace

extern "C" {

Instance* qsnn_create() {
  try {
    return new Instance();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void qsnn_destroy(Instance* instance) { delete instance; }

int qsnn_start(Instance* instance, const qsnn_arguments* arguments) {
  return guarded(instance, [&] { return instance->start(*arguments) ? kOk : kError; });
}

int qsnn_push(Instance* instance, const uint8_t* beats, uint64_t bytes, int last) {
  return guarded(instance, [&] {
    if (bytes % Instance::kWordBytes) {
      instance->refuse(std::to_string(bytes) + " bytes are not whole beats of 16");
      return kError;
    }
    for (uint64_t at = 0; at < bytes; at += Instance::kWordBytes) {
      instance->push(beats + at, last && at + Instance::kWordBytes == bytes);
    }
    return kOk;
  });
}

int qsnn_advance(Instance* instance) {
  return guarded(instance, [&] {
    switch (instance->run()) {
      case sim::Outcome::kDone:
        return kDone;
      case sim::Outcome::kStarved:
        return kBlocked;
      default:
        return kError;
    }
  });
}

int qsnn_pop(Instance* instance, uint8_t* beat, int* last) {
  bool tlast = false;
  const bool found = instance->pop(beat, tlast);
  *last = tlast;
  return found;
}

void qsnn_reset(Instance* instance) { instance->reset(); }
uint32_t qsnn_status(const Instance* instance) { return instance->status; }
uint64_t qsnn_fingerprint(const Instance* instance) { return instance->fingerprint; }
uint32_t qsnn_log_count(const Instance* instance) { return instance->log_count; }
uint64_t qsnn_cycles(const Instance* instance) { return instance->simulation.clock; }
const char* qsnn_message(const Instance* instance) { return instance->message.c_str(); }

int qsnn_set_timing(Instance* instance, const char* name, uint64_t value) {
  return guarded(instance, [&] {
    const std::string refusal = instance->simulation.set_timing(name, value);
    if (refusal.empty()) return kOk;
    instance->refuse(refusal);
    return kError;
  });
}

// The stages of the last call that have ended, one a line: name, begin, end, then kind:where=cycles for each wait. The
// text lives until the next call of this function.
const char* qsnn_stage_times(Instance* instance) {
  static const char* const kKinds[] = {"tokens", "room", "memory", "stages"};
  guarded(instance, [&] {
    std::string& text = instance->stage_times;
    text.clear();
    for (const sim::StageTimes& stage : instance->simulation.stage_times) {
      text += stage.stage + " " + std::to_string(stage.begin) + " " + std::to_string(stage.end);
      for (const sim::Wait& wait : stage.waits) {
        text += std::string(" ") + kKinds[wait.kind] + ":" + wait.name + "=" + std::to_string(wait.cycles);
      }
      text += "\n";
    }
    return kOk;
  });
  return instance->stage_times.c_str();
}

int qsnn_read_activations(Instance* instance, uint32_t base, uint32_t words, uint8_t* out) {
  if (instance->read_activations(base, words, out)) return kOk;
  instance->refuse("words " + std::to_string(base) + " to " + std::to_string(uint64_t(base) + words) +
                   " leave the banks of " + std::to_string(kBankWords));
  return kError;
}

}  // extern "C"
