// A signed integer of N bits: exactly N in the fabric. g++ takes the machine word that holds N instead, which it can
// vectorize, so code may not rely on wrapping at N bits. QSNN_EXACT_WIDTHS gives g++ the exact type too: the benches
// are built that way, at the extremes of every operand, to show that N suffices.
#pragma once

#include <stdint.h>

#include "hls_macros.hpp"

#if defined(__SYNTHESIS__) || defined(__VITIS_HLS__) || defined(QSNN_EXACT_WIDTHS)

#include "ap_int.h"

template <int N>
using fabric_int = ap_int<N>;

template <int A, int B>
inline fabric_int<A + B> fabric_multiply(fabric_int<A> a, fabric_int<B> b) {
  HLS(INLINE)
  return a * b;
}

#else

#include <type_traits>

template <int N>
using fabric_int = typename std::conditional<(N <= 32), int32_t, int64_t>::type;

template <int A, int B>
inline fabric_int<A + B> fabric_multiply(fabric_int<A> a, fabric_int<B> b) {
  return fabric_int<A + B>(a) * fabric_int<A + B>(b);
}

#endif
