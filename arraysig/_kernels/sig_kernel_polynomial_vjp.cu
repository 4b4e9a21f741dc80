/* Gradients of signature kernels on cells of polynomial.cuh: the adjoint of their scheme.
 *
 * Edges at the end of a cell are linear in those at its start. With U = dF/dA' and V = dF/dB',
 *
 *     dF/dA[k] = (k >= 1) sum_{m >= k} U[m] p^(m-k) / (m-k)! + sum_m V[m] p^m / (m+k)!
 *     dF/dp = sum_{m > k >= 1} U[m] A[k] p^(m-1-k) / (m-1-k)!
 *           + sum_{m >= 1, k} U[m] B[k] m p^(m-1) / (m+k)!, and the same of V, B, A
 *
 * and dF/dB with U and V swapped; with FOLD it is the adjoint of slopes.cuh. dF/dA is U of the cell
 * below, dF/dB is V of the cell on the left. At the end of the last row and column both are known,
 * and 0 at that of others; with GRID both get what dF/dK of the node there gives, at the end of
 * every cell. All of it runs backwards in the order of goursat.cuh, lanes get U from the lane
 * below; edges of a phase are made anew from the front of its lanes at its start, which one more
 * walk along the strip keeps; and A above strips is kept by a walk along all strips. What dF/dp
 * makes of it: goursat_vjp.cuh.
 *
 *   sig_kernel_polynomial_vjp   grad (groups, count1, count2), path1 (groups, count1, length1,
 *                    channels), path2 (groups, count2, length2, channels) -> grads1 (grid, ...) and
 *                    grads2 (grid, ...) of goursat_vjp.cuh, of pairs number `first` to first + grid
 *                    - 1. With `symmetric`, pairs below the diagonal are left out, and count for
 *                    those above. Both paths have two points or more. Of given increments
 *                    path1 is (groups, length1 - 1, length2 - 1), and path2 nothing; grads1 is
 *                    like path1, for all pairs, and grads2 nothing.
 *                    A block is a pair; its warps take strips in turn.
 *                    rows (grid, strips, columns, TERMS): A above strip s + 1, and in the last one
 *                    U; fronts (grid, warps, phases, FRONT, 32); room (grid, warps, AT_KEEP +
 *                    KEPT, 32): numbers of lanes, but for IN_REGISTERS.
 *                    Dynamic shared memory: see the pointers below.
 *
 * Macros: see polynomial.cuh.
 */
#include "polynomial.cuh"
#include "goursat_vjp.cuh"

constexpr int KEPT = STEPS * ROWS * 2 * TERMS; /* edges of a lane in a phase */

AS_FN void save(Front &f, REAL *to)
{
    INNER_LOOP
    for (int k = 0; k < TERMS; k++) {
        to[k * 32] = f.a[k];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            to[((r + 1) * TERMS + k) * 32] = f.b[r][k];
    }
}

AS_FN void restore(Front &f, const REAL *from)
{
    INNER_LOOP
    for (int k = 0; k < TERMS; k++) {
        f.a[k] = from[k * 32];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            f.b[r][k] = from[((r + 1) * TERMS + k) * 32];
    }
}

/* What a lane knows of the adjoint: U on top of its first row, in the last step, V on the left of
 * its rows, and dF/dp behind the last step but for the linear kernel. */
struct Back {
    Numbers<TERMS> u, v[ROWS];
    REAL before[ROWS];
};

AS_FN void place(Back &back, REAL *room)
{
    back.u.place(room, AT_U);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        back.v[r].place(room, AT_V);
}

/* `weight` is dF/d(value of the pair), and `end` the number of the last row in those of the lane.
 * With FOLD V[0], which has no other use, keeps it for U. */
AS_FN void start(Back &back, REAL weight, i64 end)
{
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        back.before[r] = 0;
    INNER_LOOP
    for (int k = 0; k < TERMS; k++) {
        back.u[k] = 0;
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            back.v[r][k] = r != end ? REAL(0)
                           : FOLD   ? weight * REAL(k == 0)
                                    : REAL(0.5) * weight * factorials[k];
    }
}

