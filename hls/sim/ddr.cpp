#include "ddr.hpp"

#include <algorithm>
#include <stdexcept>

#include "simulation.hpp"

namespace sim {

namespace {

constexpr fixed_time kOne = fixed_time(1) << kFractionBits;

uint64_t clocks(fixed_time time) { return (time + kOne - 1) >> kFractionBits; }
fixed_time fixed(uint64_t clocks) { return clocks << kFractionBits; }
fixed_time ratio(uint64_t numerator, uint64_t denominator) {
  return (fixed(numerator) + denominator / 2) / denominator;
}

}  // namespace

Port::Port(Memory& memory, std::string name, const void* address, bool dma)
    : memory_(memory), name_(std::move(name)), address_(address), dma_(dma) {
  reset(memory.simulation_.clock);
}

void Port::reset(uint64_t time) {
  const Timing& timing = memory_.simulation_.timing;
  // No more words on their way than fit: where the way is long, this sets the pace.
  pace_ = std::max(ratio(100, dma_ ? timing.dma_efficiency : timing.port_efficiency),
                   memory_.read_latency_ / timing.in_flight_words);
  window_ = timing.in_flight_words * pace_;
  waiting_ = nullptr;
  bursts_.clear();
  granted_ = 0;
  free_ = next_word_ = 0;
  left_ = size_ = ahead_ = requested_ = 0;
  outstanding_ = std::max<uint64_t>(1, (dma_ ? timing.dma_ahead_words : timing.ahead_words) / timing.burst_words);
  slots_.assign(dma_ ? outstanding_ : 0, time);
  writing_ = false;
}

void Port::check_idle() const {
  if (dma_ || (left_ == 0 && ahead_ == 0 && bursts_.empty())) return;
  throw std::logic_error("a loop on memory port " + name_ + " moved fewer words than it announced");
}

void Port::begin_read(uint64_t words) {
  check_idle();
  writing_ = false;
  ahead_ = words;
  request_ahead();
}

void Port::begin_write(uint64_t words) {
  check_idle();
  writing_ = true;
  ahead_ = words;
}

void Port::read_beat() {
  if (left_ == 0) {
    if (bursts_.empty()) throw std::logic_error("a loop on memory port " + name_ + " moves more words than announced");
    wait_for_grant();
    left_ = bursts_.front().words;
    next_word_ = bursts_.front().first;
  }
  wait_until(next_word_);
  next_word_ += pace_;
  if (--left_ == 0) {
    bursts_.pop_front();
    --granted_;
    if (dma_) {
      slots_.push_back(memory_.simulation_.clock);
    } else {
      request_ahead();
    }
  }
}

void Port::write_beat() {
  if (left_ == 0) {
    if (ahead_ == 0) throw std::logic_error("a loop on memory port " + name_ + " moves more words than announced");
    if (bursts_.size() == outstanding_) {
      wait_for_grant();
      wait_until(bursts_.front().end);
      bursts_.pop_front();
      --granted_;
    }
    left_ = size_ = std::min(ahead_, memory_.burst_words_);
    ahead_ -= size_;
  }
  if (--left_ > 0) return;
  request(size_, memory_.simulation_.clock);
  if (ahead_ == 0) finish_writes();
}

void Port::finish_writes() {
  fixed_time end = 0;
  for (; !bursts_.empty(); bursts_.pop_front(), --granted_) {
    wait_for_grant();
    end = bursts_.front().end;
  }
  wait_until(end + memory_.write_latency_);
}

void Port::take_from_dma(uint64_t waiting) {
  if (left_ == 0) {
    ahead_ = waiting - requested_;
    request_ahead();
  }
  --requested_;
  read_beat();
}

void Port::give_to_dma() {
  if (bursts_.size() == memory_.burst_words_) {  // results are few: each beat is a burst of its own
    wait_for_grant();
    wait_until(bursts_.front().end);
    bursts_.pop_front();
    --granted_;
  }
  writing_ = true;
  request(1, memory_.simulation_.clock);
}

void Port::request_ahead() {
  while (ahead_ > 0 && bursts_.size() < outstanding_) {
    const uint64_t words = std::min(ahead_, memory_.burst_words_);
    request(words, dma_ ? slots_.front() : memory_.simulation_.clock);
    if (dma_) slots_.pop_front();
    ahead_ -= words;
    requested_ += words;
  }
}

void Port::request(uint64_t words, uint64_t time) {
  Burst burst;
  burst.words = words;
  burst.issue = fixed(time);
  bursts_.push_back(burst);
}

fixed_time Port::earliest(const Burst& burst) const {
  const fixed_time free = writing_ ? free_ : free_ < window_ ? 0 : free_ - window_;
  return std::max(burst.issue, free);
}

void Port::serve(Burst& burst, fixed_time start) {
  // Port and controller work at the same time, with a buffer between them.
  if (writing_) {
    const fixed_time sent = std::max(burst.issue, free_) + burst.words * pace_;
    burst.end = std::max(sent, start + burst.words * memory_.controller_pace_);
    free_ = std::max(sent, burst.end < window_ ? 0 : burst.end - window_);
  } else {
    burst.first = std::max(start + memory_.read_latency_, free_);
    free_ = burst.first + burst.words * pace_;
  }
}

void Port::wait_for_grant() {
  Simulation& simulation = memory_.simulation_;
  struct Clear {
    Fiber*& place;
    ~Clear() { place = nullptr; }  // also when a cancelled stage unwinds
  } clear{waiting_};
  while (granted_ == 0) {
    waiting_ = simulation.running_;
    simulation.suspend();
  }
}

void Port::wait_until(fixed_time time) {
  Simulation& simulation = memory_.simulation_;
  const uint64_t then = clocks(time);
  if (simulation.clock >= then) return;
  simulation.note_wait(this, Wait::kMemory, name_, then - simulation.clock);
  simulation.clock = then;
}

void Memory::begin(uint64_t time) {
  const Timing& timing = simulation_.timing;
  const uint64_t word_bytes = hw::kWordBits / 8;
  controller_pace_ = ratio(word_bytes * timing.clock_mhz * 100, timing.ddr_mb_per_s * timing.controller_efficiency);
  controller_free_ = 0;
  read_latency_ = ratio(timing.ddr_read_ns * timing.clock_mhz, 1000);
  write_latency_ = ratio(timing.ddr_write_ns * timing.clock_mhz, 1000);
  burst_words_ = timing.burst_words;
  const auto forget = [](const std::unique_ptr<Port>& port) { return !port->dma_; };
  ports_.erase(std::remove_if(ports_.begin(), ports_.end(), forget), ports_.end());
  for (const auto& port : ports_) port->reset(time);
}

void Memory::bind(const void* address, const std::string& name) {
  ports_.emplace_back(new Port(*this, name, address, false));
}

Port& Memory::find(const void* address) {
  for (const auto& port : ports_) {
    if (!port->dma_ && port->address_ == address) return *port;
  }
  bind(address, "memory");
  return *ports_.back();
}

Port& Memory::add_dma(const std::string& name) {
  ports_.emplace_back(new Port(*this, name, nullptr, true));
  return *ports_.back();
}

bool Memory::grant() {
  Port* chosen = nullptr;
  fixed_time earliest = 0;
  bool awaited = false;
  for (const auto& port : ports_) {
    awaited = awaited || port->waiting_;
    if (port->granted_ == port->bursts_.size()) continue;
    const fixed_time time = port->earliest(port->bursts_[port->granted_]);
    if (chosen && time >= earliest) continue;
    chosen = port.get();
    earliest = time;
  }
  if (!awaited || !chosen) return false;
  Port::Burst& burst = chosen->bursts_[chosen->granted_++];
  const fixed_time start = std::max(earliest, controller_free_);
  controller_free_ = start + burst.words * controller_pace_;
  chosen->serve(burst, start);
  if (chosen->waiting_) {
    simulation_.wake(chosen->waiting_);
    chosen->waiting_ = nullptr;
  }
  return true;
}

}  // namespace sim
