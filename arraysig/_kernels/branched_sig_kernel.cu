/* Branched signature kernels. Macros: see branched.cuh. */
#include "branched.cuh"

AS_FN bool value_of(const Pair &pair, Front &f, i64 strip, int lane, REAL &value)
{
    const bool mine = strip == pair.strips - 1 && lane == 31; /* rows behind the last are alike */
    if (mine)
        value = exp(f.e[DEPTH * ROWS - 1]);
    return mine;
}

#include "pairs_forward.cuh"
