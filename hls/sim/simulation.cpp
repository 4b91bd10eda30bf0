#include "simulation.hpp"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <new>
#include <set>
#include <stdexcept>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace sim {

namespace {

// Names of the kernel's stages and streams, one behind the other with zeros between: STAGE and STREAM put them into
// sections of their own, so that a knob is refused before anything has run.
extern "C" {
__attribute__((weak, visibility("hidden"))) extern const char __start_qsnn_stages[], __stop_qsnn_stages[];
__attribute__((weak, visibility("hidden"))) extern const char __start_qsnn_streams[], __stop_qsnn_streams[];
}

std::set<std::string> names_between(const char* start, const char* stop) {
  std::set<std::string> names;
  while (start < stop) {
    const std::string text(start);
    start += text.size() + 1;
    if (!text.empty()) names.insert(text.substr(0, text.find_first_of("(<")));
  }
  return names;
}

std::string list_of(const char* what, const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return std::string(what) + ": " + text;
}

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
  // What AddressSanitizer must know of the stack; of the scheduler's, it tells when it has been left.
  const void* stack_bottom = nullptr;
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;
  std::string name;
  std::function<void()> body;
  uint64_t clock = 0;
  uint64_t begin = 0;
  uint64_t interval = 1;
  Port* port = nullptr;  // of the memory that its loop reads or writes
  std::vector<Wait> waits;
  void* stack = nullptr;
  Region* joined_by = nullptr;    // the region that this fiber is a stage of
  Region* open_region = nullptr;  // the innermost region that this fiber is building or waiting for
  const Channel* blocked_on = nullptr;
  bool blocked_on_write = false;
  bool started = false;
  bool finished = false;

  // Leave this fiber for another, for good if it has finished; returns when somebody comes back.
  void switch_to(Fiber& other) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(finished ? nullptr : &fake_stack, other.stack_bottom, other.stack_bytes);
#endif
    swapcontext(&context, &other.context);
    arrive();
  }

  static void enter() {
    Simulation& simulation = current();
    Fiber& fiber = *simulation.running_;
    fiber.arrive();
    try {
      fiber.body();
      if (fiber.port) fiber.port->check_idle();
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
    finished = simulation.any_finished_ = true;
    body = nullptr;
    if (!simulation.cancelling_) simulation.stage_times.push_back({name, begin, simulation.clock, std::move(waits)});
    if (joined_by) {
      joined_by->latest_ = std::max(joined_by->latest_, simulation.clock);
      if (--joined_by->unfinished_ == 0) simulation.wake(joined_by->parent_);
    }
    switch_to(*simulation.scheduler_);
  }

  // Stages are entered from the scheduler alone, which may run on another thread each time.
  void arrive() {
#ifdef __SANITIZE_ADDRESS__
    if (stack) {
      Fiber& scheduler = *current().scheduler_;
      __sanitizer_finish_switch_fiber(fake_stack, &scheduler.stack_bottom, &scheduler.stack_bytes);
    } else {
      __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
    }
#endif
  }
};

Simulation::Simulation() : scheduler_(new Fiber()) {}

Simulation::~Simulation() {
  cancel();
  for (void* stack : stacks_) munmap(stack, kGuardBytes + kStackBytes);
}

void Simulation::start(const std::string& name, std::function<void()> body) {
  message.clear();
  stage_times.clear();
  memory.begin(clock);
  spawn(name, std::move(body), clock);
}

