// Event model under g++: the stages of a dataflow region are fibers (ucontext), scheduled round robin, one at a time,
// on the caller's thread. A stage runs until it reads an empty stream or writes a full one, so bounded streams block as
// in the fabric and a network of stages that wait for one another is found instead of hanging.
//
// Time: each fiber has a clock, in cycles. A loop iteration advances it by the loop's interval (PIPELINE), a burst by
// the memory's latency, a stream by waiting for the token or the free slot (hls_stream.h). All reads block, so the
// result does not depend on the order in which fibers happen to run. A nested region starts at its parent's time; the
// parent goes on at the latest child's. This is the simple model of the first step: no DDR contention, no frame stream
// timing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "timing.hpp"

namespace sim {

class Fiber;
class Region;
class Simulation;

// What the scheduler must know of a stream to name it in a report. Streams of the kernel have one reader and one
// writer.
class Channel {
 public:
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

 protected:
  // depth 0: no bound, for streams whose other end is the host.
  Channel(std::string name, size_t depth);
  // host stream of a given simulation
  Channel(Simulation& owner, std::string name);
  ~Channel();
  void wait_for_token();
  void wait_for_slot();
  void wake_reader() {
    if (reader_) wake(reader_);
  }
  void wake_writer() {
    if (writer_) wake(writer_);
  }

  Simulation* owner_;
  Fiber* reader_ = nullptr;
  Fiber* writer_ = nullptr;
  std::string name_;
  size_t depth_;
  size_t fill_ = 0;

 private:
  friend class Simulation;
  friend class Region;
  void wake(Fiber*& fiber);
  void wait(Fiber*& place, bool to_write);
  Region* region_ = nullptr;
};

enum class Outcome { kDone, kStarved, kDeadlock, kFailed };

// One kernel: its fibers and its clock. The clock survives runs.
class Simulation {
 public:
  Simulation();
  ~Simulation();
  // Begin a run whose outermost stage is `body`.
  void start(const std::string& name, std::function<void()> body);
  // Continue until done or stuck. kStarved: a stage waits for the host. kDeadlock, kFailed: `message` says why, and the
  // run is over.
  Outcome run();
  // Unwind every unfinished stage, innermost first, so that what they own is freed.
  void cancel();
  bool busy() const { return !fibers_.empty(); }

  // The running fiber's time; `now` of the kernel points here.
  uint64_t clock = 0;
  Timing timing;
  std::string message;
  std::string blocked;  // after kStarved: which stages wait for what

 private:
  friend class Channel;
  friend class Fiber;
  friend class Region;
  Fiber* spawn(const std::string& name, std::function<void()> body, uint64_t time);
  void suspend();
  void wake(Fiber* fiber);
  void resume(Fiber* fiber);
  void release_finished();
  std::string report(bool& starved) const;

  std::vector<std::unique_ptr<Fiber>> fibers_;  // in order of creation: parents before children
  std::vector<Fiber*> ready_;
  std::vector<void*> stacks_;  // of finished fibers, for the next ones
  std::unique_ptr<Fiber> scheduler_;
  Fiber* running_ = nullptr;
  bool cancelling_ = false;
};

// A dataflow region in the making: spawn each stage, then join. Throws when a stream of the region keeps tokens.
class Region {
 public:
  explicit Region(const char* name);
  ~Region();
  void spawn(const char* call, std::function<void()> body);
  void join();

 private:
  friend class Channel;
  friend class Fiber;
  friend class Simulation;
  Simulation& simulation_;
  Fiber* parent_;
  Region* outer_;
  std::string name_;
  std::vector<Channel*> channels_;
  size_t unfinished_ = 0;
  uint64_t latest_ = 0;
};

// Of the fiber that runs on this thread.
void tick(uint64_t cycles);
void start_burst_read();
void start_burst_write();

}  // namespace sim
