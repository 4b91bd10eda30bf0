// Everything that only one of the two compilers understands. Under Vitis HLS the markers are pragmas and the stages of
// a dataflow region plain calls; under g++ the same markers drive the event model of hls/sim.
#pragma once

#if defined(__SYNTHESIS__) || defined(__VITIS_HLS__)

#define HLS_TEXT(...) _Pragma(#__VA_ARGS__)
#define HLS(...) HLS_TEXT(HLS __VA_ARGS__)

// First statement of a loop body: one iteration starts every `ii` cycles. flp: a stage that waits for input still
// drains what is in flight, without the one stall net across the whole stage that freezes a pipeline in place.
// Not only speed depends on it: while `feed` waits for room for a block's residuals, `accumulate` waits for the next
// block's operands, and must hand out the sums in flight all the same. A tool that took stp instead could deadlock
// there: its log must show no loop of another style. (UG1448 lists flp for function pipelines; UG1399 for loops too.)
#define PIPELINE(ii) HLS(PIPELINE II = ii style = flp)
// First statement of a function that runs its stages at the same time; then stream definitions, STAGE lines,
// REGION_END.
#define REGION(name) HLS(DATAFLOW)
#define STAGE(...) __VA_ARGS__
#define REGION_END
// A stream between two stages; its depth is one constant for fabric and simulation.
#define STREAM(type, name, tokens) \
  hls::stream<type> name(#name);   \
  HLS(STREAM variable = name depth = tokens)
// Three such streams, one for each narrow part of a partial sum.
#define STREAM_OF_PARTS(type, name, tokens) \
  hls::stream<type> name[3];                \
  HLS(STREAM variable = name depth = tokens)
// Before a loop that the tool turns into AXI bursts: the memory argument that it reads or writes, and its iterations.
#define READ_BURST(memory, words)
#define WRITE_BURST(memory, words)
// Second statement of that loop's body: each iteration moves one word.
#define BEAT
// Before an inner loop that is unrolled in the fabric.
#define VECTOR_LOOP
#define KERNEL_STATIC static

#else

#include "simulation.hpp"

#define HLS(...)
#define PIPELINE(ii) sim::tick(ii)
#define REGION(name) sim::Region region_of_stages(#name)
// The names of stages and streams are collected at link time: simulation.cpp reads them.
#define COLLECTED(section_name, identifier, text) \
  static const char identifier[] __attribute__((section(section_name), used)) = text
#define STAGE(...)                                               \
  do {                                                           \
    COLLECTED("qsnn_stages", name_of_stage, #__VA_ARGS__);       \
    region_of_stages.spawn(name_of_stage, [&] { __VA_ARGS__; }); \
  } while (false)
#define REGION_END region_of_stages.join()
#define STREAM(type, name, tokens)                  \
  COLLECTED("qsnn_streams", name_of_##name, #name); \
  hls::stream<type, tokens> name(name_of_##name)
#define STREAM_OF_PARTS(type, name, tokens)         \
  COLLECTED("qsnn_streams", name_of_##name, #name); \
  hls::stream<type> name[3] = {{name_of_##name, tokens}, {name_of_##name, tokens}, {name_of_##name, tokens}}
#define READ_BURST(memory, words) sim::begin_read(memory, words)
#define WRITE_BURST(memory, words) sim::begin_write(memory, words)
#define BEAT sim::beat()
// g++ shall vectorize the loop, which it cannot once it has unrolled it.
#define VECTOR_LOOP _Pragma("GCC unroll 1")
// Kernels of two threads must not share what is one memory in the fabric.
#define KERNEL_STATIC static thread_local

#endif

#define UNROLL HLS(UNROLL)
