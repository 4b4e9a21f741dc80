/* Branched signature kernels of all pairs of two sets of paths: branched.cuh.
 *
 *   branched_sig_kernel  as sig_kernel of sig_kernel.cu, with rows of COLUMNS numbers for every
 *                        column of the grid. Without IN_REGISTERS room (grid, warps, FRONT 32 + 2
 *                        STEPS COLUMNS) has the numbers of lanes and the rows of a phase, and
 *                        shared memory has not.
 *
 * Macros: see branched.cuh.
 */
#include "branched.cuh"

extern "C" __global__ void __launch_bounds__(256, 1)
    branched_sig_kernel(const REAL *__restrict__ path1, const REAL *__restrict__ path2,
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

    constexpr int tile_size = ENTRIES * POINTS * 32, row_size = STEPS * COLUMNS;
    REAL *shared = (REAL *)memory + warp * (tile_size + 2 * row_size * IN_REGISTERS);
    REAL *tile = shared + lane, *above = shared + tile_size;
    if (!IN_REGISTERS) {
        room += (blockIdx.x * (i64)warps + warp) * (FRONT * 32 + 2 * row_size);
        above = room + FRONT * 32;
        room += lane;
    }
    REAL *below = above + row_size;
    REAL *row = rows ? rows + blockIdx.x * pair.steps * COLUMNS : nullptr;

    if constexpr (GRID)
        write_borders(pair, out, number, 1);

    Front front;
    place(front, room);
    for (i64 base = 0; base < pair.strips; base += warps) {
        const i64 strip = base + warp, my_row = first_row(pair, strip, lane);
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
                forward_phase<false, GRID>(pair, front, tile, strip == 0, above, below, step - lane,
                                           lane, nullptr, nodes);
                store_row(strip + 1 < pair.strips ? row : nullptr, below, step - 31, pair.steps,
                          lane);
            }
            __syncthreads();
        }
        if (!GRID && strip == pair.strips - 1 && lane == 31) {
            const REAL value = exp(front.e[DEPTH * ROWS - 1]);
            out[number] = value;
            if (symmetric)
                out[(group * count1 + j) * count2 + i - group * count1] = value;
        }
    }
}
