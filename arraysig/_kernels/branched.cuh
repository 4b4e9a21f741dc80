/* Branched signature kernels on strips of goursat.cuh:
 *
 *     K_0 = 1, and for m = 1 ... DEPTH
 *     E_m(i+1, j+1) = sum over cells (a, b) <= (i, j) of p(a, b) S_{m-1}(a, b) / 4,  K_m = exp(E_m)
 *
 * with S the sum of K at the corners of a cell, in terms of h = E(i, j+1) - E(i, j):
 *
 *     h' = h + p S / 4,   E(i+1, j+1) = E(i+1, j) + h'
 *
 * A step is one column of the grid; it hands down h of all depths, then K of all but the last. The
 * last depth needs K only where that is a result.
 *
 * Macros: see goursat.cuh, with COLUMNS = 2 DEPTH - 1; and
 *   DEPTH
 *   IN_REGISTERS  whether the numbers of a lane are (numbers.cuh)
 */
#include "goursat.cuh"
#include "numbers.cuh"

constexpr int LOWER = DEPTH - 1;          /* depths that others are made of */
constexpr int LEVELS = LOWER + GRID;      /* depths of which K is kept */
constexpr int KEPT = LEVELS * (ROWS + 1); /* numbers of a step that a lane keeps */

/* Numbers of a lane in memory: where they begin. */
constexpr int AT_E = 0, AT_K = AT_E + DEPTH * ROWS, AT_H = AT_K + LOWER * (ROWS + 1);
constexpr int FRONT = AT_H + DEPTH;

constexpr int WIDTH = 1, ROOM = IN_REGISTERS ? 0 : FRONT;
constexpr bool ROWS_SHARED = IN_REGISTERS;

/* What a lane knows: E of its rows and K of these and of the row above in its last column, and h of
 * its last row; depth by depth. */
struct Front {
    Numbers<DEPTH * ROWS> e;
    Numbers<LOWER *(ROWS + 1) + 1> k;
    Numbers<DEPTH> h;
};

AS_FN void place(Front &f, REAL *room)
{
    f.e.place(room, AT_E);
    f.k.place(room, AT_K);
    f.h.place(room, AT_H);
}

AS_FN void start(Front &f)
{
    OUTER_LOOP
    for (int m = 0; m < DEPTH; m++) {
        f.h[m] = 0;
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            f.e[m * ROWS + r] = 0;
    }
    OUTER_LOOP
    for (int q = 0; q < LOWER * (ROWS + 1); q++)
        f.k[q] = 1;
}

/* A phase: `above` has what is handed down above the strip, `below` gets that of its last row, both
 * (STEPS, COLUMNS) for the columns of the first and of the last lane.
 * With KEEP, `keep` gets K (STEPS, LEVELS, ROWS + 1) behind every step, from the row above on; with
 * WRITE, `nodes` get K of the last depth. Where p is 0 there may be no row, and no change. */
template <bool KEEP, bool WRITE>
AS_FN void forward_phase(const Pair &pair, Front &f, const REAL *p, const Place &at,
                         const REAL *above, REAL *below, REAL *keep, REAL *,
                         const Nodes<REAL> &nodes)
{
    const Window window = window_of(pair, at.j);
#pragma unroll 1
    for (int t = 0; t < STEPS; t++) {
        const bool on = window.from <= t && t < window.to;
        REAL here[COARSE], weight[ROWS];
#pragma unroll
        for (int i = 0; i < COARSE; i++)
            here[i] = p[(t * COARSE + i) * 32];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            weight[r] = here[r >> ROW_ORDER];
        OUTER_LOOP
        for (int m = 0; m < DEPTH; m++) {
            const int first = m * (ROWS + 1);
            REAL *to = KEEP ? keep + (t * KEPT + first) * 32 : keep;
            REAL h = __shfl_up_sync(FULL, f.h[m], 1), k = 1;
            if (at.lane == 0)
                h = at.top ? REAL(0) : above[t * COLUMNS + m];
            if (m < LOWER) {
                k = __shfl_up_sync(FULL, f.k[first + ROWS], 1);
                if (at.lane == 0)
                    k = at.top ? REAL(1) : above[t * COLUMNS + DEPTH + m];
            }
            if (on) {
                REAL sum = 0; /* of both corners in a row */
                if (m < LOWER) {
                    sum = f.k[first] + k;
                    f.k[first] = k;
                    if (KEEP)
                        to[0] = k;
                }
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    const REAL e = f.e[m * ROWS + r] + (h += weight[r]);
                    f.e[m * ROWS + r] = e;
                    if (m < LOWER) {
                        const REAL value = exp(e), next = f.k[first + r + 1] + value;
                        const REAL quarter = REAL(0.25) * here[r >> ROW_ORDER];
                        f.k[first + r + 1] = value;
                        weight[r] = quarter == 0 ? REAL(0) : quarter * (sum + next);
                        sum = next;
                        if (KEEP)
                            to[(r + 1) * 32] = value;
                    } else if (GRID && (KEEP || WRITE)) {
                        if (KEEP)
                            to[(r + 1) * 32] = exp(e);
                        else if (r < nodes.rows)
                            nodes.first[r * nodes.width + at.j + t] = exp(e);
                    }
                }
                f.h[m] = h;
            }
            if (!KEEP && at.lane == 31) {
                below[t * COLUMNS + m] = f.h[m];
                if (m < LOWER)
                    below[t * COLUMNS + DEPTH + m] = f.k[first + ROWS];
            }
        }
    }
}
