/* What the gradient of a signature needs at the ends of stretches. Macros: REAL, CHANNELS, DEGREE.
 *
 * parts (batch, per_path, WORDS): signatures of the stretches of every path, to degree DEGREE - 1,
 * the largest that a gradient to DEGREE depends on. All products are without the leading 1.
 *
 *   scan_products  prefix (batch, per_path, WORDS): product of the stretches up to this one, and
 *                  suffix, likewise: of those behind it, within each of `groups` groups of
 *                  `per_group` stretches; totals (batch, groups, WORDS), unless null: products of
 *                  groups. A thread per word of DEGREE - 1 letters goes along the group with its
 *                  prefixes, or back with its suffixes;
 *                  grid 2 batch groups ceil(LONGEST / 128), block 128
 *   scan_combine   prefix and suffix of the path from those within groups, and from those of
 *                  groups, group_prefix and group_suffix (batch, groups, WORDS);
 *                  grid ceil(2 batch per_path WORDS / 128), block 128
 *   scan_adjoint   adjoint (batch, per_path, WORDS): dF/dS behind every stretch, from grad = dF/dS
 *                  at the end of the path: A(w) = G(w) + sum_v G(wv) suffix(v). grad points to
 *                  rows of `row` numbers, words of length 1 first. GROUP stretches at a time, a
 *                  warp for each of the SHORT words of less than DEGREE - 1 letters, a thread for
 *                  each of the others;
 *                  grid ceil(batch ceil(per_path / GROUP) WARPS / 4), block 128
 *   scan_edges     dpath (batch, length, dimension) at the points where stretches meet, and the
 *                  ends, from edges (batch, per_path, 2, dimension): dF of the first and of the
 *                  last raw increment of a stretch; one thread per number (per_path + 1 points),
 *                  block 128
 */
#include "real.h"
#include "words.h"

constexpr int LOW = DEGREE - 1;
constexpr i64 WORDS = as_level(CHANNELS, LOW + 1), LONGEST = as_power(CHANNELS, LOW);
constexpr i64 SHORT = WORDS - LONGEST, WARPS = SHORT + (LONGEST + 31) / 32;
constexpr int GROUP = 8;
/* Stretches in shared memory at a time; none if one is too large. */
constexpr int STAGED = WORDS <= 4096 ? (int)(4096 / WORDS) : 0;

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

/* The prefixes of `w` that no other word writes. */
AS_FN void write_prefixes(const REAL (&a)[LOW], REAL *to, i64 w)
{
#pragma unroll
    for (int k = 1; k <= LOW; k++)
        if (w % as_power(CHANNELS, LOW - k) == 0)
            to[as_level(CHANNELS, k) + w / as_power(CHANNELS, LOW - k)] = a[k - 1];
}

extern "C" __global__ void __launch_bounds__(128, 1)
    scan_products(const REAL *__restrict__ parts, REAL *__restrict__ prefix,
                  REAL *__restrict__ suffix, REAL *__restrict__ totals, i64 batch, i64 per_path,
                  i64 groups, i64 per_group)
{
    __shared__ REAL staged[STAGED ? STAGED * (int)WORDS : 1];
    constexpr i64 blocks = (LONGEST + 127) / 128;
    const i64 q = blockIdx.x / blocks, w = blockIdx.x % blocks * 128 + threadIdx.x;
    const bool along = q < batch * groups;
    const i64 group = along ? q : q - batch * groups, b = group / groups;
    const i64 before = (group - b * groups) * per_group; /* stretches before the group */
    const i64 first = b * per_path + before, all = min(per_group, per_path - before);
    REAL a[LOW];
#pragma unroll
    for (int k = 0; k < LOW; k++)
        a[k] = 0;
    constexpr int step = STAGED ? STAGED : 1;
    for (i64 done = 0; done < all; done += step) {
        const int count = (int)min((i64)step, all - done);
        const i64 from = first + (along ? done : all - done - count);
        const REAL *here = parts + from * WORDS;
        if constexpr (STAGED > 0) {
            __syncthreads();
            for (int i = threadIdx.x; i < count * (int)WORDS; i += 128)
                staged[i] = here[i];
            __syncthreads();
            here = staged;
        }
        if (w >= LONGEST)
            continue;
#pragma unroll(LOW <= 2 ? 4 : 1)
        for (int i = 0; i < count; i++) {
            if (along) {
                append<LOW>(a, here + i * WORDS, w);
                write_prefixes(a, prefix + (from + i) * WORDS, w);
            } else {
                const int back = count - 1 - i;
                REAL *to = suffix + (from + back) * WORDS;
#pragma unroll
                for (int k = 1; k <= LOW; k++)
                    if (w < as_power(CHANNELS, k))
                        to[as_level(CHANNELS, k) + w] = a[k - 1];
                prepend<LOW>(a, here + back * WORDS, w);
            }
        }
    }
    if (along && totals && w < LONGEST)
        write_prefixes(a, totals + group * WORDS, w);
}

