/* What the gradient of a signature needs at the ends of stretches. Macros: REAL, CHANNELS, DEGREE.
 *
 * parts (batch, per_path, WORDS): signatures of the stretches of every path, to degree DEGREE - 1,
 * the largest that a gradient to DEGREE depends on.
 *
 *   scan_products  prefix (batch, per_path, WORDS): product of the stretches up to this one, and
 *                  suffix, likewise: of those behind it (without the leading 1). Grid
 *                  ceil(2 batch CHANNELS^(DEGREE - 1) / 128), block 128: a thread per longest word
 *   scan_adjoint   adjoint (batch, per_path, WORDS): dF/dS behind every stretch, from grad = dF/dS
 *                  at the end of the path: A(w) = G(w) + sum_v G(wv) suffix(v). grad points to rows
 *                  of `row` numbers, words of length 1 first. Grid ceil(batch per_path WORDS / 128)
 *   scan_edges     dpath (batch, length, dimension) at the points where stretches meet, and the
 *                  ends, from edges (batch, per_path, 2, dimension): dF of the first and of the last
 *                  raw increment of a stretch. One thread per number (per_path + 1 points)
 */
#include "real.h"
#include "words.h"

constexpr int LOW = DEGREE - 1;
constexpr i64 WORDS = as_level(CHANNELS, LOW + 1), LONGEST = as_power(CHANNELS, LOW);

/* Level K of a <- a * b for the prefixes of the word `w` of LOW letters, then K - 1, ... */
template <int K> AS_FN void append(REAL (&a)[LOW], const REAL *b, i64 w)
{
    const i64 word = w / as_power(CHANNELS, LOW - K);
    REAL sum = a[K - 1] + b[as_level(CHANNELS, K) + word];
#pragma unroll
    for (int i = 1; i < K; i++)
        sum += a[i - 1] * b[as_level(CHANNELS, K - i) + word % as_power(CHANNELS, K - i)];
    a[K - 1] = sum;
    if constexpr (K > 1)
        append<K - 1>(a, b, w);
}

/* Level K of a <- b * a for the suffixes of the word `w` of LOW letters, then K - 1, ... */
template <int K> AS_FN void prepend(REAL (&a)[LOW], const REAL *b, i64 w)
{
    const i64 word = w % as_power(CHANNELS, K);
    REAL sum = a[K - 1] + b[as_level(CHANNELS, K) + word];
#pragma unroll
    for (int i = 1; i < K; i++)
        sum += b[as_level(CHANNELS, K - i) + word / as_power(CHANNELS, i)] * a[i - 1];
    a[K - 1] = sum;
    if constexpr (K > 1)
        prepend<K - 1>(a, b, w);
}

extern "C" __global__ void __launch_bounds__(128, 1)
    scan_products(const REAL *__restrict__ parts, REAL *__restrict__ prefix,
                  REAL *__restrict__ suffix, i64 batch, i64 per_path)
{
    const i64 i = (i64)blockIdx.x * 128 + threadIdx.x, q = i / LONGEST, w = i - q * LONGEST;
    if (q >= 2 * batch)
        return;
    REAL a[LOW];
#pragma unroll
    for (int k = 0; k < LOW; k++)
        a[k] = 0;
    if (q < batch) {
#pragma unroll 1
        for (i64 s = 0; s < per_path; s++) {
            append<LOW>(a, parts + (q * per_path + s) * WORDS, w);
            REAL *to = prefix + (q * per_path + s) * WORDS;
#pragma unroll
            for (int k = 1; k <= LOW; k++)
                if (w % as_power(CHANNELS, LOW - k) == 0)
                    to[as_level(CHANNELS, k) + w / as_power(CHANNELS, LOW - k)] = a[k - 1];
        }
    } else {
#pragma unroll 1
        for (i64 s = per_path - 1; s >= 0; s--) {
            const i64 at = ((q - batch) * per_path + s) * WORDS;
#pragma unroll
            for (int k = 1; k <= LOW; k++)
                if (w < as_power(CHANNELS, k))
                    suffix[at + as_level(CHANNELS, k) + w] = a[k - 1];
            prepend<LOW>(a, parts + at, w);
        }
    }
}

extern "C" __global__ void __launch_bounds__(128, 1)
    scan_adjoint(const REAL *__restrict__ grad, const REAL *__restrict__ suffix,
                 REAL *__restrict__ adjoint, i64 batch, i64 per_path, i64 row)
{
    const i64 i = (i64)blockIdx.x * 128 + threadIdx.x, stretch = i / WORDS, b = stretch / per_path;
    if (b >= batch)
        return;
    i64 w = i - stretch * WORDS, level = 0, size = CHANNELS; /* size of the level of w */
    for (; w >= size; size *= CHANNELS) {
        w -= size;
        level += size;
    }
    const REAL *g = grad + b * row + level, *r = suffix + stretch * WORDS;
    REAL sum = g[w];
    for (i64 tail = CHANNELS; size * tail <= as_power(CHANNELS, DEGREE); tail *= CHANNELS) {
        g += size * (tail / CHANNELS);
        for (i64 v = 0; v < tail; v++)
            sum += g[w * tail + v] * r[v];
        r += tail;
    }
    adjoint[i] = sum;
}

extern "C" __global__ void __launch_bounds__(128, 1)
    scan_edges(const REAL *__restrict__ edges, REAL *__restrict__ dpath, i64 batch, i64 length,
               i64 dimension, i64 per_path, i64 steps)
{
    const i64 i = (i64)blockIdx.x * 128 + threadIdx.x, q = i / dimension, c = i - q * dimension;
    const i64 b = q / (per_path + 1), s = q - b * (per_path + 1);
    if (b >= batch)
        return;
    const REAL *at = edges + ((b * per_path + s) * 2) * dimension + c;
    REAL sum = s > 0 ? at[-dimension] : REAL(0);
    if (s < per_path)
        sum -= at[0];
    dpath[(b * length + min(s * steps, length - 1)) * dimension + c] = sum;
}
