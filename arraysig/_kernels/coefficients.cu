/* Chosen coefficients of signatures, and their gradient. Macros: REAL. One block per path at a
 * time.
 *
 *   sig_coef      path (batch, length, dimension) -> out (batch, count)
 *   sig_coef_vjp  grad (batch, count), path       -> out (batch, length, dimension)
 *
 * and with `stream` those of all prefixes of the path: (batch, length - 1, count) for (batch,
 * count). Each is a coefficient, or a sum of several.
 *
 * Step by step, with increment z, S(u) before the step, and H(empty word) = 1:
 *
 *     H_m(ua) = S(ua) + z_a H_{m+1}(u) / (m + 1),  m = 1 .. height,     S(ua) += z_a H_1(u)
 *
 * and backwards, with bars for adjoints, continuations first:
 *
 *     zbar_a += H_1(u) Sbar(ua) + sum over m of H_{m+1}(u) Hbar_m(ua) / (m + 1)
 *     Hbar_1(u) += z_a Sbar(ua),  Hbar_{m+1}(u) += z_a Hbar_m(ua) / (m + 1)
 *     Sbar(ua) += sum over m of Hbar_m(ua)
 *
 * Threads share the prefixes of one length, which need those one letter shorter; backwards every
 * prefix gathers from its continuations, so that sums have one order. A row of `prefix` says where
 * H of its parent starts, its last letter, its height, and where its own H starts. `table`
 * (arraysig/_core/tables.py) is
 *     prefixes (nodes, 4), first term of each sum (count + 1), prefixes of the terms (terms),
 *     first continuation (nodes), end of them (nodes), first prefix of each length (longest + 1),
 *     prefixes by letter (nodes), where each letter starts there (channels + 1), sums by prefix
 *     (terms), where each prefix starts there (nodes + 1).
 * `memory` of a block is shared, or where that is too small a part of `scratch`.
 */
#include "real.h"
#include "path.h"

struct Prefix {
    i64 parent, letter, height, own;
};

struct Prefixes {
    const Prefix *prefix;
    const i64 *starts, *terms, *begin, *end, *length, *by_letter, *letter, *by_prefix, *first_sum;
    i64 count, nodes, longest, h_size;
};

struct Path {
    const REAL *x;
    i64 points, channels, dimension;
    int lead_lag;
    REAL end_time;
};

AS_FN Prefixes prefixes_of(const i64 *table, i64 channels, i64 count, i64 nodes, i64 longest,
                           i64 h_size)
{
    Prefixes p;
    p.prefix = (const Prefix *)table;
    p.starts = table + 4 * nodes;
    p.terms = p.starts + count + 1;
    p.begin = p.terms + p.starts[count];
    p.end = p.begin + nodes;
    p.length = p.end + nodes;
    p.by_letter = p.length + longest + 1;
    p.letter = p.by_letter + nodes;
    p.by_prefix = p.letter + channels + 1;
    p.first_sum = p.by_prefix + p.starts[count];
    p.count = count;
    p.nodes = nodes;
    p.longest = longest;
    p.h_size = h_size;
    return p;
}

/* Whether a step ends at a point of the path as given, and which raw step that is. */
AS_FN bool ends_raw_step(const Path &path, i64 step) { return !path.lead_lag || step % 2 == 1; }
AS_FN i64 raw_step(const Path &path, i64 step) { return path.lead_lag ? step / 2 : step; }

AS_FN void write_row(const Prefixes &p, const REAL *state, REAL *row)
{
    for (i64 w = threadIdx.x; w < p.count; w += blockDim.x) {
        REAL sum = 0;
        for (i64 i = p.starts[w]; i < p.starts[w + 1]; i++)
            sum += p.terms[i] < 0 ? (REAL)1 : state[p.terms[i]];
        row[w] = sum;
    }
}

/* The sum of both. What rounding takes is in `low` and goes into the next sum, but NaN, which is
 * what infinities leave, does not. */
AS_FN REAL sum_of(REAL before, REAL gain, REAL *low)
{
    gain += *low;
    const REAL after = before + gain, lost = gain - (after - before);
    *low = lost == lost ? lost : (REAL)0;
    return after;
}

