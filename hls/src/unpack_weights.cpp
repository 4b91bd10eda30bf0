#include "stages.hpp"

#include "arithmetic.hpp"
#include "counters.hpp"

namespace {

constexpr int kBeatElements = kBeatRows * kInputLanes;
constexpr int kChunkWords = kBeatElements * 8 / hw::kWordBits;  // bus words of a beat at 8 bits

static_assert(kBeatElements == 64, "a 64-bit half of a word is one beat of 1-bit elements");

// Element `index` of a beat from its stored form. At 1 bit a word holds two beats: `part` is the one wanted.
inline int8_t unpack_element(const uint64_t chunk[2 * kChunkWords], int index, int storage_bits, int part) {
  HLS(INLINE)
  if (storage_bits == 8) return int8_t(chunk[index >> 3] >> (8 * (index & 7)));
  if (storage_bits == 4) return int8_t(((int(chunk[index >> 4] >> (4 * (index & 15))) & 15) ^ 8) - 8);
  if (storage_bits == 2) return int8_t(((int(chunk[index >> 5] >> (2 * (index & 31))) & 3) ^ 2) - 2);
  return (chunk[part] >> index) & 1 ? int8_t(1) : int8_t(-1);
}

}  // namespace

// Bus words -> int8 beats, kBeatRows output lanes each. Parameter words pass by on their own stream.
//
// A beat takes 4 words at 8 bits, 2 at 4, 1 at 2; at 1 bit a word makes two beats. II = 1: one word read, one beat
// written a cycle at most.
void unpack_weights(hls::stream<WeightRequest>& requests, hls::stream<word_t>& words, hls::stream<word_t>& parameters,
                    hls::stream<WeightBeat>& weights) {
  bool running = true;
requests:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 1000 avg = 12)
    const WeightRequest request = requests.read();
    running = !request.last;
  pass_parameters:
    for (uint32_t i = 0; i < request.parameter_words; ++i) {
      HLS(LOOP_TRIPCOUNT min = 32 max = 2048 avg = 128)
      PIPELINE(1);
      parameters.write(words.read());
    }

    const int storage_bits = request.storage_bits;
    const int pieces = storage_bits == 8 ? kChunkWords : storage_bits == 4 ? kChunkWords / 2 : 1;
    const int parts = storage_bits == 1 ? 2 : 1;
    const uint32_t cycles = parts == 2 ? request.tile_beats : request.tile_words;  // of a pass
    uint64_t chunk[2 * kChunkWords];
    HLS(ARRAY_PARTITION variable = chunk complete)
    int piece = 0, part = 0;
  passes:
    for (uint32_t pass = 0; pass < request.passes; ++pass) {
      HLS(LOOP_TRIPCOUNT min = 1 max = 256 avg = 4)
    unpack_tiles:
      for (uint32_t i = 0; i < cycles; ++i) {
        HLS(LOOP_TRIPCOUNT min = 8 max = 100000 avg = 4000)
        PIPELINE(1);
        if (part == 0) {
          const word_t word = words.read();
          chunk[2 * piece] = word.range(63, 0).to_uint64();
          chunk[2 * piece + 1] = word.range(127, 64).to_uint64();
        }
        if (piece == pieces - 1) {
          WeightBeat beat;
          HLS(ARRAY_PARTITION variable = beat.weight complete dim = 0)
          for (int element = 0; element < kBeatElements; ++element) {
            UNROLL
            beat.weight[element / kInputLanes][element & (kInputLanes - 1)] =
                unpack_element(chunk, element, storage_bits, part);
          }
          weights.write(beat);
        }
        bool carry = true;
        count(piece, pieces, carry);
        count(part, parts, carry);
      }
    }
  }
}
