/* What signature kernels and their gradients share: one warp on a strip of the grid of a pair.
 *
 * Increments p(i, j) of the static kernel between neighbouring points x_i, x_i+1 and y_j, y_j+1; a
 * cell of them is 2^order1 x 2^order2 cells of the grid, of p = increment / 2^(order1 + order2).
 * Cells are those of differences.cuh, polynomial.cuh or branched.cuh; kernels on all of them are in
 * pairs_forward.cuh and pairs_backward.cuh.
 *
 * A lane owns ROWS rows of the grid, a warp a strip of 32 ROWS. In one step a lane does columns of
 * the grid that are all of one increment; in step s of the strip lane l does columns number
 * j = s - l (if there are), so that it gets COLUMNS numbers from the lane above by shuffles. STEPS
 * steps are a phase. Rows behind the last one have p = 0: they copy the row above.
 *
 * Increments of a phase are in `tile`, shared memory in which every lane has its own column.
 *
 * With GRID all nodes of the grid count, and not only the last one: K there is the result, or the
 * gradient starts from dF/dK there, of the shape (..., rows + 1, columns + 1) of each pair.
 *
 * Macros: REAL, KIND (static_kernel.cuh);
 *   GRID       0 or 1
 *   CHANNELS   of the paths, if they stay in registers, else 0
 *   BLOCK      channels at a time: CHANNELS, if that is not 0
 *   ROWS       a power of two
 *   ROW_ORDER  log2 of the lane's rows that are of one increment: min(order1, log2 ROWS)
 *   COLUMNS    numbers that a row hands to the next one in a step
 *   STEPS
 * `split` is log2 of the steps that an increment takes.
 */
#include "static_kernel.cuh"

constexpr unsigned FULL = 0xffffffffu;
constexpr int COARSE = ROWS >> ROW_ORDER;           /* increments of a lane in a column */
constexpr int POINTS = COARSE + OF_POINTS;          /* values z of a lane in a column */
constexpr int ENTRIES = STEPS + OF_POINTS;          /* columns of z of a phase */
constexpr int DELAY = (31 + STEPS - 1) / STEPS + 1; /* phases from a strip to the next one */

/* A pair of paths; of given increments, x (last1, last2). `last1` and `last2` are the numbers of
 * their last points, and `steps` of columns of steps; `scale` is 2^-(order1 + order2). */
struct Pair {
    const REAL *x, *y;
    i64 last1, last2, steps, strips, phases;
    int channels, order1, split;
    REAL scale;
    Static kernel;
};

/* Of paths number i and j. */
AS_FN Pair pair_of(const REAL *path1, i64 i, const REAL *path2, i64 j, i64 length1, i64 length2,
                   i64 channels, i64 order1, i64 split, REAL scale, REAL p0, REAL p1, REAL p2,
                   i64 power)
{
    const i64 steps = (length2 - 1) << split, rows = (length1 - 1) << order1;
    return {path1 + i * (GIVEN ? (length1 - 1) * (length2 - 1) : length1 * channels),
            path2 + j * length2 * channels,
            length1 - 1,
            length2 - 1,
            steps,
            (rows + 32 * ROWS - 1) / (32 * ROWS),
            (steps + 31 + STEPS - 1) / STEPS,
            CHANNELS ? CHANNELS : (int)channels,
            (int)order1,
            (int)split,
            scale,
            {p0, p1, p2, power}};
}

/* Where a lane is in a phase: whether in the first strip, the row of its first increment, and the
 * column of the first step. */
struct Place {
    bool top;
    i64 row, j;
    int lane;
};

/* Number of the first increment of a lane. */
AS_FN i64 first_row(const Pair &pair, i64 strip, int lane)
{
    return (strip * 32 + lane) * ROWS >> pair.order1;
}

/* Points of a lane, a block of channels; for the linear kernel increments times p0 scale. */
struct Points {
    REAL x[POINTS][BLOCK];
};