/* Adds the adjoint of a row of the result to that of S. */
AS_FN void read_row(const Prefixes &p, const REAL *row, REAL *bar, REAL *low)
{
    for (i64 i = threadIdx.x; i < p.nodes; i += blockDim.x) {
        REAL gain = 0;
        for (i64 w = p.first_sum[i]; w < p.first_sum[i + 1]; w++)
            gain += row[p.by_prefix[w]];
        bar[i] = sum_of(bar[i], gain, low + i);
    }
    __syncthreads();
}

/* z = increment `step` of the augmented path. */
AS_FN void load_step(const Path &path, i64 step, REAL *z)
{
    __syncthreads();
    for (i64 c = threadIdx.x; c < path.channels; c += blockDim.x)
        z[c] = as_point(path.x, step + 1, c, path.points, path.dimension, path.lead_lag,
                        path.end_time) -
               as_point(path.x, step, c, path.points, path.dimension, path.lead_lag, path.end_time);
    __syncthreads();
}

/* S from `from` to `to`, which may be the same; H as before the step. */
AS_FN void coef_step(const Prefixes &p, const REAL *z, const REAL *inverse, const REAL *from,
                     REAL *to, REAL *low, REAL *h)
{
    for (i64 k = 0; k < p.longest; k++) {
        for (i64 i = p.length[k] + threadIdx.x; i < p.length[k + 1]; i += blockDim.x) {
            const Prefix node = p.prefix[i];
            const REAL move = z[node.letter], before = from[i];
            for (i64 m = 1; m <= node.height; m++)
                h[node.own + m - 1] = before + move * h[node.parent + m] * inverse[m + 1];
            to[i] = sum_of(before, move * h[node.parent], low + i);
        }
        __syncthreads();
    }
}

/* Fills `inverse`, H of the empty word, and clears S and what rounding took from it. */
AS_FN void coef_start(const Prefixes &p, REAL *inverse, REAL *h, REAL *state, REAL *low)
{
    __syncthreads();
    for (i64 m = threadIdx.x; m < p.longest + 2; m += blockDim.x) {
        inverse[m] = m ? (REAL)1 / (REAL)m : (REAL)0;
        if (m < p.longest)
            h[m] = 1;
    }
    for (i64 i = threadIdx.x; i < p.nodes; i += blockDim.x)
        state[i] = low[i] = 0;
    __syncthreads();
}

extern "C" __global__ void sig_coef(const REAL *path, REAL *out, const i64 *table, REAL *scratch,
                                    i64 batch, i64 length, i64 dimension, i64 points, i64 channels,
                                    i64 lead_lag, REAL end_time, i64 count, i64 nodes, i64 longest,
                                    i64 h_size, i64 stream)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const Prefixes p = prefixes_of(table, channels, count, nodes, longest, h_size);
    const i64 size = 2 * nodes + h_size + channels + longest + 2;
    REAL *state = scratch ? scratch + blockIdx.x * size : (REAL *)shared;
    REAL *low = state + nodes, *h = low + nodes, *z = h + h_size, *inverse = z + channels;
    for (i64 b = blockIdx.x; b < batch; b += gridDim.x) {
        const Path x = {
            path + b * length * dimension, points, channels, dimension, lead_lag != 0, end_time};
        coef_start(p, inverse, h, state, low);
        for (i64 step = 0; step < points - 1; step++) {
            load_step(x, step, z);
            coef_step(p, z, inverse, state, state, low, h);
            if (stream && ends_raw_step(x, step))
                write_row(p, state, out + (b * (length - 1) + raw_step(x, step)) * count);
        }
        if (!stream)
            write_row(p, state, out + b * count);
    }
}

/* Adjoints of H, of increments (one per prefix) and of S, which goes from `bar` to `next`. */
AS_FN void coef_step_back(const Prefixes &p, const REAL *z, const REAL *inverse, const REAL *h,
                          const REAL *bar, REAL *next, REAL *low, REAL *h_bar, REAL *move_bar)
{
    for (i64 k = p.longest - 1; k >= 0; k--) {
        for (i64 i = p.length[k] + threadIdx.x; i < p.length[k + 1]; i += blockDim.x) {
            const Prefix node = p.prefix[i];
            REAL sum = h[node.parent] * bar[i], change = 0;
            for (i64 m = 1; m <= node.height; m++) {
                REAL up = 0;
                for (i64 c = p.begin[i]; c < p.end[i]; c++) {
                    const Prefix child = p.prefix[c];
                    if (m == 1)
                        up += z[child.letter] * bar[c];
                    else if (m - 1 <= child.height)
                        up += z[child.letter] * h_bar[child.own + m - 2] * inverse[m];
                }
                h_bar[node.own + m - 1] = up;
                sum += h[node.parent + m] * up * inverse[m + 1];
                change += up;
            }
            move_bar[i] = sum;
            next[i] = sum_of(bar[i], change, low + i);
        }
        __syncthreads();
    }
}

