// Weights from the two planes of memory through the ring to the array.
#include <memory>

#include "bench.hpp"

#include "hls_macros.hpp"
#include "stages.hpp"

namespace {

// One layer's tiles: the request for them, the command that uses them, and what they hold.
struct Layer {
  Command command;
  WeightRequest request;
  std::vector<int> elements;  // [tile][output lane][input lane]
};

// Planes of a weight memory in the making.
struct Planes {
  std::vector<word_t> even, odd;
};

constexpr uint32_t kFirstPair = 5;  // the memory begins with words of others

// A layer of `tiles` random tiles in `passes` array passes, appended to the planes behind its numbered parameters.
Layer make_layer(Planes& planes, int mode, int bits, int tiles, int passes, int blocks, bool resident, int ring_base,
                 int stored_beats = kTileBeats) {
  Instruction d = bench::empty_instruction();
  d.opcode = hw::opcode::kConvolve;
  d.mode = mode;
  d.stored_beats = stored_beats;
  d.kernel_height = d.kernel_width = 1;
  d.input_tiles = tiles;
  d.output_tiles = mode == hw::mode::kMultiply4 ? 2 * passes - 1 : passes;  // the last pass may compute one tile
  d.quadruples = blocks;
  d.block_quadruples = 1;
  planes.even.resize(planes.even.empty() ? kFirstPair : planes.even.size());
  planes.odd.resize(planes.even.size());
  bench::set_weights(d, bits, uint32_t(planes.even.size()));
  d.weight_resident = resident;

  Layer layer;
  layer.command = bench::command_of(d);
  layer.command.ring_base = uint16_t(ring_base);
  layer.request = {uint32_t(planes.even.size()),
                   uint32_t(parameter_pairs(d)),
                   uint32_t(passes * tiles * tile_pairs(d)),
                   uint32_t(tile_beats(d)),
                   uint32_t(resident ? 1 : blocks),
                   uint16_t(ring_base),
                   d.storage_bits,
                   d.stored_beats,
                   d.mode,
                   false};
  for (int i = 0; i < parameter_pairs(d); ++i) {
    planes.even.push_back(word_t(2 * i));
    planes.odd.push_back(word_t(2 * i + 1));
  }
  const int count = passes * tiles * tile_bits(d) / bits;
  ap_uint<2 * hw::kWordBits> pair = 0;
  for (int i = 0; i < count; ++i) {
    const int code = int(bench::uniform(0, (1 << bits) - 1));
    layer.elements.push_back(bits == 1 ? 2 * code - 1 : code - ((code >> (bits - 1)) << bits));
    const int lsb = i * bits % (2 * hw::kWordBits);
    pair.range(lsb + bits - 1, lsb) = code;
    if (lsb + bits == 2 * hw::kWordBits) {
      planes.even.push_back(pair.range(hw::kWordBits - 1, 0));
      planes.odd.push_back(pair.range(2 * hw::kWordBits - 1, hw::kWordBits));
    }
  }
  return layer;
}

// What the array must get of a layer: every tile once a block.
void check_held(hls::stream<WeightBeat>& held, const Layer& layer) {
  const bool nibbles = layer.command.instruction.mode == hw::mode::kMultiply4;
  const size_t beat_elements = size_t(nibbles ? 2 : 1) * kBeatRows * kInputLanes;
  for (int block = 0; block < int(layer.command.blocks); ++block) {
    const int stored = layer.command.instruction.stored_beats;
    size_t first = 0;
    for (int index = 0; index < tile_beats(layer.command.instruction); ++index) {
      WeightBeat beat;
      CHECK(held.host_read(beat));
      if (index % kTileBeats >= stored) continue;  // lanes without a channel: whatever was there
      const int* expected = &layer.elements[first];
      first += beat_elements;
      for (int i = 0; i < kBeatRows * kInputLanes; ++i) {
        const int row = i / kInputLanes, lane = i % kInputLanes, byte = beat.weight[row][lane];
        if (nibbles) {
          CHECK_EQUAL(byte & 15, expected[2 * row * kInputLanes + lane] & 15);
          CHECK_EQUAL(byte >> 4, expected[(2 * row + 1) * kInputLanes + lane] & 15);
        } else {
          CHECK_EQUAL(int8_t(byte), expected[i]);
        }
      }
    }
    CHECK_EQUAL(first, layer.elements.size());
  }
}

void check_parameters(hls::stream<word_t>& parameters, const Layer& layer) {
  for (int i = 0; i < 2 * int(layer.request.parameter_pairs); ++i) {
    word_t parameter;
    CHECK(parameters.host_read(parameter));
    CHECK_EQUAL(parameter.to_int(), i);
  }
}

void hold_layers(const std::vector<Layer>& layers, const WeightBeat* ring, hls::stream<TileToken>& arrivals,
                 hls::stream<TileToken>& occupancy, hls::stream<WeightBeat>& held) {
  for (const Layer& layer : layers) hold_weights(layer.command, ring, arrivals, occupancy, held);
}

// All stages of the weight path at once, or one after the other: then the whole of every layer is in the ring before
// the first is used.
void check_path(const Planes& planes, const std::vector<Layer>& layers, bool at_once = true) {
  std::unique_ptr<WeightBeat[]> ring(new WeightBeat[hw::kWeightRingBeats]);
  sim::Simulation simulation;
  hls::stream<WeightRequest> even_requests(simulation, "even_requests"), odd_requests(simulation, "odd_requests");
  hls::stream<WeightRequest> unpack_requests(simulation, "unpack_requests");
  const WeightRequest end = {0, 0, 0, 0, 0, 0, 0, 0, 0, true};
  for (size_t i = 0; i <= layers.size(); ++i) {
    const WeightRequest& request = i < layers.size() ? layers[i].request : end;
    even_requests.host_write(request);
    odd_requests.host_write(request);
    unpack_requests.host_write(request);
  }
  hls::stream<word_t> parameters(simulation, "parameters");
  hls::stream<WeightBeat> held(simulation, "held");
  const word_t *even = planes.even.data(), *odd = planes.odd.data();
  if (at_once) {
    bench::run(simulation, [&] {
      REGION(weight_path);
      STREAM(word_t, even_words, kWeightWordDepth);
      STREAM(word_t, odd_words, kWeightWordDepth);
      STREAM(TileToken, occupancy, kTileTokens);
      STREAM(TileToken, arrivals, kTileTokens);
      STAGE(read_weights(even, even_requests, even_words));
      STAGE(read_weights(odd, odd_requests, odd_words));
      STAGE(unpack_weights(unpack_requests, even_words, odd_words, parameters, ring.get(), occupancy, arrivals));
      STAGE(hold_layers(layers, ring.get(), arrivals, occupancy, held));
      REGION_END;
    });
  } else {
    hls::stream<word_t> even_words(simulation, "even_words"), odd_words(simulation, "odd_words");
    hls::stream<TileToken> occupancy(simulation, "occupancy"), arrivals(simulation, "arrivals");
    bench::run(simulation, [&] { read_weights(even, even_requests, even_words); });
    bench::run(simulation, [&] { read_weights(odd, odd_requests, odd_words); });
    bench::run(simulation, [&] {
      unpack_weights(unpack_requests, even_words, odd_words, parameters, ring.get(), occupancy, arrivals);
    });
    bench::run(simulation, [&] { hold_layers(layers, ring.get(), arrivals, occupancy, held); });
    CHECK_EQUAL(even_words.host_size() + odd_words.host_size() + occupancy.host_size() + arrivals.host_size(), 0);
  }
  for (const Layer& layer : layers) check_parameters(parameters, layer);
  for (const Layer& layer : layers) check_held(held, layer);
  CHECK_EQUAL(parameters.host_size() + held.host_size(), 0);
}

}  // namespace

