/* Sparse matrices of integers times vectors; one thread per number of the result. Macros: REAL.
 *
 *   sparse   out[b][r] = sum over the entries of row r of entry * in[b][column]
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
