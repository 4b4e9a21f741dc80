/* Gradients of signature kernels: the adjoint of the scheme of goursat.cuh.
 *
 * With g = dF/dK in the node (i, j) of the grid, u of a cell that of its lower right node, and
 * u(i, j-1) that of the cell on the left,
 *
 *     u(i, j-1) = u(i, j) + P(i+1) + a(i, j) u(i, j)
 *     P(i) = P(i+1) + a(i, j) u(i, j) + a(i, j-1) u(i, j-1) + b(i, j) u(i, j)
 *     dF/dp(i, j) = u ((K(i+1, j) + K(i, j+1)) (1/2 + p/6) + K(i, j) p/6)
 *
 * from right to left and from below, where P is one for each column j-1: what it adds to row i
 * comes from rows i and below. P is dF/dK of the pair at the lower end of the last column, and 0
 * at that of all others. All of it runs backwards in the order of goursat.cuh, lanes get P from
 * the lane below; K of a phase is made anew from the front of its lanes at its start, which one
 * more walk along the strip keeps; and h above strips is kept by a walk along all strips.
 *
 * Sums of dF/dp over the cells of an increment give gradients: of increments for the linear kernel,
 * otherwise of points, for which an increment counts at its four corners with signs + - - +. Those
 * of the first path stay in their lane; those of the second go up from lane to lane.
 *
 *   sig_kernel_vjp   grad (groups, count1, count2), path1 (groups, count1, length1, channels),
 *                    path2 (groups, count2, length2, channels) -> of pairs number `first` to
 *                    first + grid - 1: grads1 (grid, strips, POINTS + 1, channels, 32), of the
 *                    points or increments of each lane, and a row of its own; grads2 (grid,
 *                    length2 - LINEAR, channels). With `symmetric`, pairs below the diagonal are
 *                    left out, and count for those above. Both paths have two points or more.
 *                    A block is a pair; its warps take strips in turn.
 *                    rows (grid, strips, columns of the grid): h above strip s + 1, and in the
 *                    last one P; fronts (grid, warps, phases, ROWS + 1 + COLUMNS, 32).
 *                    Dynamic shared memory: see the pointers below.
 *   sig_kernel_sum1  adds grads1 to out (groups, count1, length1, channels)
 *   sig_kernel_sum2  adds grads2 to out (groups, count2, length2, channels); both write where no
 *                    earlier launch has had a pair of the path. `pairs` is the grid of the above.
 *
 * Macros: see goursat.cuh.
 */
#include "goursat.cuh"

constexpr int FRONT = ROWS + 1 + COLUMNS;

AS_FN void save(const Front &f, REAL *to)
{
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        to[r * 32] = f.left[r];
    to[ROWS * 32] = f.corner;
#pragma unroll
    for (int q = 0; q < COLUMNS; q++)
        to[(ROWS + 1 + q) * 32] = f.bottom[q];
}

AS_FN void restore(Front &f, const REAL *from)
{
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        f.left[r] = from[r * 32];
    f.corner = from[ROWS * 32];
#pragma unroll
    for (int q = 0; q < COLUMNS; q++)
        f.bottom[q] = from[(ROWS + 1 + q) * 32];
}

/* What a lane knows of the adjoint: u of the last column, a and b there, P of its first row in the
 * last step, and sums of dF/dp for the increments it is in, and for those before. */
struct Back {
    REAL u[ROWS], a[COARSE], b[COARSE], top[COLUMNS], sum[COARSE], before[COARSE];
};

AS_FN void start(Back &back)
{
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        back.u[r] = 0;
#pragma unroll
    for (int i = 0; i < COARSE; i++)
        back.a[i] = back.b[i] = back.sum[i] = back.before[i] = 0;
#pragma unroll
    for (int q = 0; q < COLUMNS; q++)
        back.top[q] = 0;
}

/* A phase backwards. `f` is the front behind it; p becomes what weighs the gradients: dF/dp of the
 * increments that end with a step, less that of the increments behind them but for the linear
 * kernel, for the points behind them. `in` and `out` have P of the last and of the first lane. */
