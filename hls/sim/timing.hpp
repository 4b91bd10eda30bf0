// Constants of the event model, in clock cycles of the kernel. Estimates, replaced when a tool report or a board
// exists.
#pragma once

#include <cstdint>

namespace sim {

struct Timing {
  // From a stage's loop iteration to the token at the reader's side: pipeline depth of the stage and the FIFO.
  uint64_t stream_latency = 8;
  // First word of a read burst after its request: AXI port, interconnect, DDR4 controller, row activation.
  uint64_t ddr_read_latency = 60;
  // Write burst: address to response.
  uint64_t ddr_write_latency = 40;
};

}  // namespace sim
