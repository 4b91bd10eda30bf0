// The stages, in the order in which data passes them. One stage, one file.
#pragma once

#include "hls_macros.hpp"
#include "instruction.hpp"
#include "types.hpp"

// ---- stages of the whole kernel ----
void fetch(const word_t* program, uint32_t num_instructions, uint32_t num_frames, uint32_t weight_pairs,
           uint32_t spill_words, uint64_t* fingerprint, hls::stream<WeightRequest>& even_requests,
           hls::stream<WeightRequest>& odd_requests, hls::stream<WeightRequest>& unpack_requests,
           hls::stream<Command>& commands);
void read_weights(const word_t* plane, hls::stream<WeightRequest>& requests, hls::stream<word_t>& words);
void unpack_weights(hls::stream<WeightRequest>& requests, hls::stream<word_t>& even, hls::stream<word_t>& odd,
                    hls::stream<word_t>& parameters, WeightRing ring_write, hls::stream<TileToken>& occupancy,
                    hls::stream<TileToken>& arrivals);
void execute(hls::stream<Command>& commands, hls::stream<word_t>& parameters, const WeightRing ring_read,
             hls::stream<TileToken>& arrivals, hls::stream<TileToken>& occupancy, hls::stream<axis_word>& frames,
             hls::stream<axis_word>& results, const ActivationMemory activations_read,
             ActivationMemory activations_write, word_t* spill, const volatile uint64_t* now,
             hls::stream<LogEntry>& log_entries, volatile uint32_t* status);
void write_log(hls::stream<LogEntry>& entries, word_t* log, uint32_t capacity, uint32_t* log_count);

// ---- one instruction; each tells how many words it stored ----
void receive(const Instruction& d, hls::stream<axis_word>& frames, ActivationMemory activations, word_t* spill,
             uint32_t& stored_words);
void load(const Instruction& d, const word_t* spill, ActivationMemory activations, uint32_t& stored_words);
void save(const Instruction& d, const ActivationMemory activations, word_t* spill, uint32_t& stored_words);
void pool(const Command& c, const ActivationMemory activations_read, ActivationMemory activations_write,
          uint32_t& stored_words);
void run_layer(const Command c, hls::stream<word_t>& parameters, const WeightRing ring_read,
               hls::stream<TileToken>& arrivals, hls::stream<TileToken>& occupancy, hls::stream<axis_word>& results,
               const ActivationMemory activations_read, ActivationMemory activations_write, uint32_t& stored_words);

// ---- stages of a layer ----
void feed(const Command c, const ActivationMemory activations, hls::stream<Operand>& operands,
          hls::stream<Residual>& current_residuals, hls::stream<Residual>& spike_residuals);
void hold_weights(const Command c, const WeightRing ring, hls::stream<TileToken>& arrivals,
                  hls::stream<TileToken>& occupancy, hls::stream<WeightBeat>& held);
void accumulate(const Command c, hls::stream<Operand>& operands, hls::stream<WeightBeat>& weights,
                hls::stream<PartialSum>& partial_sums, hls::stream<NarrowSum> narrow_sums[kNarrowParts],
                hls::stream<SpikeCount>& spike_counts);
void integrate(const Command c, hls::stream<word_t>& parameters, hls::stream<PartialSum>& partial_sums,
               hls::stream<NarrowSum> narrow_sums[kNarrowParts], hls::stream<SpikeCount>& spike_counts,
               hls::stream<Residual>& current_residuals, hls::stream<Fired>& fired, hls::stream<Logits>& logits);
void store(const Command c, hls::stream<Fired>& fired, hls::stream<Logits>& logits,
           hls::stream<Residual>& spike_residuals, ActivationMemory activations, hls::stream<axis_word>& results,
           uint32_t& stored_words);
