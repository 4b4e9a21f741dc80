/* Gradients of signature kernels, on from dF/dp of the increments p of goursat.cuh.
 *
 * They give gradients of increments for the linear kernel, otherwise of points, for which an
 * increment counts at its four corners with signs + - - +. Those of the first path stay in their
 * lane; those of the second go up from lane to lane. A pair has grads1 (strips, POINTS + 1,
 * channels, 32), of the points or increments of each lane, and a row of its own; and grads2
 * (length2 - LINEAR, channels). Of `pairs` pairs from number `first` on, which one launch has left:
 *
 *   sig_kernel_sum1  adds grads1 to out (groups, count1, length1, channels)
 *   sig_kernel_sum2  adds grads2 to out (groups, count2, length2, channels); both write where no
 *                    earlier launch has had a pair of the path
 *
 * Given increments have gradients of their own, which need no sums over pairs.
 *
 * Macros: see goursat.cuh.
 */
#include "goursat.cuh"

/* Adds dF/dp of a step, if its row is there, to the sum over the cells of an increment. With the
 * step that `ends` it, which is the first one, `p` becomes what weighs the gradients: the sum, less
 * `before`, that of the increment behind it but for the linear kernel. */
AS_FN void add_step(REAL of_p, bool there, bool ends, REAL &sum, REAL &before, REAL &p)
{
    if (there)
        sum += of_p;
    if (!ends)
        return;
    p = sum - before;
    if constexpr (OF_POINTS)
        before = sum;
    sum = 0;
}

/* Gradients of a lane, for a block of channels: of its points or increments, and what goes up: of
 * given increments what lanes below add to the lane's. */
struct Gradients {
    REAL x[POINTS][BLOCK], y[BLOCK];
};

AS_FN void start(Gradients &g)
{
#pragma unroll
    for (int c = 0; c < BLOCK; c++) {
#pragma unroll
        for (int r = 0; r < POINTS; r++)
            g.x[r][c] = 0;
        g.y[c] = 0;
    }
}

AS_FN void read_gradients(const Pair &pair, Gradients &g, const REAL *from, int block)
{
#pragma unroll
    for (int c = 0; c < BLOCK; c++) {
        if (block + c >= pair.channels)
            continue;
#pragma unroll
        for (int r = 0; r < POINTS; r++)
            g.x[r][c] = from[((i64)r * pair.channels + block + c) * 32];
        g.y[c] = from[((i64)POINTS * pair.channels + block + c) * 32];
    }
}

AS_FN void write_gradients(const Pair &pair, const Gradients &g, REAL *to, int block)
{
#pragma unroll
    for (int c = 0; c < BLOCK; c++) {
        if (block + c >= pair.channels)
            continue;
#pragma unroll
        for (int r = 0; r < POINTS; r++)
            to[((i64)r * pair.channels + block + c) * 32] = g.x[r][c];
        to[((i64)POINTS * pair.channels + block + c) * 32] = g.y[c];
    }
}

/* Adds what a column gives, for weights w of its increments and its values z. */
AS_FN void add_column(const Pair &pair, Gradients &g, const Points &points, const REAL *w,
                      const REAL *z, i64 column, int block)
{
    REAL y[BLOCK];
    column_of(pair, pair.y + column * pair.channels, block, y);
#pragma unroll
    for (int r = 0; r < POINTS; r++) {
        REAL s;
        if constexpr (LINEAR)
            s = w[r * 32];
        else
            s = ((r ? w[(r ? r - 1 : 0) * 32] : 0) - (r < COARSE ? w[r * 32] : 0)) * pair.scale *
                static_slope(pair.kernel, z[r * 32]);
#pragma unroll
        for (int c = 0; c < BLOCK; c++) {
            if constexpr (RADIAL) {
                const REAL d = s * (points.x[r][c] - y[c]);
                g.x[r][c] += d;
                g.y[c] -= d;
            } else {
                g.x[r][c] += s * y[c];
                g.y[c] += s * points.x[r][c];
            }
        }
    }
}

/* Gradients of a phase for a block of channels: weights w, values z. grads2 of the columns of the
 * first lane is added to `total`, by way of `stage` (STEPS, BLOCK); `fresh`: it is not set. */
