/* Polynomial cells: the Goursat problem solved exactly on every cell of increments for data on its
 * lower and left edge that are polynomials of degree M (`degree`), and its adjoint.
 *
 * With coefficients times factorials, A of the lower edge and B of the left one, the edges opposite
 * to them are, for m = 0 .. M,
 *   A'[m] = sum_{k = 1 .. m} A[k] p^(m-k) / (m-k)!  +  p^m sum_{k = 0 .. M} B[k] / (m+k)!
 * and B' likewise with A and B swapped (arXiv 2502.08470). Terms above M are dropped. The kernel is
 * the mean of what both edges say of the last corner. With `fold` all is as in pde_slopes.inc.c.
 *
 * Layouts: rows of A [column][M + 1]; B [row][M + 1]; kept edges [column][row][A, then B].
 */

#ifndef ARRAYSIG_POLYNOMIAL_LIMITS
#define ARRAYSIG_POLYNOMIAL_LIMITS
/* Degrees and folds with code of their own, which do two rows at a time. */
#ifndef AS_EACH_DEGREE /* a test build has fewer, as they take minutes to compile there */
#define AS_EACH_DEGREE(DO)                                                                         \
    DO(3, 0)                                                                                       \
    DO(4, 0) DO(6, 0) DO(8, 0) DO(3, 1) DO(4, 1) DO(2, 2) DO(3, 2) DO(4, 2) DO(6, 2) DO(8, 2)
#endif
#define AS_TERMS (AS_MOST_DEGREE + 1)

/* Number j of the sequence 1 / j! less itself `gap1` further on, and that less itself `gap2`
 * further on; gaps of 0 leave it as it is. */
AS_INLINE double as_factor(int j, int gap1, int gap2)
{
    static const double inverse[] = {1,
                                     1,
                                     1.0 / 2,
                                     1.0 / 6,
                                     1.0 / 24,
                                     1.0 / 120,
                                     1.0 / 720,
                                     1.0 / 5040,
                                     1.0 / 40320,
                                     1.0 / 362880,
                                     1.0 / 3628800,
                                     1.0 / 39916800,
                                     1.0 / 479001600,
                                     1.0 / 6227020800,
                                     1.0 / 87178291200,
                                     1.0 / 1307674368000,
                                     1.0 / 20922789888000,
                                     1.0 / 355687428096000,
                                     1.0 / 6402373705728000};
    const double here = inverse[j] - (gap1 ? inverse[j + gap1] : 0);
    return gap2 ? here - (inverse[j + gap2] - (gap1 ? inverse[j + gap1 + gap2] : 0)) : here;
}

static int as_has_degree(i64 degree, i64 fold)
{
#define AS_CASE(DEGREE, FOLD)                                                                      \
    if (degree == DEGREE && fold == FOLD)                                                          \
        return 1;
    AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE
    return 0;
}
#endif

static void AS_T(fill_inverse)(PDE_JOB *job)
{
    double inverse = 1;
    for (int k = 0; k < 2 * AS_TERMS; ++k) {
        job->inverse[k] = (REAL)inverse;
        inverse /= k + 1;
    }
}

/* For pde_slopes.inc.c: job->step[n][j] = 1 / (2 (n+1) (2j + 1)), and 2 Y[n] = 2 u + d[0] + sum_j
 * job->moment[n][j] d[j], j > 0, where d[j] = g[j-1] - g[j+1]. */
static void AS_T(fill_slope_tables)(PDE_JOB *job)
{
    const i64 m = job->degree;
    double mean[AS_MOST_FOLDED + 2] = {0, 1}; /* n! (I^(n-1) .)[0] of coefficient j, at j + 1 */
    for (i64 n = 0; n <= m + job->fold; ++n) {
        for (i64 j = 0; j < m; ++j) {
            job->step[n][j] = (REAL)(0.5 / ((double)(n + 1) * (double)(2 * j + 1)));
            job->moment[n][j] = (REAL)(mean[j + 1] / (double)(2 * j + 1));
        }
        if (!n)
            continue;
        double next[AS_MOST_FOLDED + 2] = {0};
        for (i64 j = 0; j < m; ++j) {
            const double part = mean[j + 1] * (double)(n + 1) / (double)(2 * (2 * j + 1));
            next[j ? j : 1] += part;
            next[j + 2] -= j + 1 < m ? part : 0;
        }
        memcpy(mean, next, sizeof mean);
    }
}

