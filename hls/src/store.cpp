#include "stages.hpp"

#include "arithmetic.hpp"
#include "counters.hpp"

namespace {

// Channel tiles of a pass: up to two output tiles of two halves.
constexpr int kPassHalves = kPassTiles * kHalves;
constexpr int kPairs = kSlots / 2;
constexpr int kMaximumTrainWords = hw::kMaximumSteps;  // of 8-bit codes

// Where the trains of a quadruple go. Quadruples follow each other in the stored map, frame after frame, so that the
// address needs no row and no frame.
struct Target {
  int address;  // of the column group's first word
  int group;    // column group of the computed map
  bool second;  // pooled: second row of a pair
};

// To the next quadruple. Where 2x2 maxima are fused, two column groups of a row pair fill one of the stored map; the
// last may be left without a partner, or, where only an odd column is left, without anything to store.
inline void advance(Target& target, const Instruction& d, int group_words) {
  HLS(INLINE)
  if (d.pooled) {
    target.second = !target.second;
    if (target.second) return;
  }
  const bool last = target.group + 1 == int(d.output_column_groups);
  const bool half_full = d.pooled && (target.group & 1) == 0;
  if (!half_full || (last && target.group * kPairs < int(d.stored_width))) target.address += group_words;
  target.group = last ? 0 : target.group + 1;
}

inline word_t maximum_words(const word_t& a, const word_t& b, int bits) {
  HLS(INLINE)
  uint8_t byte_a[kInputLanes], byte_b[kInputLanes];
  extract_codes(a, 0, 8, byte_a);
  extract_codes(b, 0, 8, byte_b);
  for (int lane = 0; lane < kInputLanes; ++lane) {
    UNROLL
    byte_a[lane] = maximum_codes(byte_a[lane], byte_b[lane], bits);
  }
  return place_codes(byte_a, 0);
}

// A word on its way to a bank.
struct Write {
  bool enable;
  int bank;
  int address;
  word_t word;
};

// The loop it means:
//
//   for block, pass, quadruple of the block, step, output tile of the pass, slot:
//     s = fired codes of 32 channels, and the spike-domain residual
//     append s to the train of the slot; a word that is full goes to its bank, once for each half of the channels
//   where 2x2 maxima are fused: of words that are full, at every second slot
//     first row of a pair:   keep the maxima of neighbouring columns
//     second row:            their maxima with those kept go to a bank
//
// A full word of the second half waits one iteration: the next slot writes to the next bank, or, pooled, to none. So
// each bank sees at most one write a cycle. II = 1: the train word of a slot returns after kSlots iterations; the words
// of a first row, in LUTRAM, lie at least a step apart from their use by the second row.
void store_trains(const Command& c, hls::stream<Fired>& fired, hls::stream<Residual>& spike_residuals,
                  ActivationMemory activations, uint32_t& stored_words) {
  const Instruction& d = c.instruction;
  const int skip_mode = d.skip_mode, skip_bits = d.skip_bits;
  const bool has_residual = skip_mode == hw::skip::kSpike || skip_mode == hw::skip::kIand, pooled = d.pooled;
  const uint8_t skip_s_max = d.skip_s_max;
  const int bits = d.output_bits, train_words = d.output_train_words, width = d.stored_width;
  const int group_words = words_before(d.output_channel_tiles, train_words);
  word_t train[kPassHalves][kSlots];
  HLS(ARRAY_PARTITION variable = train complete dim = 0)
  Residual residual[kPassTiles];
  HLS(ARRAY_PARTITION variable = residual complete dim = 0)
  word_t first_row[kPassHalves][kPairs][kMaximumTrainWords];
  HLS(ARRAY_PARTITION variable = first_row complete dim = 1)
  HLS(ARRAY_PARTITION variable = first_row complete dim = 2)
  HLS(BIND_STORAGE variable = first_row type = ram_2p impl = lutram)
  Write pending = {false, 0, 0, 0};

  uint32_t words = 0;
  int slot = 0, pass_tile = 0, step = 0, quadruple = 0;
  int first_tile = 0;  // of the pass
  int pass_tiles = piece(d.output_tiles, tiles_of_pass(d));
  Target target = {int(d.output_base), 0, false}, block_target = target;  // of the quadruple, of the block's first
  int remaining = quadruples_of(c);
  int length = piece(remaining, d.block_quadruples);

write_trains:
  while (remaining > 0 || pending.enable) {  // one more, for the last pending word
    HLS(LOOP_TRIPCOUNT min = 4 max = 1000000 avg = 10000)
    PIPELINE(1);
    HLS(DEPENDENCE variable = activations type = inter dependent = false)
    const bool more = remaining > 0;
    Write now = {false, 0, 0, 0}, next = {false, 0, 0, 0};
    if (more) {
      const Fired codes = fired.read();
      int word, bit, residual_word, residual_bit;
      train_place(step, bits, word, bit);
      train_place(step, skip_bits, residual_word, residual_bit);
      if (has_residual && slot == 0 && residual_bit == 0) residual[pass_tile] = spike_residuals.read();
      const bool full = bit + bits == 8 || step == int(d.num_steps) - 1;
      const int pair = slot / 2;
      for (int half = 0; half < kHalves; ++half) {
        UNROLL
        const int tile = (int(d.output_first_tile) + first_tile + pass_tile) * kHalves + half;
        const int pass_half = pass_tile * kHalves + half;
        uint8_t code[kInputLanes];
        HLS(ARRAY_PARTITION variable = code complete)
        for (int lane = 0; lane < kInputLanes; ++lane) {
          UNROLL
          const int channel = half * kInputLanes + lane;
          const uint8_t s = codes.code[channel];
          const uint8_t k = code_of_byte(residual[pass_tile].byte[slot][channel], residual_bit, skip_bits);
          code[lane] = has_residual ? add_residual(s, k, skip_mode, skip_s_max) : s;
        }
        const word_t placed = place_codes(code, bit);
        word_t word_out = bit == 0 ? placed : word_t(train[pass_half][slot] | placed);
        train[pass_half][slot] = word_out;
        bool present = full && tile < int(d.output_channel_tiles);
        int bank = slot, column = target.group * kSlots + slot;
        if (pooled) {
          const word_t columns = maximum_words(train[pass_half][2 * pair], word_out, bits);
          bank = (target.group & 1) * kPairs + pair;
          column = target.group * kPairs + pair;
          word_out = maximum_words(columns, first_row[pass_half][pair][word], bits);
          if (full && (slot & 1) && !target.second) first_row[pass_half][pair][word] = columns;
          present = present && (slot & 1) && target.second;
        }
        const Write write = {present && column < width, bank, target.address + words_before(tile, train_words) + word,
                             word_out};
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
    count(pass_tile, pass_tiles, carry);
    count(step, d.num_steps, carry);
    if (carry) advance(target, d, group_words);
    count(quadruple, length, carry);
    const Target next_target = target;  // of the next block, where this block ends
    if (carry) target = block_target;
    count_pass(d, first_tile, pass_tiles, carry);
    if (carry) {
      target = block_target = next_target;
      remaining -= length;
      length = piece(remaining, d.block_quadruples);
    }
  }
  stored_words = words;
}

// For each frame four int32 sums a beat, num_classes in all, the rest of the last beat zero; TLAST ends the last frame
// of the call. II = 1: one beat a cycle, one tile of sums every kOutputLanes / 4 beats.
void store_logits(const Command& c, hls::stream<Logits>& logits, hls::stream<axis_word>& results,
                  uint32_t& stored_words) {
  constexpr int kPerBeat = hw::kWordBits / 32;
  constexpr int kTileLogitBeats = kOutputLanes / kPerBeat;
  const Instruction& d = c.instruction;
  const int beats = (int(d.num_classes) + kPerBeat - 1) / kPerBeat;
  Logits tile;
  HLS(ARRAY_PARTITION variable = tile.sum complete)
  int frame = 0, beat = 0;
  bool running = true;
send_logits:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 8 max = 512 avg = 8)
    PIPELINE(1);
    const int in_tile = beat & (kTileLogitBeats - 1);
    if (in_tile == 0) tile = logits.read();
    if (beat < beats) {
      axis_word word;
      for (int i = 0; i < kPerBeat; ++i) {
        UNROLL
        const bool used = beat * kPerBeat + i < int(d.num_classes);
        word.data.range(32 * i + 31, 32 * i) = used ? uint32_t(tile.sum[in_tile * kPerBeat + i]) : 0u;
      }
      word.keep = -1;
      word.strb = -1;
      word.last = c.last_group && frame == int(c.frames) - 1 && beat == beats - 1;
      results.write(word);
    }
    bool carry = true;
    count(beat, int(d.output_tiles) * kTileLogitBeats, carry);
    count(frame, c.frames, carry);
    running = !carry;
  }
  stored_words = beats * int(c.frames);
}

}  // namespace

void store(const Command c, hls::stream<Fired>& fired, hls::stream<Logits>& logits,
           hls::stream<Residual>& spike_residuals, ActivationMemory activations, hls::stream<axis_word>& results,
           uint32_t& stored_words) {
  if (c.instruction.head) {
    store_logits(c, logits, results, stored_words);
  } else {
    store_trains(c, fired, spike_residuals, activations, stored_words);
  }
}
