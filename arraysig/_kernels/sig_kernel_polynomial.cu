/* Signature kernels on cells whose edges are polynomials. Macros: see polynomial.cuh. */
#include "polynomial.cuh"

AS_FN bool value_of(const Pair &pair, Front &f, i64 strip, int lane, REAL &value)
{
    const i64 end = pair.last1 - 1 - first_row(pair, strip, lane);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        if (r == end)
            value = node_of(f.a, f.b[r]);
    return 0 <= end && end < ROWS;
}

#include "pairs_forward.cuh"
