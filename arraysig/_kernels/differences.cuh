/* Cells of signature kernels by finite differences, on strips of goursat.cuh:
 *
 *     K = 1 on the first row and column; with a = p/2 + p^2/12, b = p^2/12,
 *     K(i+1, j+1) = (K(i+1, j) + K(i, j+1)) (1 + a) - K(i, j) (1 - b)
 *
 * in terms of h = K(i, j+1) - K(i, j), without which float loses three digits:
 *
 *     h' = h + a (h + K(i+1, j)) + (a + b) K(i, j),   K(i+1, j+1) = K(i+1, j) + h'
 *
 * where a factor 1 + a would be rounded alike in all cells of an increment, and errors add up.
 *
 * A step is COLUMNS columns of the grid, at most 2^order2, each of which hands h down. All numbers
 * of a lane are in registers.
 *
 * Macros: see goursat.cuh.
 */
#include "goursat.cuh"

constexpr int WIDTH = COLUMNS, ROOM = 0;
constexpr bool ROWS_SHARED = true;

/* What a lane knows of K: the last column of its rows, and of the row above, and h of its last row
 * in the last step. */
struct Front {
    REAL left[ROWS], corner, bottom[COLUMNS];
};

AS_FN void place(Front &, REAL *) {}

AS_FN void start(Front &f)
{
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        f.left[r] = 1;
    f.corner = 1;
#pragma unroll
    for (int q = 0; q < COLUMNS; q++)
        f.bottom[q] = 0;
}

/* a and b of the increments of a step. */
struct Cell {
    REAL p[COARSE], a[COARSE], b[COARSE];
};

AS_FN Cell cell_of(const REAL *p)
{
    Cell cell;
#pragma unroll
    for (int i = 0; i < COARSE; i++) {
        cell.p[i] = p[i * 32];
        cell.b[i] = cell.p[i] * cell.p[i] * REAL(1. / 12);
        cell.a[i] = REAL(0.5) * cell.p[i] + cell.b[i];
    }
    return cell;
}

/* A phase: `above` has h of the row above the strip, `below` gets that of its last row, both
 * (STEPS, COLUMNS) for the columns of the first and of the last lane. With KEEP, `keep` gets for
 * every column of the grid K on its left side, in ROWS + 1 rows; with WRITE, `nodes` get K. */
template <bool KEEP, bool WRITE>
AS_FN void forward_phase(const Pair &pair, Front &f, const REAL *p, const Place &at,
                         const REAL *above, REAL *below, REAL *keep, REAL *,
                         const Nodes<REAL> &nodes)
{
    const Window window = window_of(pair, at.j);
#pragma unroll 1
    for (int t = 0; t < STEPS; t++) {
        REAL top[COLUMNS];
#pragma unroll
        for (int q = 0; q < COLUMNS; q++) {
            top[q] = __shfl_up_sync(FULL, f.bottom[q], 1);
            if (at.lane == 0)
                top[q] = above[t * COLUMNS + q];
        }
        if (window.from <= t && t < window.to) {
            const Cell cell = cell_of(p + t * COARSE * 32);
#pragma unroll
            for (int q = 0; q < COLUMNS; q++) {
                REAL *to = KEEP ? keep + (t * COLUMNS + q) * (ROWS + 1) * 32 : keep;
                REAL h = top[q], d = f.corner;
                if constexpr (KEEP)
                    to[0] = d;
                f.corner = d + h;
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    const REAL a = cell.a[r >> ROW_ORDER], b = cell.b[r >> ROW_ORDER];
                    const REAL l = f.left[r];
                    if constexpr (KEEP)
                        to[(r + 1) * 32] = l;
                    h = a * (h + l) + (h + (a + b) * d);
                    f.left[r] = l + h;
                    if (WRITE && r < nodes.rows)
                        nodes.first[r * nodes.width + (at.j + t) * COLUMNS + q] = f.left[r];
                    d = l;
                }
                f.bottom[q] = h;
            }
        }
        if (!KEEP && at.lane == 31) {
#pragma unroll
            for (int q = 0; q < COLUMNS; q++)
                below[t * COLUMNS + q] = f.bottom[q];
        }
    }
}