#if FOLD
#include "slopes_vjp.cuh"
#else
/* From U and V at the end of a cell to those at its start, where the edges are a and b; dF/dp. */
AS_FN REAL back_cell(Numbers<TERMS> &u, Numbers<TERMS> &v, const REAL *a, const REAL *b, REAL p,
                     REAL *room)
{
    Numbers<TERMS> x, y, powers; /* U[m] p^m, V[m] p^m, p^m / m! */
    x.place(room, AT_X);
    y.place(room, AT_Y);
    powers.place(room, AT_POWERS);
    REAL power = 1, slope = 0, sum = 0; /* p^m, p^(m-1) */
    OUTER_LOOP
    for (int m = 0; m < TERMS; m++) {
        if (m) {
            REAL of_a = 0, of_b = 0;
            INNER_LOOP
            for (int k = ORDER; k >= 0; k--) {
                of_a += a[k * 32] * factorials[m + k];
                of_b += b[k * 32] * factorials[m + k];
            }
            sum += (u[m] * of_b + v[m] * of_a) * (REAL(m) * slope);
        }
        x[m] = u[m] * power;
        y[m] = v[m] * power;
        powers[m] = power * factorials[m];
        slope = power;
        power *= p;
    }
    OUTER_LOOP
    for (int k = 0; k < TERMS; k++) {
        REAL of_u = 0, of_v = 0;
        INNER_LOOP
        for (int m = TERMS - 1; m >= k; m--) {
            of_u += u[m] * powers[m - k];
            of_v += v[m] * powers[m - k];
        }
        if (k > 1)
            sum += UNIT * (a[(k ? k - 1 : 0) * 32] * of_u + b[(k ? k - 1 : 0) * 32] * of_v);
        if (k < 1)
            of_u = of_v = 0;
        INNER_LOOP
        for (int m = TERMS - 1; m >= 0; m--) {
            of_u += y[m] * factorials[m + k];
            of_v += x[m] * factorials[m + k];
        }
        u[k] = of_u;
        v[k] = of_v;
    }
    return sum;
}
#endif

/* A phase backwards; p becomes what weighs the gradients: dF/dp of the increments that end with a
 * step, less that of the increments behind them but for the linear kernel, for the points behind
 * them. `in` and `out` have U of the last and of the first lane. */