AS_FN void backward_phase(const Pair &pair, Back &back, const Front &f, REAL *p, const REAL *keep,
                          const REAL *in, REAL *out, i64 row, i64 j, int lane)
{
    const Window window = window_of(pair, j);
    REAL right[ROWS], corner = f.corner; /* K on the right of the column */
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        right[r] = f.left[r];
#pragma unroll 1
    for (int t = STEPS - 1; t >= 0; t--) {
        REAL sums[COLUMNS]; /* P */
#pragma unroll
        for (int q = 0; q < COLUMNS; q++) {
            sums[q] = __shfl_down_sync(FULL, back.top[q], 1);
            if (lane == 31)
                sums[q] = in[t * COLUMNS + q];
        }
        if (window.from <= t && t < window.to) {
            const Cell cell = cell_of(p + t * COARSE * 32);
            REAL edges[COARSE], corners[COARSE]; /* sums of u (K + K), of u K */
#pragma unroll
            for (int i = 0; i < COARSE; i++)
                edges[i] = corners[i] = 0;
#pragma unroll
            for (int q = COLUMNS - 1; q >= 0; q--) {
                const REAL *from = keep + (t * COLUMNS + q) * (ROWS + 1) * 32;
                REAL l = from[ROWS * 32], s = sums[q];
#pragma unroll
                for (int r = ROWS - 1; r >= 0; r--) {
                    const int i = r >> ROW_ORDER;
                    const bool last = q == COLUMNS - 1;
                    const REAL a = last ? back.a[i] : cell.a[i], b = last ? back.b[i] : cell.b[i];
                    const REAL d = from[r * 32], up = r ? right[r - 1] : corner;
                    const REAL old = back.u[r], u = old + (s + a * old);
                    s = cell.a[i] * u + (s + (a + b) * old);
                    edges[i] += u * (l + up);
                    corners[i] += u * d;
                    back.u[r] = u;
                    right[r] = l;
                    l = d;
                }
                corner = l;
                back.top[q] = s;
            }
            const bool ends = ((window.done + t) & window.mask) == 0;
#pragma unroll
            for (int i = 0; i < COARSE; i++) {
                back.a[i] = cell.a[i];
                back.b[i] = cell.b[i];
                const REAL sixth = cell.p[i] * REAL(1. / 6);
                if (row + i < pair.last1)
                    back.sum[i] += edges[i] * (REAL(0.5) + sixth) + corners[i] * sixth;
                if (ends) {
                    p[(t * COARSE + i) * 32] = back.sum[i] - back.before[i];
                    if constexpr (!LINEAR)
                        back.before[i] = back.sum[i];
                    back.sum[i] = 0;
                }
            }
        }
        if (lane == 0) {
#pragma unroll
            for (int q = 0; q < COLUMNS; q++)
                out[t * COLUMNS + q] = back.top[q];
        }
    }
}

/* Gradients of a lane, for a block of channels: of its points or increments, and what goes up. */
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
            add_column(pair, g, points, w + t * COARSE * 32, z + (t + !LINEAR) * POINTS * 32,
                       window.column + (at >> pair.split) + !LINEAR, block);
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
            REAL *to = total + ((at >> pair.split) + !LINEAR) * pair.channels + c;
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

