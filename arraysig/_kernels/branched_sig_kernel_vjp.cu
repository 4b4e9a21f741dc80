/* Gradients of branched signature kernels: the adjoint of the sums of branched.cuh.
 *
 * With e_m = K_m dF/dK_m, the derivative with respect to E_m in a node alone, and U_m of a cell the
 * sum of e_m over the node at its end and all beyond,
 *
 *     U(i, j) = U(i, j+1) + G(i, j),   G(i, j) = G(i+1, j) + e(i+1, j+1)
 *     dF/dp(i, j) = sum over m of U_m S_{m-1} / 4
 *     dF/dK_{m-1}(node) = sum of p U_m / 4 over its four cells
 *
 * depth after depth, the last one first, in every cell, from right to left and from below. A row
 * hands up, for each depth, G and what its cells add to e of the row above. All of it runs
 * backwards in the order of goursat.cuh. K of a strip is kept by one more walk along it, and what
 * is handed down above strips by a walk along all strips.
 *
 * What sums of dF/dp over the cells of an increment make of it: goursat_vjp.cuh.
 *
 *   branched_sig_kernel_vjp  as sig_kernel_vjp of sig_kernel_vjp.cu, but for
 *                    rows (grid, strips, columns of the grid, COLUMNS): what is handed down above
 *                    strip s + 1, and in the last one what is handed up;
 *                    kept (grid, warps, phases, STEPS, KEPT, 32): K of a strip;
 *                    without IN_REGISTERS room (grid, warps, (FRONT + BACK) 32 + 2 STEPS COLUMNS).
 *
 * Macros: see branched.cuh.
 */
#include "branched.cuh"
#include "goursat_vjp.cuh"

constexpr int AT_U = FRONT, AT_TOP = AT_U + DEPTH * ROWS, BACK = DEPTH * (ROWS + 1);

/* What a lane knows of the adjoint: U of the column on the right, p / 4 there, what its first row
 * has handed up in the last step, and sums of dF/dp for the increments it is in, and for those
 * before. */
struct Back {
    Numbers<DEPTH * ROWS> u;
    Numbers<DEPTH> top;
    REAL right[COARSE], sum[COARSE], before[COARSE];
};

AS_FN void place(Back &back, REAL *room)
{
    back.u.place(room, AT_U);
    back.top.place(room, AT_TOP);
}

AS_FN void start(Back &back)
{
    OUTER_LOOP
    for (int q = 0; q < DEPTH * ROWS; q++)
        back.u[q] = 0;
    OUTER_LOOP
    for (int m = 0; m < DEPTH; m++)
        back.top[m] = 0;
#pragma unroll
    for (int i = 0; i < COARSE; i++)
        back.right[i] = back.sum[i] = back.before[i] = 0;
}

/* A phase backwards. p becomes what weighs the gradients: dF/dp of the increments that end with a
 * step, less that of the increments behind them but for the linear kernel, for the points behind
 * them. `keep` has K of the phase, behind that of the phases before; `in` and `out` have what the
 * last lane gets and what the first one hands up. */