AS_FN Points points_of(const Pair &pair, i64 row, int from)
{
    Points points;
#pragma unroll
    for (int r = 0; r < POINTS; r++) {
        const REAL *at = pair.x + min(row + r, pair.last1) * pair.channels + from;
        const i64 next = row + r < pair.last1 ? pair.channels : 0;
#pragma unroll
        for (int c = 0; c < BLOCK; c++) {
            const bool in = CHANNELS || from + c < pair.channels;
            if constexpr (LINEAR)
                points.x[r][c] = in ? (at[next + c] - at[c]) * (pair.kernel.p0 * pair.scale) : 0;
            else
                points.x[r][c] = in ? at[c] : 0;
        }
    }
    return points;
}

/* Point (linear kernel: increment) of the second path at `at`, a block of channels. */
AS_FN void column_of(const Pair &pair, const REAL *at, int from, REAL (&y)[BLOCK])
{
#pragma unroll
    for (int c = 0; c < BLOCK; c++) {
        const bool in = CHANNELS || from + c < pair.channels;
        if constexpr (LINEAR)
            y[c] = in ? at[from + pair.channels + c] - at[from + c] : 0;
        else
            y[c] = in ? at[from + c] : 0;
    }
}

/* Where in its increments a lane is in a phase that begins with column number j of steps: the
 * increment of step 0, and the steps of it that are done; and the steps that there are. */
struct Window {
    i64 column;
    int done, mask, from, to;
};

AS_FN Window window_of(const Pair &pair, i64 j)
{
    const int mask = (1 << pair.split) - 1;
    return {j >> pair.split, (int)(j & mask), mask, (int)max(-j, (i64)0),
            (int)min(pair.steps - j, (i64)STEPS)};
}

/* z of a block of channels, added to what `from` channels gave before. Entry t is that of step t
 * for the linear kernel; otherwise entries 0 and 1 are the points at both sides of step 0, and
 * entry t + 1 is the point behind step t. Those that there are not are any others. */
AS_FN void add_block(const Pair &pair, const Points &points, REAL *tile, i64 j, int entries,
                     int from)
{
    const Window window = window_of(pair, j);
    const REAL *y_at = pair.y + window.column * pair.channels;
    const int first = (int)max(-window.column, (i64)0);
    const int last = (int)min(pair.last2 - LINEAR - window.column, (i64)1 << 20);
#pragma unroll 1
    for (int t = 0; t < entries; t++) {
        REAL y[BLOCK];
        int column = LINEAR ? (window.done + t) >> pair.split
                     : t    ? ((window.done + t - 1) >> pair.split) + 1
                            : 0;
        column = min(max(column, first), last);
        column_of(pair, y_at + (i64)column * pair.channels, from, y);
#pragma unroll
        for (int r = 0; r < POINTS; r++) {
            REAL z = 0;
            if (CHANNELS == 0 && from)
                z = tile[(t * POINTS + r) * 32];
#pragma unroll
            for (int c = 0; c < BLOCK; c++) {
                if constexpr (RADIAL) {
                    const REAL d = points.x[r][c] - y[c];
                    z += d * d;
                } else {
                    z += points.x[r][c] * y[c];
                }
            }
            tile[(t * POINTS + r) * 32] = z;
        }
    }
}

/* Given increments of a phase, refined; 0 for rows that there are not. */
AS_FN void given_columns(const Pair &pair, REAL *tile, i64 row, i64 j)
{
    const Window window = window_of(pair, j);
#pragma unroll 4
    for (int t = 0; t < STEPS; t++) {
        const i64 column = window.column + ((window.done + t) >> pair.split);
        const REAL *at = pair.x + row * pair.last2 + min(max(column, (i64)0), pair.last2 - 1);
#pragma unroll
        for (int r = 0; r < COARSE; r++)
            tile[(t * COARSE + r) * 32] =
                row + r < pair.last1 ? at[r * pair.last2] * pair.scale : REAL(0);
    }
}

