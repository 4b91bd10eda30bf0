// The simulator in one translation unit: finding out whether the cached library is up to date preprocesses every
// source, and that takes as long for each small file as for all of them.
#include "accumulate.cc"
#include "attention.cc"
#include "convolution.cc"
#include "engine.cc"
#include "integrate.cc"
#include "pool.cc"
#include "steps.cc"
