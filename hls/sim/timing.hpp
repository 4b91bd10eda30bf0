// Constants of the event model. Assumptions: docs/performance.md says where each comes from, and no board has confirmed
// any of them. All can be set by name (Simulation::set_timing), which is how tests show what depends on what.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "hw_spec.hpp"

namespace sim {

struct Timing {
  // Of the kernel; times in ns and the controller's rate become clocks through it.
  uint64_t clock_mhz = hw::kClockMhz;
  // From a stage's loop iteration to the token at the reader's side: pipeline of the stage and FIFO. Estimate.
  uint64_t stream_latency = 8;
  // On top of that for partial_sums: operands through a row of the array, as measured on its Verilog
  // (rtl/qsnn_mac_row.json; a test compares the two).
  uint64_t tile_latency = 13;
  // Request to first word: AXI adapter, interconnect, PS port, DDR controller, row activation.
  uint64_t ddr_read_ns = 256;
  // Last word of a loop to the response of its last burst; the PS gives no early one.
  uint64_t ddr_write_ns = 256;
  // 64-bit DDR4-2400 of the K26.
  uint64_t ddr_mb_per_s = 19200;
  // Share of it that all ports together get: refresh, row misses, turning the bus round.
  uint64_t controller_efficiency = 75;
  // Share of the clocks in which one 128-bit port moves a word, in bursts.
  uint64_t port_efficiency = 75;
  // The same for the AXI DMA behind the frame and result streams.
  uint64_t dma_efficiency = 75;
  // Words of one turn of a port at the controller.
  uint64_t burst_words = 64;
  // Words a port of the kernel requests ahead of the loop that takes them, and room for words written:
  // outstanding bursts x their length, from the m_axi pragmas.
  uint64_t ahead_words = 2048;
  // The same of the AXI DMA: 4 requests of 64 beats (c_mm2s_burst_size in build.tcl).
  uint64_t dma_ahead_words = 256;
  // Words on their way between DDR and a port: the PS takes 8 requests of 16 beats.
  uint64_t in_flight_words = 128;
  // No time at all: shuffles the order in which ready stages run, if not 0. Nothing may depend on it.
  uint64_t schedule_seed = 0;

  // By the name of a stage: multiplies its intervals.
  std::map<std::string, uint64_t> interval;
  // By the name of a stream: replace its depth and its latency.
  std::map<std::string, uint64_t> depth, latency;
};

struct TimingField {
  const char* name;
  uint64_t Timing::* member;
  uint64_t low, high;
};

constexpr uint64_t kLongestTime = 1000000;

constexpr TimingField kTimingFields[] = {
    {"clock_mhz", &Timing::clock_mhz, 1, 10000},
    {"stream_latency", &Timing::stream_latency, 0, kLongestTime},
    {"tile_latency", &Timing::tile_latency, 0, kLongestTime},
    {"ddr_read_ns", &Timing::ddr_read_ns, 0, kLongestTime},
    {"ddr_write_ns", &Timing::ddr_write_ns, 0, kLongestTime},
    {"ddr_mb_per_s", &Timing::ddr_mb_per_s, 1, 10000000},
    {"controller_efficiency", &Timing::controller_efficiency, 1, 100},
    {"port_efficiency", &Timing::port_efficiency, 1, 100},
    {"dma_efficiency", &Timing::dma_efficiency, 1, 100},
    {"burst_words", &Timing::burst_words, 1, 256},
    {"ahead_words", &Timing::ahead_words, 1, kLongestTime},
    {"dma_ahead_words", &Timing::dma_ahead_words, 1, kLongestTime},
    {"in_flight_words", &Timing::in_flight_words, 1, kLongestTime},
    {"schedule_seed", &Timing::schedule_seed, 0, UINT64_MAX},
};

}  // namespace sim