/* z of `entries` columns; `mine` holds the points if CHANNELS. */
AS_FN void columns_of_z(const Pair &pair, const Points &mine, REAL *tile, i64 row, i64 j,
                        int entries)
{
    if constexpr (GIVEN) {
        given_columns(pair, tile, row, j);
    } else if constexpr (CHANNELS) {
        add_block(pair, mine, tile, j, entries, 0);
    } else {
#pragma unroll 1
        for (int from = 0; from < pair.channels; from += BLOCK)
            add_block(pair, points_of(pair, row, from), tile, j, entries, from);
    }
}

/* p of a phase from z; they may share memory, for p of a step is behind in it. */
AS_FN void increments(const Pair &pair, const REAL *z, REAL *p, i64 j)
{
    if constexpr (OF_POINTS) {
        const Window window = window_of(pair, j);
        REAL left[POINTS], right[POINTS];
#pragma unroll
        for (int r = 0; r < POINTS; r++)
            left[r] = right[r] = static_value(pair.kernel, z[r * 32]);
#pragma unroll 1
        for (int t = 0; t < STEPS; t++) {
            if (((window.done + t) & window.mask) == 0) {
#pragma unroll
                for (int r = 0; r < POINTS; r++)
                    left[r] = right[r];
            }
#pragma unroll
            for (int r = 0; r < POINTS; r++)
                right[r] = static_value(pair.kernel, z[((t + 1) * POINTS + r) * 32]);
#pragma unroll
            for (int b = 0; b < COARSE; b++)
                p[(t * COARSE + b) * 32] =
                    ((right[b + 1] - right[b]) - (left[b + 1] - left[b])) * pair.scale;
        }
    }
}

/* Columns of steps `j` ... j + STEPS - 1 of a row in memory to shared memory, and back; zeros where
 * there is no row. */
AS_FN void load_row(REAL *to, const REAL *row, i64 j, i64 steps, int lane)
{
    for (int i = lane; i < STEPS * COLUMNS; i += 32) {
        const i64 at = j * COLUMNS + i;
        to[i] = row && 0 <= at && at < steps * COLUMNS ? row[at] : REAL(0);
    }
    __syncwarp();
}

AS_FN void store_row(REAL *row, const REAL *from, i64 j, i64 steps, int lane)
{
    __syncwarp();
    for (int i = lane; i < STEPS * COLUMNS; i += 32) {
        const i64 at = j * COLUMNS + i;
        if (row && 0 <= at && at < steps * COLUMNS)
            row[at] = from[i];
    }
    __syncwarp();
}

/* Nodes of the grid at the ends of a lane's rows: that of its first row and of column 0, numbers of
 * a row of the grid, and how many of the lane's rows there are. */
template <typename T> struct Nodes {
    T *first;
    i64 width;
    int rows;
};

/* Of pair `number` in `grids`; a step is so many columns of the grid. */
template <typename T>
AS_FN Nodes<T> nodes_of(const Pair &pair, T *grids, i64 number, int columns, i64 strip, int lane)
{
    const i64 width = pair.steps * columns + 1, rows = pair.last1 << pair.order1;
    const i64 above = (strip * 32 + lane) * ROWS;
    return {grids + (number * (rows + 1) + above + 1) * width + 1, width,
            (int)min(max(rows - above, (i64)0), (i64)ROWS)};
}

/* K = 1 on the first row and column, by all threads of the block. */
AS_FN void write_borders(const Pair &pair, REAL *grids, i64 number, int columns)
{
    const i64 width = pair.steps * columns + 1, rows = (pair.last1 << pair.order1) + 1;
    REAL *grid = grids + number * rows * width;
    for (i64 q = threadIdx.x; q < width; q += blockDim.x)
        grid[q] = 1;
    for (i64 q = threadIdx.x; q < rows; q += blockDim.x)
        grid[q * width] = 1;
}
