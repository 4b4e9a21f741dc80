/* Branched signature kernels on strips, and their adjoint: see sig_kernel.inc.c for strips, lanes
 * and checkpoints.
 *
 *   K_0 = 1, and for m = 1 .. depth on the refined grid
 *   E_m[i+1, j+1] = sum over cells (a, b) <= (i, j) of p[a, b] S_{m-1}[a, b],   K_m = exp(E_m)
 *
 * where S is the mean of K at the four corners of a cell and p the refined increment (Chevyrev,
 * Oberhauser 2022, arXiv 1810.10971). E is computed in units of ln 2, p as well, so that K = 2^E;
 * and of K a quarter, the sum of which S is, but for results. All depths advance together, and what
 * is carried from row to row are the increments h = E[i, j+1] - E[i, j]. A cell makes h + p S of h
 * above it, and E[i+1, j+1] is E[i+1, j] and that. The last depth needs no exponential but in the
 * nodes that are results.
 *
 * Adjoint: with e_m = K_m dF/dK_m that of E_m in a node alone (per ln 2), and U_m of a cell the sum
 * of e_m over nodes (i+1, j+1) and beyond,
 *   U(i, j) = U(i, j+1) + G(i, j),   G(i, j) = G(i+1, j) + e(i+1, j+1)
 *   dF/dp(i, j) = ln 2 sum over m of U_m S_{m-1}
 *   dF/d(K_{m-1}/4)(node) = ln 2 sum of p U_m over its four cells
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

/* What is above a column of a strip, or comes through the seam: number i of the row. */
AS_INLINE VEC AS_T(from_above)(const VEC *above, const VEC *passed, const REAL *in, i64 i)
{
    return passed ? AS_T(shift_lanes)(passed[i], in[i]) : above[i];
}

AS_INLINE void AS_T(to_below)(VEC *below, VEC *passed, REAL *out, i64 i, VEC value)
{
    if (passed) {
        passed[i] = value;
        out[i] = value[AS_LANES - 1];
    } else if (below)
        below[i] = value;
}

/* One column of a strip, or two at once, which halves what goes through memory: of a row E and K of
 * the column before, and of this one. With `values` K stands there, else in `left`. */
