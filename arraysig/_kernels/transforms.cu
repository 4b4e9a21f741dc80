/* Augmented paths and their adjoint. Macros: REAL. One thread per number of the output.
 *
 *   transform_path      path (batch, length, dimension) -> out (batch, points, channels)
 *   transform_path_vjp  grad (batch, points, channels)  -> out (batch, length, dimension)
 *
 * `total` is the number of outputs; the grid may be smaller and then strides.
 */
#include "real.h"
#include "path.h"

extern "C" __global__ void transform_path(const REAL *__restrict__ path, REAL *__restrict__ out,
                                          i64 total, i64 length, i64 dimension, i64 time_aug,
                                          i64 lead_lag, REAL end_time)
{
    const i64 points = as_points(length, lead_lag != 0);
    const i64 channels = as_channels(dimension, time_aug != 0, lead_lag != 0);
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < total;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 row = q / channels, b = row / points;
        out[q] = as_point(path + b * length * dimension, row - b * points, q - row * channels,
                          points, dimension, lead_lag != 0, end_time);
    }
}

extern "C" __global__ void transform_path_vjp(const REAL *__restrict__ grad, REAL *__restrict__ out,
                                              i64 total, i64 length, i64 dimension, i64 time_aug,
                                              i64 lead_lag)
{
    const i64 points = as_points(length, lead_lag != 0);
    const i64 channels = as_channels(dimension, time_aug != 0, lead_lag != 0);
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < total;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 row = q / dimension, b = row / length;
        out[q] = as_point_adjoint(grad + b * points * channels, row - b * length,
                                  q - row * dimension, points, channels, dimension, lead_lag != 0);
    }
}