/* p^m, and p^m / m!, for m <= last. */
AS_INLINE void AS_T(powers)(const PDE_JOB *job, VEC p, VEC *power, VEC *scaled, const int last)
{
    power[0] = scaled[0] = AS_T(all_lanes)(1);
    power[1] = scaled[1] = p;
    AS_UNROLL for (int m = 2; m <= last; ++m)
    {
        power[m] = power[m / 2] * power[m - m / 2];
        scaled[m] = power[m] * job->inverse[m];
    }
}

/* sum_{k = 1 .. m} edge[k] p^(m-k) / (m-k)! */
AS_INLINE VEC AS_T(carried)(const VEC *edge, const VEC *scaled, const int m)
{
    VEC sum = m ? edge[m] : (VEC){0};
    AS_UNROLL for (int k = 1; k < m; ++k) { sum += edge[k] * scaled[m - k]; }
    return sum;
}

/* out[i] += sign * sum_k factor(first + i + k) x[k], i < rows, k < columns; with `fresh` out is 0.
 */
AS_INLINE void AS_T(add_products)(const VEC *x, VEC *out, const int fresh, const int sign,
                                  const int first, const int gap1, const int gap2, const int rows,
                                  const int columns)
{
    AS_UNROLL for (int k = 0; k < columns; ++k) AS_UNROLL for (int i = 0; i < rows; ++i)
    {
        const REAL factor = (REAL)(sign * as_factor(first + i + k, gap1, gap2));
        out[i] = fresh && !k ? x[k] * factor : out[i] + x[k] * factor;
    }
}

/* The same for n rows and columns without a second gap, with three products of half the size where
 * that pays: of H0 x + H1 y and H1 x + H2 y, where x and y are halves, H1 (x + y) is a part of
 * both. Sums go beside products, on units of their own. */
AS_INLINE void AS_T(add_square)(const VEC *x, VEC *out, const int fresh, const int sign,
                                const int first, const int gap, const int n)
{
    if (n < 4) {
        AS_T(add_products)(x, out, fresh, sign, first, gap, 0, n, n);
        return;
    }
    const int half = (n + 1) / 2;
    VEC sum[AS_TERMS], both[AS_TERMS];
    AS_UNROLL for (int k = 0; k < half; ++k) sum[k] = k + half < n ? x[k] + x[k + half] : x[k];
    AS_T(add_products)(sum, both, 1, sign, first + half, gap, 0, half, half);
    AS_UNROLL for (int i = 0; i < n; ++i) out[i] = fresh ? both[i % half] : out[i] + both[i % half];
    AS_T(add_products)(x, out, 0, sign, first, gap, half, half, half);
    AS_T(add_products)(x + half, out + half, 0, -sign, first + half, gap, half, n - half, n - half);
}

/* out[m] = sum_{k < columns} x[k] / (m+k)! for m < rows, which are at least as many; of halves of
 * halves from 6 on. */
AS_INLINE void AS_T(integrate)(const PDE_JOB *job, const VEC *x, VEC *out, const int rows,
                               const int columns)
{
    const int n = columns, half = (n + 1) / 2;
    if (!__builtin_constant_p(columns)) {
        for (int m = 0; m < rows; ++m) {
            out[m] = x[0] * job->inverse[m];
            for (int k = 1; k < columns; ++k)
                out[m] += x[k] * job->inverse[m + k];
        }
        return;
    }
    if (n < 6)
        AS_T(add_square)(x, out, 1, 1, 0, 0, n);
    else {
        VEC sum[AS_TERMS];
        AS_UNROLL for (int k = 0; k < half; ++k) sum[k] = k + half < n ? x[k] + x[k + half] : x[k];
        AS_T(add_square)(sum, out, 1, 1, half, 0, half);
        AS_UNROLL for (int i = half; i < n; ++i) out[i] = out[i - half];
        AS_T(add_square)(x, out, 0, 1, 0, half, half);
        AS_T(add_square)(x + half, out + half, 0, -1, half, half, n - half);
    }
    AS_T(add_products)(x, out + n, 1, 1, n, 0, 0, rows - n, n);
}