AS_FN void backward_phase(const Pair &pair, Back &back, REAL *p, const REAL *keep, const REAL *in,
                          REAL *out, const Nodes<const REAL> &seeds, i64 row, i64 j, int lane)
{
    const Window window = window_of(pair, j);
#pragma unroll 1
    for (int t = STEPS - 1; t >= 0; t--) {
        const bool on = window.from <= t && t < window.to;
        REAL here[COARSE], of_p[COARSE], shares[ROWS]; /* sums of p U / 4 over both columns */
#pragma unroll
        for (int i = 0; i < COARSE; i++) {
            here[i] = REAL(0.25) * p[(t * COARSE + i) * 32];
            of_p[i] = 0;
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            shares[r] = 0;
        OUTER_LOOP
        for (int m = DEPTH - 1; m >= 0; m--) {
            REAL g = __shfl_down_sync(FULL, back.top[m], 1);
            if (lane == 31)
                g = in[t * COLUMNS + m];
            if (on) {
                const REAL *k = keep + (t * KEPT + m * (ROWS + 1)) * 32;
                const REAL *right = m > 0 ? k - (ROWS + 1) * 32 : nullptr;
                const REAL *left = m > 0 ? right - KEPT * 32 : nullptr;
                const bool border = j + t == 0; /* with K = 1 on the left */
                REAL below = 0, lower = 0;      /* of the row below; of the lower corners */
                if (m > 0)
                    lower = right[ROWS * 32] + (border ? REAL(1) : left[ROWS * 32]);
#pragma unroll
                for (int r = ROWS - 1; r >= 0; r--) {
                    const int i = r >> ROW_ORDER;
                    if (m < LOWER)
                        g += k[(r + 1) * 32] * (shares[r] + below);
                    else if (GRID && r < seeds.rows)
                        g += k[(r + 1) * 32] * seeds.first[r * seeds.width + j + t];
                    below = shares[r];
                    const REAL old = back.u[m * ROWS + r], u = old + g;
                    back.u[m * ROWS + r] = u;
                    REAL s = 4;
                    if (m > 0) {
                        const REAL upper = right[r * 32] + (border ? REAL(1) : left[r * 32]);
                        s = lower + upper;
                        lower = upper;
                    }
                    of_p[i] += u * s;
                    shares[r] = here[i] * u + back.right[i] * old;
                }
                back.top[m] = m < LOWER ? g + k[0] * below : g;
            }
            if (lane == 0)
                out[t * COLUMNS + m] = back.top[m];
        }
        if (on) {
            const bool ends = ((window.done + t) & window.mask) == 0;
#pragma unroll
            for (int i = 0; i < COARSE; i++) {
                back.right[i] = here[i];
                if (row + i < pair.last1)
                    back.sum[i] += REAL(0.25) * of_p[i];
                if (ends) {
                    p[(t * COARSE + i) * 32] = back.sum[i] - back.before[i];
                    if constexpr (OF_POINTS)
                        back.before[i] = back.sum[i];
                    back.sum[i] = 0;
                }
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
    branched_sig_kernel_vjp(const REAL *__restrict__ grad, const REAL *__restrict__ path1,
                            const REAL *__restrict__ path2, REAL *grads1, REAL *grads2, REAL *rows,
                            REAL *kept, REAL *room, i64 first, i64 count1, i64 count2, i64 length1,
                            i64 length2, i64 channels, i64 order1, i64 split, REAL p0, REAL p1,
                            REAL p2, i64 power, REAL scale, i64 symmetric)
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
    constexpr int p_size = STEPS * COARSE * 32;
    REAL *shared = (REAL *)memory + warp * (2 * row_size * IN_REGISTERS + STEPS * BLOCK + z_size +
                                            OF_POINTS * p_size);
    REAL *in = shared, *stage = shared + 2 * row_size * IN_REGISTERS;
    REAL *z = stage + STEPS * BLOCK + lane, *p = OF_POINTS ? z + z_size : z;
    if (!IN_REGISTERS) {
        room += (blockIdx.x * (i64)warps + warp) * ((FRONT + BACK) * 32 + 2 * row_size);
        in = room + (FRONT + BACK) * 32;
        room += lane;
    }
    REAL *out = in + row_size;
    const i64 columns = pair.steps * COLUMNS, last = pair.strips - 1;
    const i64 gradient = (POINTS + 1) * (i64)pair.channels * 32;
    rows += blockIdx.x * pair.strips * columns;
    if (KEPT) /* else there is none */
        kept += (blockIdx.x * (i64)warps + warp) * pair.phases * STEPS * KEPT * 32 + lane;
    grads1 += GIVEN ? number * pair.last1 * pair.last2 : blockIdx.x * pair.strips * gradient + lane;
    grads2 += blockIdx.x * (pair.last2 + !LINEAR) * pair.channels;
    REAL *sums = rows + last * columns;

    for (i64 base = 0; base < last; base += warps) {
        const i64 strip = base + warp, row = first_row(pair, strip, lane);
        Points points;
        Front front;
        place(front, room);
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
                forward_phase<false>(pair, front, p, strip == 0, in, out, step - lane, lane,
                                     nullptr);
                store_row(rows + strip * columns, out, step - 31, pair.steps, lane);
            }
            __syncthreads();
        }
    }

    for (i64 base = 0; base <= last; base += warps) {
        const i64 strip = last - base - warp, row = first_row(pair, strip, lane);
        const REAL *above = strip > 0 ? rows + (strip - 1) * columns : nullptr;
        const bool on = strip >= 0, fresh = strip == last;
        const Nodes<const REAL> seeds = nodes_of(pair, grad, number, 1, strip, lane);
        REAL *grads = grads1 + (GIVEN ? 0 : strip * gradient);
        Points points;
        Back back;
        Gradients g;
        REAL seed = 0; /* e of the last node */
        place(back, room);
        if (on) {
            Front front;
            place(front, room);
            if constexpr (CHANNELS)
                points = points_of(pair, row, 0);
            start(front);
#pragma unroll 1
            for (i64 phase = 0; phase < pair.phases; phase++) {
                const i64 step = phase * STEPS;
                load_row(in, above, step, pair.steps, lane);
                columns_of_z(pair, points, z, row, step - lane, ENTRIES);
                increments(pair, z, p, step - lane);
                forward_phase<true>(pair, front, p, strip == 0, in, nullptr, step - lane, lane,
                                    kept + step * KEPT * 32);
                __syncwarp();
            }
            if (!GRID && fresh)
                seed = weight * exp(__shfl_sync(FULL, front.e[DEPTH * ROWS - 1], 31));
        }
        start(back);
        start(g);
#pragma unroll 1
        for (i64 t = 0; t < pair.phases + DELAY * (warps - 1); t++) {
            const i64 phase = pair.phases - 1 - (t - DELAY * warp), step = phase * STEPS;
            if (on && 0 <= phase && phase < pair.phases) {
                columns_of_z(pair, points, z, row, step - lane, ENTRIES);
                increments(pair, z, p, step - lane);
                load_row(in, fresh ? nullptr : sums, step - 31, pair.steps, lane);
                if (!GRID && fresh && lane == 0) {
                    const i64 end = pair.steps - (step - 31) - 1;
                    if (0 <= end && end < STEPS)
                        in[end * COLUMNS + DEPTH - 1] = seed;
                }
                __syncwarp();
                backward_phase(pair, back, p, kept + step * KEPT * 32, in, out, seeds, row,
                               step - lane, lane);
                store_row(strip ? sums : nullptr, out, step, pair.steps, lane);
                phase_gradients(pair, g, points, back.before, p, z, stage, grads, grads2, row,
                                strip, phase, lane, fresh);
            }
            __syncthreads();
        }
    }
}
