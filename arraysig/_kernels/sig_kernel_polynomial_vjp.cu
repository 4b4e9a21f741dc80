/* Gradients of signature kernels on cells of polynomial.cuh: the adjoint of their scheme.
 *
 * Edges at the end of a cell are linear in those at its start. With U = dF/dA' and V = dF/dB',
 *
 *     dF/dA[k] = (k >= 1) sum_{m >= k} U[m] p^(m-k) / (m-k)! + sum_m V[m] p^m / (m+k)!
 *     dF/dp = sum_{m > k >= 1} U[m] A[k] p^(m-1-k) / (m-1-k)!
 *           + sum_{m >= 1, k} U[m] B[k] m p^(m-1) / (m+k)!, and the same of V, B, A
 *
 * and dF/dB with U and V swapped, where k = 0 stands for half of both; with FOLD it is the adjoint
 * of slopes.cuh. dF/dA is U of the cell below, dF/dB is V of the cell on the left. At the end of
 * the last row and column both are known, and 0 at that of others; with GRID both get what dF/dK of
 * the node there gives, at the end of every cell. Lanes get U from the lane below; what dF/dp makes
 * of it: goursat_vjp.cuh.
 *
 * Macros: see polynomial.cuh.
 */
#include "polynomial.cuh"
#include "goursat_vjp.cuh"

#define KEEP_STRIP 0
constexpr int SAVED = (ROWS + 1) * TERMS, HELD = STEPS * ROWS * 2 * TERMS;
constexpr int HELD_AT = IN_REGISTERS ? -1 : AT_END;
constexpr int ROOM_VJP = IN_REGISTERS ? 0 : AT_END + HELD, SEED_AT = -1;

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

AS_FN REAL seed_of(const Front &, REAL weight) { return weight; }

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
        u[k] = k ? of_u : REAL(0.5) * (of_u + of_v);
        v[k] = k ? of_v : u[0];
    }
    return sum;
}
#endif

/* `in` and `out` have U. */
AS_FN void backward_phase(const Pair &pair, Back &back, const Front &, REAL *p, const REAL *keep,
                          const REAL *in, REAL *out, const Nodes<const REAL> &seeds, i64 row, i64 j,
                          int lane, REAL *room)
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

#include "pairs_backward.cuh"