extern "C" __global__ void __launch_bounds__(256, 1)
    sig_kernel_vjp(const REAL *__restrict__ grad, const REAL *__restrict__ path1,
                   const REAL *__restrict__ path2, REAL *grads1, REAL *grads2, REAL *rows,
                   REAL *fronts, i64 first, i64 count1, i64 count2, i64 length1, i64 length2,
                   i64 channels, i64 order1, i64 split, REAL p0, REAL p1, REAL p2, i64 power,
                   REAL scale, i64 symmetric)
{
    extern __shared__ __align__(16) unsigned char memory[];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const i64 number = first + blockIdx.x, i = number / count2, j = number - i * count2;
    const i64 group = i / count1;
    if (symmetric && i - group * count1 > j)
        return;
    const Pair pair =
        pair_of(path1 + i * length1 * channels, path2 + (group * count2 + j) * length2 * channels,
                length1, length2, channels, order1, split, scale, p0, p1, p2, power);
    REAL weight = grad[number];
    if (symmetric && i - group * count1 < j)
        weight += grad[(group * count1 + j) * count2 + i - group * count1];

    constexpr int row_size = STEPS * COLUMNS, z_size = ENTRIES * POINTS * 32;
    constexpr int p_size = STEPS * COARSE * 32, keep_size = row_size * (ROWS + 1) * 32;
    REAL *in = (REAL *)memory +
               warp * (2 * row_size + STEPS * BLOCK + z_size + !LINEAR * p_size + keep_size);
    REAL *out = in + row_size, *stage = out + row_size, *z = stage + STEPS * BLOCK + lane;
    REAL *p = LINEAR ? z : z + z_size, *keep = p + p_size;
    const i64 columns = pair.steps * COLUMNS, last = pair.strips - 1;
    const i64 gradient = (POINTS + 1) * (i64)pair.channels * 32;
    rows += blockIdx.x * pair.strips * columns;
    fronts += (blockIdx.x * (i64)warps + warp) * pair.phases * FRONT * 32 + lane;
    grads1 += blockIdx.x * pair.strips * gradient + lane;
    grads2 += blockIdx.x * (pair.last2 + !LINEAR) * pair.channels;
    REAL *sums = rows + last * columns; /* P */

    for (i64 base = 0; base < last; base += warps) {
        const i64 strip = base + warp, row = first_row(pair, strip, lane);
        Points points;
        Front front;
        if constexpr (CHANNELS)
            points = points_of(pair, row, 0);
        start(front);
#pragma unroll 1
        for (i64 t = 0; t < pair.phases + DELAY * (warps - 1); t++) {
            const i64 phase = t - DELAY * warp, step = phase * STEPS;
            if (strip < last && 0 <= phase && phase < pair.phases) {
                load_row(in, strip ? rows + (strip - 1) * columns : nullptr, step, pair.steps,
                         lane);
                columns_of_z(pair, points, z, row, step - lane, ENTRIES);
                increments(pair, z, p, step - lane);
                forward_phase<false>(pair, front, p, in, out, step - lane, lane, nullptr);
                store_row(rows + strip * columns, out, step - 31, pair.steps, lane);
            }
            __syncthreads();
        }
    }

    for (i64 base = 0; base <= last; base += warps) {
        const i64 strip = last - base - warp, row = first_row(pair, strip, lane);
        const REAL *above = strip > 0 ? rows + (strip - 1) * columns : nullptr;
        const bool on = strip >= 0, fresh = strip == last;
        REAL *grads = grads1 + strip * gradient;
        Points points;
        Front front;
        Back back;
        Gradients g;
        if (on) {
            if constexpr (CHANNELS)
                points = points_of(pair, row, 0);
            start(front);
#pragma unroll 1
            for (i64 phase = 0; phase < pair.phases; phase++) {
                const i64 step = phase * STEPS;
                save(front, fronts + phase * FRONT * 32);
                load_row(in, above, step, pair.steps, lane);
                columns_of_z(pair, points, z, row, step - lane, ENTRIES);
                increments(pair, z, p, step - lane);
                forward_phase<false>(pair, front, p, in, out, step - lane, lane, nullptr);
                __syncwarp();
            }
        }
        start(back);
        start(g);
#pragma unroll 1
        for (i64 t = 0; t < pair.phases + DELAY * (warps - 1); t++) {
            const i64 phase = pair.phases - 1 - (t - DELAY * warp), step = phase * STEPS;
            if (on && 0 <= phase && phase < pair.phases) {
                restore(front, fronts + phase * FRONT * 32);
                load_row(in, above, step, pair.steps, lane);
                columns_of_z(pair, points, z, row, step - lane, ENTRIES);
                increments(pair, z, p, step - lane);
                forward_phase<true>(pair, front, p, in, nullptr, step - lane, lane, keep);
                __syncwarp();
                load_row(in, fresh ? nullptr : sums, step - 31, pair.steps, lane);
                if (fresh && lane == 0) {
                    const i64 end = (pair.steps - (step - 31)) * COLUMNS - 1;
                    if (0 <= end && end < row_size)
                        in[end] = weight;
                }
                __syncwarp();
                backward_phase(pair, back, front, p, keep, in, out, row, step - lane, lane);
                store_row(strip ? sums : nullptr, out, step, pair.steps, lane);
                if constexpr (CHANNELS) {
                    add_phase(pair, g, points, p, z, stage, grads2, step - lane, lane, 0, fresh);
                } else {
#pragma unroll 1
                    for (int block = 0; block < pair.channels; block += BLOCK) {
                        points = points_of(pair, row, block);
                        if (phase < pair.phases - 1)
                            read_gradients(pair, g, grads, block);
                        else
                            start(g);
                        add_phase(pair, g, points, p, z, stage, grads2, step - lane, lane, block,
                                  fresh);
                        write_gradients(pair, g, grads, block);
                    }
                }
                if (!LINEAR && phase == 0) {
                    columns_of_z(pair, points, z, row, 0, 1);
#pragma unroll
                    for (int r = 0; r < COARSE; r++)
                        p[r * 32] = -back.before[r];
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
            __syncthreads();
        }
    }
}

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
