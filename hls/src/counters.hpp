// Loop nests as one flat loop: a nest of small loops would drain its pipeline at each turn of an outer loop.
#pragma once

#include "hls_macros.hpp"

// One digit of a mixed-radix counter. `carry` comes in as "the inner loops are through" and leaves as "this one too".
inline void count(int& counter, int limit, bool& carry) {
  HLS(INLINE)
  if (carry) {
    carry = counter + 1 == limit;
    counter = carry ? 0 : counter + 1;
  }
}

// Quadruples of the block that starts `remaining` quadruples before the end of the map.
inline int block_length(int remaining, int block_quadruples) {
  HLS(INLINE)
  return remaining < block_quadruples ? remaining : block_quadruples;
}