AS_INLINE void AS_T(sweep_columns)(const PDE_JOB *job, const VEC *p, i64 column, i64 fine_columns,
                                   VEC *left, const VEC *above, VEC *below, VEC *values,
                                   const AS_T(seam) * seam, const int rows, const int fine,
                                   const int columns)
{
    enum { MOST = 2 };
    const int height = rows * fine;
    const i64 depth = job->sums, width = depth + job->powers, kept = job->levels * (height + 1);
    const int all = values && job->grid; /* E of the last depth is wanted in all nodes */
    if (!depth)
        return;
    const VEC *here[MOST];
    VEC *passed = NULL, h[MOST], early[MOST][AS_PDE_ROWS]; /* E of columns but the last one */
    const REAL *in = NULL;
    REAL *out = NULL;
    if (seam) {
        const i64 step = column / fine_columns & 1, c = column % fine_columns;
        passed = seam->bottom + (step * fine_columns + c) * width;
        in = seam->in + column * width;
        out = seam->out + column * width;
    }
    AS_UNROLL for (int c = 0; c < columns; ++c)
    {
        here[c] = p + (column + c) / fine_columns * rows;
        h[c] = AS_T(from_above)(above + c * width, passed, in, 0);
    }
    AS_UNROLL for (int r = 0; r < height; ++r)
    {
        VEC e = left[r];
        AS_UNROLL for (int c = 0; c < columns; ++c)
        {
            h[c] += here[c][r / fine];
            e += h[c];
            early[c][r] = e;
        }
        left[r] = e;
    }
    AS_UNROLL for (int c = 0; c < columns; ++c)
        AS_T(to_below)(below ? below + c * width : NULL, passed, out, 0, h[c]);
    for (i64 m = 0; m < job->powers; ++m) {
        const int has_next = m + 1 < depth, next_is_wanted = all || m + 1 < job->powers;
        const VEC *e = left + m * height;
        VEC *next_e = left + (m + 1) * height, *k = left + depth * height + m * (height + 1);
        if (values)
            k = values + m * (height + 1);
        const VEC *before = values ? k - kept : k;
        VEC pair[MOST], corner = before[0]; /* sums of both corners in a row */
        AS_UNROLL for (int c = 0; c < columns; ++c)
        {
            const VEC top = AS_T(from_above)(above + c * width, passed, in, depth + m);
            pair[c] = corner + top;
            corner = top;
            if (values)
                k[c * kept] = top;
            if (has_next)
                h[c] = AS_T(from_above)(above + c * width, passed, in, m + 1);
        }
        if (!values)
            k[0] = corner;
        AS_IN_MEMORY(); /* and not in registers that there are not */
        VEC power[MOST];
        AS_UNROLL for (int r = 0; r < height; ++r)
        {
            VEC mean[MOST], sum[MOST];
            AS_UNROLL for (int c = 0; c < columns; ++c) sum[c] =
                c < columns - 1 ? early[c][r] : e[r];
            AS_T(exp2_many)(sum, power, columns, 2);
            corner = before[r + 1];
            AS_UNROLL for (int c = 0; c < columns; ++c)
            {
                const VEC next = corner + power[c];
                corner = power[c];
                mean[c] = pair[c] + next;
                pair[c] = next;
                if (values)
                    k[c * kept + r + 1] = power[c];
                if (seam) /* rows and columns that there are not, where K may be infinite */
                    mean[c] = AS_T(choose)(here[c][r / fine] == (VEC){0}, (VEC){0}, mean[c]);
            }
            if (!values)
                k[r + 1] = corner;
            if (!has_next)
                continue;
            AS_UNROLL for (int c = 0; c < columns; ++c) h[c] += here[c][r / fine] * mean[c];
            if (next_is_wanted || r == height - 1) {
                VEC next = next_e[r];
                AS_UNROLL for (int c = 0; c < columns; ++c)
                {
                    next += h[c];
                    early[c][r] = next;
                }
                next_e[r] = next;
            }
        }
        AS_UNROLL for (int c = 0; c < columns; ++c)
        {
            VEC *to = below ? below + c * width : NULL;
            AS_T(to_below)(to, passed, out, depth + m, power[c]);
            if (has_next)
                AS_T(to_below)(to, passed, out, m + 1, h[c]);
        }
    }
    AS_UNROLL for (int c = 0; all && c < columns; ++c)
    {
        VEC *k = values + c * kept + job->powers * (height + 1);
        k[0] = (VEC){0}; /* not asked for */
        AS_UNROLL for (int r = 0; r < height; ++r) k[r + 1] = AS_T(exp2_or_zero)(early[c][r]);
    }
}

