// Event model under g++: the stages of a dataflow region are fibers (ucontext), scheduled round robin, one at a time,
// on the caller's thread. A stage runs until it reads an empty stream or writes a full one, so bounded streams block as
// in the fabric and a network of stages that wait for one another is found instead of hanging.
//
// Time: each fiber has a clock, in cycles. A loop iteration advances it by the loop's interval (PIPELINE), a word of
// memory by waiting for its port (ddr.hpp), a stream by waiting for the token or the free slot (hls_stream.h). All
// reads block, so the result does not depend on the order in which fibers happen to run. A nested region starts at its
// parent's time; the parent goes on at the latest child's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ddr.hpp"
#include "timing.hpp"

namespace sim {

class Region;

// What held up a stage, and for how long. kRegion: the stages that it started.
struct Wait {
  enum Kind { kToken, kRoom, kMemory, kRegion };
  const void* place;
  Kind kind;
  std::string name;
  uint64_t cycles;
};

// The account of one fiber that is done: it was busy whenever it did not wait.
struct StageTimes {
  std::string stage;
  uint64_t begin, end;
  std::vector<Wait> waits;
};

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
  // Of the running stage, on its own clock.
  void wait_until(uint64_t time, Wait::Kind kind);
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
  uint64_t latency_ = 0;
  Port* dma_ = nullptr;  // of a stream whose other end is the host

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
  // One constant of Timing, or interval:<stage>, depth:<stream>, latency:<stream>; the next run has it. Empty, or what
  // is wrong with it.
  std::string set_timing(const std::string& name, uint64_t value);

  // The running fiber's time; `now` of the kernel points here.
  uint64_t clock = 0;
  Timing timing;
  Memory memory{*this};
  std::vector<StageTimes> stage_times;  // of this run, in the order in which stages ended
  std::string message;
  std::string blocked;  // after kStarved: which stages wait for what

 private:
  friend class Channel;
  friend class Fiber;
  friend class Memory;
  friend class Port;
  friend class Region;
  friend void tick(uint64_t cycles);
  friend void begin_read(const void* address, uint64_t words);
  friend void begin_write(const void* address, uint64_t words);
  friend void beat();
  Fiber* spawn(const std::string& name, std::function<void()> body, uint64_t time);
  void suspend();
  void wake(Fiber* fiber);
  void note_wait(const void* place, Wait::Kind kind, const std::string& name, uint64_t cycles);
  void resume(Fiber* fiber);
  void shuffle(std::vector<Fiber*>& fibers);
  void release_finished();
  std::string report(bool& starved) const;

  std::vector<std::unique_ptr<Fiber>> fibers_;  // in order of creation: parents before children
  std::vector<Fiber*> ready_;
  std::vector<void*> stacks_;  // of finished fibers, for the next ones
  std::unique_ptr<Fiber> scheduler_;
  Fiber* running_ = nullptr;
  uint64_t interval_ = 1;  // of the running fiber
  uint64_t shuffles_ = 0;
  bool cancelling_ = false;
  bool any_finished_ = false;
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
// A loop that moves `words` words through the port of the memory at `address`, and one of them.
void begin_read(const void* address, uint64_t words);
void begin_write(const void* address, uint64_t words);
void beat();

}  // namespace sim
