/* Sparse matrices and bilinear maps of integers; one thread per number of the result. Macros: REAL.
 *
 *   sparse     out[b][r] = sum over the entries of row r of entry * in[b][column]
 *   bilinear   out[b][r] = sum over the entries of row r of entry * left[b][i] * right[b][j]
 *
 * The table of a bilinear map has where the entries of each row start and the end of the last ones,
 * all i, all j, and the entries. left[b][-1] is `s` and right[b][-1] is `t`; all others of
 * right[b] are multiplied by `scale`.
 */
#include "sparse.cuh"

extern "C" __global__ void sparse(const REAL *__restrict__ in, REAL *__restrict__ out,
                                  const i64 *__restrict__ table, i64 batch, i64 rows, i64 columns)
{
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < batch * rows;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 b = q / rows;
        out[q] = row_times(table, rows, q - b * rows, in + b * columns);
    }
}

extern "C" __global__ void bilinear(const REAL *__restrict__ left, const REAL *__restrict__ right,
                                    REAL *__restrict__ out, const i64 *__restrict__ table,
                                    i64 batch, i64 rows, i64 first, i64 second, i64 s, i64 t,
                                    REAL scale)
{
    const i64 *at = table + rows + 1, entries = table[rows];
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < batch * rows;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 b = q / rows, r = q - b * rows;
        REAL sum = 0;
        for (i64 k = table[r]; k < table[r + 1]; k++) {
            const i64 i = at[k], j = at[entries + k];
            const REAL x = i < 0 ? (REAL)s : left[b * first + i];
            sum +=
                (REAL)at[2 * entries + k] * x * (j < 0 ? (REAL)t : scale * right[b * second + j]);
        }
        out[q] = sum;
    }
}
