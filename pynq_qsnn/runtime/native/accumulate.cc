#include "accumulate.h"

#include <algorithm>
#include <cstdlib>

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#endif

namespace qsnn {
namespace {

#if defined(__AVX512VNNI__)

constexpr int kTaps = 4;  // neighbouring codes that one instruction multiplies and adds

// 32 registers: rows * vectors sums, `vectors` weights and one code.
constexpr int TileRows(int vectors) { return vectors == 1 ? 12 : 24 / vectors; }

template <int kRows, int kVectors>
void DotTile(const DensePanel& panel, const Runs& runs, const uint8_t* const* slots, int32_t* sums) {
  __m512i sum[kRows][kVectors];  // stays in registers only if every loop over it is unrolled early
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 16
    for (int vector = 0; vector < kVectors; ++vector) sum[row][vector] = _mm512_setzero_si512();
  }
  const int8_t* weight = panel.weights.data();
  for (const int64_t offset : runs.offsets) {
    const uint8_t* codes[kRows];
    for (int row = 0; row < kRows; ++row) codes[row] = slots[row] + offset;
    for (int64_t byte = 0; byte < runs.bytes; byte += kTaps) {
      __m512i weights[kVectors];
#pragma GCC unroll 16
      for (int vector = 0; vector < kVectors; ++vector) {
        weights[vector] = _mm512_loadu_si512(weight + vector * 64);
      }
#pragma GCC unroll 16
      for (int row = 0; row < kRows; ++row) {
        const __m512i code = _mm512_set1_epi32(Load<int32_t>(codes[row] + byte));
#pragma GCC unroll 16
        for (int vector = 0; vector < kVectors; ++vector) {
          sum[row][vector] = _mm512_dpbusd_epi32(sum[row][vector], code, weights[vector]);
        }
      }
      weight += kVectors * 64;
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 16
    for (int vector = 0; vector < kVectors; ++vector) {
      _mm512_storeu_si512(sums + (row * kVectors + vector) * kLanes, sum[row][vector]);
    }
  }
}

#else

constexpr int kTaps = 1;

constexpr int TileRows(int vectors) { return 8 / vectors; }

// Products fit int16 (255 * 127), and so do sums of `safe_products` of them: twice the lanes of an int32 loop.
template <int kRows, int kVectors>
void DotTile(const DensePanel& panel, const Runs& runs, const uint8_t* const* slots, int32_t* sums) {
  Int32x16 sum[kRows][kVectors] = {};
  const int8_t* weight = panel.weights.data();
  for (const int64_t offset : runs.offsets) {
    for (int begin = 0; begin < runs.bytes; begin += panel.safe_products) {
      const int end = std::min(begin + panel.safe_products, runs.bytes);
      Int16x16 part[kRows][kVectors] = {};
      for (int byte = begin; byte < end; ++byte) {
        for (int vector = 0; vector < kVectors; ++vector) {
          const Int16x16 weights = Convert<Int16x16>(Load<Int8x16>(weight + vector * kLanes));
          for (int row = 0; row < kRows; ++row) {
            part[row][vector] += weights * static_cast<int16_t>(slots[row][offset + byte]);
          }
        }
        weight += kVectors * kLanes;
      }
      for (int row = 0; row < kRows; ++row) {
        for (int vector = 0; vector < kVectors; ++vector) {
          sum[row][vector] += Convert<Int32x16>(part[row][vector]);
        }
      }
    }
  }
  std::memcpy(sums, sum, sizeof sum);
}

#endif

template <int kVectors>
void DotSlots(const DensePanel& panel, const Runs& runs, const uint8_t* const* slots, int count, int32_t* sums) {
  constexpr int kRows = TileRows(kVectors);
  int slot = 0;
  for (; slot + kRows <= count; slot += kRows) {
    DotTile<kRows, kVectors>(panel, runs, slots + slot, sums + slot * kVectors * kLanes);
  }
  for (; slot < count; ++slot) DotTile<1, kVectors>(panel, runs, slots + slot, sums + slot * kVectors * kLanes);
}

}  // namespace

DensePanel PackDense(const int8_t* weight, int channels, const Runs& runs, int s_max) {
  DensePanel panel;
  panel.vectors = (channels + kLanes - 1) / kLanes;
  const int groups = (runs.bytes + kTaps - 1) / kTaps;
  const int64_t num_runs = runs.offsets.size();
  panel.weights.assign(num_runs * groups * panel.vectors * kLanes * kTaps, 0);
  int largest = 1;
  for (int channel = 0; channel < channels; ++channel) {
    for (int64_t run = 0; run < num_runs; ++run) {
      for (int byte = 0; byte < runs.bytes; ++byte) {
        const int8_t value = *weight++;
        const int64_t row = (run * groups + byte / kTaps) * panel.vectors * kLanes + channel;
        panel.weights[row * kTaps + byte % kTaps] = value;
        largest = std::max(largest, std::abs(static_cast<int>(value)));
      }
    }
  }
  panel.safe_products = std::max(1, INT16_MAX / (largest * s_max));
  return panel;
}

void AccumulateDense(const DensePanel& panel, const Runs& runs, const uint8_t* const* slots, int count, int32_t* sums) {
  static_assert(kMaxVectors == 4, "one case for each number of vectors");
  switch (panel.vectors) {
    case 1:
      return DotSlots<1>(panel, runs, slots, count, sums);
    case 2:
      return DotSlots<2>(panel, runs, slots, count, sums);
    case 3:
      return DotSlots<3>(panel, runs, slots, count, sums);
    default:
      return DotSlots<4>(panel, runs, slots, count, sums);
  }
}

void AccumulateDepthwise(const std::vector<int64_t>& offsets, const int8_t* weight, int vectors,
                         const uint8_t* const* slots, int count, int32_t* sums) {
  for (int slot = 0; slot < count; ++slot) {
    for (int vector = 0; vector < vectors; ++vector) {
      const int8_t* row = weight + vector * kLanes;
      Int32x16 sum = {};
      for (const int64_t offset : offsets) {
        const Int16x16 codes = Convert<Int16x16>(Load<Uint8x16>(slots[slot] + offset + vector * kLanes));
        sum += Convert<Int32x16>(codes * Convert<Int16x16>(Load<Int8x16>(row)));  // 255 * 127 fits int16
        row += vectors * kLanes;
      }
      Store(sums, sum);
      sums += kLanes;
    }
  }
}

}  // namespace qsnn
