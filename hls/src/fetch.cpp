#include "stages.hpp"

#include "check.hpp"

namespace {

typedef ap_uint<hw::program_header::kWords * hw::kWordBits> header_bits;

template <int BITS>
inline void shift_in(ap_uint<BITS>& bits, const word_t& word) {
  HLS(INLINE)
  bits >>= hw::kWordBits;
  bits.range(BITS - 1, BITS - hw::kWordBits) = word;
}

// What the header says of the order of work.
struct Header {
  uint32_t split;
  uint32_t group_frames;
  bool weights_stay;
};

// II = 1: one bus word a cycle, shifted in from above. (A place that depends on the index would be a shifter of all
// bits.)
int read_header(const word_t* program, uint32_t num_instructions, Header& header) {
  HLS(INLINE)
  using namespace hw::program_header;
  header_bits bits = 0;
  READ_BURST(program, kWords);
read_header_words:
  for (int i = 0; i < kWords; ++i) {
    PIPELINE(1);
    BEAT;
    shift_in(bits, program[i]);
  }
  header.split = bits.range(kSplitLsb + kSplitBits - 1, kSplitLsb).to_uint();
  header.group_frames = bits.range(kGroupFramesLsb + kGroupFramesBits - 1, kGroupFramesLsb).to_uint();
  header.weights_stay = bits.range(kWeightsStayLsb + kWeightsStayBits - 1, kWeightsStayLsb) == 1;
  const uint32_t magic = bits.range(kMagicLsb + kMagicBits - 1, kMagicLsb).to_uint();
  const uint32_t version = bits.range(kVersionLsb + kVersionBits - 1, kVersionLsb).to_uint();
  const uint64_t found = bits.range(kFingerprintLsb + kFingerprintBits - 1, kFingerprintLsb).to_uint64();
  if (magic != uint32_t(hw::kProgramMagic)) return hw::status::kBadMagic;
  if (version != uint32_t(hw::kSpecVersion) || found != hw::kFingerprint) return hw::status::kBadFingerprint;
  return header.group_frames >= 1 && header.split <= num_instructions ? hw::status::kOk : hw::status::kBadField;
}

// II = 1: one bus word a cycle, shifted in from above.
Instruction read_instruction(const word_t* program, uint32_t index) {
  HLS(INLINE)
  instruction_bits bits = 0;
  READ_BURST(program, kInstructionWords);
read_words:
  for (int i = 0; i < kInstructionWords; ++i) {
    PIPELINE(1);
    BEAT;
    shift_in(bits, program[hw::program_header::kWords + index * kInstructionWords + i]);
  }
  return decode(bits);
}

// The output of frame `frame` of a group; false where it begins behind the banks.
bool move_output(Instruction& d, int frame) {
  HLS(INLINE)
  const int moved = int(d.output_base) + frame * int(d.output_frame_words);
  d.output_base = moved;
  return moved <= kBankWords;
}

WeightRequest request_weights(const Command& c) {
  HLS(INLINE)
  const Instruction& d = c.instruction;
  WeightRequest request;
  request.first_pair = uint32_t(d.weight_offset);
  request.parameter_pairs = parameter_pairs(d);
  request.tile_pairs = c.tiles_arrive ? layer_tile_pairs(d) : 0;
  request.tile_beats = c.tiles_arrive ? tile_beats(d) : 0;
  request.passes = d.weight_resident ? 1 : int(c.blocks);
  request.ring_base = c.ring_base;
  request.storage_bits = d.storage_bits;
  request.stored_beats = d.stored_beats;
  request.mode = d.mode;
  request.last = false;
  return request;
}

}  // namespace

