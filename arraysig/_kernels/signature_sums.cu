/* Signatures that commute: degree 0 or 1, or one channel; and their gradients. Macros: REAL.
 *
 * Level 1 is D, the sum of the increments, and over one letter level k is D^k / k!. Increments are
 * summed, where x[end] - x[0] would do, so that a NaN on the way is not lost.
 *
 *   sums_parts   path (batch, length, dimension) -> parts (batch, per_path, dimension), the sum of
 *                `steps` raw increments each; one thread per number
 *   sums_total   parts -> total (batch, dimension); one thread per number
 *   sums_write   total -> out (batch, row): 1 if `scalar`, then `degree` levels of `channels`
 *                words; rise is what time, the channel behind the `moving` ones, gains; one thread
 *                per path
 *   sums_slope   grad (batch, row), total -> slope (batch, dimension), the gradient with respect to
 *                D; one thread per number
 *   sums_vjp     slope -> dpath (batch, length, dimension); one thread per number, strided
 *
 * Blocks of 128; total is not read unless degree > 1.
 */
#include "real.h"

AS_FN i64 thread_number() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }

extern "C" __global__ void __launch_bounds__(128, 1)
    sums_parts(const REAL *__restrict__ path, REAL *__restrict__ parts, i64 batch, i64 length,
               i64 dimension, i64 per_path, i64 steps)
{
    const i64 i = thread_number(), stretch = i / dimension, b = stretch / per_path;
    if (b >= batch)
        return;
    const i64 from = (stretch - b * per_path) * steps, to = min(from + steps, length - 1);
    const REAL *x = path + (b * length + from) * dimension + (i - stretch * dimension);
    REAL sum = 0;
    for (i64 t = from; t < to; t++, x += dimension)
        sum += x[dimension] - x[0];
    parts[i] = sum;
}

extern "C" __global__ void __launch_bounds__(128, 1)
    sums_total(const REAL *__restrict__ parts, REAL *__restrict__ total, i64 batch, i64 dimension,
               i64 per_path)
{
    const i64 i = thread_number(), b = i / dimension;
    if (b >= batch)
        return;
    REAL sum = 0;
    for (i64 s = 0; s < per_path; s++)
        sum += parts[(b * per_path + s) * dimension + (i - b * dimension)];
    total[i] = sum;
}

extern "C" __global__ void __launch_bounds__(128, 1)
    sums_write(const REAL *__restrict__ total, REAL *__restrict__ out, i64 batch, i64 dimension,
               i64 moving, i64 channels, i64 degree, i64 scalar, REAL rise)
{
    const i64 b = thread_number();
    if (b >= batch)
        return;
    REAL *to = out + b * (scalar + channels * degree) + scalar;
    if (scalar)
        to[-1] = 1;
    if (degree > 1) {
        REAL power = 1;
        for (i64 k = 0; k < degree; k++)
            to[k] = power *= total[b] / (REAL)(k + 1);
    } else if (degree == 1) {
        for (i64 c = 0; c < channels; c++)
            to[c] = c < moving ? total[b * dimension + c % dimension] : rise;
    }
}

extern "C" __global__ void __launch_bounds__(128, 1)
    sums_slope(const REAL *__restrict__ grad, const REAL *__restrict__ total,
               REAL *__restrict__ slope, i64 batch, i64 dimension, i64 moving, i64 channels,
               i64 degree, i64 scalar)
{
    const i64 i = thread_number(), b = i / dimension;
    if (b >= batch)
        return;
    const REAL *g = grad + b * (scalar + channels * degree) + scalar;
    REAL sum = 0, power = 1;
    if (degree > 1) {
        for (i64 k = 0; k < degree; k++) {
            sum += g[k] * power;
            power *= total[b] / (REAL)(k + 1);
        }
    } else if (degree == 1) {
        for (i64 c = i - b * dimension; c < moving; c += dimension)
            sum += g[c];
    }
    slope[i] = sum;
}

extern "C" __global__ void __launch_bounds__(128, 1)
    sums_vjp(const REAL *__restrict__ slope, REAL *__restrict__ dpath, i64 batch, i64 length,
             i64 dimension)
{
    for (i64 i = thread_number(); i < batch * length * dimension; i += (i64)gridDim.x * 128) {
        const i64 point = i / dimension, b = point / length, t = point - b * length;
        const REAL r = slope[b * dimension + (i - point * dimension)];
        dpath[i] = (t > 0 ? r : REAL(0)) - (t < length - 1 ? r : REAL(0));
    }
}
