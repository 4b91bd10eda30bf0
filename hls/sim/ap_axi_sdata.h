// The AXI4-Stream beat of Vitis HLS for g++: data, byte enables and TLAST. The side channels user, id and dest have
// zero width in this kernel and are left out.
#pragma once

#include "ap_int.h"

template <int D, int U, int TI, int TD>
struct ap_axiu {
  static_assert(U == 0 && TI == 0 && TD == 0, "side channels are not simulated");
  ap_uint<D> data;
  ap_uint<(D + 7) / 8> keep;
  ap_uint<(D + 7) / 8> strb;
  ap_uint<1> last;
};
