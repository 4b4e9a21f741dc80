/* Signature kernels of all pairs of two sets of paths, on cells of polynomial.cuh.
 *
 *   sig_kernel_polynomial   path1 (groups, count1, length1, channels), path2 (groups, count2,
 *                    length2, channels) -> out (groups, count1, count2), for pairs number `first`
 *                    to first + grid - 1. With `symmetric` those below the diagonal are left out,
 *                    and the others give two numbers. Both paths have two points or more. Of
 *                    given increments path1 is (groups, length1 - 1, length2 - 1), and path2
 *                    nothing.
 *                    A block is a pair; its warps take strips in turn, each DELAY phases behind the
 *                    one before, and hand A over in rows (grid, columns, TERMS), which is not
 *                    needed for one strip. room (grid, warps, AT_U, 32): numbers of lanes, but for
 *                    IN_REGISTERS. Dynamic shared memory: per warp the tile (ENTRIES, POINTS, 32),
 *                    then two rows of a phase (STEPS, TERMS).
 *
 * Macros: see polynomial.cuh.
 */
#include "polynomial.cuh"

extern "C" __global__ void __launch_bounds__(256, 1)
    sig_kernel_polynomial(const REAL *__restrict__ path1, const REAL *__restrict__ path2,
                          REAL *__restrict__ out, REAL *rows, REAL *room, i64 first, i64 count1,
                          i64 count2, i64 length1, i64 length2, i64 channels, i64 order1, i64 split,
                          REAL p0, REAL p1, REAL p2, i64 power, REAL scale, i64 symmetric)
{
    extern __shared__ __align__(16) unsigned char memory[];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const i64 number = first + blockIdx.x, i = number / count2, j = number - i * count2;
    const i64 group = i / count1;
    if (symmetric && i - group * count1 > j)
        return;
    const Pair pair = pair_of(path1, i, path2, group * count2 + j, length1, length2, channels,
                              order1, split, scale, p0, p1, p2, power);

    constexpr int tile_size = ENTRIES * POINTS * 32, row_size = STEPS * TERMS;
    REAL *shared = (REAL *)memory + warp * (tile_size + 2 * row_size);
    REAL *tile = shared + lane, *above = shared + tile_size, *below = above + row_size;
    REAL *row = rows ? rows + blockIdx.x * pair.steps * TERMS : nullptr;
    room += IN_REGISTERS ? 0 : (blockIdx.x * (i64)warps + warp) * AT_U * 32 + lane;

    if constexpr (GRID)
        write_borders(pair, out, number, 1);

    Front front;
    place(front, room);
    for (i64 base = 0; base < pair.strips; base += warps) {
        const i64 strip = base + warp, my_row = first_row(pair, strip, lane);
        const i64 end = pair.last1 - 1 - my_row; /* the last row in those of the lane */
        const Nodes<REAL> nodes = nodes_of(pair, out, number, 1, strip, lane);
        Points points;
        if constexpr (CHANNELS)
            points = points_of(pair, my_row, 0);
        start(front);
#pragma unroll 1
        for (i64 t = 0; t < pair.phases + DELAY * (warps - 1); t++) {
            const i64 phase = t - DELAY * warp, step = phase * STEPS;
            if (strip < pair.strips && 0 <= phase && phase < pair.phases) {
                load_row(above, strip ? row : nullptr, step, pair.steps, lane);
                columns_of_z(pair, points, tile, my_row, step - lane, ENTRIES);
                increments(pair, tile, tile, step - lane);
                forward_phase<false, GRID>(pair, front, tile, strip == 0, above, below, end,
                                           step - lane, lane, nullptr, room, nodes);
                store_row(strip + 1 < pair.strips ? row : nullptr, below, step - 31, pair.steps,
                          lane);
            }
            __syncthreads();
        }
        if (!GRID && strip < pair.strips && 0 <= end && end < ROWS) {
            REAL last = 0;
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                if (r == end)
                    last = node_of(front.a, front.b[r]);
            out[number] = last;
            if (symmetric)
                out[(group * count1 + j) * count2 + i - group * count1] = last;
        }
    }
}
