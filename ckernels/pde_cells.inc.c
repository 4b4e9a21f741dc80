/* Polynomial cells, their adjoint, and strips of them: see pde_polynomial.inc.c, and for `fold`
 * pde_slopes.inc.c. Like that this file is compiled twice, for degrees that the compiler knows and
 * for all others.
 */

/* p^m, and p^m / m!, for m <= last. */
AS_INLINE void AS_CELLS(powers)(const PDE_JOB *job, VEC p, VEC *power, VEC *scaled, const int last)
{
    power[0] = scaled[0] = AS_T(all_lanes)(1);
    power[1] = scaled[1] = p;
    AS_EACH for (int m = 2; m <= last; ++m)
    {
        power[m] = power[m / 2] * power[m - m / 2];
        scaled[m] = power[m] * job->inverse[m];
    }
}

/* `start`, which is what k = 0 gives, and sum_{k = 1 .. m} edge[k] p^(m-k) / (m-k)! */
AS_INLINE VEC AS_CELLS(carried)(VEC start, const VEC *edge, const VEC *scaled, const int m)
{
    VEC sum = start + edge[m];
    AS_EACH for (int k = 1; k < m; ++k) { sum += edge[k] * scaled[m - k]; }
    return sum;
}

/* out[i] += sign * sum_k factor(first + i + k) x[k], i < rows, k < columns; with `fresh` out is 0.
 */
AS_INLINE void AS_CELLS(add_products)(const VEC *x, VEC *out, const int fresh, const int sign,
                                      const int first, const int gap1, const int gap2,
                                      const int rows, const int columns)
{
    AS_EACH for (int k = 0; k < columns; ++k) AS_EACH for (int i = 0; i < rows; ++i)
    {
        const REAL factor = (REAL)(sign * as_factor(first + i + k, gap1, gap2));
        out[i] = fresh && !k ? x[k] * factor : out[i] + x[k] * factor;
    }
}

/* The same for n rows and columns without a second gap, with three products of half the size where
 * that pays: of H0 x + H1 y and H1 x + H2 y, where x and y are halves, H1 (x + y) is a part of
 * both. Sums go beside products, on units of their own. */
AS_INLINE void AS_CELLS(add_square)(const VEC *x, VEC *out, const int fresh, const int sign,
                                    const int first, const int gap, const int n)
{
    if (n < 4) {
        AS_CELLS(add_products)(x, out, fresh, sign, first, gap, 0, n, n);
        return;
    }
    const int half = (n + 1) / 2;
    VEC sum[AS_TERMS], both[AS_TERMS];
    AS_EACH for (int k = 0; k < half; ++k) sum[k] = k + half < n ? x[k] + x[k + half] : x[k];
    AS_CELLS(add_products)(sum, both, 1, sign, first + half, gap, 0, half, half);
    AS_EACH for (int i = 0; i < n; ++i) out[i] = fresh ? both[i % half] : out[i] + both[i % half];
    AS_CELLS(add_products)(x, out, 0, sign, first, gap, half, half, half);
    AS_CELLS(add_products)(x + half, out + half, 0, -sign, first + half, gap, half, n - half,
                           n - half);
}

/* out[m] = sum_{k < columns} x[k] / (first+m+k)! for m < rows, which are at least as many; of
 * halves of halves from 6 on. */
AS_INLINE void AS_CELLS(integrate)(const PDE_JOB *job, const VEC *x, VEC *out, const int first,
                                   const int rows, const int columns)
{
    const int n = columns, half = (n + 1) / 2;
    if (!__builtin_constant_p(columns)) {
        for (int m = 0; m < rows; ++m) {
            out[m] = x[0] * job->inverse[first + m];
            for (int k = 1; k < columns; ++k)
                out[m] += x[k] * job->inverse[first + m + k];
        }
        return;
    }
    if (n < 6)
        AS_CELLS(add_square)(x, out, 1, 1, first, 0, n);
    else {
        VEC sum[AS_TERMS];
        AS_EACH for (int k = 0; k < half; ++k) sum[k] = k + half < n ? x[k] + x[k + half] : x[k];
        AS_CELLS(add_square)(sum, out, 1, 1, first + half, 0, half);
        AS_EACH for (int i = half; i < n; ++i) out[i] = out[i - half];
        AS_CELLS(add_square)(x, out, 0, 1, first, half, half);
        AS_CELLS(add_square)(x + half, out + half, 0, -1, first + half, half, n - half);
    }
    AS_CELLS(add_products)(x, out + n, 1, 1, first + n, 0, 0, rows - n, n);
}

/* The edge opposite to `edge`, where `side` is the other one and `start` the corner times scaled
 * powers. The corner has no part in sums of products: rounded alike in all cells, it would drift.
 */
