/* Gradients of signature kernels of all pairs of two sets of paths, for cells that have come before
 * and their adjoint. All of it runs backwards in the order of goursat.cuh. What is handed down
 * above strips is kept by a walk along all strips, numbers of a strip by one more walk along it.
 *
 *   sig_kernel_pairs_vjp  grad (groups, count1, count2), path1, path2 -> grads1 (grid, ...) and
 *              grads2 (grid, ...) of goursat_vjp.cuh, of pairs as in pairs.cuh. With `symmetric`
 *              pairs count for those that are left out. Of given increments grads1 is like path1,
 *              for all pairs, and grads2 nothing.
 *              rows (grid, strips, steps of the pair, COLUMNS): what is handed down above strip
 *              s + 1, and in the last one what is handed up;
 *              saved (grid, warps, phases, SAVED, 32); room (grid, warps, 32 ROOM_VJP + ROWS_ROOM).
 *              Dynamic shared memory: see the pointers below.
 *
 * Of cells it needs what pairs.cuh says, goursat_vjp.cuh, and
 *   Back       what a lane knows of the adjoint in a phase; `before` is what weighs the gradients
 *              behind the last step. place, start: where that is, and its beginning
 *   backward_phase  does a phase; p becomes what weighs the gradients: dF/dp of the increments that
 *              end with a step, less that of the increments behind them but for the linear kernel,
 *              for the points behind them. `keep` has the numbers of the phase; `in` and `out` have
 *              what the last lane gets, and what the first one hands up
 *   seed_of    what the sweep begins with, from dF/d(value of the pair): it comes in as number
 *              SEED_AT of the last column, or if that is negative by way of start
 *   HELD       numbers of a lane that backward_phase needs of a phase; they are in memory at
 *              HELD_AT, or if that is negative in shared memory
 *   SAVED      numbers of a lane that are saved of each phase of a strip. With KEEP_STRIP, a macro
 *              that is 0 or 1, they are what backward_phase needs, and HELD is 0; else those of its
 *              Front (save, restore), from which that is made anew
 *   ROOM_VJP   as ROOM
 */
#include "pairs.cuh"

extern "C" __global__ void __launch_bounds__(256, 1)
    sig_kernel_pairs_vjp(const REAL *__restrict__ grad, const REAL *__restrict__ path1,
                         const REAL *__restrict__ path2, REAL *grads1, REAL *grads2, REAL *rows,
                         REAL *saved, REAL *room, i64 first, i64 count1, i64 count2, i64 length1,
                         i64 length2, i64 channels, i64 order1, i64 split, REAL p0, REAL p1,
                         REAL p2, i64 power, REAL scale, i64 symmetric)
{
    extern __shared__ __align__(16) unsigned char memory[];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const Which which = which_pair(first, count1, count2);
    if (symmetric && which.swapped < which.pair)
        return;
    const Pair pair = pair_of(path1, which.path1, path2, which.path2, length1, length2, channels,
                              order1, split, scale, p0, p1, p2, power);
    REAL weight = GRID ? REAL(0) : grad[which.pair];
    if (symmetric && which.swapped > which.pair)
        weight += grad[which.swapped];

    constexpr int p_size = STEPS * COARSE * 32, shared_rows = 2 * ROW_SIZE * ROWS_SHARED;
    constexpr bool held_shared = HELD_AT < 0;
    REAL *shared = (REAL *)memory + warp * (shared_rows + STEPS * BLOCK + TILE_SIZE +
                                            OF_POINTS * p_size + HELD * 32 * held_shared);
    REAL *in = rows_of_phase<ROOM_VJP>(shared, room), *stage = shared + shared_rows;
    REAL *z = stage + STEPS * BLOCK + lane, *p = OF_POINTS ? z + TILE_SIZE : z;
    const Work work = {lane, warp, warps, z, p, in, in + ROW_SIZE, room};
    const i64 columns = pair.steps * COLUMNS, last = pair.strips - 1;
    const i64 gradient = (POINTS + 1) * (i64)pair.channels * 32;
    rows += blockIdx.x * pair.strips * columns;
    if (SAVED)
        saved += (blockIdx.x * (i64)warps + warp) * pair.phases * SAVED * 32 + lane;
    grads1 +=
        GIVEN ? which.pair * pair.last1 * pair.last2 : blockIdx.x * pair.strips * gradient + lane;
    grads2 += blockIdx.x * (pair.last2 + !LINEAR) * pair.channels;
    REAL *up = rows + last * columns; /* what is handed up */

    Front front;
    place(front, room);
    for (i64 base = 0; base < last; base += warps) {
        const i64 strip = base + warp;
        go_along<false>(pair, work, front, strip, last,
                        strip ? rows + (strip - 1) * columns : nullptr, rows + strip * columns, {});
    }

    for (i64 base = 0; base <= last; base += warps) {
        const i64 strip = last - base - warp, row = first_row(pair, strip, lane);
        const REAL *above = strip > 0 ? rows + (strip - 1) * columns : nullptr;
        const bool on = strip >= 0, fresh = strip == last;
        const Nodes<const REAL> seeds = nodes_of(pair, grad, which.pair, WIDTH, strip, lane);
        REAL *grads = grads1 + (GIVEN ? 0 : strip * gradient), seed = 0;
        Points points;
        Back back;
        Gradients g;
        place(back, room);
        if (on) {
            if constexpr (CHANNELS)
                points = points_of(pair, row, 0);
            start(front);
#pragma unroll 1
            for (i64 phase = 0; phase < pair.phases; phase++) {
                REAL *of_phase = saved + phase * SAVED * 32;
#if !KEEP_STRIP
                save(front, of_phase);
#endif
                phase_forward<KEEP_STRIP, false>(pair, work, front, points, strip, row, phase,
                                                 above, of_phase, {});
                __syncwarp();
            }
            if (!GRID && fresh)
                seed = seed_of(front, weight);
        }
        start(back, seed, pair.last1 - 1 - row);
        start(g);
#pragma unroll 1
        for (i64 t = 0; t < pair.phases + DELAY * (warps - 1); t++) {
            const i64 phase = pair.phases - 1 - (t - DELAY * warp), step = phase * STEPS;
            if (on && 0 <= phase && phase < pair.phases) {
                REAL *of_phase = saved + phase * SAVED * 32;
#if KEEP_STRIP
                const REAL *keep = of_phase;
                columns_of_z(pair, points, z, row, step - lane, ENTRIES);
                increments(pair, z, p, step - lane);
#else
                REAL *keep = held_shared ? p + p_size : room + HELD_AT * 32;
                restore(front, of_phase);
                phase_forward<true, false>(pair, work, front, points, strip, row, phase, above,
                                           keep, {});
                __syncwarp();
#endif
                load_row(in, fresh ? nullptr : up, step - 31, pair.steps, lane);
                if (!GRID && SEED_AT >= 0 && fresh && lane == 0) {
                    const i64 end = pair.steps - (step - 31) - 1;
                    if (0 <= end && end < STEPS)
                        in[end * COLUMNS + SEED_AT] = seed;
                }
                __syncwarp();
                backward_phase(pair, back, front, p, keep, in, work.out, seeds, row, step - lane,
                               lane, room);
                store_row(strip ? up : nullptr, work.out, step, pair.steps, lane);
                phase_gradients(pair, g, points, back.before, p, z, stage, grads, grads2, row,
                                strip, phase, lane, fresh);
            }
            __syncthreads();
        }
    }
}