TEST(weights_of_every_width_reach_the_array_in_every_mode) {
  for (int mode : {hw::mode::kMultiply8, hw::mode::kMultiply4, hw::mode::kMuxAdd}) {
    for (int bits : {1, 2, 4, 8}) {
      if (mode == hw::mode::kMultiply4 && bits == 8) continue;
      for (bool resident : {false, true}) {
        Planes planes;
        std::vector<Layer> layers = {make_layer(planes, mode, bits, 3, 2, 3, resident, 0)};
        layers.push_back(make_layer(planes, mode, bits, 1, 1, 1, resident, kTileBeats * (resident ? 6 : 18)));
        check_path(planes, layers);
      }
    }
  }
}

TEST(tiles_of_few_channels_are_stored_in_part) {
  for (int mode : {hw::mode::kMultiply8, hw::mode::kMultiply4, hw::mode::kMuxAdd}) {
    for (int bits : {1, 2, 4, 8}) {
      if (mode == hw::mode::kMultiply4 && bits == 8) continue;
      const int step = mode == hw::mode::kMultiply4 ? 2 : 4;  // whole pairs at 1 bit
      for (int stored = bits == 1 ? step : bits == 2 ? 2 : 1; stored <= kTileBeats; stored += bits <= 2 ? step : 3) {
        Planes planes;
        std::vector<Layer> layers = {
            make_layer(planes, mode, bits, 4, 1, 2, false, hw::kWeightRingBeats - 3 * kTileBeats, stored)};
        layers.push_back(make_layer(planes, mode, bits, 3, 1, 3, true, 5 * kTileBeats, stored));
        check_path(planes, layers);
      }
    }
  }
}