/* As AS_T(sweep) does it for differences. */
AS_INLINE void AS_T(sweep_branched)(const PDE_JOB *job, const VEC *p, i64 count, i64 fine_columns,
                                    VEC *restrict left, const VEC *above, VEC *below,
                                    VEC *restrict values, const AS_T(seam) * seam, const int rows,
                                    const int fine)
{
    const i64 width = job->sums + job->powers, kept = job->levels * (rows * fine + 1);
    const i64 end = count * fine_columns;
    for (i64 column = 0; column < end;) {
        const VEC *row = above ? above + column * width : NULL;
        VEC *to = below ? below + column * width : NULL,
            *k = values ? values + column * kept : NULL;
        if (!seam && column + 2 <= end) {
            AS_T(sweep_columns)(job, p, column, fine_columns, left, row, to, k, NULL, rows, fine,
                                2);
            column += 2;
        } else {
            AS_T(sweep_columns)(job, p, column, fine_columns, left, row, to, k, seam, rows, fine,
                                1);
            column += 1;
        }
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

/* The adjoint of a strip, from its last column to its first: dF/dp of a column takes the place of p
 * of the next one, which it needs, and `adjoint` becomes that of the strip above. `sums` is
 * U [depth][row] of the column to the right, at first 0. `seeds` [refined column][refined row] are
 * derivatives with respect to nodes; without them E of the last depth is added to `total`. */
AS_INLINE void AS_T(sweep_branched_back)(const PDE_JOB *job, VEC *p, i64 count, i64 fine_columns,
                                         const VEC *values, VEC *restrict adjoint,
                                         VEC *restrict sums, const VEC *seeds, VEC *total,
                                         const int rows, const int fine)
{
    const i64 depth = job->sums;
    const int height = rows * fine;
    const i64 kept = job->levels * (height + 1);
    VEC of_strip = {0}; /* E of the last depth: partial sums keep float exact */
    AS_UNROLL for (int r = 0; r < rows; ++r) p[count * rows + r] = (VEC){0};
    for (i64 t = count - 1; t >= 0; --t) {
        VEC *here = p + t * rows, *right = here + rows;
        VEC of_p[AS_PDE_ROWS];
        AS_UNROLL for (int r = 0; r < rows; ++r)
        {
            here[r] *= (REAL)AS_LN2;
            of_p[r] = (VEC){0};
        }
        const i64 first = t * fine_columns, end = first + fine_columns;
        if (!seeds) { /* the last depth, of which U is 1 */
            for (i64 column = first; column < end; ++column) {
                const VEC *k0 = values + column * kept + as_most(depth - 1, 0) * (height + 1);
                const VEC *k1 = k0 + kept;
                AS_UNROLL for (int r = 0; r < height; ++r) of_p[r / fine] +=
                    depth ? (k0[r] + k1[r]) + (k0[r + 1] + k1[r + 1]) : AS_T(all_lanes)(1);
            }
            VEC of_column = {0};
            AS_UNROLL for (int r = 0; r < rows; ++r) of_column += here[r] * of_p[r];
            of_strip += of_column;
        }
        for (i64 column = end - 1; column >= first; --column) {
            const VEC *before = values + column * kept, *after = before + kept;
            VEC shares[AS_PDE_ROWS]; /* sums of p U, of a depth more, over both columns */
            AS_IN_MEMORY();          /* and not in registers that there are not */
            AS_UNROLL for (int r = 0; r < height; ++r) shares[r] = here[r / fine] + right[r / fine];
            for (i64 m = depth - 1; m >= 0; --m) {
                const VEC *k = after + m * (height + 1); /* of this depth, and of the one below */
                const VEC *k1 = k - (height + 1), *k0 = k1 - kept;
                VEC *u_of = sums + m * height, *g_of = adjoint + column * depth + m;
                const int from_seeds = seeds && m == job->powers;
                AS_IN_MEMORY();
                VEC g = *g_of, below = {0};
                AS_UNROLL for (int r = height - 1; r >= 0; --r)
                {
                    if (from_seeds)
                        g += k[r + 1] * seeds[column * height + r];
                    else
                        g += k[r + 1] * (shares[r] + below);
                    below = shares[r];
                    const VEC old = u_of[r], u = old + g;
                    u_of[r] = u;
                    if (m) {
                        of_p[r / fine] += u * ((k0[r] + k1[r]) + (k0[r + 1] + k1[r + 1]));
                        shares[r] = here[r / fine] * u + right[r / fine] * old;
                    } else
                        of_p[r / fine] += u;
                }
                *g_of = from_seeds ? g : g + k[0] * below;
            }
            right = here;
        }
        AS_UNROLL for (int r = 0; r < rows; ++r) p[(t + 1) * rows + r] = of_p[r] * (REAL)AS_LN2;
    }
    if (!seeds)
        *total += of_strip * (REAL)(1 / AS_LN2);
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
