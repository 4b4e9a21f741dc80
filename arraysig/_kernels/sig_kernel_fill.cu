/* The number `value`, `total` times: what signature kernels are where a path has no increments.
 * Macros: REAL.
 */
#include "real.h"

extern "C" __global__ void sig_kernel_fill(REAL *__restrict__ out, i64 total, REAL value)
{
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < total;
         q += (i64)gridDim.x * blockDim.x)
        out[q] = value;
}