extern "C" __global__ void sig_coef_vjp(const REAL *grad, const REAL *path, REAL *out,
                                        const i64 *table, REAL *scratch, REAL *states, i64 batch,
                                        i64 length, i64 dimension, i64 points, i64 channels,
                                        i64 lead_lag, REAL end_time, i64 count, i64 nodes,
                                        i64 longest, i64 h_size, i64 stream, i64 chunk)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const Prefixes p = prefixes_of(table, channels, count, nodes, longest, h_size);
    const i64 size = 6 * nodes + 2 * h_size + channels + longest + 2;
    REAL *state = scratch ? scratch + blockIdx.x * size : (REAL *)shared;
    REAL *low = state + nodes, *bar = low + nodes, *bar_low = bar + nodes;
    REAL *next = bar_low + nodes, *move_bar = next + nodes, *h = move_bar + nodes;
    REAL *h_bar = h + h_size, *z = h_bar + h_size, *inverse = z + channels;
    /* of a block: S at the starts of chunks, of the steps of one, and adjoints of the points */
    const i64 steps = points - 1, chunks = (steps + chunk - 1) / chunk;
    REAL *starts = states + blockIdx.x * ((chunks + chunk + 1) * nodes + points * channels);
    REAL *inside = starts + chunks * nodes, *adjoint = inside + (chunk + 1) * nodes;
    for (i64 b = blockIdx.x; b < batch; b += gridDim.x) {
        const Path x = {
            path + b * length * dimension, points, channels, dimension, lead_lag != 0, end_time};
        coef_start(p, inverse, h, state, low);
        for (i64 i = threadIdx.x; i < nodes; i += blockDim.x)
            bar[i] = bar_low[i] = 0;
        for (i64 q = threadIdx.x; q < points * channels; q += blockDim.x)
            adjoint[q] = 0;
        __syncthreads();
        if (!stream)
            read_row(p, grad + b * count, bar, bar_low);
        for (i64 step = 0; step < steps; step++) {
            if (step % chunk == 0)
                for (i64 i = threadIdx.x; i < nodes; i += blockDim.x)
                    starts[step / chunk * nodes + i] = state[i];
            load_step(x, step, z);
            coef_step(p, z, inverse, state, state, low, h);
        }
        for (i64 q = chunks - 1; q >= 0; q--) {
            const i64 first = q * chunk, last = first + chunk < steps ? first + chunk : steps;
            __syncthreads();
            for (i64 i = threadIdx.x; i < nodes; i += blockDim.x)
                inside[i] = starts[q * nodes + i], low[i] = 0;
            for (i64 step = first; step < last; step++) {
                load_step(x, step, z);
                coef_step(p, z, inverse, inside + (step - first) * nodes,
                          inside + (step - first + 1) * nodes, low, h);
            }
            for (i64 step = last - 1; step >= first; step--) {
                load_step(x, step, z);
                if (stream && ends_raw_step(x, step))
                    read_row(p, grad + (b * (length - 1) + raw_step(x, step)) * count, bar,
                             bar_low);
                coef_step(p, z, inverse, inside + (step - first) * nodes, state, low, h);
                coef_step_back(p, z, inverse, h, bar, next, bar_low, h_bar, move_bar);
                for (i64 i = threadIdx.x; i < nodes; i += blockDim.x)
                    bar[i] = next[i];
                for (i64 c = threadIdx.x; c < channels; c += blockDim.x) {
                    REAL sum = 0;
                    for (i64 i = p.letter[c]; i < p.letter[c + 1]; i++)
                        sum += move_bar[p.by_letter[i]];
                    adjoint[(step + 1) * channels + c] += sum;
                    adjoint[step * channels + c] -= sum;
                }
            }
        }
        __syncthreads();
        for (i64 q = threadIdx.x; q < length * dimension; q += blockDim.x)
            out[b * length * dimension + q] = as_point_adjoint(
                adjoint, q / dimension, q % dimension, points, channels, dimension, lead_lag != 0);
        __syncthreads();
    }
}
