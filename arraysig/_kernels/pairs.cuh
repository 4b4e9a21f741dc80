/* What kernels of pairs of paths share, for all cells: see pairs_forward.cuh, pairs_backward.cuh.
 *
 * Of path1 (groups, count1, length1, channels) and path2 (groups, count2, length2, channels), of
 * two points or more, a launch does pairs number `first` to first + grid - 1, in the order of
 * (groups, count1, count2). Of given increments path1 is (groups, length1 - 1, length2 - 1), and
 * path2 nothing. With `symmetric` both sets are the same, and pairs below the diagonal are left
 * out.
 *
 * A block is a pair; its warps take strips in turn, each DELAY phases behind the one before.
 *
 * Before this comes the header of the cells, which has
 *   Front      what a lane knows of K in a phase. place, start: where that is, and its beginning
 *   forward_phase  does a phase
 *   WIDTH      columns of the grid in a step
 *   ROOM       numbers of a lane in memory, in a kernel without gradient
 *   ROWS_SHARED  whether rows of a phase are in shared memory, or behind the numbers of lanes
 */

constexpr int ROW_SIZE = STEPS * COLUMNS;                 /* numbers of a row in a phase */
constexpr int TILE_SIZE = ENTRIES * POINTS * 32;          /* of z */
constexpr int ROWS_ROOM = ROWS_SHARED ? 0 : 2 * ROW_SIZE; /* of a warp, in memory */

/* What a warp works with: values z and increments p of a phase, which may share memory, rows of it
 * from the strip before and for the next one, and numbers of its lanes in memory. */
struct Work {
    int lane, warp, warps;
    REAL *z, *p, *in, *out, *room;
};

/* Numbers of the pair that a block does, of the same with both paths swapped (if these are the
 * same), and of its paths. */
struct Which {
    i64 pair, swapped, path1, path2;
};

AS_FN Which which_pair(i64 first, i64 count1, i64 count2)
{
    const i64 pair = first + blockIdx.x, path1 = pair / count2, j = pair - path1 * count2;
    const i64 group = path1 / count1;
    return {pair, (group * count1 + j) * count2 + path1 - group * count1, path1,
            group * count2 + j};
}

/* Rows of a phase of this warp: `shared`, or behind the numbers of its lanes in `room`, of which
 * each has NUMBERS. That becomes the place of this lane. */
template <int NUMBERS> AS_FN REAL *rows_of_phase(REAL *shared, REAL *&room)
{
    if (NUMBERS + ROWS_ROOM == 0) /* there is no room */
        return shared;
    const i64 warp = (blockIdx.x * (i64)blockDim.x + threadIdx.x) / 32;
    REAL *of_warp = room + warp * (NUMBERS * 32 + ROWS_ROOM);
    room = of_warp + threadIdx.x % 32;
    return ROWS_SHARED ? shared : of_warp + NUMBERS * 32;
}

/* Increments of a phase, and K. `points` are used if CHANNELS, and `above` is the row above the
 * strip, if there is one. */
template <bool KEEP, bool WRITE>
AS_FN void phase_forward(const Pair &pair, const Work &work, Front &front, const Points &points,
                         i64 strip, i64 row, i64 phase, const REAL *above, REAL *keep,
                         const Nodes<REAL> &nodes)
{
    const i64 step = phase * STEPS, j = step - work.lane;
    load_row(work.in, above, step, pair.steps, work.lane);
    columns_of_z(pair, points, work.z, row, j, ENTRIES);
    increments(pair, work.z, work.p, j);
    forward_phase<KEEP, WRITE>(pair, front, work.p, {strip == 0, row, j, work.lane}, work.in,
                               work.out, keep, work.room, nodes);
}

/* From the start to the end of `strip`, if that is below `strips`, in step with the other warps of
 * the block. The row above the strip is `above`, and that of its last row goes to `below`. */
template <bool WRITE>
AS_FN void go_along(const Pair &pair, const Work &work, Front &front, i64 strip, i64 strips,
                    const REAL *above, REAL *below, const Nodes<REAL> &nodes)
{
    const i64 row = first_row(pair, strip, work.lane);
    Points points;
    if constexpr (CHANNELS)
        points = points_of(pair, row, 0);
    start(front);
#pragma unroll 1
    for (i64 t = 0; t < pair.phases + DELAY * (work.warps - 1); t++) {
        const i64 phase = t - DELAY * work.warp;
        if (strip < strips && 0 <= phase && phase < pair.phases) {
            phase_forward<false, WRITE>(pair, work, front, points, strip, row, phase, above,
                                        nullptr, nodes);
            store_row(below, work.out, phase * STEPS - 31, pair.steps, work.lane);
        }
        __syncthreads();
    }
}