AS_FN void add_phase(const Pair &pair, Gradients &g, const Points &points, const REAL *w,
                     const REAL *z, REAL *stage, REAL *total, i64 j, int lane, int block,
                     bool fresh)
{
    const Window window = window_of(pair, j);
    __syncwarp();
#pragma unroll 1
    for (int t = STEPS - 1; t >= 0; t--) {
#pragma unroll
        for (int c = 0; c < BLOCK; c++) {
            g.y[c] = __shfl_down_sync(FULL, g.y[c], 1);
            if (lane == 31)
                g.y[c] = 0;
        }
        const int at = window.done + t;
        if (window.from <= t && t < window.to && (at & window.mask) == 0)
            add_column(pair, g, points, w + t * COARSE * 32, z + (t + OF_POINTS) * POINTS * 32,
                       window.column + (at >> pair.split) + OF_POINTS, block);
        if (lane == 0) {
#pragma unroll
            for (int c = 0; c < BLOCK; c++)
                stage[t * BLOCK + c] = g.y[c];
        }
    }
    __syncwarp();
    for (int i = lane; i < STEPS * BLOCK; i += 32) {
        const int t = i / BLOCK, c = block + i % BLOCK;
        const i64 at = j + lane + t; /* of the first lane */
        if (at < pair.steps && (at & window.mask) == 0 && c < pair.channels) {
            REAL *to = total + ((at >> pair.split) + OF_POINTS) * pair.channels + c;
            *to = fresh ? stage[i] : *to + stage[i];
        }
    }
}

/* The column of first points, which no step ends with, for a block of channels. */
AS_FN void add_first(const Pair &pair, Gradients &g, const Points &points, const REAL *w,
                     const REAL *z, REAL *total, int lane, int block, bool fresh)
{
#pragma unroll
    for (int c = 0; c < BLOCK; c++)
        g.y[c] = 0;
    add_column(pair, g, points, w, z, 0, block);
#pragma unroll
    for (int c = 0; c < BLOCK; c++) {
        REAL sum = g.y[c];
#pragma unroll
        for (int other = 16; other; other /= 2)
            sum += __shfl_xor_sync(FULL, sum, other);
        if (lane == 0 && block + c < pair.channels)
            total[block + c] = fresh ? sum : total[block + c] + sum;
    }
}

/* Gradients of given increments of a phase, from weights w: sums over the lanes that an increment
 * is in, which the first of them in the strip adds to what strips below have left in `grads`. */
AS_FN void add_given(const Pair &pair, Gradients &g, const REAL *w, REAL *grads, i64 row, i64 strip,
                     i64 j, int lane)
{
    const Window window = window_of(pair, j);
    const i64 strip_end = (strip + 1) * 32 * ROWS;
    const bool top = lane == 0 || first_row(pair, strip, lane - 1) != row;
    const bool bottom = lane == 31 || first_row(pair, strip, lane + 1) != row;
    const bool fresh = (row + 1) << pair.order1 <= strip_end; /* no strip below has it */
#pragma unroll 1
    for (int t = STEPS - 1; t >= 0; t--) {
        const REAL below = __shfl_down_sync(FULL, g.y[0], 1);
        const int at = window.done + t;
        const bool on = window.from <= t && t < window.to && (at & window.mask) == 0;
        REAL *to = grads + row * pair.last2 + window.column + (at >> pair.split);
#pragma unroll
        for (int r = 0; r < COARSE; r++) { /* there is one where lanes share increments */
            const REAL sum = (on ? w[(t * COARSE + r) * 32] : REAL(0)) + (bottom ? REAL(0) : below);
            g.y[0] = sum;
            if (on && top && row + r < pair.last1)
                to[r * pair.last2] = (fresh ? REAL(0) : to[r * pair.last2]) + sum * pair.scale;
        }
    }
}

/* All gradients of a phase; with the first phase of a lane also those of the column of first
 * points, for which `before` has what weighs them. `g` and `points` are kept if CHANNELS, and else
 * `grads` has the gradients of the lane between phases; there they are after the first phase. */
AS_FN void phase_gradients(const Pair &pair, Gradients &g, Points &points,
                           const REAL (&before)[COARSE], REAL *p, REAL *z, REAL *stage, REAL *grads,
                           REAL *grads2, i64 row, i64 strip, i64 phase, int lane, bool fresh)
{
    const i64 step = phase * STEPS;
    if constexpr (GIVEN) {
        add_given(pair, g, p, grads, row, strip, step - lane, lane);
    } else if constexpr (CHANNELS) {
        add_phase(pair, g, points, p, z, stage, grads2, step - lane, lane, 0, fresh);
    } else {
#pragma unroll 1
        for (int block = 0; block < pair.channels; block += BLOCK) {
            points = points_of(pair, row, block);
            if (phase < pair.phases - 1)
                read_gradients(pair, g, grads, block);
            else
                start(g);
            add_phase(pair, g, points, p, z, stage, grads2, step - lane, lane, block, fresh);
            write_gradients(pair, g, grads, block);
        }
    }
    if (OF_POINTS && phase == 0) {
        columns_of_z(pair, points, z, row, 0, 1);
#pragma unroll
        for (int r = 0; r < COARSE; r++)
            p[r * 32] = -before[r];
#pragma unroll 1
        for (int block = 0; block < pair.channels; block += BLOCK) {
            if constexpr (!CHANNELS) {
                points = points_of(pair, row, block);
                read_gradients(pair, g, grads, block);
            }
            add_first(pair, g, points, p, z, grads2, lane, block, fresh);
            if constexpr (!CHANNELS)
                write_gradients(pair, g, grads, block);
        }
    }
    if (CHANNELS && phase == 0)
        write_gradients(pair, g, grads, 0);
}

