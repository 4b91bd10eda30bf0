#include "simulation.hpp"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <new>
#include <stdexcept>

namespace sim {

namespace {

constexpr size_t kStackBytes = 512 * 1024;
constexpr size_t kGuardBytes =
    64 * 1024;  // below the stack, never accessible: an overflow faults instead of corrupting

thread_local Simulation* active = nullptr;

// Not inlined: a fiber may be resumed on another thread than it was suspended on, and a compiler that sees the access
// keeps the old thread's address in a register across the switch.
__attribute__((noinline)) Simulation& current() {
  asm volatile("" ::: "memory");
  return *active;
}

__attribute__((noinline)) void set_current(Simulation* simulation) {
  asm volatile("" ::: "memory");
  active = simulation;
}

// Thrown in a suspended stage to unwind it; never leaves the fiber.
struct Cancelled {};

void* map_stack() {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kGuardBytes, PROT_NONE);
  return memory;
}

}  // namespace

class Fiber {
 public:
  ucontext_t context;
  std::string name;
  std::function<void()> body;
  uint64_t clock = 0;
  void* stack = nullptr;
  Region* joined_by = nullptr;    // the region that this fiber is a stage of
  Region* open_region = nullptr;  // the innermost region that this fiber is building or waiting for
  const Channel* blocked_on = nullptr;
  bool blocked_on_write = false;
  bool started = false;
  bool finished = false;

  static void enter() {
    Simulation& simulation = current();
    Fiber& fiber = *simulation.running_;
    try {
      fiber.body();
    } catch (const Cancelled&) {
    } catch (const std::exception& error) {
      if (simulation.message.empty()) simulation.message = fiber.name + ": " + error.what();
    } catch (...) {
      if (simulation.message.empty()) simulation.message = fiber.name + ": unknown exception";
    }
    fiber.finish(simulation);
  }

 private:
  void finish(Simulation& simulation) {
    finished = true;
    body = nullptr;
    if (joined_by) {
      joined_by->latest_ = std::max(joined_by->latest_, simulation.clock);
      if (--joined_by->unfinished_ == 0) simulation.wake(joined_by->parent_);
    }
    swapcontext(&context, &simulation.scheduler_->context);
  }
};

Simulation::Simulation() : scheduler_(new Fiber()) {}

Simulation::~Simulation() {
  cancel();
  for (void* stack : stacks_) munmap(stack, kGuardBytes + kStackBytes);
}

void Simulation::start(const std::string& name, std::function<void()> body) {
  message.clear();
  spawn(name, std::move(body), clock);
}

Fiber* Simulation::spawn(const std::string& name, std::function<void()> body, uint64_t time) {
  std::unique_ptr<Fiber> fiber(new Fiber());
  if (stacks_.empty()) stacks_.push_back(map_stack());
  fiber->stack = stacks_.back();
  stacks_.pop_back();
  fiber->name = name;
  fiber->body = std::move(body);
  fiber->clock = time;
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = static_cast<char*>(fiber->stack) + kGuardBytes;
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, &Fiber::enter, 0);
  fibers_.push_back(std::move(fiber));
  ready_.push_back(fibers_.back().get());
  return fibers_.back().get();
}

Outcome Simulation::run() {
  blocked.clear();
  std::vector<Fiber*> turn;
  while (!ready_.empty() && message.empty()) {
    turn.swap(ready_);
    ready_.clear();
    for (size_t i = 0; i < turn.size(); ++i) {
      if (message.empty()) resume(turn[i]);
    }
    turn.clear();
    release_finished();
  }
  if (!message.empty()) {
    cancel();
    return Outcome::kFailed;
  }
  if (fibers_.empty()) return Outcome::kDone;
  bool starved = false;
  const std::string text = report(starved);
  for (const auto& fiber : fibers_) clock = std::max(clock, fiber->clock);
  if (starved) {
    blocked = text;
    return Outcome::kStarved;
  }
  cancel();
  message = "deadlock, every stage waits for another:\n" + text;
  return Outcome::kDeadlock;
}

