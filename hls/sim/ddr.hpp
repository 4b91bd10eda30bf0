// DDR as the kernel's AXI ports see it: each port moves a word every few clocks at most, and one controller serves the
// bursts of all ports one after the other.
//
// Contention must not depend on the order in which stages happen to run, although a stage may be far ahead of another
// in its own time. So a port only queues its bursts, with the time of each request, and the scheduler grants one when
// no stage can run any more: the one that could begin first, ties by the order of the ports. By then every stage is as
// far as its tokens allow, which is the same state in whichever order they ran (they are deterministic processes on
// blocking streams), so the queues are the same, and with them the choice. Whatever a stage requests later follows
// from a burst granted now and is requested after it began, give or take the latency of a stream: bursts are served in
// order of time.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "timing.hpp"

namespace sim {

class Fiber;
class Memory;
class Simulation;

// Times inside the model have a fraction, because words come every 1.33 clocks or so.
constexpr int kFractionBits = 16;
typedef uint64_t fixed_time;

// One AXI port, used by one stage at a time.
class Port {
 public:
  Port(Memory& memory, std::string name, const void* address, bool dma);

  // A loop that moves `words` words begins: its requests go ahead of it, so it waits for the first word only.
  void begin_read(uint64_t words);
  void begin_write(uint64_t words);
  // One of them.
  void beat() { writing_ ? write_beat() : read_beat(); }

  // A word of a stream that the DMA fills or empties; `waiting` words of it are there for the taking, this one
  // included.
  void take_from_dma(uint64_t waiting);
  void give_to_dma();

  // Throws when a loop moved fewer words than it announced.
  void check_idle() const;
  const std::string& name() const { return name_; }

 private:
  friend class Memory;
  struct Burst {
    uint64_t words;
    fixed_time issue;
    fixed_time first = 0;  // reading: its first word is at the port
    fixed_time end = 0;    // writing: its last word is in the memory
  };

  void read_beat();
  void write_beat();
  void request_ahead();
  void request(uint64_t words, uint64_t time);
  void wait_for_grant();
  void wait_until(fixed_time time);
  void finish_writes();
  void reset(uint64_t time);
  fixed_time earliest(const Burst& burst) const;
  void serve(Burst& burst, fixed_time start);

  Memory& memory_;
  std::string name_;
  const void* address_;
  bool dma_;
  Fiber* waiting_ = nullptr;
  std::deque<Burst> bursts_;  // requested and not finished; the granted ones first
  size_t granted_ = 0;
  size_t outstanding_ = 0;
  fixed_time pace_ = 0;    // between two words
  fixed_time window_ = 0;  // how long the words take that may be on their way
  fixed_time free_ = 0;    // the last word of the granted bursts has passed
  fixed_time next_word_ = 0;
  uint64_t left_ = 0;           // words of the first burst that the loop has not moved yet
  uint64_t size_ = 0;           // words of that burst
  uint64_t ahead_ = 0;          // words of the loop behind the bursts
  uint64_t requested_ = 0;      // DMA: words of the bursts that are not taken yet
  std::deque<uint64_t> slots_;  // DMA: since when there is room for a further burst, whenever the host has words for it
  bool writing_ = false;
};

class Memory {
 public:
  explicit Memory(Simulation& simulation) : simulation_(simulation) {}
  // A run begins: all ports but the DMA's are forgotten, all queues empty, Timing read.
  void begin(uint64_t time);
  // The port for the memory that begins at `address`. A stage that reads an address without a name gets a port of its
  // own.
  void bind(const void* address, const std::string& name);
  Port& find(const void* address);
  Port& add_dma(const std::string& name);
  // Serve one burst and wake who waits for it; false when nobody waits.
  bool grant();

 private:
  friend class Port;
  Simulation& simulation_;
  std::vector<std::unique_ptr<Port>> ports_;  // in order of precedence
  fixed_time controller_free_ = 0;
  fixed_time controller_pace_ = 0;
  fixed_time read_latency_ = 0, write_latency_ = 0;
  uint64_t burst_words_ = 0;
};

}  // namespace sim