#if !GIVEN
/* The gradient of rows `row` (r < 0) or row r of the lanes of increment `row` of the first path. */
AS_FN REAL lanes_sum(const REAL *grads, i64 row, int r, i64 order1, i64 channels, i64 c)
{
    const i64 first = (row << order1) / ROWS, last = (((row + 1) << order1) - 1) / ROWS;
    REAL sum = 0;
    for (i64 lane = first; lane <= last; lane++)
        sum += grads[((lane / 32 * (POINTS + 1) + r) * channels + c) * 32 + lane % 32];
    return sum;
}

extern "C" __global__ void sig_kernel_sum1(const REAL *__restrict__ grads, REAL *__restrict__ out,
                                           i64 first, i64 pairs, i64 count1, i64 count2, i64 length,
                                           i64 channels, i64 order1, i64 strips, REAL factor,
                                           i64 symmetric)
{
    const i64 from = first / count2, to = (first + pairs - 1) / count2 + 1;
    const i64 size = strips * (POINTS + 1) * channels * 32, rows = length - 1;
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < (to - from) * length * channels;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 c = q % channels, point = q / channels % length;
        const i64 path = from + q / channels / length, group = path / count1;
        const i64 own = path * count2, skipped = symmetric ? path - group * count1 : 0;
        const i64 end = min(own + count2, first + pairs);
        REAL sum = 0;
        for (i64 pair = max(own + skipped, first); pair < end; pair++) {
            const REAL *of_pair = grads + (pair - first) * size;
            /* the row of a point in a lane, and in that of the increment before it */
            const int at = (int)(point % COARSE), before = (int)((point + COARSE - 1) % COARSE);
            if (LINEAR) {
                if (point > 0)
                    sum += lanes_sum(of_pair, point - 1, before, order1, channels, c);
                if (point < rows)
                    sum -= lanes_sum(of_pair, point, at, order1, channels, c);
            } else {
                if (point < rows)
                    sum += lanes_sum(of_pair, point, at, order1, channels, c);
                if (point > 0 && (before + 1 == COARSE || point == rows))
                    sum += lanes_sum(of_pair, point - 1, before + 1, order1, channels, c);
            }
        }
        REAL *target = out + path * length * channels + point * channels + c;
        *target = (first <= own ? REAL(0) : *target) + sum * factor;
    }
}

extern "C" __global__ void sig_kernel_sum2(const REAL *__restrict__ grads, REAL *__restrict__ out,
                                           i64 first, i64 pairs, i64 count1, i64 count2, i64 length,
                                           i64 channels, i64 symmetric)
{
    const i64 from = first / (count1 * count2), to = (first + pairs - 1) / (count1 * count2) + 1;
    const i64 rows = length - LINEAR;
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x;
         q < (to - from) * count2 * length * channels; q += (i64)gridDim.x * blockDim.x) {
        const i64 c = q % channels, point = q / channels % length, path = q / channels / length;
        const i64 j = path % count2, own = (from + path / count2) * count1 * count2 + j;
        const i64 end = min(first + pairs, own + (symmetric ? j + 1 : count1) * count2);
        i64 pair = own;
        if (pair < first)
            pair += (first - own + count2 - 1) / count2 * count2;
        REAL sum = 0;
        for (; pair < end; pair += count2) {
            const REAL *of_pair = grads + (pair - first) * rows * channels + c;
            if (!LINEAR)
                sum += of_pair[point * channels];
            if (LINEAR && point > 0)
                sum += of_pair[(point - 1) * channels];
            if (LINEAR && point < rows)
                sum -= of_pair[point * channels];
        }
        REAL *target = out + ((from * count2 + path) * length + point) * channels + c;
        *target = (first <= own ? REAL(0) : *target) + sum;
    }
}
#endif