AS_INLINE void AS_CELLS(opposite)(const PDE_JOB *job, const VEC *edge, const VEC *side,
                                  const VEC *start, const VEC *power, const VEC *scaled, VEC *out,
                                  const int degree)
{
    VEC term[AS_TERMS];
    AS_CELLS(integrate)(job, side + 1, term, 1, degree + 1, degree);
    out[0] = start[0] + term[0];
    AS_EACH for (int m = 1; m <= degree; ++m) out[m] =
        AS_CELLS(carried)(start[m], edge, scaled, m) + term[m] * power[m];
}

/* From the edges a and b of a cell to those opposite to them. */
AS_INLINE void AS_CELLS(pass_cell)(const PDE_JOB *job, VEC p, const VEC *a, const VEC *b,
                                   VEC *next_a, VEC *next_b, const int degree, const int fold)
{
    if (fold) {
        AS_CELLS(pass_slopes)(job, p, a, b, next_a, next_b, degree, fold);
        return;
    }
    VEC power[AS_TERMS], scaled[AS_TERMS], start[AS_TERMS];
    AS_CELLS(powers)(job, p, power, scaled, degree);
    start[0] = a[0];
    AS_EACH for (int m = 1; m <= degree; ++m) start[m] = a[0] * scaled[m];
    AS_CELLS(opposite)(job, b, a, start, power, scaled, next_b, degree);
    AS_CELLS(opposite)(job, a, b, start, power, scaled, next_a, degree);
}

/* Sweeps `count` columns of `rows` rows. `left` are the B of the rows, `above` the A above them,
 * and `below`, which may be the same, or NULL, gets those below; with `kept` the edges of all cells
 * are stored before they change. With a seam that takes the place of rows of A.
 *
 * Row r is r columns behind the first one: cells that are next to each other in time do not wait
 * for each other, and the processor has several under way. */
AS_INLINE void AS_CELLS(sweep_cells)(const PDE_JOB *restrict job, const VEC *p, i64 count,
                                     VEC *restrict left, const VEC *above, VEC *below, VEC *kept,
                                     const AS_T(seam) * seam, i64 rows, const int degree,
                                     const int fold)
{
    const int width = degree + 1, unused = fold > 0; /* numbers of B */
    VEC passed[AS_CELL_ROWS * AS_LEFT];              /* A from row to row, the last one at 0 */
    for (i64 t = 0; t < count + rows - 1; ++t) {
        const i64 first = as_most(0, t - count + 1);
        for (i64 r = as_least(t, rows - 1); r >= first; --r) {
            VEC a[AS_TERMS], b[AS_TERMS], next_a[AS_TERMS], next_b[AS_TERMS];
            const i64 column = t - r, at = column * width, is_last = r == rows - 1;
            VEC *bottom = seam ? seam->bottom + column % AS_LAG * width : NULL;
            const VEC *from = r ? passed + r * width : seam ? bottom : above + at;
            VEC *to = !is_last ? passed + (r + 1) * width
                      : seam   ? bottom
                      : below  ? below + at
                               : passed;
            AS_EACH for (int m = 0; m < width; ++m) a[m] = from[m];
            AS_EACH for (int m = unused; m < width; ++m) b[m] = left[r * width + m];
            if (seam && !r)
                AS_EACH for (int m = 0; m < width; ++m) a[m] =
                    AS_T(shift_lanes)(a[m], seam->in[at + m]);
            const VEC begin_a = a[0], begin_b = unused ? a[0] : b[0];
            if (kept) {
                VEC *edges = kept + 2 * (column * rows + r) * width;
                AS_EACH for (int m = 0; m < width; ++m) edges[m] = a[m];
                AS_EACH for (int m = unused; m < width; ++m) edges[width + m] = b[m];
            }
            const i64 cell = column * rows + r;
            if (!unused)
                a[0] = b[0] = AS_T(mean_of)(begin_a, begin_b);
            AS_CELLS(pass_cell)(job, p[cell], a, b, next_a, next_b, degree, fold);
            if (seam && seam->active) {
                const IVEC active = seam->active[cell];
                a[0] = begin_a;
                b[0] = begin_b;
                AS_EACH for (int m = unused; m < width; ++m) next_b[m] =
                    AS_T(choose)(active, next_b[m], b[m]);
                AS_EACH for (int m = 0; m < width; ++m) next_a[m] =
                    AS_T(choose)(active, next_a[m], a[m]);
            }
            AS_EACH for (int m = unused; m < width; ++m) left[r * width + m] = next_b[m];
            AS_EACH for (int m = 0; m < width; ++m) to[m] = next_a[m];
            if (seam && is_last)
                AS_EACH for (int m = 0; m < width; ++m) seam->out[at + m] = next_a[m][AS_LANES - 1];
        }
    }
}

/* The adjoint of a cell: from `of_a` and `of_b`, of the edges A' and B', to those of A and B.
 * Returns the derivative with respect to p. With E[k] = sum_{m >= k} of_a[m] p^(m-k) / (m-k)!, G[k]
 * = sum_{m >= 1} of_a[m] p^(m-1) / (m+k)! that of A[k], k > 0, is E[k], that of B[k] is of_a[0] /
 * k! + p G[k] (of both edges half of both for k = 0, where they begin), and as m / (m+k)! is 1 /
 * (m+k-1)! - k / (m+k)!, that of p is sum_k A[k] E[k+1] + B[k] (G[k-1] - k G[k]); and the same with
 * A and B swapped. */