extern "C" __global__ void __launch_bounds__(128, 1)
    scan_combine(const REAL *__restrict__ in_prefix, const REAL *__restrict__ in_suffix,
                 const REAL *__restrict__ group_prefix, const REAL *__restrict__ group_suffix,
                 REAL *__restrict__ prefix, REAL *__restrict__ suffix, i64 batch, i64 per_path,
                 i64 groups, i64 per_group)
{
    const i64 i = (i64)blockIdx.x * 128 + threadIdx.x, q = i / WORDS, all = batch * per_path;
    if (q >= 2 * all)
        return;
    const bool along = q < all;
    const i64 stretch = along ? q : q - all, b = stretch / per_path;
    const i64 group = (stretch - b * per_path) / per_group;
    const REAL *here = (along ? in_prefix : in_suffix) + stretch * WORDS;
    const REAL *edge = along ? group_prefix + (b * groups + group - 1) * WORDS
                             : group_suffix + (b * groups + group) * WORDS;
    i64 w = i - q * WORDS, size = CHANNELS, start = 0; /* of the words as long as w */
    REAL sum = here[w];
    if (!along || group > 0) {
        const REAL *left = along ? edge : here, *right = along ? here : edge;
        sum += edge[w];
        for (; w >= size; size *= CHANNELS) {
            w -= size;
            start += size;
        }
        for (i64 tail = CHANNELS, back = 0; tail < size; back += tail, tail *= CHANNELS) {
            start -= size / tail;
            sum += left[start + w / tail] * right[back + w % tail];
        }
    }
    (along ? prefix : suffix)[stretch * WORDS + i - q * WORDS] = sum;
}

extern "C" __global__ void __launch_bounds__(128, 1)
    scan_adjoint(const REAL *__restrict__ grad, const REAL *__restrict__ suffix,
                 REAL *__restrict__ adjoint, i64 batch, i64 per_path, i64 row)
{
    const i64 warp = (i64)blockIdx.x * 4 + threadIdx.x / 32, q = warp / WARPS;
    const i64 groups = (per_path + GROUP - 1) / GROUP, b = q / groups, piece = warp - q * WARPS;
    const i64 first = (q - b * groups) * GROUP;
    const int lane = threadIdx.x % 32;
    if (b >= batch)
        return;
    const REAL *r = suffix + (b * per_path + first) * WORDS;
    const REAL *g = grad + b * row;
    const int count = (int)min((i64)GROUP, per_path - first);
    i64 word = piece; /* in its row */
    REAL sum[GROUP];
#pragma unroll
    for (int k = 0; k < GROUP; k++)
        sum[k] = 0;
    if (piece < SHORT) {
        i64 w = word, size = CHANNELS, level = 0; /* of the words as long as w */
        for (; w >= size; size *= CHANNELS) {
            w -= size;
            level += size;
        }
        for (i64 tail = CHANNELS, at = 0; size * tail <= LONGEST * CHANNELS; tail *= CHANNELS) {
            level += size * (tail / CHANNELS);
            for (i64 v = lane; v < tail; v += 32) {
                const REAL value = g[level + w * tail + v];
#pragma unroll
                for (int k = 0; k < GROUP; k++)
                    sum[k] += value * r[min(k, count - 1) * WORDS + at + v];
            }
            at += tail;
        }
#pragma unroll
        for (int k = 0; k < GROUP; k++)
#pragma unroll
            for (int offset = 16; offset > 0; offset /= 2)
                sum[k] += __shfl_xor_sync(0xffffffffu, sum[k], offset);
        if (lane > 0)
            return;
    } else {
        const i64 w = (piece - SHORT) * 32 + lane;
        if (w >= LONGEST)
            return;
        word = SHORT + w;
        for (int c = 0; c < CHANNELS; c++) {
            const REAL value = g[WORDS + w * CHANNELS + c];
#pragma unroll
            for (int k = 0; k < GROUP; k++)
                sum[k] += value * r[min(k, count - 1) * WORDS + c];
        }
    }
    const REAL own = g[word];
#pragma unroll
    for (int k = 0; k < GROUP; k++)
        if (k < count)
            adjoint[(b * per_path + first + k) * WORDS + word] = own + sum[k];
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