Fiber* Simulation::spawn(const std::string& name, std::function<void()> body, uint64_t time) {
  std::unique_ptr<Fiber> fiber(new Fiber());
  if (stacks_.empty()) stacks_.push_back(map_stack());
  fiber->stack = stacks_.back();
  stacks_.pop_back();
  fiber->name = name;
  fiber->body = std::move(body);
  fiber->clock = fiber->begin = time;
  const auto interval = timing.interval.find(name);
  if (interval != timing.interval.end()) fiber->interval = interval->second;
  getcontext(&fiber->context);
  fiber->stack_bottom = fiber->context.uc_stack.ss_sp = static_cast<char*>(fiber->stack) + kGuardBytes;
  fiber->stack_bytes = kStackBytes;
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(fiber->stack_bottom, kStackBytes);  // frames of the fiber before never returned
#endif
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
  while (message.empty()) {
    // Memory waits until no stage can run: see ddr.hpp.
    while (ready_.empty() && memory.grant()) {
    }
    if (ready_.empty()) break;
    turn.swap(ready_);
    ready_.clear();
    if (timing.schedule_seed) shuffle(turn);
    for (size_t i = 0; i < turn.size(); ++i) {
      if (message.empty()) resume(turn[i]);
    }
    turn.clear();
    if (any_finished_) release_finished();
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
  interval_ = fiber->interval;
  scheduler_->switch_to(*fiber);
  fiber->clock = clock;
  running_ = nullptr;
  set_current(outer);
}

void Simulation::suspend() {
  Fiber* const fiber = running_;
  fiber->switch_to(*scheduler_);
  if (cancelling_) throw Cancelled();
}

void Simulation::wake(Fiber* fiber) { ready_.push_back(fiber); }

void Simulation::shuffle(std::vector<Fiber*>& fibers) {
  uint64_t state = timing.schedule_seed + ++shuffles_;
  for (size_t i = fibers.size(); i > 1; --i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::swap(fibers[i - 1], fibers[(state >> 33) % i]);
  }
}

void Simulation::note_wait(const void* place, Wait::Kind kind, const std::string& name, uint64_t cycles) {
  for (Wait& wait : running_->waits) {
    if (wait.place == place && wait.kind == kind) {
      wait.cycles += cycles;
      return;
    }
  }
  running_->waits.push_back({place, kind, name, cycles});
}

std::string Simulation::set_timing(const std::string& name, uint64_t value) {
  for (const TimingField& field : kTimingFields) {
    if (name != field.name) continue;
    if (value < field.low || value > field.high) {
      return name + " is " + std::to_string(value) + ", must be " + std::to_string(field.low) + " to " +
             std::to_string(field.high);
    }
    timing.*field.member = value;
    return "";
  }
  const std::set<std::string> stages = names_between(__start_qsnn_stages, __stop_qsnn_stages);
  const std::set<std::string> streams = names_between(__start_qsnn_streams, __stop_qsnn_streams);
  const size_t colon = name.find(':');
  const std::string kind = name.substr(0, colon), of = colon == std::string::npos ? "" : name.substr(colon + 1);
  std::map<std::string, uint64_t>* const values = kind == "interval"  ? &timing.interval
                                                  : kind == "depth"   ? &timing.depth
                                                  : kind == "latency" ? &timing.latency
                                                                      : nullptr;
  if (values && (kind == "interval" ? stages : streams).count(of)) {
    const uint64_t low = kind == "latency" ? 0 : 1;
    if (value < low || value > kLongestTime) {
      return name + " is " + std::to_string(value) + ", must be " + std::to_string(low) + " to " +
             std::to_string(kLongestTime);
    }
    (*values)[of] = value;
    return "";
  }
  std::set<std::string> constants;
  for (const TimingField& field : kTimingFields) constants.insert(field.name);
  return "no timing constant " + name + "; there are " + list_of("constants", constants) + "; " +
         list_of("interval:<stage> of", stages) + "; " + list_of("depth:<stream> and latency:<stream> of", streams);
}

void Simulation::release_finished() {
  any_finished_ = false;
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
  const Timing& timing = owner_->timing;
  const auto other_depth = timing.depth.find(name_);
  if (other_depth != timing.depth.end()) depth_ = other_depth->second;
  const auto latency = timing.latency.find(name_);
  if (latency != timing.latency.end()) {
    latency_ = latency->second;
  } else {
    latency_ = timing.stream_latency + (name_ == "partial_sums" ? timing.tile_latency : 0);
  }
}

Channel::Channel(Simulation& owner, std::string name)
    : owner_(&owner), name_(std::move(name)), depth_(0), dma_(&owner.memory.add_dma(name_)) {}

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

void Channel::wait_until(uint64_t time, Wait::Kind kind) {
  if (owner_->clock >= time) return;
  owner_->note_wait(this, kind, name_, time - owner_->clock);
  owner_->clock = time;
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
  if (latest_ > simulation_.clock) {
    simulation_.note_wait(simulation_.running_, Wait::kRegion, name_, latest_ - simulation_.clock);
    simulation_.clock = latest_;
  }
  for (const Channel* channel : channels_) {
    if (channel->fill_ == 0) continue;
    throw std::runtime_error("stream " + channel->name_ + " keeps " + std::to_string(channel->fill_) +
                             " tokens at the end of " + name_);
  }
}

__attribute__((noinline)) void tick(uint64_t cycles) {  // see current(), without a second call
  asm volatile("" ::: "memory");
  Simulation& simulation = *active;
  simulation.clock += cycles * simulation.interval_;
}

void begin_read(const void* address, uint64_t words) {
  Simulation& simulation = current();
  simulation.running_->port = &simulation.memory.find(address);
  simulation.running_->port->begin_read(words);
}

void begin_write(const void* address, uint64_t words) {
  Simulation& simulation = current();
  simulation.running_->port = &simulation.memory.find(address);
  simulation.running_->port->begin_write(words);
}

__attribute__((noinline)) void beat() {
  asm volatile("" ::: "memory");
  active->running_->port->beat();
}

}  // namespace sim
