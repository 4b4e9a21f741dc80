/* Branched signature kernels on strips, and their adjoint: see sig_kernel.inc.c for strips, lanes
 * and checkpoints.
 *
 *   K_0 = 1, and for m = 1 .. depth on the refined grid
 *   E_m[i+1, j+1] = sum over cells (a, b) <= (i, j) of p[a, b] S_{m-1}[a, b],   K_m = exp(E_m)
 *
 * where S is the sum of K at the four corners of a cell and p a quarter of the refined increment
 * (Chevyrev, Oberhauser 2022, arXiv 1810.10971). E is computed in units of ln 2, p as well, so that
 * K = 2^E. All depths advance together, and what is carried from row to row are the increments
 * h = E[i, j+1] - E[i, j]:
 *   h' = h + p S,   E[i+1, j+1] = E[i+1, j] + h'
 * The last depth needs no exponential but in the nodes that are results.
 *
 * Adjoint: with e_m = K_m dF/dK_m that of E_m in a node alone (per ln 2), and U_m of a cell the sum
 * of e_m over nodes (i+1, j+1) and beyond,
 *   U(i, j) = U(i, j+1) + G(i, j),   G(i, j) = G(i+1, j) + e(i+1, j+1)
 *   dF/dp(i, j) = ln 2 sum over m of U_m S_{m-1}
 *   dF/dK_{m-1}(node) = ln 2 sum of p U_m over its four cells
 * which gives depth after depth, the last one first, in every cell. Without a grid U of the last
 * depth is the same in all cells: it is taken as 1, E at the end is summed on the way, and
 * gradients are multiplied in the end; sweeps leave the last depth out.
 *
 * Layouts, with h and E of `sums` depths and K of `powers` depths, all but the last: rows [refined
 * column][h of each depth, K of each]; `left` E [depth][row], then K [depth][row from the one above
 * the strip on]; values of a strip, K [refined column][depth][row from the one above on], for grids
 * of the last depth too; the adjoint row [refined column][depth], G below the strip and what its
 * cells add to e of its last row.
 */

/* As AS_T(sweep) does it for differences. */
AS_INLINE void AS_T(sweep_branched)(const PDE_JOB *job, const VEC *p, i64 count, i64 fine_columns,
                                    VEC *restrict left, const VEC *above, VEC *below,
                                    VEC *restrict values, const AS_T(seam) * seam, const int rows,
                                    const int fine)
{
    const i64 depth = job->sums, width = depth + job->powers;
    const int height = rows * fine;
    for (i64 column = 0; column < count * fine_columns; ++column) {
        const VEC *here = p + column / fine_columns * rows;
        VEC weight[AS_PDE_ROWS]; /* p S of the cells of the column */
        AS_UNROLL for (int r = 0; r < height; ++r) weight[r] = here[r / fine] * (REAL)4;
        const i64 step = column / fine_columns & 1, c = column % fine_columns;
        VEC *passed = seam ? seam->bottom + (step * fine_columns + c) * width : NULL;
        const REAL *in = seam ? seam->in + column * width : NULL;
        REAL *out = seam ? seam->out + column * width : NULL;
        for (i64 m = 0; m < depth; ++m) {
            const int last = m == job->powers;
            VEC *e = left + m * height, *k = left + depth * height + m * (height + 1);
            VEC h = seam ? AS_T(shift_lanes)(passed[m], in[m]) : above[m];
            AS_UNROLL for (int r = 0; r < height; ++r)
            {
                h += weight[r];
                if (last && !(values && job->grid) && r < height - 1)
                    continue;         /* nobody asks for E */
                weight[r] = e[r] + h; /* now E */
                e[r] = weight[r];
            }
            if (seam) {
                passed[m] = h;
                out[m] = h[AS_LANES - 1];
            } else if (below)
                below[m] = h;
            if (last && values && job->grid) {
                values[0] = (VEC){0}; /* not asked for */
                AS_UNROLL for (int r = 0; r < height; ++r) values[r + 1] =
                    AS_T(exp2_or_zero)(weight[r]);
                values += height + 1;
            }
            if (last)
                break;
            VEC top = seam ? AS_T(shift_lanes)(passed[depth + m], in[depth + m]) : above[depth + m];
            if (values)
                values[0] = top;
            VEC sum = k[0] + top; /* of both corners in a row */
            k[0] = top;
            AS_UNROLL for (int r = 0; r < height; ++r)
            {
                const VEC value = AS_T(exp2_lanes)(weight[r]);
                const VEC next = k[r + 1] + value;
                k[r + 1] = value;
                if (values)
                    values[r + 1] = value;
                weight[r] = here[r / fine] * (sum + next);
                if (seam) /* rows and columns that there are not, where K may be infinite */
                    weight[r] = AS_T(choose)(here[r / fine] == (VEC){0}, (VEC){0}, weight[r]);
                sum = next;
            }
            if (values)
                values += height + 1;
            if (seam) {
                passed[depth + m] = k[height];
                out[depth + m] = k[height][AS_LANES - 1];
            } else if (below)
                below[depth + m] = k[height];
        }
        if (above)
            above += width;
        if (below)
            below += width;
    }
}

