#include "bench.hpp"

#include "stages.hpp"

namespace {

// Random elements of `bits` bits, packed as the contract says; read_weights and unpack_weights must return them.
void check_weights(int bits, int passes, int tiles) {
  const int elements = tiles * kOutputLanes * kInputLanes;
  std::vector<int> weights;
  std::vector<word_t> memory(5);  // the request begins behind other words
  for (int i = 0; i < kOutputLanes; ++i) memory.push_back(word_t(i + 1));
  word_t word = 0;
  for (int i = 0; i < elements; ++i) {
    const int code = int(bench::uniform(0, (1 << bits) - 1));
    weights.push_back(bits == 1 ? 2 * code - 1 : code - ((code >> (bits - 1)) << bits));
    const int lsb = i * bits % hw::kWordBits;
    word.range(lsb + bits - 1, lsb) = code;
    if (lsb + bits == hw::kWordBits) memory.push_back(word);
  }
  WeightRequest request = {5,
                           kOutputLanes,
                           uint32_t(elements * bits / hw::kWordBits),
                           uint32_t(tiles * kTileBeats),
                           uint32_t(passes),
                           ap_uint<4>(bits),
                           false};
  const WeightRequest end = {0, 0, 0, 0, 0, 0, true};

  sim::Simulation simulation;
  hls::stream<WeightRequest> reads(simulation, "read_requests"), unpacks(simulation, "unpack_requests");
  for (const WeightRequest& r : {request, request, end}) {
    reads.host_write(r);
    unpacks.host_write(r);
  }
  hls::stream<word_t> words(simulation, "words"), parameters(simulation, "parameters");
  hls::stream<WeightBeat> beats(simulation, "beats");
  bench::run(simulation, [&] { read_weights(memory.data(), reads, words); });
  bench::run(simulation, [&] { unpack_weights(unpacks, words, parameters, beats); });

  CHECK_EQUAL(words.host_size(), 0);
  CHECK_EQUAL(parameters.host_size(), 2 * kOutputLanes);
  for (int i = 0; i < 2 * kOutputLanes; ++i) {
    word_t parameter;
    parameters.host_read(parameter);
    CHECK_EQUAL(parameter.to_int(), i % kOutputLanes + 1);
  }
  CHECK_EQUAL(beats.host_size(), 2 * passes * tiles * kTileBeats);
  WeightBeat beat;
  for (size_t i = 0; beats.host_read(beat);) {
    for (const auto& row : beat.weight) {
      for (int8_t weight : row) CHECK_EQUAL(weight, weights[i++ % elements]);
    }
  }
}

}  // namespace

TEST(weights_of_every_width_become_bytes) {
  for (int bits : {1, 2, 4, 8}) {
    check_weights(bits, 1, 3);
    check_weights(bits, 3, 1);
  }
}

TEST(hold_weights_replays_resident_tiles) {
  for (bool resident : {false, true}) {
    Instruction d = bench::empty_instruction();
    d.kernel_height = d.kernel_width = d.input_tiles = d.output_tiles = 1;
    d.blocks = 3;
    d.weight_resident = resident;
    sim::Simulation simulation;
    hls::stream<WeightBeat> weights(simulation, "weights"), held(simulation, "held");
    const int sent = kTileBeats * (resident ? 1 : 3);
    for (int i = 0; i < sent; ++i) {
      WeightBeat beat = {};
      beat.weight[0][0] = int8_t(i);
      weights.host_write(beat);
    }
    bench::run(simulation, [&] { hold_weights(d, weights, held); });
    CHECK_EQUAL(weights.host_size(), 0);
    CHECK_EQUAL(held.host_size(), 3 * kTileBeats);
    for (int i = 0; i < 3 * kTileBeats; ++i) {
      WeightBeat beat;
      held.host_read(beat);
      CHECK_EQUAL(beat.weight[0][0], i % sent);
    }
  }
}