// The order of work of a call:
//
//   for group of up to group_frames frames:
//     for part: each frame alone, then all of them      instructions before `split`, then those from `split` on
//       for instruction of the part:                    check it, tell the weight stages and `execute`
//
// The first instruction that fails a check ends the call: END carries its status and index, and nothing after it is
// sent. Tiles that stay in the ring are given back by their last execution, which then never comes: END says how many
// those are, so that the token streams are empty when the call is over. Each execution reads its instruction again; the
// command stream hides the latency of these short bursts, and of the two divisions, behind the running layer.
void fetch(const word_t* program, uint32_t num_instructions, uint32_t num_frames, uint32_t weight_pairs,
           uint32_t spill_words, uint64_t* fingerprint, hls::stream<WeightRequest>& even_requests,
           hls::stream<WeightRequest>& odd_requests, hls::stream<WeightRequest>& unpack_requests,
           hls::stream<Command>& commands) {
  *fingerprint = hw::kFingerprint;
  Header header;
  uint32_t status = read_header(program, num_instructions, header);
  const Limits limits = {weight_pairs, spill_words, header.weights_stay};
  Command command;
  int ring_beat = 0;      // behind the tiles of the instruction before
  int staying_tiles = 0;  // in the ring for a later execution
  uint32_t first = 0;     // frame of the group
  bool running = num_frames > 0 && status == uint32_t(hw::status::kOk);

groups:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 1000 avg = 4)
    const bool last_group = num_frames - first <= header.group_frames;
    const int frames = last_group ? int(num_frames - first) : int(header.group_frames);
  parts:
    for (int part = 0; part <= frames && status == uint32_t(hw::status::kOk); ++part) {
      HLS(LOOP_TRIPCOUNT min = 2 max = 256 avg = 5)
      const bool whole = part == frames;
      const bool first_use = first == 0 && (whole || part == 0);
      const bool last_use = last_group && (whole || part == frames - 1);
      const uint32_t end = whole ? num_instructions : header.split;
      if (header.weights_stay && !whole) ring_beat = 0;  // every frame finds the tiles where the first put them
    instructions:
      for (uint32_t index = whole ? header.split : 0; index < end && status == uint32_t(hw::status::kOk); ++index) {
        HLS(LOOP_TRIPCOUNT min = 2 max = 100 avg = 12)
        command.instruction = read_instruction(program, index);
        command.frames = uint8_t(whole ? frames : 1);
        command.last_group = last_use;
        command.ring_base = uint16_t(ring_beat);
        command.tiles_arrive = first_use || !header.weights_stay;
        command.tiles_leave = last_use || !header.weights_stay;
        command.blocks = 0;
        command.status = status;
        const bool moved = move_output(command.instruction, whole ? 0 : part);
        const int refusal = moved ? check(command, limits) : hw::status::kBadField;
        if (refusal != hw::status::kOk) {
          status = uint32_t(refusal) | (index << 8);
        } else {
          const Instruction& d = command.instruction;
          if (d.opcode == hw::opcode::kConvolve) {
            const int quadruples = int(d.quadruples) * int(command.frames);
            command.blocks = uint16_t((quadruples + int(d.block_quadruples) - 1) / int(d.block_quadruples));
            const WeightRequest request = request_weights(command);
            even_requests.write(request);
            odd_requests.write(request);
            unpack_requests.write(request);
            const int beats = tile_beats(d);
            if (header.weights_stay) {
              ring_beat += beats;
              const int tiles = beats / kTileBeats;
              staying_tiles += (first_use ? tiles : 0) - (last_use ? tiles : 0);
            } else {
              const int once = beats % hw::kWeightRingBeats;
              ring_beat = (ring_beat + once * int(request.passes)) % hw::kWeightRingBeats;
            }
          }
          commands.write(command);
        }
      }
    }
    first += header.group_frames;
    running = !last_group && status == uint32_t(hw::status::kOk);
  }

  WeightRequest end = {0, 0, 0, 0, 0, 0, 0, 0, 0, true};
  even_requests.write(end);
  odd_requests.write(end);
  unpack_requests.write(end);
  command.instruction.opcode = hw::opcode::kEnd;
  command.last_group = true;
  command.ring_base = uint16_t(staying_tiles);
  command.status = status;
  commands.write(command);
}