/* The edge opposite to `edge`, where `side` is the other one. */
AS_INLINE void AS_T(opposite)(const PDE_JOB *job, const VEC *edge, const VEC *side,
                              const VEC *power, const VEC *scaled, VEC *out, const int degree)
{
    VEC term[AS_TERMS];
    AS_T(integrate)(job, side, term, degree + 1, degree + 1);
    out[0] = term[0];
    AS_UNROLL for (int m = 1; m <= degree; ++m) out[m] =
        AS_T(carried)(edge, scaled, m) + term[m] * power[m];
}

/* From the edges a and b of a cell to those opposite to them. */
AS_INLINE void AS_T(pass_cell)(const PDE_JOB *job, VEC p, const VEC *a, const VEC *b, VEC *next_a,
                               VEC *next_b, const int degree, const int fold)
{
    if (fold) {
        if (__builtin_constant_p(degree))
            AS_T(pass_slopes)(job, p, a, b, next_a, next_b, degree, fold);
        else
            AS_T(pass_slopes_of_any)(job, p, a, b, next_a, next_b, degree, fold);
        return;
    }
    VEC power[AS_TERMS], scaled[AS_TERMS];
    AS_T(powers)(job, p, power, scaled, degree);
    AS_T(opposite)(job, b, a, power, scaled, next_b, degree);
    AS_T(opposite)(job, a, b, power, scaled, next_a, degree);
}

/* Sweeps `count` columns of `rows` rows. `left` are the B of the rows, `above` the A above them,
 * and `below`, which may be the same, or NULL, gets those below; with `kept` the edges of all cells
 * are stored before they change. With a seam that takes the place of rows of A.
 *
 * Row r is r columns behind the first one: cells that are next to each other in time do not wait
 * for each other, and the processor has several under way. */
AS_INLINE void AS_T(sweep_cells)(const PDE_JOB *restrict job, const VEC *p, i64 count,
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
            AS_UNROLL for (int m = 0; m < width; ++m) a[m] = from[m];
            AS_UNROLL for (int m = unused; m < width; ++m) b[m] = left[r * width + m];
            if (seam && !r)
                AS_UNROLL for (int m = 0; m < width; ++m) a[m] =
                    AS_T(shift_lanes)(a[m], seam->in[at + m]);
            if (kept) {
                VEC *edges = kept + 2 * (column * rows + r) * width;
                AS_UNROLL for (int m = 0; m < width; ++m) edges[m] = a[m];
                AS_UNROLL for (int m = unused; m < width; ++m) edges[width + m] = b[m];
            }
            const i64 cell = column * rows + r;
            AS_T(pass_cell)(job, p[cell], a, b, next_a, next_b, degree, fold);
            if (seam && seam->active) {
                const IVEC active = seam->active[cell];
                AS_UNROLL for (int m = unused; m < width; ++m) next_b[m] =
                    AS_T(choose)(active, next_b[m], b[m]);
                AS_UNROLL for (int m = 0; m < width; ++m) next_a[m] =
                    AS_T(choose)(active, next_a[m], a[m]);
            }
            AS_UNROLL for (int m = unused; m < width; ++m) left[r * width + m] = next_b[m];
            AS_UNROLL for (int m = 0; m < width; ++m) to[m] = next_a[m];
            if (seam && is_last)
                AS_UNROLL for (int m = 0; m < width; ++m) seam->out[at + m] =
                    next_a[m][AS_LANES - 1];
        }
    }
}

/* The adjoint of a cell: from `of_a` and `of_b`, of the edges A' and B', to those of A and B.
 * Returns the derivative with respect to p. With E[k] = sum_{m >= k} of_a[m] p^(m-k) / (m-k)!, G[k]
 * = sum_{m >= 1} of_a[m] p^(m-1) / (m+k)! that of A[k], k > 0, is E[k], that of B[k] is of_a[0] /
 * k! + p G[k], and as m / (m+k)! is 1 / (m+k-1)! - k / (m+k)!, that of p is sum_k A[k] E[k+1] +
 * B[k] (G[k-1] - k G[k]); and the same with A and B swapped. */
