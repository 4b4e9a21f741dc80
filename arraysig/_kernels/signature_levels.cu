/* Truncated signatures over any alphabet to any degree, level by level, and their gradients.
 * Macros: REAL. All sizes are arguments.
 *
 * Every path is cut into `per_path` stretches of `steps` steps, of which a launch sees `count`,
 * from number `first` on; all of them walk through a chunk of at most `chunk` steps, from `start`
 * on. Within a chunk a level is a pass over its words. With z the increments, S before the step, u
 * a word, ua its continuation by the letter a:
 *
 *   H_m(ua)[t] = S(ua)[t] + z_a[t] / (m+1) H_{m+1}(u)[t],   H_m(empty) = 1,
 *                m = 1 ... degree - |ua|                          levels_walk, |ua| < degree
 *   S(ua)[t+1] = S(ua)[t] + H_1(u)[t] z_a[t]                      and levels_top, |ua| = degree
 *
 * and backwards, with E_0(u)[t] = dF/dS(u) after step t and E_m = dF/dH_m,
 *
 *   E_{m+1}(u)[t] = sum_a z_a[t] / (m+1) E_m(ua)[t]               levels_lift
 *   dF/dz_a[t] = sum_u sum_m H_{m+1}(u)[t] / (m+1) E_m(ua)[t]     levels_dz
 *   E_0(u)[t-1] = E_0(u)[t] + sum_{m>=1} E_m(u)[t]                levels_suffix, |u| < degree
 *
 * At the top level there is E_0 alone, the given gradient at every t.
 *
 * Layout: S, its adjoint and products of signatures are rows of `row` numbers, one per stretch, in
 * which the words of the level start at a pointer that the launch is given. H and E have `size`
 * numbers per stretch, of which those of a level start at a pointer too: planes m = 1 ... of H and
 * m = 0 ... of E, each (chunk, words of the level). dz (count, slices, chunk, channels): words u
 * are summed in `slices` slices, and these when dpath is written, always in the same order.
 *
 * Grids of one thread per number of the result in the order of its layout, blocks of 128.
 */
#include "real.h"
#include "step.h"

/* The part of a path that a stretch has in this chunk. */
struct Part {
    const REAL *x; /* raw path */
    i64 first;     /* first step */
    i64 steps;     /* at most `chunk`; 0 behind the end */
};
AS_FN i64 thread_number() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }

/* Arguments that say where in which path a stretch is. */
#define GEOMETRY                                                                                   \
    const REAL *__restrict__ path, i64 length, i64 dimension, i64 channels, i64 lead_lag, REAL dt, \
        i64 count, i64 first, i64 per_path, i64 steps, i64 start, i64 chunk
#define PART(v)                                                                                    \
    part_of(path, length, dimension, lead_lag, first + (v), per_path, steps, start, chunk)
#define STEP(part, t, a) as_step((part).x, (part).first + (t), a, dimension, lead_lag, dt)

AS_FN Part part_of(const REAL *path, i64 length, i64 dimension, i64 lead_lag, i64 stretch,
                   i64 per_path, i64 steps, i64 start, i64 chunk)
{
    const i64 b = stretch / per_path, from = (stretch - b * per_path) * steps + start;
    const i64 all = (length - 1) * (lead_lag ? 2 : 1);
    const i64 here = min(min(chunk, steps - start), all - from);
    return Part{path + b * length * dimension, from, max(here, (i64)0)};
}

/* S before the chunk (null, and at the start of a path: 0) -> H in the chunk and S behind it
 * (unless null), of the `words` words of one level that is not the last. `planes` = degree - level;
 * h_parent is null at level 1. */