TEST(tiles_go_round_the_ring) {
  for (bool resident : {false, true}) {
    Planes planes;
    check_path(planes,
               {make_layer(planes, hw::mode::kMultiply8, 4, 5, 2, 2, resident, hw::kWeightRingBeats - 3 * kTileBeats)});
  }
}

TEST(whole_layers_arrive_ahead_of_use) {
  Planes planes;
  std::vector<Layer> layers;
  int base = 0;
  for (int tiles : {3, 7, 2}) {
    layers.push_back(make_layer(planes, hw::mode::kMultiply4, 2, tiles, 2, 2, true, base));
    base += 2 * tiles * kTileBeats;
  }
  check_path(planes, layers, false);
}

// The ring is full while a layer is used: the next ones wait for room, and nothing that is still needed is overwritten.
TEST(a_full_ring_makes_the_next_layer_wait) {
  constexpr int kTiles = hw::kWeightRingBeats / kTileBeats;
  Planes planes;
  std::vector<Layer> layers;
  layers.push_back(make_layer(planes, hw::mode::kMultiply8, 1, kTiles, 1, 2, true, 0));
  layers.push_back(make_layer(planes, hw::mode::kMultiply8, 1, 9, 1, 3, true, 0));
  layers.push_back(make_layer(planes, hw::mode::kMultiply4, 1, kTiles + 11, 1, 2, false, 9 * kTileBeats));
  layers.push_back(make_layer(planes, hw::mode::kMultiply8, 1, kTiles - 1, 1, 1, true, (9 + 22) * kTileBeats));
  check_path(planes, layers);
}

TEST(tiles_that_stay_serve_later_executions) {
  Planes planes;
  std::vector<Layer> layers;
  layers.push_back(make_layer(planes, hw::mode::kMuxAdd, 8, 3, 1, 2, true, 0));
  layers.push_back(make_layer(planes, hw::mode::kMultiply4, 4, 2, 2, 1, true, 3 * kTileBeats));
  for (int execution = 1; execution <= 2; ++execution) {
    for (int i = 0; i < 2; ++i) {
      Layer again = layers[i];
      again.request.tile_pairs = again.request.tile_beats = 0;
      again.command.tiles_arrive = false;
      again.command.tiles_leave = execution == 2;
      layers.push_back(again);
    }
  }
  layers[0].command.tiles_leave = layers[1].command.tiles_leave = false;
  check_path(planes, layers);
  check_path(planes, layers, false);
}
