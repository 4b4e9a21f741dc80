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
 * at that of all others; with GRID it gets dF/dK of every node that it passes. Lanes get P from the
 * lane below; what sums of dF/dp over the cells of an increment make of it: goursat_vjp.cuh.
 *
 * Macros: see goursat.cuh.
 */
#include "differences.cuh"
#include "goursat_vjp.cuh"

#define KEEP_STRIP 0
constexpr int SAVED = ROWS + 1 + COLUMNS, HELD = STEPS * COLUMNS * (ROWS + 1), HELD_AT = -1;
constexpr int ROOM_VJP = 0, SEED_AT = COLUMNS - 1;

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

AS_FN void place(Back &, REAL *) {}

AS_FN REAL seed_of(const Front &, REAL weight) { return weight; }

AS_FN void start(Back &back, REAL, i64)
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

/* `in` and `out` have P. */
AS_FN void backward_phase(const Pair &pair, Back &back, const Front &f, REAL *p, const REAL *keep,
                          const REAL *in, REAL *out, const Nodes<const REAL> &seeds, i64 row, i64 j,
                          int lane, REAL *)
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
                add_step(edges[i] * (REAL(0.5) + sixth) + corners[i] * sixth, row + i < pair.last1,
                         ends, back.sum[i], back.before[i], p[(t * COARSE + i) * 32]);
            }
        }
        if (lane == 0) {
#pragma unroll
            for (int q = 0; q < COLUMNS; q++)
                out[t * COLUMNS + q] = back.top[q];
        }
    }
}

#include "pairs_backward.cuh"
