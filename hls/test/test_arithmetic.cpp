#include "bench.hpp"

#include "arithmetic.hpp"

TEST(packed_cascades_are_exact_at_every_corner) {
  const int codes[] = {0, 1, 127, 128, 254, 255}, weights[] = {-127, -126, -1, 0, 1, 126, 127};
  for (int x0 : codes) {
    for (int x1 : codes) {
      for (int w0 : weights) {
        for (int w1 : weights) {
          cascade_t cascade = 0;
          for (int i = 0; i < hw::kCascadeLength; ++i) cascade += multiply(pack(x0, x1), int8_t(i % 2 ? w1 : w0));
          field_t low, high;
          split(cascade, low, high);
          CHECK_EQUAL(low, 2 * x0 * (w0 + w1));
          CHECK_EQUAL(high, 2 * x1 * (w0 + w1));
        }
      }
    }
  }
}

static int64_t floor_shift(int64_t x, int shift) {
  const int64_t step = int64_t(1) << shift;
  return x >= 0 ? x / step : -((-x + step - 1) / step);
}

TEST(scale_rounds_half_up_and_saturates_before_the_bias) {
  const int64_t sums[] = {INT32_MIN, INT32_MIN + 1, -3, -2, -1, 0, 1, 2, 3, INT32_MAX - 1, INT32_MAX};
  const int64_t multipliers[] = {-131072, -131071, -1, 0, 1, 3, 131071};
  const int64_t biases[] = {INT32_MIN, -1, 0, 1, INT32_MAX};
  for (int64_t acc : sums) {
    for (int64_t m : multipliers) {
      for (int shift = 0; shift <= hw::kMaximumShift; ++shift) {
        for (int64_t bias : biases) {
          int64_t u = floor_shift(acc * m + (shift ? int64_t(1) << (shift - 1) : 0), shift);
          u = u < INT32_MIN ? INT32_MIN : u > INT32_MAX ? INT32_MAX : u;
          CHECK_EQUAL(int64_t(scale(int32_t(acc), m, shift, int32_t(bias))), u + bias);
        }
      }
    }
  }
}

TEST(a_residual_takes_the_formula_of_the_scale) {
  for (int code = 0; code < 256; code += 51) {
    for (int64_t m : {-131072, -3, -1, 0, 1, 3, 131071}) {
      for (int shift = 0; shift <= hw::kMaximumShift; ++shift) {
        const int64_t expected = floor_shift(code * m + (shift ? int64_t(1) << (shift - 1) : 0), shift);
        CHECK_EQUAL(int64_t(scale(code, m, shift, 0)), expected);
      }
    }
  }
}

TEST(charge_floors_the_leak_and_saturates_once) {
  CHECK_EQUAL(charge(-1, 0, true, 1), 0);  // -1 - (-1 >> 1) = -1 + 1
  CHECK_EQUAL(charge(-3, 0, true, 1), -1);
  CHECK_EQUAL(charge(3, 0, true, 1), 2);
  CHECK_EQUAL(charge(3, 0, false, 1), 3);
  CHECK_EQUAL(charge(INT32_MAX, 1, false, 0), INT32_MAX);
  CHECK_EQUAL(charge(INT32_MIN, -1, false, 0), INT32_MIN);
  CHECK_EQUAL(charge(INT32_MAX, 2 * int64_t(INT32_MIN), false, 0), INT32_MIN);
  CHECK_EQUAL(charge(INT32_MIN, 2 * int64_t(INT32_MIN), false, 0), INT32_MIN);
  // Only the total saturates: the residual takes back what the current exceeds.
  CHECK_EQUAL(charge(INT32_MAX, 5 - 7, false, 0), INT32_MAX - 2);
}

TEST(a_membrane_equal_to_the_threshold_fires) {
  const int32_t threshold = 1 << hw::kFractionBits;
  CHECK_EQUAL(fire(threshold, 3), 1);
  CHECK_EQUAL(fire(threshold - 1, 3), 0);
  CHECK_EQUAL(fire(3 * threshold, 3), 3);
  CHECK_EQUAL(fire(9 * threshold, 3), 3);
  CHECK_EQUAL(fire(-1, 3), 0);
  CHECK_EQUAL(fire(INT32_MIN, 255), 0);
  CHECK_EQUAL(fire(INT32_MAX, 255), 255);
  CHECK_EQUAL(reset(2 * threshold + 5, 2, false), 5);
  CHECK_EQUAL(reset(2 * threshold + 5, 2, true), 0);
  CHECK_EQUAL(reset(-9, 0, true), -9);
}

TEST(residual_spikes_add_and_saturate_or_veto) {
  CHECK_EQUAL(add_residual(200, 100, hw::skip::kSpike, 255), 255);
  CHECK_EQUAL(add_residual(1, 1, hw::skip::kSpike, 3), 2);
  CHECK_EQUAL(add_residual(3, 1, hw::skip::kSpike, 2), 2);
  for (int s = 0; s <= 1; ++s) {
    for (int k = 0; k <= 1; ++k) CHECK_EQUAL(add_residual(s, k, hw::skip::kIand, 1), (1 - s) * k);
  }
  CHECK_EQUAL(add_residual(9, 3, hw::skip::kNone, 1), 9);
  CHECK_EQUAL(add_residual(9, 3, hw::skip::kCurrent, 1), 9);
}

TEST(codes_return_from_the_word_they_were_placed_in) {
  for (int bits = 1; bits <= 8; bits *= 2) {
    for (int bit = 0; bit < 8; bit += bits) {
      uint8_t codes[kInputLanes], found[kInputLanes];
      for (uint8_t& code : codes) code = uint8_t(bench::uniform(0, (1 << bits) - 1));
      extract_codes(place_codes(codes, bit), bit, bits, found);
      for (int lane = 0; lane < kInputLanes; ++lane) CHECK_EQUAL(found[lane], codes[lane]);
    }
  }
}

TEST(a_nibble_holds_the_steps_of_its_codes) {
  CHECK_EQUAL(steps_of_nibble(1), 4);
  CHECK_EQUAL(steps_of_nibble(2), 2);
  CHECK_EQUAL(steps_of_nibble(4), 1);
}

TEST(maximum_compares_the_codes_inside_a_byte) {
  CHECK_EQUAL(maximum_codes(0x0F, 0xF0, 8), 0xF0);
  CHECK_EQUAL(maximum_codes(0x1F, 0xF0, 4), 0xFF);
  CHECK_EQUAL(maximum_codes(0x1B, 0xB1, 2), 0xBB);  // 0,1,2,3 and 2,3,0,1
  CHECK_EQUAL(maximum_codes(0x5A, 0x0F, 1), 0x5F);
}
