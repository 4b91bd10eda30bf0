#include "stages.hpp"

#include "check.hpp"

namespace {

Instruction read_instruction(const word_t* program, uint32_t index) {
  HLS(INLINE)
  instruction_bits bits = 0;
  BURST_READ;
read_words:
  for (int i = 0; i < kInstructionWords; ++i) {
    PIPELINE(1);
    bits.range((i + 1) * hw::kWordBits - 1, i * hw::kWordBits) =
        program[hw::program_header::kWords + index * kInstructionWords + i];
  }
  return decode(bits);
}

int check_header(const word_t& header) {
  HLS(INLINE)
  using namespace hw::program_header;
  const uint32_t magic = header.range(kMagicLsb + kMagicBits - 1, kMagicLsb).to_uint();
  const uint32_t version = header.range(kVersionLsb + kVersionBits - 1, kVersionLsb).to_uint();
  const uint64_t found = header.range(kFingerprintLsb + kFingerprintBits - 1, kFingerprintLsb).to_uint64();
  if (magic != uint32_t(hw::kProgramMagic)) return hw::status::kBadMagic;
  if (version != uint32_t(hw::kSpecVersion) || found != hw::kFingerprint) return hw::status::kBadFingerprint;
  return hw::status::kOk;
}

WeightRequest request_weights(const Instruction& d) {
  HLS(INLINE)
  WeightRequest request;
  request.first_word = uint32_t(d.weight_offset);
  request.parameter_words = int(d.output_tiles) * kOutputLanes;
  request.tile_words = tile_words(d);
  request.tile_beats = tile_beats(d);
  request.passes = d.weight_resident ? 1 : int(d.blocks);
  request.storage_bits = d.storage_bits;
  request.last = false;
  return request;
}

}  // namespace

// for frame, instruction: check it, tell the weight stages and `execute`. The first instruction that fails a check ends
// the call: END carries its status and index, and nothing after it is sent. Each frame reads the program again; the
// command stream hides the latency of its short bursts behind the running layer.
void fetch(const word_t* program, uint32_t num_instructions, uint32_t num_frames, uint32_t weight_words,
           uint64_t* fingerprint, hls::stream<WeightRequest>& read_requests,
           hls::stream<WeightRequest>& unpack_requests, hls::stream<Command>& commands) {
  *fingerprint = hw::kFingerprint;
  BURST_READ;
  uint32_t status = check_header(program[0]);
  Command command;

frames:
  for (uint32_t frame = 0; frame < num_frames && status == uint32_t(hw::status::kOk); ++frame) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 1000 avg = 16)
  instructions:
    for (uint32_t index = 0; index < num_instructions && status == uint32_t(hw::status::kOk); ++index) {
      HLS(LOOP_TRIPCOUNT min = 2 max = 100 avg = 12)
      command.instruction = read_instruction(program, index);
      const int refusal = check(command.instruction, weight_words);
      if (refusal != hw::status::kOk) {
        status = uint32_t(refusal) | (index << 8);
      } else {
        if (command.instruction.opcode == hw::opcode::kConvolve) {
          const WeightRequest request = request_weights(command.instruction);
          read_requests.write(request);
          unpack_requests.write(request);
        }
        command.last_frame = frame == num_frames - 1;
        command.status = status;
        commands.write(command);
      }
    }
  }

  WeightRequest end = {0, 0, 0, 0, 0, 0, true};
  read_requests.write(end);
  unpack_requests.write(end);
  command.instruction.opcode = hw::opcode::kEnd;
  command.last_frame = true;
  command.status = status;
  commands.write(command);
}
