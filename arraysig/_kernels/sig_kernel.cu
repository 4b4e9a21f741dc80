/* Signature kernels by finite differences. Macros: see goursat.cuh. */
#include "differences.cuh"

AS_FN bool value_of(const Pair &pair, Front &f, i64 strip, int lane, REAL &value)
{
    value = f.left[ROWS - 1]; /* rows behind the last one are alike */
    return strip == pair.strips - 1 && lane == 31;
}

#include "pairs_forward.cuh"
