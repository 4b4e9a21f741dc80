/* Gradients of signature kernels: the adjoint of the scheme of differences.cuh.
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
 * at that of all others; with GRID it gets dF/dK of every node that it passes. All of it runs
 * backwards in the order of goursat.cuh, lanes get P from the lane below; K of a phase is made anew
 * from the front of its lanes at its start, which one more walk along the strip keeps; and h above
 * strips is kept by a walk along all strips.
 *
 * What sums of dF/dp over the cells of an increment make of it: goursat_vjp.cuh.
 *
 *   sig_kernel_vjp   grad (groups, count1, count2), path1 (groups, count1, length1, channels),
 *                    path2 (groups, count2, length2, channels) -> of pairs number `first` to
 *                    first + grid - 1: grads1 (grid, strips, POINTS + 1, channels, 32), of the
 *                    points or increments of each lane, and a row of its own; grads2 (grid,
 *                    length2 - LINEAR, channels). With `symmetric`, pairs below the diagonal are
 *                    left out, and count for those above. Both paths have two points or more.
 *                    Of given increments path1 is (groups, length1 - 1, length2 - 1), and path2
 *                    nothing; grads1 is like path1, for all pairs, and grads2 nothing.
 *                    A block is a pair; its warps take strips in turn.
 *                    rows (grid, strips, columns of the grid): h above strip s + 1, and in the
 *                    last one P; fronts (grid, warps, phases, ROWS + 1 + COLUMNS, 32).
 *                    Dynamic shared memory: see the pointers below.
 *
 * Macros: see goursat.cuh.
 */
#include "differences.cuh"
#include "goursat_vjp.cuh"

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
                          const REAL *in, REAL *out, const Nodes<const REAL> &seeds, i64 row, i64 j,
                          int lane)
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
                    if (GRID && r < seeds.rows)
                        s += seeds.first[r * seeds.width + (j + t) * COLUMNS + q];
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
                    if constexpr (OF_POINTS)
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
    const Pair pair = pair_of(path1, i, path2, group * count2 + j, length1, length2, channels,
                              order1, split, scale, p0, p1, p2, power);
    REAL weight = GRID ? REAL(0) : grad[number];
    if (symmetric && i - group * count1 < j)
        weight += grad[(group * count1 + j) * count2 + i - group * count1];

    constexpr int row_size = STEPS * COLUMNS, z_size = ENTRIES * POINTS * 32;
    constexpr int p_size = STEPS * COARSE * 32, keep_size = row_size * (ROWS + 1) * 32;
    REAL *in = (REAL *)memory +
               warp * (2 * row_size + STEPS * BLOCK + z_size + OF_POINTS * p_size + keep_size);
    REAL *out = in + row_size, *stage = out + row_size, *z = stage + STEPS * BLOCK + lane;
    REAL *p = OF_POINTS ? z + z_size : z, *keep = p + p_size;
    const i64 columns = pair.steps * COLUMNS, last = pair.strips - 1;
    const i64 gradient = (POINTS + 1) * (i64)pair.channels * 32;
    rows += blockIdx.x * pair.strips * columns;
    fronts += (blockIdx.x * (i64)warps + warp) * pair.phases * FRONT * 32 + lane;
    grads1 += GIVEN ? number * pair.last1 * pair.last2 : blockIdx.x * pair.strips * gradient + lane;
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
        const Nodes<const REAL> seeds = nodes_of(pair, grad, number, COLUMNS, strip, lane);
        REAL *grads = grads1 + (GIVEN ? 0 : strip * gradient);
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
                if (!GRID && fresh && lane == 0) {
                    const i64 end = (pair.steps - (step - 31)) * COLUMNS - 1;
                    if (0 <= end && end < row_size)
                        in[end] = weight;
                }
                __syncwarp();
                backward_phase(pair, back, front, p, keep, in, out, seeds, row, step - lane, lane);
                store_row(strip ? sums : nullptr, out, step, pair.steps, lane);
                phase_gradients(pair, g, points, back.before, p, z, stage, grads, grads2, row,
                                strip, phase, lane, fresh);
            }
            __syncthreads();
        }
    }
}
