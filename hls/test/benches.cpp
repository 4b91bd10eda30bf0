// All benches in one program, with the exact bit widths of the fabric (see fabric_int.hpp): make test.
// Arguments: names of the benches to run; none means all.
#include "bench.hpp"

#include "../sim/kernel.cpp"

#include "test_accumulate.cpp"
#include "test_arithmetic.cpp"
#include "test_check.cpp"
#include "test_core.cpp"
#include "test_feed.cpp"
#include "test_fetch.cpp"
#include "test_hostile.cpp"
#include "test_integrate.cpp"
#include "test_mac_row.cpp"
#include "test_pool.cpp"
#include "test_simulation.cpp"
#include "test_store.cpp"
#include "test_timing.cpp"
#include "test_transfers.cpp"
#include "test_weights.cpp"

int main(int argc, char** argv) {
  int run = 0;
  for (const bench::Case& test : bench::cases()) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted = wanted || std::string(argv[i]) == test.name;
    if (!wanted) continue;
    test.run();
    std::printf("passed %s\n", test.name);
    ++run;
  }
  std::printf("%d benches passed\n", run);
  return run ? 0 : 1;
}
