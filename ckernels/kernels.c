/* All kernels for one instruction set: compiled once per -DAS_ISA=..., see build.py. */
#include "arraysig.h"

#define AS_ENTRY(name, params, args) int AS_ENTRY_NAME(name) params;
#include "each_type.h"
#undef AS_ENTRY

#define REAL float
#define SUF f32
#include "instantiate.h"
#undef REAL
#undef SUF
#define REAL double
#define SUF f64
#define AS_DOUBLE 1
#include "instantiate.h"
#undef REAL
#undef SUF

extern const as_table AS_CAT2(as_table, AS_ISA);
const as_table AS_CAT2(as_table, AS_ISA) = {
    AS_STRING(AS_ISA),
#define AS_ENTRY(name, params, args) AS_ENTRY_NAME(name),
#include "each_type.h"
};