AS_INLINE VEC AS_T(cell_back)(const PDE_JOB *job, const VEC *a, const VEC *b, const VEC *power,
                              const VEC *scaled, VEC *of_a, VEC *of_b, const int degree)
{
    VEC of_p = {0}, next_a[AS_TERMS], next_b[AS_TERMS];
    next_a[0] = next_b[0] = (VEC){0};
    AS_UNROLL for (int k = 1; k <= degree; ++k)
    {
        VEC sum_a = of_a[k], sum_b = of_b[k];
        AS_UNROLL for (int m = k + 1; m <= degree; ++m)
        {
            sum_a += of_a[m] * scaled[m - k];
            sum_b += of_b[m] * scaled[m - k];
        }
        next_a[k] = sum_a;
        next_b[k] = sum_b;
        if (k > 1)
            of_p += a[k - 1] * sum_a + b[k - 1] * sum_b;
    }
    AS_UNROLL for (int m = 2; m <= degree; ++m)
    {
        of_a[m] *= power[m - 1];
        of_b[m] *= power[m - 1];
    }
    VEC sum_a[AS_TERMS], sum_b[AS_TERMS]; /* G, from number -1 on */
    AS_T(integrate)(job, of_a + 1, sum_a, degree + 2, degree);
    AS_T(integrate)(job, of_b + 1, sum_b, degree + 2, degree);
    AS_UNROLL for (int k = 0; k <= degree; ++k)
    {
        next_a[k] += of_b[0] * job->inverse[k] + sum_b[k + 1] * power[1];
        next_b[k] += of_a[0] * job->inverse[k] + sum_a[k + 1] * power[1];
        of_p +=
            a[k] * (sum_b[k] - sum_b[k + 1] * (REAL)k) + b[k] * (sum_a[k] - sum_a[k + 1] * (REAL)k);
    }
    AS_UNROLL for (int k = 0; k <= degree; ++k)
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
AS_INLINE void AS_T(sweep_cells_back)(const PDE_JOB *job, VEC *p, i64 count, VEC *restrict left,
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
            AS_UNROLL for (int m = 0; m < width; ++m) of_a[m] = below[m];
            AS_UNROLL for (int m = 0; m < width; ++m) of_b[m] = left[r * width + m];
            if (seeds) {
                const VEC seed = seeds[cell];
                AS_UNROLL for (int m = 0; m < width; ++m) of_a[m] += seed * job->end_a[m];
                AS_UNROLL for (int m = 0; m < width; ++m) of_b[m] += seed * job->end_b[m];
            }
            if (fold && __builtin_constant_p(degree))
                p[cell] = AS_T(slopes_back)(job, p[cell], a, b, of_a, of_b, degree, fold);
            else if (fold)
                p[cell] = AS_T(slopes_back_of_any)(job, p[cell], a, b, of_a, of_b, degree, fold);
            else {
                VEC power[AS_TERMS], scaled[AS_TERMS];
                AS_T(powers)(job, p[cell], power, scaled, degree);
                p[cell] = AS_T(cell_back)(job, a, b, power, scaled, of_a, of_b, degree);
            }
            AS_UNROLL for (int m = 0; m < width; ++m) left[r * width + m] = of_b[m];
            AS_UNROLL for (int m = 0; m < width; ++m) above[m] = of_a[m];
        }
    }
}

static void AS_T(sweep_cells_of)(const PDE_JOB *job, const VEC *p, i64 count, VEC *left,
                                 const VEC *above, VEC *below, VEC *kept, const AS_T(seam) * seam,
                                 i64 rows)
{
#define AS_CASE(DEGREE, FOLD)                                                                      \
    if (job->degree == DEGREE && job->fold == FOLD) {                                              \
        if (kept || seam)                                                                          \
            AS_T(sweep_cells)(job, p, count, left, above, below, kept, seam, rows, DEGREE, FOLD);  \
        else                                                                                       \
            AS_T(sweep_cells)(job, p, count, left, above, below, NULL, NULL, rows, DEGREE, FOLD);  \
        return;                                                                                    \
    }
    AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE
    AS_T(sweep_cells)(job, p, count, left, above, below, kept, seam, rows, (int)job->degree,
                      (int)job->fold);
}

static void AS_T(sweep_cells_back_of)(const PDE_JOB *job, VEC *p, i64 count, VEC *left,
                                      VEC *adjoint, const VEC *kept, const VEC *seeds, i64 rows)
{
#define AS_CASE(DEGREE, FOLD)                                                                      \
    if (job->degree == DEGREE && job->fold == FOLD) {                                              \
        AS_T(sweep_cells_back)(job, p, count, left, adjoint, kept, seeds, rows, DEGREE, FOLD);     \
        return;                                                                                    \
    }
    AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE
    AS_T(sweep_cells_back)(job, p, count, left, adjoint, kept, seeds, rows, (int)job->degree,
                           (int)job->fold);
}
