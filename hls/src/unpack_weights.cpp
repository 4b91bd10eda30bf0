#include "stages.hpp"

#include "counters.hpp"
#include "ring.hpp"

namespace {

constexpr int kBeatBytes = kBeatRows * kInputLanes;
constexpr int kBeatChunks = hw::kWeightBeatBits / 64;
constexpr int kPairChunks = 2 * hw::kWordBits / 64;

static_assert(kBeatBytes == 64, "a beat of 1-bit elements is one 64-bit chunk, so that no beat begins inside a chunk");

// Element `index` of the beat whose stored form begins at `first`: two's complement, or the sign bit alone.
template <int BITS>
inline int signed_bits(const uint64_t chunk[kBeatChunks], int first, int index) {
  HLS(INLINE)
  const int code = int(chunk[first + index * BITS / 64] >> (index * BITS & 63)) & ((1 << BITS) - 1);
  if (BITS == 1) return code ? 1 : -1;
  constexpr int kSign = 1 << (BITS - 1);
  return (code ^ kSign) - kSign;
}

inline int element(const uint64_t chunk[kBeatChunks], int first, int index, int storage_bits) {
  HLS(INLINE)
  if (storage_bits == 8) return signed_bits<8>(chunk, first, index & 63);  // MULTIPLY4, with 128 elements, has no such
  if (storage_bits == 4) return signed_bits<4>(chunk, first, index);
  if (storage_bits == 2) return signed_bits<2>(chunk, first, index);
  return signed_bits<1>(chunk, first, index);
}

// Stored form -> beat. MULTIPLY4 joins two output lanes in a byte, the even one low.
inline void unpack_beat(const uint64_t chunk[kBeatChunks], int first, int storage_bits, bool nibbles,
                        WeightBeat& beat) {
  HLS(INLINE)
  for (int row = 0; row < kBeatRows; ++row) {
    UNROLL
    for (int lane = 0; lane < kInputLanes; ++lane) {
      UNROLL
      const int even = element(chunk, first, 2 * row * kInputLanes + lane, storage_bits);
      const int odd = element(chunk, first, (2 * row + 1) * kInputLanes + lane, storage_bits);
      const int whole = element(chunk, first, row * kInputLanes + lane, storage_bits);
      beat.weight[row][lane] = uint8_t(nibbles ? (even & 15) | (odd & 15) << 4 : whole);
    }
  }
}

}  // namespace

// Pairs of words -> beats in the weight ring. Parameter words pass by on their own stream, even before odd.
//
//   for parameter word:    pass it on
//   for pass, tile, stored beat:  gather the beat's pairs, or take the next part of a pair; write it to the ring
//
// A stored beat is tiles_of_pass * storage_bits chunks of 64 bits: `pieces` pairs (2 or 1), or one of the `parts` (1, 2
// or 4) of a pair. II = 1: one pair in and one beat out a cycle at most; the counters are the recurrence.
//
// The ring is a memory, two streams of tokens are its order (ring.hpp). Room is taken one tile ahead: the token of the
// first tile is written before the loops begin, each further one a whole tile before it is needed, so that no schedule
// of the loop can place a write to the ring before the token that it waits for. A tile is announced kSettle iterations
// after its last write; the loop behind the passes sends what is still on its way.
void unpack_weights(hls::stream<WeightRequest>& requests, hls::stream<word_t>& even, hls::stream<word_t>& odd,
                    hls::stream<word_t>& parameters, WeightRing ring_write, hls::stream<TileToken>& occupancy,
                    hls::stream<TileToken>& arrivals) {
  bool running = true;
requests:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 1000 avg = 12)
    const WeightRequest request = requests.read();
    running = !request.last;
  pass_parameters:
    for (uint32_t i = 0; i < 2 * request.parameter_pairs; ++i) {
      HLS(LOOP_TRIPCOUNT min = 32 max = 2048 avg = 128)
      PIPELINE(1);
      parameters.write((i & 1) ? odd.read() : even.read());
    }

    const int storage_bits = request.storage_bits;
    const bool nibbles = request.mode == hw::mode::kMultiply4;
    const int chunks = nibbles ? 2 * storage_bits : storage_bits;
    const int pieces = chunks > kPairChunks ? 2 : 1;
    const int parts = chunks == 1 ? kPairChunks : chunks == 2 ? kPairChunks / 2 : 1;
    const uint32_t tiles = request.tile_beats / kTileBeats;
    const int stored_beats = request.stored_beats;
    const uint32_t cycles = parts > 1 ? tiles * stored_beats : request.tile_pairs;
    uint64_t chunk[kBeatChunks];
    HLS(ARRAY_PARTITION variable = chunk complete)
    int piece = 0, part = 0, beat = 0;
    int address = request.ring_base;
    uint32_t tile = 0;  // of the pass
    unsigned settling = 0;
    if (tiles > 0) occupancy.write(true);
  passes:
    for (uint32_t pass = 0; pass < request.passes; ++pass) {
      HLS(LOOP_TRIPCOUNT min = 1 max = 256 avg = 2)
    unpack_tiles:
      for (uint32_t i = 0; i < cycles; ++i) {
        HLS(LOOP_TRIPCOUNT min = 8 max = 100000 avg = 4000)
        PIPELINE(1);
        HLS(DEPENDENCE variable = ring_write type = inter dependent = false)
        const bool last_tile = pass == request.passes - 1u && tile == tiles - 1;
        if (beat == 0 && piece == 0 && !last_tile) occupancy.write(true);
        if (part == 0) {
          const word_t low = even.read(), high = odd.read();
          chunk[kPairChunks * piece] = low.range(63, 0).to_uint64();
          chunk[kPairChunks * piece + 1] = low.range(127, 64).to_uint64();
          chunk[kPairChunks * piece + 2] = high.range(63, 0).to_uint64();
          chunk[kPairChunks * piece + 3] = high.range(127, 64).to_uint64();
        }
        const bool beat_complete = piece == pieces - 1;
        if (beat_complete) {
          WeightBeat unpacked;
          HLS(ARRAY_PARTITION variable = unpacked.weight complete dim = 0)
          unpack_beat(chunk, part * chunks, storage_bits, nibbles, unpacked);
          ring_write[address] = unpacked;
          address = beat == stored_beats - 1 ? next_tile(address, stored_beats) : next_beat(address);
        }
        settling = settling << 1 | unsigned(beat_complete && beat == stored_beats - 1);
        if (settled(settling)) arrivals.write(true);

        bool carry = true;
        count(piece, pieces, carry);
        if (carry) part = part + 1 == parts ? 0 : part + 1;
        count(beat, stored_beats, carry);
        if (carry) tile = tile + 1 == tiles ? 0 : tile + 1;
      }
    }
  announce_last_tiles:
    for (int i = 0; i < kSettle; ++i) {
      PIPELINE(1);
      settling <<= 1;
      if (settled(settling)) arrivals.write(true);
    }
  }
}
