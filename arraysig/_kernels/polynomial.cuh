/* Cells of signature kernels whose edges are polynomials, on strips of goursat.cuh.
 *
 * An edge is k(s) = sum_m A[m] s^m / m!, m = 0 ... ORDER, with s in [0, 1] along the edge. Of a
 * cell of increment p, with A on the lower edge (along the second path) and B on the left one,
 *
 *     A'[m] = sum_{1 <= k <= m} A[k] p^(m-k) / (m-k)! + p^m sum_{k >= 0} B[k] / (m+k)!
 *
 * on the upper edge, and B' on the right one with A and B swapped; A = 1 on the first row, B = 1 on
 * the first column. K in the node at the end of a cell is the mean of what both edges are there,
 * from which both edges of the next cell begin: A[0] and B[0] of that are set to their mean.
 * With FOLD all is as in slopes.cuh.
 *
 * A step is one column of cells; it hands A down, and a lane keeps B of its rows.
 *
 * Macros: see goursat.cuh, with ROW_ORDER = 0 and COLUMNS = ORDER + 1; and
 *   ORDER, FOLD
 *   FACTORIALS    u^n / n! for n = 0 ... 2 ORDER, separated by commas
 *   UNIT          u. Numbers are A[m] / u^m and p / u^2, in which everything above holds with
 *                 u^n / n! for 1 / n!; 1 unless float had too few exponents
 *   RATES, MOMENTS  of slopes.cuh, without FOLD nothing
 *   IN_REGISTERS  whether the numbers of a lane are; else ROWS = 1
 */
#include "goursat.cuh"
#include "numbers.cuh"

constexpr int TERMS = ORDER + 1;

/* Numbers of a lane in memory: where they begin. */
constexpr int AT_A = 0, AT_B = AT_A + TERMS, AT_X = AT_B + TERMS, AT_Y = AT_X + TERMS;
constexpr int AT_POWERS = AT_Y + TERMS, AT_U = AT_POWERS + TERMS, AT_V = AT_U + TERMS;
constexpr int AT_END = AT_V + TERMS;

constexpr int WIDTH = 1, ROOM = IN_REGISTERS ? 0 : AT_U;
constexpr bool ROWS_SHARED = true;

__constant__ const REAL factorials[] = {FACTORIALS};

/* K at the end of both edges is the sum of their numbers times these. */
AS_FN REAL end_of_a(int k) { return FOLD ? REAL(k < 2) : REAL(0.5) * factorials[k]; }

AS_FN REAL end_of_b(int k) { return FOLD ? REAL(0) : REAL(0.5) * factorials[k]; }

/* What a lane knows: A above its last row, in the last step, and B on the right of its rows. */
struct Front {
    Numbers<TERMS> a, b[ROWS];
};

AS_FN void place(Front &f, REAL *room)
{
    f.a.place(room, AT_A);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        f.b[r].place(room, AT_B);
}

AS_FN void start(Front &f)
{
    OUTER_LOOP
    for (int k = 0; k < TERMS; k++) {
        f.a[k] = 0;
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            f.b[r][k] = k == 0;
    }
}

#if FOLD
#include "slopes.cuh"
#else
/* From the edges at the start of a cell to those at its end. */
AS_FN void pass_cell(Numbers<TERMS> &a, Numbers<TERMS> &b, REAL p, REAL *room)
{
    Numbers<TERMS> x, y, powers;
    x.place(room, AT_X);
    y.place(room, AT_Y);
    powers.place(room, AT_POWERS);
    REAL power = 1;
    OUTER_LOOP
    for (int m = 0; m < TERMS; m++) {
        REAL of_a = 0, of_b = 0;
        INNER_LOOP
        for (int k = ORDER; k >= 0; k--) {
            of_a += a[k] * factorials[m + k];
            of_b += b[k] * factorials[m + k];
        }
        x[m] = power * of_b;
        y[m] = power * of_a;
        powers[m] = power * factorials[m];
        power *= p;
    }
    OUTER_LOOP
    for (int m = ORDER; m >= 0; m--) {
        REAL of_a = x[m], of_b = y[m];
        INNER_LOOP
        for (int k = 1; k <= m; k++) {
            of_a += a[k] * powers[m - k];
            of_b += b[k] * powers[m - k];
        }
        a[m] = of_a;
        b[m] = of_b;
    }
}
#endif

/* K in the node where edges a and b end. */
AS_FN REAL node_of(Numbers<TERMS> &a, Numbers<TERMS> &b)
{
    REAL sum = 0;
    INNER_LOOP
    for (int k = ORDER; k >= 0; k--)
        sum += FOLD ? a[k] * end_of_a(k) : a[k] * end_of_a(k) + b[k] * end_of_b(k);
    return sum;
}

/* A phase: `above` has A above the strip, `below` gets that of its last row, both (STEPS, TERMS)
 * for the columns of the first and of the last lane; above the first strip it is 1. Rows behind the
 * last one hand on what they get. With KEEP, `keep` gets A and B at the start of every cell; with
 * WRITE, `nodes` get K. */
template <bool KEEP, bool WRITE>
AS_FN void forward_phase(const Pair &pair, Front &f, const REAL *p, const Place &at,
                         const REAL *above, REAL *below, REAL *keep, REAL *room,
                         const Nodes<REAL> &nodes)
{
    const Window window = window_of(pair, at.j);
    const i64 end = pair.last1 - 1 - at.row; /* the last row in those of the lane */
#pragma unroll 1
    for (int t = 0; t < STEPS; t++) {
        const bool on = window.from <= t && t < window.to;
        INNER_LOOP
        for (int k = 0; k < TERMS; k++) {
            REAL number = __shfl_up_sync(FULL, f.a[k], 1);
            if (at.lane == 0)
                number = at.top ? REAL(k == 0) : above[t * TERMS + k];
            if (on)
                f.a[k] = number;
        }
        if (on) {
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                if (!FOLD && r <= end)
                    f.a[0] = f.b[r][0] = REAL(0.5) * (f.a[0] + f.b[r][0]);
                if constexpr (KEEP) {
                    REAL *to = keep + (t * ROWS + r) * 2 * TERMS * 32;
                    INNER_LOOP
                    for (int k = 0; k < TERMS; k++) {
                        to[k * 32] = f.a[k];
                        to[(TERMS + k) * 32] = f.b[r][k];
                    }
                }
                if (r <= end)
                    pass_cell(f.a, f.b[r], p[(t * ROWS + r) * 32] * REAL(1. / (UNIT * UNIT)), room);
                if (WRITE && r <= end)
                    nodes.first[r * nodes.width + at.j + t] = node_of(f.a, f.b[r]);
            }
        }
        if (!KEEP && at.lane == 31) {
            INNER_LOOP
            for (int k = 0; k < TERMS; k++)
                below[t * TERMS + k] = f.a[k];
        }
    }
}
