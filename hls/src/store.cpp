#include "stages.hpp"

#include "arithmetic.hpp"
#include "counters.hpp"

namespace {

// A word on its way to a bank.
struct Write {
  bool enable;
  int bank;
  int address;
  word_t word;
};

// The loop it means:
//
//   for block, output tile, quadruple of the block, step, slot:
//     s = fired codes of 32 channels, plus the spike-domain residual, at most skip_s_max
//     append s to the train; a train word that is full goes to bank `slot`, once for each half of the channels
//
// A full word of the second half waits one iteration: the next slot writes to the next bank, so each bank sees at most
// one write a cycle. II = 1: the train word of a slot returns after kSlots iterations.
void store_trains(const Instruction& d, hls::stream<Fired>& fired, hls::stream<Residual>& spike_residuals,
                  ActivationMemory activations, uint32_t& stored_words) {
  const bool has_residual = d.skip_mode == hw::skip::kSpike;
  const int bits = d.output_bits, train_words = d.output_train_words, width = d.output_width;
  const int pixel_words = int(d.output_channel_tiles) * train_words;
  word_t train[kHalves][kSlots];
  HLS(ARRAY_PARTITION variable = train complete dim = 0)
  Residual residual;
  HLS(ARRAY_PARTITION variable = residual.code complete dim = 0)
  Write pending = {false, 0, 0, 0};

  uint32_t words = 0;
  int slot = 0, step = 0, quadruple = 0, output_tile = 0;
  int group = 0, block_group = 0;  // column group of the quadruple, of the block's first
  // Quadruples in raster order follow each other in memory: the address needs no row.
  int address = int(d.output_base), block_address = address;
  int remaining = d.quadruples;
  int length = block_length(remaining, d.block_quadruples);

write_trains:
  while (remaining > 0 || pending.enable) {  // one more, for the last pending word
    HLS(LOOP_TRIPCOUNT min = 4 max = 1000000 avg = 10000)
    PIPELINE(1);
    HLS(DEPENDENCE variable = activations type = inter dependent = false)
    const bool more = remaining > 0;
    Write now = {false, slot, 0, 0};
    Write next = {false, slot, 0, 0};
    if (more) {
      Fired codes = fired.read();
      if (has_residual && slot == 0) residual = spike_residuals.read();
      int word, bit;
      train_place(step, bits, word, bit);
      const bool full = bit + bits == 8 || step == int(d.num_steps) - 1;
      const int tile = (int(d.output_first_tile) + output_tile) * kHalves;
      for (int half = 0; half < kHalves; ++half) {
        UNROLL
        uint8_t code[kInputLanes];
        HLS(ARRAY_PARTITION variable = code complete)
        for (int lane = 0; lane < kInputLanes; ++lane) {
          UNROLL
          const int channel = half * kInputLanes + lane;
          const uint8_t s = codes.code[channel];
          code[lane] = has_residual ? add_spikes(s, residual.code[slot][channel], d.skip_s_max) : s;
        }
        const word_t placed = place_codes(code, bit);
        train[half][slot] = bit == 0 ? placed : word_t(train[half][slot] | placed);
        Write write = {full && group * kSlots + slot < width && tile + half < int(d.output_channel_tiles), slot,
                       address + (tile + half) * train_words + word, train[half][slot]};
        if (half == 0) {
          now = write;
        } else {
          next = write;
        }
      }
    }
    for (int bank = 0; bank < kBanks; ++bank) {
      UNROLL
      if (pending.enable && pending.bank == bank) {
        activations[bank][pending.address] = pending.word;
      } else if (now.enable && now.bank == bank) {
        activations[bank][now.address] = now.word;
      }
    }
    words += int(pending.enable) + int(now.enable);
    pending = next;

    bool carry = more;
    count(slot, kSlots, carry);
    count(step, d.num_steps, carry);
    if (carry) {
      address += pixel_words;
      group = group + 1 == int(d.output_column_groups) ? 0 : group + 1;
    }
    count(quadruple, length, carry);
    const int next_address = address, next_group = group;
    if (carry) {
      address = block_address;
      group = block_group;
    }
    count(output_tile, d.output_tiles, carry);
    if (carry) {
      address = block_address = next_address;
      group = block_group = next_group;
      remaining -= length;
      length = block_length(remaining, d.block_quadruples);
    }
  }
  stored_words = words;
}

// Four int32 sums a beat, num_classes in all, the rest of the last beat zero. II = 1: one beat a cycle, one tile of
// sums every kOutputLanes / 4 beats.
void store_logits(const Instruction& d, bool last_frame, hls::stream<Logits>& logits, hls::stream<axis_word>& results,
                  uint32_t& stored_words) {
  constexpr int kPerBeat = hw::kWordBits / 32;
  const int beats = (int(d.num_classes) + kPerBeat - 1) / kPerBeat;
  Logits tile;
  HLS(ARRAY_PARTITION variable = tile.sum complete)
send_logits:
  for (int beat = 0; beat < int(d.output_tiles) * (kOutputLanes / kPerBeat); ++beat) {
    HLS(LOOP_TRIPCOUNT min = 8 max = 512 avg = 8)
    PIPELINE(1);
    const int in_tile = beat & (kOutputLanes / kPerBeat - 1);
    if (in_tile == 0) tile = logits.read();
    if (beat >= beats) continue;
    axis_word word;
    for (int i = 0; i < kPerBeat; ++i) {
      UNROLL
      const bool used = beat * kPerBeat + i < int(d.num_classes);
      word.data.range(32 * i + 31, 32 * i) = used ? uint32_t(tile.sum[in_tile * kPerBeat + i]) : 0u;
    }
    word.keep = -1;
    word.strb = -1;
    word.last = last_frame && beat == beats - 1;
    results.write(word);
  }
  stored_words = beats;
}

}  // namespace

void store(const Instruction d, bool last_frame, hls::stream<Fired>& fired, hls::stream<Logits>& logits,
           hls::stream<Residual>& spike_residuals, ActivationMemory activations, hls::stream<axis_word>& results,
           uint32_t& stored_words) {
  if (d.head) {
    store_logits(d, last_frame, logits, results, stored_words);
  } else {
    store_trains(d, fired, spike_residuals, activations, stored_words);
  }
}