static void AS_T(sweep_branched_strip)(const PDE_JOB *job, const VEC *p, i64 count, VEC *left,
                                       const VEC *above, VEC *below, VEC *values,
                                       const AS_T(seam) * seam, i64 rows, i64 fine)
{
    const i64 columns = (i64)1 << job->order2;
#define AS_SHAPE(ROWS, FINE)                                                                       \
    if (rows == ROWS && fine == FINE) {                                                            \
        if (seam)                                                                                  \
            AS_T(sweep_branched)(job, p, count, columns, left, NULL, NULL, NULL, seam, ROWS,       \
                                 FINE);                                                            \
        else if (values)                                                                           \
            AS_T(sweep_branched)(job, p, count, columns, left, above, below, values, NULL, ROWS,   \
                                 FINE);                                                            \
        else                                                                                       \
            AS_T(sweep_branched)(job, p, count, columns, left, above, below, NULL, NULL, ROWS,     \
                                 FINE);                                                            \
        return;                                                                                    \
    }
    AS_EACH_SHAPE(AS_SHAPE)
#undef AS_SHAPE
}

/* The adjoint of a strip, from its last column to its first: p becomes dF/dp, and `adjoint` that of
 * the strip above. `sums` is U [depth][row] of the column to the right, at first 0. `seeds`
 * [refined column][refined row] are derivatives with respect to nodes; without them E of the last
 * depth is added to `total`. */
AS_INLINE void AS_T(sweep_branched_back)(const PDE_JOB *job, VEC *p, i64 count, i64 fine_columns,
                                         const VEC *values, VEC *restrict adjoint,
                                         VEC *restrict sums, const VEC *seeds, VEC *total,
                                         const int rows, const int fine)
{
    const i64 depth = job->sums;
    const int height = rows * fine;
    const i64 kept = job->levels * (height + 1);
    VEC of_strip = {0};     /* E of the last depth: partial sums keep float exact */
    VEC right[AS_PDE_ROWS]; /* p ln 2 of the column to the right */
    AS_UNROLL for (int r = 0; r < rows; ++r) right[r] = (VEC){0};
    for (i64 t = count - 1; t >= 0; --t) {
        VEC here[AS_PDE_ROWS], of_p[AS_PDE_ROWS], of_last[AS_PDE_ROWS];
        AS_UNROLL for (int r = 0; r < rows; ++r)
        {
            here[r] = p[t * rows + r] * (REAL)AS_LN2;
            of_p[r] = of_last[r] = (VEC){0};
        }
        for (i64 column = (t + 1) * fine_columns - 1; column >= t * fine_columns; --column) {
            const VEC *before = values + column * kept, *after = before + kept;
            VEC *g_of = adjoint + column * depth;
            VEC shares[AS_PDE_ROWS]; /* sums of p U, of a depth more, over both columns */
            AS_UNROLL for (int r = 0; r < height; ++r)
            {
                shares[r] = seeds ? (VEC){0} : here[r / fine] + right[r / fine];
                if (!seeds && !depth)
                    of_last[r / fine] += AS_T(all_lanes)(4);
            }
            if (!seeds && depth) {
                const VEC *k0 = before + (depth - 1) * (height + 1), *k1 = k0 + kept;
                AS_UNROLL for (int r = 0; r < height; ++r) of_last[r / fine] +=
                    (k0[r] + k1[r]) + (k0[r + 1] + k1[r + 1]);
            }
            for (i64 m = depth - 1; m >= 0; --m) {
                const VEC *k = after + m * (height + 1); /* of this depth, and of the one below */
                const VEC *k1 = k - (height + 1), *k0 = k1 - kept;
                VEC *u_of = sums + m * height;
                const int last = m == job->powers;
                VEC g = g_of[m], below = {0};
                AS_UNROLL for (int r = height - 1; r >= 0; --r)
                {
                    if (!seeds || !last)
                        g += k[r + 1] * (shares[r] + below);
                    else
                        g += k[r + 1] * seeds[column * height + r];
                    below = shares[r];
                    const VEC old = u_of[r], u = old + g;
                    u_of[r] = u;
                    if (m)
                        of_p[r / fine] += u * ((k0[r] + k1[r]) + (k0[r + 1] + k1[r + 1]));
                    else
                        of_p[r / fine] += u * (REAL)4;
                    shares[r] = here[r / fine] * u + right[r / fine] * old;
                }
                g_of[m] = seeds && last ? g : g + k[0] * below;
            }
            AS_UNROLL for (int r = 0; r < rows; ++r) right[r] = here[r];
        }
        VEC of_column = {0};
        AS_UNROLL for (int r = 0; r < rows; ++r)
        {
            of_column += p[t * rows + r] * of_last[r];
            p[t * rows + r] = (of_p[r] + of_last[r]) * (REAL)AS_LN2;
        }
        of_strip += of_column;
    }
    if (!seeds)
        *total += of_strip;
}

static void AS_T(sweep_branched_strip_back)(const PDE_JOB *job, VEC *p, i64 count,
                                            const VEC *values, VEC *adjoint, VEC *sums,
                                            const VEC *seeds, VEC *total, i64 rows, i64 fine)
{
    const i64 columns = (i64)1 << job->order2;
#define AS_SHAPE(ROWS, FINE)                                                                       \
    if (rows == ROWS && fine == FINE) {                                                            \
        if (seeds)                                                                                 \
            AS_T(sweep_branched_back)(job, p, count, columns, values, adjoint, sums, seeds, NULL,  \
                                      ROWS, FINE);                                                 \
        else                                                                                       \
            AS_T(sweep_branched_back)(job, p, count, columns, values, adjoint, sums, NULL, total,  \
                                      ROWS, FINE);                                                 \
        return;                                                                                    \
    }
    AS_EACH_SHAPE(AS_SHAPE)
#undef AS_SHAPE
}
