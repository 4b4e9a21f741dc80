/* entries.h for float, then for double; the includer defines AS_ENTRY. No include guard. */
#define REAL float
#define SUF f32
#include "entries.h"
#undef REAL
#undef SUF
#define REAL double
#define SUF f64
#include "entries.h"
#undef REAL
#undef SUF