AS_FN void backward_phase(const Pair &pair, Back &back, REAL *p, const REAL *keep, const REAL *in,
                          REAL *out, const Nodes<const REAL> &seeds, i64 row, i64 j, int lane,
                          REAL *room)
{
    const Window window = window_of(pair, j);
    const i64 end = pair.last1 - 1 - row;
#pragma unroll 1
    for (int t = STEPS - 1; t >= 0; t--) {
        const bool on = window.from <= t && t < window.to;
        INNER_LOOP
        for (int k = 0; k < TERMS; k++) {
            REAL number = __shfl_down_sync(FULL, back.u[k], 1);
            if (lane == 31)
                number = in[t * TERMS + k];
            if (on)
                back.u[k] = number;
        }
        if (on) {
#pragma unroll
            for (int r = ROWS - 1; r >= 0; r--) {
                const REAL *a = keep + (t * ROWS + r) * 2 * TERMS * 32, *b = a + TERMS * 32;
                if (!GRID && r == end && j + t == pair.steps - 1) {
                    INNER_LOOP
                    for (int k = 0; k < TERMS; k++)
                        back.u[k] = FOLD ? back.v[r][0] * end_of_a(k) : back.v[r][k];
                }
                if (GRID && r <= end) {
                    const REAL seed = seeds.first[r * seeds.width + j + t];
                    INNER_LOOP
                    for (int k = 0; k < TERMS; k++) {
                        back.u[k] += seed * end_of_a(k);
                        back.v[r][k] += seed * end_of_b(k);
                    }
                }
                REAL &to = p[(t * ROWS + r) * 32];
                REAL sum = 0;
                if (r <= end)
                    sum = back_cell(back.u, back.v[r], a, b, to * REAL(1. / (UNIT * UNIT)), room) *
                          REAL(1. / (UNIT * UNIT));
                to = sum - back.before[r];
                if constexpr (OF_POINTS)
                    back.before[r] = sum;
            }
        }
        if (lane == 0) {
            INNER_LOOP
            for (int k = 0; k < TERMS; k++)
                out[t * TERMS + k] = back.u[k];
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
    sig_kernel_polynomial_vjp(const REAL *__restrict__ grad, const REAL *__restrict__ path1,
                              const REAL *__restrict__ path2, REAL *grads1, REAL *grads2,
                              REAL *rows, REAL *fronts, REAL *room, i64 first, i64 count1,
                              i64 count2, i64 length1, i64 length2, i64 channels, i64 order1,
                              i64 split, REAL p0, REAL p1, REAL p2, i64 power, REAL scale,
                              i64 symmetric)
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

    constexpr int row_size = STEPS * TERMS, z_size = ENTRIES * POINTS * 32;
    constexpr int p_size = STEPS * COARSE * 32, keep_size = IN_REGISTERS ? KEPT * 32 : 0;
    REAL *in = (REAL *)memory +
               warp * (2 * row_size + STEPS * BLOCK + z_size + OF_POINTS * p_size + keep_size);
    REAL *out = in + row_size, *stage = out + row_size, *z = stage + STEPS * BLOCK + lane;
    REAL *p = OF_POINTS ? z + z_size : z;
    const i64 columns = pair.steps * TERMS, last = pair.strips - 1;
    const i64 gradient = (POINTS + 1) * (i64)pair.channels * 32;
    rows += blockIdx.x * pair.strips * columns;
    fronts += (blockIdx.x * (i64)warps + warp) * pair.phases * FRONT * 32 + lane;
    room += IN_REGISTERS ? 0 : (blockIdx.x * (i64)warps + warp) * (AT_KEEP + KEPT) * 32 + lane;
    grads1 += GIVEN ? number * pair.last1 * pair.last2 : blockIdx.x * pair.strips * gradient + lane;
    grads2 += blockIdx.x * (pair.last2 + !LINEAR) * pair.channels;
    REAL *keep = IN_REGISTERS ? p + p_size : room + AT_KEEP * 32;
    REAL *sums = rows + last * columns; /* U */

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
                forward_phase<false>(pair, front, p, strip == 0, in, out, pair.last1 - 1 - row,
                                     step - lane, lane, nullptr, room);
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
        Front front;
        Back back;
        Gradients g;
        place(front, room);
        place(back, room);
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
                forward_phase<false>(pair, front, p, strip == 0, in, out, pair.last1 - 1 - row,
                                     step - lane, lane, nullptr, room);
                __syncwarp();
            }
        }
        start(back, weight, pair.last1 - 1 - row);
        start(g);
#pragma unroll 1
        for (i64 t = 0; t < pair.phases + DELAY * (warps - 1); t++) {
            const i64 phase = pair.phases - 1 - (t - DELAY * warp), step = phase * STEPS;
            if (on && 0 <= phase && phase < pair.phases) {
                restore(front, fronts + phase * FRONT * 32);
                load_row(in, above, step, pair.steps, lane);
                columns_of_z(pair, points, z, row, step - lane, ENTRIES);
                increments(pair, z, p, step - lane);
                forward_phase<true>(pair, front, p, strip == 0, in, nullptr, pair.last1 - 1 - row,
                                    step - lane, lane, keep, room);
                __syncwarp();
                load_row(in, fresh ? nullptr : sums, step - 31, pair.steps, lane);
                backward_phase(pair, back, p, keep, in, out, seeds, row, step - lane, lane, room);
                store_row(strip ? sums : nullptr, out, step, pair.steps, lane);
                phase_gradients(pair, g, points, back.before, p, z, stage, grads, grads2, row,
                                strip, phase, lane, fresh);
            }
            __syncthreads();
        }
    }
}
