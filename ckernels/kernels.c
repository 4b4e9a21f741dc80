/* All kernels for one instruction set and one type, 32 or 64 bits: compiled once per -DAS_ISA=...
 * and -DAS_BITS=..., see build.py. */
#include "arraysig.h"

#define AS_ENTRY(name, params, args) int AS_ENTRY_NAME(name) params;
#include "each_type.h"
#undef AS_ENTRY

#if AS_BITS == 32
#define REAL float
#define SUF f32
#else
#define REAL double
#define SUF f64
#define AS_DOUBLE 1
#endif
#include "instantiate.h"
#undef REAL
#undef SUF

#if AS_BITS == 64 /* of both types */
extern const as_table AS_CAT2(as_table, AS_ISA);
const as_table AS_CAT2(as_table, AS_ISA) = {
    AS_STRING(AS_ISA),
#define AS_ENTRY(name, params, args) AS_ENTRY_NAME(name),
#include "each_type.h"
};
#endif
