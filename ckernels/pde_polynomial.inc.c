/* Polynomial cells: the Goursat problem solved exactly on every cell of increments for data on its
 * lower and left edge that are polynomials of degree M (`degree`), and its adjoint.
 *
 * With coefficients times factorials, A of the lower edge and B of the left one, the edges opposite
 * to them are, for m = 0 .. M + H,
 *   A'[m] = sum_{k = 1 .. min(m, M)} A[k] p^(m-k) / (m-k)!  +  p^m sum_{k = 0 .. M} B[k] / (m+k)!
 * and B' likewise with A and B swapped (arXiv 2502.08470). Terms above
 * M are dropped, but for H (`fold`) of them, for which polynomials of degree M stand that agree
 * with them at the Gauss-Lobatto-Legendre nodes:
 *   A'[k] += sum_{e < H} A'[M + 1 + e] table[e][k],   k = 1 .. M
 * The kernel is the mean of what both edges say of the last corner.
 *
 * Layouts: rows of A [column][M + 1]; B [row][M + 1]; kept edges [column][row][A, then B].
 */

#ifndef ARRAYSIG_POLYNOMIAL_LIMITS
#define ARRAYSIG_POLYNOMIAL_LIMITS
/* Degrees and folds with code of their own, which do two rows at a time. */
#ifndef AS_EACH_DEGREE /* a test build has fewer, as they take minutes to compile there */
#define AS_EACH_DEGREE(DO)                                                                         \
    DO(3, 0) DO(4, 0) DO(6, 0) DO(8, 0) DO(2, 2) DO(3, 2) DO(4, 2) DO(6, 2) DO(8, 2)
#endif
#define AS_TERMS (AS_MOST_DEGREE + 1 + AS_MOST_FOLD)

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

/* table[e][k] for the polynomial of degree M that has the roots 0, 1 and those of the derivative of
 * the Legendre polynomial of degree M on [0, 1]. */
