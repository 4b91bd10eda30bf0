// The whole kernel as one translation unit for g++: the leaf arithmetic is inlined into its stages, and the ap_int
// headers are read once.
#include "simulation.cpp"

#include "../src/accumulate.cpp"
#include "../src/execute.cpp"
#include "../src/feed.cpp"
#include "../src/fetch.cpp"
#include "../src/hold_weights.cpp"
#include "../src/integrate.cpp"
#include "../src/pool.cpp"
#include "../src/read_weights.cpp"
#include "../src/receive.cpp"
#include "../src/run_layer.cpp"
#include "../src/store.cpp"
#include "../src/top.cpp"
#include "../src/unpack_weights.cpp"
#include "../src/write_log.cpp"