extern "C" __global__ void __launch_bounds__(128, 1)
    levels_walk(GEOMETRY, const REAL *before, i64 before_row, REAL *behind, i64 behind_row,
                const REAL *__restrict__ h_parent, REAL *__restrict__ h, i64 size, i64 words,
                i64 planes)
{
    const i64 i = thread_number(), v = i / words, w = i - v * words, u = w / channels;
    if (v >= count)
        return;
    const Part part = PART(v);
    const i64 parents = words / channels;
    REAL s = before && part.first > 0 ? before[v * before_row + w] : REAL(0);
    for (i64 t = 0; t < part.steps; t++) {
        const REAL z = STEP(part, t, w - u * channels);
        const REAL *at = h_parent + v * size + t * parents + u;
        REAL *to = h + v * size + t * words + w;
        for (i64 m = 1; m <= planes; m++) {
            const REAL above = h_parent ? at[m * chunk * parents] : REAL(1);
            to[(m - 1) * chunk * words] = s + z / (REAL)(m + 1) * above;
        }
        s += z * (h_parent ? at[0] : REAL(1));
    }
    if (behind)
        behind[v * behind_row + w] = s;
}

/* S of the last level, from H_1 of the level before. */
extern "C" __global__ void __launch_bounds__(128, 1)
    levels_top(GEOMETRY, REAL *__restrict__ top, i64 row, const REAL *__restrict__ h_parent,
               i64 size, i64 words)
{
    const i64 i = thread_number(), v = i / words, w = i - v * words, u = w / channels;
    if (v >= count)
        return;
    const Part part = PART(v);
    const i64 parents = words / channels;
    const REAL *at = h_parent + v * size + u;
    REAL s = start ? top[v * row + w] : REAL(0);
    for (i64 t = 0; t < part.steps; t++, at += parents)
        s += *at * STEP(part, t, w - u * channels);
    top[v * row + w] = s;
}

/* E_m(.)[t] of a level: at the top, where e_step is 0, the gradient, with rows of e_size numbers
 * for paths; below, e_step is the words of the level. */
#define E_AT(v, m, t)                                                                              \
    (e_step ? e + (v) * e_size + ((m) * chunk + (t)) * e_step                                      \
            : e + (first + (v)) / per_path * e_size)

/* E_1, E_2, ... of `parents` words from E_0, E_1, ... of the words behind them: `planes` planes. */
extern "C" __global__ void __launch_bounds__(128, 1)
    levels_lift(GEOMETRY, const REAL *__restrict__ e, i64 e_size, i64 e_step,
                REAL *__restrict__ e_parent, i64 parent_size, i64 parents, i64 planes)
{
    const i64 i = thread_number(), q = i / parents, u = i - q * parents;
    const i64 p = q / chunk, t = q - p * chunk, v = p / planes, m = p - v * planes;
    if (v >= count)
        return;
    const Part part = PART(v);
    if (t >= part.steps)
        return;
    const REAL *at = E_AT(v, m, t) + u * channels;
    REAL sum = 0;
    for (i64 a = 0; a < channels; a++)
        sum += STEP(part, t, a) * at[a];
    e_parent[v * parent_size + ((m + 1) * chunk + t) * parents + u] = sum / (REAL)(m + 1);
}

/* dF/dz: what the words of one level give, from E_m there and H_{m+1} of the `parents` words before
 * (null: the empty word). `add` to what is in dz. */
extern "C" __global__ void __launch_bounds__(128, 1)
    levels_dz(GEOMETRY, const REAL *__restrict__ e, i64 e_size, i64 e_step,
              const REAL *__restrict__ h_parent, i64 h_size, i64 parents, i64 planes,
              REAL *__restrict__ dz, i64 slices, i64 add)
{
    const i64 i = thread_number(), q = i / channels, a = i - q * channels;
    const i64 p = q / chunk, t = q - p * chunk, v = p / slices, slice = p - v * slices;
    if (v >= count)
        return;
    const Part part = PART(v);
    if (t >= part.steps)
        return;
    const i64 per_slice = (parents + slices - 1) / slices, from = slice * per_slice;
    const i64 to = min(from + per_slice, parents);
    REAL sum = add ? dz[i] : REAL(0);
    for (i64 m = 0; m < planes; m++) {
        const REAL *at = E_AT(v, m, t) + a;
        const REAL *above = h_parent + v * h_size + (m * chunk + t) * parents;
        const REAL scale = REAL(1) / (REAL)(m + 1);
        REAL part_sum = 0;
        for (i64 u = from; u < to; u++)
            part_sum += (h_parent ? above[u] : REAL(1)) * at[u * channels];
        sum += scale * part_sum;
    }
    dz[i] = sum;
}