static void AS_T(fill_table)(PDE_JOB *job)
{
    const int degree = (int)job->degree;
    double inverse[2 * AS_TERMS] = {1}, monic[AS_TERMS] = {0}, rest[AS_TERMS + 1] = {0};
    for (int k = 1; k < 2 * AS_TERMS; ++k)
        inverse[k] = inverse[k - 1] / k;
    for (int k = 0; k < 2 * AS_TERMS; ++k)
        job->inverse[k] = (REAL)inverse[k];
    /* coefficients of the shifted Legendre polynomial by their ratio; s (s - 1) times derivative */
    double legendre = 1, leading = 1;
    for (int k = 1; k <= degree; ++k) {
        legendre *= -(double)(degree + k) * (degree - k + 1) / ((double)k * k);
        monic[k + 1] += k * legendre;
        monic[k] -= k * legendre;
        leading = k * legendre;
    }
    for (int k = 0; k <= degree; ++k)
        rest[k] = -monic[k] / leading; /* s^(M+1) at the nodes */
    for (i64 e = 0; e < job->fold; ++e) {
        double factorial = 1;
        for (int k = 0; k <= degree; ++k) {
            job->table[e][k] = (REAL)(rest[k] * factorial * inverse[degree + 1 + e]);
            factorial *= k + 1;
        }
        const double top = rest[degree]; /* times s, and s^(M+1) reduced again */
        for (int k = degree; k >= 1; --k)
            rest[k] = rest[k - 1] + top * rest[k];
        rest[0] = 0; /* 0 is a node */
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

/* sum_{k = 1 .. min(m, M)} edge[k] p^(m-k) / (m-k)! */
AS_INLINE VEC AS_T(carried)(const VEC *edge, const VEC *scaled, const int m, const int degree)
{
    VEC sum = m && m <= degree ? edge[m] : (VEC){0};
    const int last = m <= degree ? m : degree + 1;
    AS_UNROLL for (int k = 1; k < last; ++k) { sum += edge[k] * scaled[m - k]; }
    return sum;
}

/* sum_{k = 0 .. M} edge[k] / (m+k)! */
AS_INLINE VEC AS_T(integrated)(const PDE_JOB *job, const VEC *edge, const int m, const int degree)
{
    VEC sum = edge[0] * job->inverse[m];
    AS_UNROLL for (int k = 1; k <= degree; ++k) sum += edge[k] * job->inverse[m + k];
    return sum;
}

/* The edge opposite to `edge`, where `side` is the other one. */
AS_INLINE void AS_T(opposite)(const PDE_JOB *job, const VEC *edge, const VEC *side,
                              const VEC *power, const VEC *scaled, VEC *out, const int degree,
                              const int fold)
{
    AS_UNROLL for (int m = 0; m <= degree + fold; ++m)
    {
        const VEC term = AS_T(integrated)(job, side, m, degree);
        out[m] = AS_T(carried)(edge, scaled, m, degree) + (m ? term * power[m] : term);
    }
    AS_UNROLL for (int e = 0; e < fold; ++e)
    {
        AS_UNROLL for (int k = 1; k <= degree; ++k) out[k] +=
            out[degree + 1 + e] * job->table[e][k];
    }
}

/* Sweeps `count` columns of `rows` rows. `left` are the B of the rows, `above` the A above them,
 * and `below`, which may be the same, or NULL, gets those below; with `kept` the edges of all cells
 * are stored before they change. With a seam that takes the place of rows of A. */
AS_INLINE void AS_T(sweep_cells)(const PDE_JOB *job, const VEC *p, i64 count, VEC *restrict left,
                                 const VEC *above, VEC *below, VEC *restrict kept,
                                 const AS_T(seam) * seam, const int rows, const int degree,
                                 const int fold)
{
    const int width = degree + 1;
    for (i64 t = 0; t < count; ++t, p += rows) {
        VEC a[AS_TERMS], b[AS_TERMS], next[AS_TERMS], power[AS_TERMS], scaled[AS_TERMS];
        VEC *passed = seam ? seam->bottom + t % AS_LAG * width : below ? below + t * width : NULL;
        AS_UNROLL for (int m = 0; m < width; ++m) a[m] =
            seam ? AS_T(shift_lanes)(passed[m], seam->in[t * width + m]) : above[t * width + m];
        AS_UNROLL for (int r = 0; r < rows; ++r)
        {
            AS_UNROLL for (int m = 0; m < width; ++m) b[m] = left[r * width + m];
            if (kept) {
                AS_UNROLL for (int m = 0; m < width; ++m)
                {
                    kept[m] = a[m];
                    kept[width + m] = b[m];
                }
                kept += 2 * width;
            }
            AS_T(powers)(job, p[r], power, scaled, degree + fold);
            const IVEC *active = seam && seam->active ? seam->active + t * rows + r : NULL;
            AS_T(opposite)(job, b, a, power, scaled, next, degree, fold);
            AS_UNROLL for (int m = 0; m < width; ++m) left[r * width + m] =
                active ? AS_T(choose)(*active, next[m], b[m]) : next[m];
            if (!passed && r == rows - 1)
                continue;
            AS_T(opposite)(job, a, b, power, scaled, next, degree, fold);
            AS_UNROLL for (int m = 0; m < width; ++m) a[m] =
                active ? AS_T(choose)(*active, next[m], a[m]) : next[m];
        }
        AS_UNROLL for (int m = 0; passed && m < width; ++m)
        {
            passed[m] = a[m];
            if (seam)
                seam->out[t * width + m] = a[m][AS_LANES - 1];
        }
    }
}

/* The adjoint of a cell: from `of_a` and `of_b`, of the edges A' and B', with room for the terms
 * that were folded, to those of A and B. Returns the derivative with respect to p. With E[k] =
 * sum_{m >= k} of_a[m] p^(m-k) / (m-k)!,   G[k] = sum_{m >= 1} of_a[m] p^(m-1) / (m+k)! that of
 * A[k], k > 0, is E[k], that of B[k] is of_a[0] / k! + p G[k], and as m / (m+k)! is 1 / (m+k-1)! -
 * k / (m+k)!, that of p is sum_k A[k] E[k+1] + B[k] (G[k-1] - k G[k]); and the same with A and B
 * swapped. */
AS_INLINE VEC AS_T(cell_back)(const PDE_JOB *job, const VEC *a, const VEC *b, const VEC *power,
                              const VEC *scaled, VEC *of_a, VEC *of_b, const int degree,
                              const int fold)
{
    const int top = degree + fold;
    AS_UNROLL for (int e = 0; e < fold; ++e)
    {
        VEC sum_a = {0}, sum_b = {0};
        AS_UNROLL for (int k = 1; k <= degree; ++k)
        {
            sum_a += of_a[k] * job->table[e][k];
            sum_b += of_b[k] * job->table[e][k];
        }
        of_a[degree + 1 + e] = sum_a;
        of_b[degree + 1 + e] = sum_b;
    }
    VEC of_p = {0}, next_a[AS_TERMS], next_b[AS_TERMS];
    next_a[0] = next_b[0] = (VEC){0};
    AS_UNROLL for (int k = 1; k <= degree + (fold > 0); ++k)
    {
        VEC sum_a = of_a[k], sum_b = of_b[k];
        AS_UNROLL for (int m = k + 1; m <= top; ++m)
        {
            sum_a += of_a[m] * scaled[m - k];
            sum_b += of_b[m] * scaled[m - k];
        }
        next_a[k] = sum_a;
        next_b[k] = sum_b;
        if (k > 1)
            of_p += a[k - 1] * sum_a + b[k - 1] * sum_b;
    }
    AS_UNROLL for (int m = 2; m <= top; ++m)
    {
        of_a[m] *= power[m - 1];
        of_b[m] *= power[m - 1];
    }
    VEC before_a = of_a[1], before_b = of_b[1];
    AS_UNROLL for (int m = 2; m <= top; ++m)
    {
        before_a += of_a[m] * job->inverse[m - 1];
        before_b += of_b[m] * job->inverse[m - 1];
    }
    AS_UNROLL for (int k = 0; k <= degree; ++k)
    {
        VEC sum_a = of_a[1] * job->inverse[1 + k], sum_b = of_b[1] * job->inverse[1 + k];
        AS_UNROLL for (int m = 2; m <= top; ++m)
        {
            VEC factor = AS_T(all_lanes)(job->inverse[m + k]);
            AS_IN_REGISTER(factor);
            sum_a += of_a[m] * factor;
            sum_b += of_b[m] * factor;
        }
        next_a[k] += of_b[0] * job->inverse[k] + sum_b * power[1];
        next_b[k] += of_a[0] * job->inverse[k] + sum_a * power[1];
        of_p += a[k] * (before_b - sum_b * (REAL)k) + b[k] * (before_a - sum_a * (REAL)k);
        before_a = sum_a;
        before_b = sum_b;
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
 * derivatives with respect to the last corners of cells, or NULL. */
AS_INLINE void AS_T(sweep_cells_back)(const PDE_JOB *job, VEC *p, i64 count, VEC *restrict left,
                                      VEC *restrict adjoint, const VEC *kept, const VEC *seeds,
                                      const int rows, const int degree, const int fold)
{
    const int width = degree + 1;
    for (i64 t = count - 1; t >= 0; --t) {
        VEC of_a[AS_TERMS], of_b[AS_TERMS], power[AS_TERMS], scaled[AS_TERMS];
        AS_UNROLL for (int m = 0; m < width; ++m) of_a[m] = adjoint[t * width + m];
        for (int r = rows - 1; r >= 0; --r) {
            const VEC *a = kept + (t * rows + r) * 2 * width, *b = a + width;
            AS_UNROLL for (int m = 0; m < width; ++m) of_b[m] = left[r * width + m];
            if (seeds) {
                const VEC half = seeds[t * rows + r] * (REAL)0.5;
                AS_UNROLL for (int m = 0; m < width; ++m)
                {
                    of_a[m] += half * job->inverse[m];
                    of_b[m] += half * job->inverse[m];
                }
            }
            VEC *p_here = p + t * rows + r;
            AS_T(powers)(job, *p_here, power, scaled, degree + fold);
            *p_here = AS_T(cell_back)(job, a, b, power, scaled, of_a, of_b, degree, fold);
            AS_UNROLL for (int m = 0; m < width; ++m) left[r * width + m] = of_b[m];
        }
        AS_UNROLL for (int m = 0; m < width; ++m) adjoint[t * width + m] = of_a[m];
    }
}

static void AS_T(sweep_cells_of)(const PDE_JOB *job, const VEC *p, i64 count, VEC *left,
                                 const VEC *above, VEC *below, VEC *kept, const AS_T(seam) * seam,
                                 i64 rows)
{
#define AS_CASE(DEGREE, FOLD)                                                                      \
    if (rows == AS_CELL_ROWS && job->degree == DEGREE && job->fold == FOLD) {                      \
        AS_T(sweep_cells)(job, p, count, left, above, below, kept, seam, AS_CELL_ROWS, DEGREE,     \
                          FOLD);                                                                   \
        return;                                                                                    \
    }
    AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE
    AS_T(sweep_cells)(job, p, count, left, above, below, kept, seam, 1, (int)job->degree,
                      (int)job->fold);
}

static void AS_T(sweep_cells_back_of)(const PDE_JOB *job, VEC *p, i64 count, VEC *left,
                                      VEC *adjoint, const VEC *kept, const VEC *seeds, i64 rows)
{
#define AS_CASE(DEGREE, FOLD)                                                                      \
    if (rows == AS_CELL_ROWS && job->degree == DEGREE && job->fold == FOLD) {                      \
        AS_T(sweep_cells_back)(job, p, count, left, adjoint, kept, seeds, AS_CELL_ROWS, DEGREE,    \
                               FOLD);                                                              \
        return;                                                                                    \
    }
    AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE
    AS_T(sweep_cells_back)(job, p, count, left, adjoint, kept, seeds, 1, (int)job->degree,
                           (int)job->fold);
}