AS_INLINE VEC AS_CELLS(cell_back)(const PDE_JOB *job, const VEC *a, const VEC *b, const VEC *power,
                                  const VEC *scaled, VEC *of_a, VEC *of_b, const int degree)
{
    VEC of_p = {0}, next_a[AS_TERMS], next_b[AS_TERMS];
    const VEC corner = AS_T(mean_of)(a[0], b[0]);
    next_a[0] = next_b[0] = (VEC){0};
    AS_EACH for (int k = 1; k <= degree; ++k)
    {
        VEC sum_a = of_a[k], sum_b = of_b[k];
        AS_EACH for (int m = k + 1; m <= degree; ++m)
        {
            sum_a += of_a[m] * scaled[m - k];
            sum_b += of_b[m] * scaled[m - k];
        }
        next_a[k] = sum_a;
        next_b[k] = sum_b;
        if (k > 1)
            of_p += a[k - 1] * sum_a + b[k - 1] * sum_b;
    }
    AS_EACH for (int m = 2; m <= degree; ++m)
    {
        of_a[m] *= power[m - 1];
        of_b[m] *= power[m - 1];
    }
    VEC sum_a[AS_TERMS], sum_b[AS_TERMS]; /* G, from number -1 on */
    AS_CELLS(integrate)(job, of_a + 1, sum_a, 0, degree + 2, degree);
    AS_CELLS(integrate)(job, of_b + 1, sum_b, 0, degree + 2, degree);
    AS_EACH for (int k = 0; k <= degree; ++k)
    {
        next_a[k] += of_b[0] * job->inverse[k] + sum_b[k + 1] * power[1];
        next_b[k] += of_a[0] * job->inverse[k] + sum_a[k + 1] * power[1];
        of_p += (k ? a[k] : corner) * (sum_b[k] - sum_b[k + 1] * (REAL)k) +
                (k ? b[k] : corner) * (sum_a[k] - sum_a[k + 1] * (REAL)k);
    }
    of_a[0] = of_b[0] = AS_T(mean_of)(next_a[0], next_b[0]);
    AS_EACH for (int k = 1; k <= degree; ++k)
    {
        of_a[k] = next_a[k];
        of_b[k] = next_b[k];
    }
    return of_p;
}

/* The adjoint of a strip, from its last column to its first: p becomes dF/dp; `adjoint` is that of
 * the A below the strip, and then above; `left` that of the B behind it. `seeds` [column][row] are
 * derivatives with respect to the last corners of cells, or NULL. Row r is r columns before the
 * first one, as in sweep_cells. */
AS_INLINE void AS_CELLS(sweep_cells_back)(const PDE_JOB *job, VEC *p, i64 count, VEC *restrict left,
                                          VEC *restrict adjoint, const VEC *kept, const VEC *seeds,
                                          i64 rows, const int degree, const int fold)
{
    const int width = degree + 1;
    VEC passed[AS_CELL_ROWS * AS_LEFT]; /* adjoints of A from row to row */
    for (i64 t = count + rows - 2; t >= 0; --t) {
        const i64 last = as_least(t, rows - 1);
        for (i64 r = as_most(0, t - count + 1); r <= last; ++r) {
            VEC of_a[AS_TERMS], of_b[AS_TERMS];
            const i64 column = t - r, cell = column * rows + r;
            const VEC *a = kept + 2 * cell * width, *b = a + width;
            VEC *above = r ? passed + r * width : adjoint + column * width;
            const VEC *below = r < rows - 1 ? passed + (r + 1) * width : adjoint + column * width;
            AS_EACH for (int m = 0; m < width; ++m) of_a[m] = below[m];
            AS_EACH for (int m = 0; m < width; ++m) of_b[m] = left[r * width + m];
            if (seeds) {
                const VEC seed = seeds[cell];
                AS_EACH for (int m = 0; m < width; ++m) of_a[m] += seed * job->end_a[m];
                AS_EACH for (int m = 0; m < width; ++m) of_b[m] += seed * job->end_b[m];
            }
            if (fold)
                p[cell] = AS_CELLS(slopes_back)(job, p[cell], a, b, of_a, of_b, degree, fold);
            else {
                VEC power[AS_TERMS], scaled[AS_TERMS];
                AS_CELLS(powers)(job, p[cell], power, scaled, degree);
                p[cell] = AS_CELLS(cell_back)(job, a, b, power, scaled, of_a, of_b, degree);
            }
            AS_EACH for (int m = 0; m < width; ++m) left[r * width + m] = of_b[m];
            AS_EACH for (int m = 0; m < width; ++m) above[m] = of_a[m];
        }
    }
}