/* E_0 in the chunk and dF/dS before it (unless null), from dF/dS behind it and E_1 ... E_planes. */
extern "C" __global__ void __launch_bounds__(128, 1)
    levels_suffix(GEOMETRY, const REAL *behind, i64 behind_row, REAL *before, i64 before_row,
                  REAL *__restrict__ e, i64 size, i64 words, i64 planes)
{
    const i64 i = thread_number(), v = i / words, w = i - v * words;
    if (v >= count)
        return;
    const Part part = PART(v);
    REAL s = behind[v * behind_row + w];
    for (i64 t = part.steps - 1; t >= 0; t--) {
        REAL *at = e + v * size + t * words + w;
        at[0] = s;
        for (i64 m = 1; m <= planes; m++)
            s += at[m * chunk * words];
    }
    if (before)
        before[v * before_row + w] = s;
}

/* dF/dx of the points of the chunk, ends included, from dF/dz. `points` = raw increments of a chunk
 * + 1. Chunks share points: without edges, the next chunk of a path has come before; with edges
 * (batch, per_path, 2, dimension), which chunks of whole stretches fill, scan_edges writes them. */
extern "C" __global__ void __launch_bounds__(128, 1)
    levels_dpath(GEOMETRY, const REAL *__restrict__ dz, i64 slices, i64 points,
                 REAL *__restrict__ dpath, REAL *__restrict__ edges)
{
    const i64 i = thread_number(), q = i / dimension, c = i - q * dimension;
    const i64 v = q / points, point = q - v * points;
    if (v >= count)
        return;
    const Part part = PART(v);
    const i64 per_raw = lead_lag ? 2 : 1, raw = part.steps / per_raw;
    if (point > raw)
        return;
    REAL sum = 0;
    for (i64 s = 0; s < slices; s++) {
        const REAL *from = dz + (v * slices + s) * chunk * channels;
        if (point > 0)
            sum += as_step_adjoint(from, point - 1, c, channels, dimension, lead_lag);
        if (point < raw)
            sum -= as_step_adjoint(from, point, c, channels, dimension, lead_lag);
    }
    const i64 stretch = first + v, at = part.first / per_raw + point;
    REAL *edge = edges + stretch * 2 * dimension + c;
    REAL *to = dpath + (stretch / per_path * length + at) * dimension + c;
    if (edges && point == 0)
        edge[0] = -sum;
    else if (edges && point == raw)
        edge[dimension] = sum;
    else
        *to = point == raw && at < length - 1 ? *to + sum : sum;
}

/* Products of neighbours: parts (batch, count, words) -> out (batch, half, row), the last one alone
 * where their number is odd. Rows of out begin with 1 if `scalar`. */
extern "C" __global__ void __launch_bounds__(128, 1)
    levels_pairs(const REAL *__restrict__ parts, REAL *__restrict__ out, i64 batch, i64 count,
                 i64 half, i64 words, i64 channels, i64 row, i64 scalar)
{
    const i64 i = thread_number(), q = i / words, b = q / half, pair = 2 * (q - b * half);
    if (b >= batch)
        return;
    const REAL *left = parts + (b * count + pair) * words, *right = left + words;
    i64 w = i - q * words, start = 0, power = channels; /* the word; its level's first, and size */
    REAL sum = left[w];
    if (pair + 1 < count) {
        sum += right[w];
        for (; w >= power; power *= channels) {
            w -= power;
            start += power;
        }
        /* `tail` words of the right factor, `power / tail` of the left */
        i64 back = 0;
        for (i64 tail = channels; tail < power; back += tail, tail *= channels) {
            start -= power / tail;
            sum += left[start + w / tail] * right[back + w % tail];
        }
    }
    REAL *to = out + q * row + scalar;
    to[i - q * words] = sum;
    if (scalar && i == q * words)
        to[-1] = 1;
}

/* The empty word: 1 at the head of every row of out. */
extern "C" __global__ void __launch_bounds__(128, 1)
    levels_one(REAL *__restrict__ out, i64 batch, i64 row)
{
    const i64 b = thread_number();
    if (b < batch)
        out[b * row] = 1;
}