std::string Simulation::report(bool& starved) const {
  std::string text;
  for (const auto& fiber : fibers_) {
    const Channel* channel = fiber->blocked_on;
    if (!channel) continue;
    starved = starved || (channel->depth_ == 0 && !fiber->blocked_on_write);
    const std::string depth = channel->depth_ ? std::to_string(channel->depth_) : "unbounded";
    text += fiber->name + (fiber->blocked_on_write ? " waits to write " : " waits to read ") + channel->name_ +
            " (holds " + std::to_string(channel->fill_) + " of " + depth + ")\n";
  }
  return text;
}

void Simulation::resume(Fiber* fiber) {
  Simulation* const outer = active;
  set_current(this);
  running_ = fiber;
  fiber->started = true;
  fiber->blocked_on = nullptr;
  clock = fiber->clock;
  swapcontext(&scheduler_->context, &fiber->context);
  fiber->clock = clock;
  running_ = nullptr;
  set_current(outer);
}

void Simulation::suspend() {
  Fiber* const fiber = running_;
  swapcontext(&fiber->context, &scheduler_->context);
  if (cancelling_) throw Cancelled();
}

void Simulation::wake(Fiber* fiber) { ready_.push_back(fiber); }

void Simulation::release_finished() {
  const auto keep = [this](std::unique_ptr<Fiber>& fiber) {
    if (!fiber->finished) return false;
    stacks_.push_back(fiber->stack);
    return true;
  };
  fibers_.erase(std::remove_if(fibers_.begin(), fibers_.end(), keep), fibers_.end());
}

void Simulation::cancel() {
  cancelling_ = true;
  for (size_t i = fibers_.size(); i-- > 0;) {
    Fiber* const fiber = fibers_[i].get();
    // A fiber that never ran has nothing to unwind, and its body must not begin.
    if (fiber->finished || !fiber->started) continue;
    resume(fiber);
  }
  cancelling_ = false;
  for (auto& fiber : fibers_) stacks_.push_back(fiber->stack);
  fibers_.clear();
  ready_.clear();
}

Channel::Channel(std::string name, size_t depth)
    : owner_(&current()), name_(std::move(name)), depth_(depth), region_(owner_->running_->open_region) {
  if (region_) region_->channels_.push_back(this);
}

Channel::Channel(Simulation& owner, std::string name) : owner_(&owner), name_(std::move(name)), depth_(0) {}

Channel::~Channel() {
  if (!region_) return;
  auto& channels = region_->channels_;
  channels.erase(std::remove(channels.begin(), channels.end(), this), channels.end());
}

void Channel::wake(Fiber*& fiber) {
  owner_->wake(fiber);
  fiber = nullptr;
}

void Channel::wait(Fiber*& place, bool to_write) {
  struct Clear {
    Fiber*& place;
    ~Clear() { place = nullptr; }  // also when a cancelled stage unwinds: the stream may outlive it
  } clear{place};
  place = owner_->running_;
  place->blocked_on = this;
  place->blocked_on_write = to_write;
  owner_->suspend();
}

void Channel::wait_for_token() {
  while (fill_ == 0) wait(reader_, false);
}

void Channel::wait_for_slot() {
  while (fill_ == depth_) wait(writer_, true);
}

Region::Region(const char* name)
    : simulation_(current()), parent_(simulation_.running_), outer_(parent_->open_region), name_(name) {
  parent_->open_region = this;
}

Region::~Region() {
  for (Channel* channel : channels_) channel->region_ = nullptr;
  parent_->open_region = outer_;
}

void Region::spawn(const char* call, std::function<void()> body) {
  const std::string text(call);
  simulation_.spawn(text.substr(0, text.find_first_of("(<")), std::move(body), simulation_.clock)->joined_by = this;
  ++unfinished_;
}

void Region::join() {
  latest_ = simulation_.clock;
  while (unfinished_ > 0) simulation_.suspend();
  simulation_.clock = std::max(simulation_.clock, latest_);
  for (const Channel* channel : channels_) {
    if (channel->fill_ == 0) continue;
    throw std::runtime_error("stream " + channel->name_ + " keeps " + std::to_string(channel->fill_) +
                             " tokens at the end of " + name_);
  }
}

void tick(uint64_t cycles) { current().clock += cycles; }
void start_burst_read() { tick(current().timing.ddr_read_latency); }
void start_burst_write() { tick(current().timing.ddr_write_latency); }

}  // namespace sim
