/* Sparse matrices of integers times vectors; one thread per number of the result. Macros: REAL.
 *
 *   sparse   out[b][r] = sum over the entries of row r of entry * in[b][column]
 *
 * The table has where each row starts and the end of the last one, the columns of all entries, and
 * the entries.
 */
#include "real.h"

extern "C" __global__ void sparse(const REAL *__restrict__ in, REAL *__restrict__ out,
                                  const i64 *__restrict__ table, i64 batch, i64 rows, i64 columns)
{
    const i64 *column = table + rows + 1, *entry = column + table[rows];
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < batch * rows;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 b = q / rows, r = q - b * rows;
        REAL sum = 0;
        for (i64 k = table[r]; k < table[r + 1]; k++)
            sum += (REAL)entry[k] * in[b * columns + column[k]];
        out[q] = sum;
    }
}
