/* Gradients of branched signature kernels: the adjoint of the sums of branched.cuh.
 *
 * With e_m = K_m dF/dK_m, the derivative with respect to E_m in a node alone, and U_m of a cell the
 * sum of e_m over the node at its end and all beyond,
 *
 *     U(i, j) = U(i, j+1) + G(i, j),   G(i, j) = G(i+1, j) + e(i+1, j+1)
 *     dF/dp(i, j) = sum over m of U_m S_{m-1} / 4
 *     dF/dK_{m-1}(node) = sum of p U_m / 4 over its four cells
 *
 * depth after depth, the last one first, in every cell, from right to left and from below. A row
 * hands up, for each depth, G and what its cells add to e of the row above. K of a whole strip is
 * kept, for it has exponentials. What sums of dF/dp over the cells of an increment make of it:
 * goursat_vjp.cuh.
 *
 * Macros: see branched.cuh.
 */
#include "branched.cuh"
#include "goursat_vjp.cuh"

#define KEEP_STRIP 1
constexpr int AT_U = FRONT, AT_TOP = AT_U + DEPTH * ROWS, AT_END = AT_TOP + DEPTH;
constexpr int SAVED = STEPS * KEPT, HELD = 0, HELD_AT = -1;
constexpr int ROOM_VJP = IN_REGISTERS ? 0 : AT_END, SEED_AT = DEPTH - 1;

/* What a lane knows of the adjoint: U of the column on the right, p / 4 there, what its first row
 * has handed up in the last step, and sums of dF/dp for the increments it is in, and for those
 * before. */
struct Back {
    Numbers<DEPTH * ROWS> u;
    Numbers<DEPTH> top;
    REAL right[COARSE], sum[COARSE], before[COARSE];
};

AS_FN void place(Back &back, REAL *room)
{
    back.u.place(room, AT_U);
    back.top.place(room, AT_TOP);
}

/* e of the last node. */
AS_FN REAL seed_of(Front &f, REAL weight)
{
    return weight * exp(__shfl_sync(FULL, f.e[DEPTH * ROWS - 1], 31));
}

AS_FN void start(Back &back, REAL, i64)
{
    OUTER_LOOP
    for (int q = 0; q < DEPTH * ROWS; q++)
        back.u[q] = 0;
    OUTER_LOOP
    for (int m = 0; m < DEPTH; m++)
        back.top[m] = 0;
#pragma unroll
    for (int i = 0; i < COARSE; i++)
        back.right[i] = back.sum[i] = back.before[i] = 0;
}

/* `keep` has K of the phase, behind that of those before; `in` and `out` have sums as above. */
AS_FN void backward_phase(const Pair &pair, Back &back, const Front &, REAL *p, const REAL *keep,
                          const REAL *in, REAL *out, const Nodes<const REAL> &seeds, i64 row, i64 j,
                          int lane, REAL *)
{
    const Window window = window_of(pair, j);
#pragma unroll 1
    for (int t = STEPS - 1; t >= 0; t--) {
        const bool on = window.from <= t && t < window.to;
        REAL here[COARSE], of_p[COARSE], shares[ROWS]; /* sums of p U / 4 over both columns */
#pragma unroll
        for (int i = 0; i < COARSE; i++) {
            here[i] = REAL(0.25) * p[(t * COARSE + i) * 32];
            of_p[i] = 0;
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            shares[r] = 0;
        OUTER_LOOP
        for (int m = DEPTH - 1; m >= 0; m--) {
            REAL g = __shfl_down_sync(FULL, back.top[m], 1);
            if (lane == 31)
                g = in[t * COLUMNS + m];
            if (on) {
                const REAL *k = keep + (t * KEPT + m * (ROWS + 1)) * 32;
                const REAL *right = m > 0 ? k - (ROWS + 1) * 32 : nullptr;
                const REAL *left = m > 0 ? right - KEPT * 32 : nullptr;
                const bool border = j + t == 0; /* with K = 1 on the left */
                REAL below = 0, lower = 0;      /* of the row below; of the lower corners */
                if (m > 0)
                    lower = right[ROWS * 32] + (border ? REAL(1) : left[ROWS * 32]);
#pragma unroll
                for (int r = ROWS - 1; r >= 0; r--) {
                    const int i = r >> ROW_ORDER;
                    if (m < LOWER)
                        g += k[(r + 1) * 32] * (shares[r] + below);
                    else if (GRID && r < seeds.rows)
                        g += k[(r + 1) * 32] * seeds.first[r * seeds.width + j + t];
                    below = shares[r];
                    const REAL old = back.u[m * ROWS + r], u = old + g;
                    back.u[m * ROWS + r] = u;
                    REAL s = 4;
                    if (m > 0) {
                        const REAL upper = right[r * 32] + (border ? REAL(1) : left[r * 32]);
                        s = lower + upper;
                        lower = upper;
                    }
                    of_p[i] += u * s;
                    shares[r] = here[i] * u + back.right[i] * old;
                }
                back.top[m] = m < LOWER ? g + k[0] * below : g;
            }
            if (lane == 0)
                out[t * COLUMNS + m] = back.top[m];
        }
        if (on) {
            const bool ends = ((window.done + t) & window.mask) == 0;
#pragma unroll
            for (int i = 0; i < COARSE; i++) {
                back.right[i] = here[i];
                add_step(REAL(0.25) * of_p[i], row + i < pair.last1, ends, back.sum[i],
                         back.before[i], p[(t * COARSE + i) * 32]);
            }
        }
    }
}

#include "pairs_backward.cuh"
