/* Signature kernels of all pairs of two sets of paths, for cells that have come before.
 *
 *   sig_kernel_pairs  path1, path2 -> out (groups, count1, count2), see pairs.cuh. With `symmetric`
 *              a pair gives two numbers.
 *              Strips hand numbers over in rows (grid, steps of the pair, COLUMNS), which is not
 *              needed for one strip; room (grid, warps, 32 ROOM + ROWS_ROOM).
 *              Dynamic shared memory: per warp the tile (ENTRIES, POINTS, 32), then with
 *              ROWS_SHARED two rows of a phase.
 *
 * Of cells it needs what pairs.cuh says, and
 *   value_of   whether a lane has the value of the pair at the end of a strip, which it gets then
 */
#include "pairs.cuh"

extern "C" __global__ void __launch_bounds__(256, 1)
    sig_kernel_pairs(const REAL *__restrict__ path1, const REAL *__restrict__ path2,
                     REAL *__restrict__ out, REAL *rows, REAL *room, i64 first, i64 count1,
                     i64 count2, i64 length1, i64 length2, i64 channels, i64 order1, i64 split,
                     REAL p0, REAL p1, REAL p2, i64 power, REAL scale, i64 symmetric)
{
    extern __shared__ __align__(16) unsigned char memory[];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const Which which = which_pair(first, count1, count2);
    if (symmetric && which.swapped < which.pair)
        return;
    const Pair pair = pair_of(path1, which.path1, path2, which.path2, length1, length2, channels,
                              order1, split, scale, p0, p1, p2, power);

    REAL *shared = (REAL *)memory + warp * (TILE_SIZE + 2 * ROW_SIZE * ROWS_SHARED);
    REAL *tile = shared + lane, *above = rows_of_phase<ROOM>(shared + TILE_SIZE, room);
    const Work work = {lane, warp, warps, tile, tile, above, above + ROW_SIZE, room};
    REAL *row = rows ? rows + blockIdx.x * pair.steps * COLUMNS : nullptr;

    if constexpr (GRID)
        write_borders(pair, out, which.pair, WIDTH);

    Front front;
    place(front, room);
    for (i64 base = 0; base < pair.strips; base += warps) {
        const i64 strip = base + warp;
        const Nodes<REAL> nodes = nodes_of(pair, out, which.pair, WIDTH, strip, lane);
        go_along<GRID>(pair, work, front, strip, pair.strips, strip ? row : nullptr,
                       strip + 1 < pair.strips ? row : nullptr, nodes);
        REAL value;
        if (!GRID && strip < pair.strips && value_of(pair, front, strip, lane, value)) {
            out[which.pair] = value;
            if (symmetric)
                out[which.swapped] = value;
        }
    }
}
