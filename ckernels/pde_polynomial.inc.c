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

/* Sweeps `count` columns of `rows` rows. `left` are the B of the rows, `row` the A above them and
 * then below; with `kept` the edges of all cells are stored before they change. With a seam that
 * takes the place of `row`. */
AS_INLINE void AS_T(sweep_cells)(const PDE_JOB *job, const VEC *p, i64 count, VEC *restrict left,
                                 VEC *restrict row, VEC *restrict kept, const AS_T(seam) * seam,
                                 const int rows, const int degree, const int fold)
{
    const int width = degree + 1;
    for (i64 t = 0; t < count; ++t, p += rows) {
        VEC a[AS_TERMS], b[AS_TERMS], next[AS_TERMS], power[AS_TERMS], scaled[AS_TERMS];
        VEC *passed = seam ? seam->bottom + t % AS_LAG * width : row + t * width;
        AS_UNROLL for (int m = 0; m < width; ++m) a[m] =
            seam ? AS_T(shift_lanes)(passed[m], seam->in[t * width + m]) : passed[m];
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
            AS_T(opposite)(job, a, b, power, scaled, next, degree, fold);
            AS_UNROLL for (int m = 0; m < width; ++m) a[m] =
                active ? AS_T(choose)(*active, next[m], a[m]) : next[m];
        }
        AS_UNROLL for (int m = 0; m < width; ++m)
        {
            passed[m] = a[m];
            if (seam)
                seam->out[t * width + m] = a[m][AS_LANES - 1];
        }
    }
}

/* The adjoint of `opposite`: adds to the adjoints of `edge` and `side`; `grad`, of the result, has
 * room for the terms that were folded. Returns the derivative with respect to p. */
AS_INLINE VEC AS_T(opposite_back)(const PDE_JOB *job, VEC *grad, const VEC *edge, const VEC *side,
                                  const VEC *power, const VEC *scaled, VEC *of_edge, VEC *of_side,
                                  const int degree, const int fold)
{
    AS_UNROLL for (int e = 0; e < fold; ++e)
    {
        VEC sum = {0};
        AS_UNROLL for (int k = 1; k <= degree; ++k) sum += grad[k] * job->table[e][k];
        grad[degree + 1 + e] = sum;
    }
    AS_UNROLL for (int k = 1; k <= degree; ++k)
    {
        AS_UNROLL for (int m = k; m <= degree + fold; ++m) of_edge[k] += grad[m] * scaled[m - k];
    }
    VEC of_p = {0};
    AS_UNROLL for (int m = 0; m <= degree + fold; ++m)
    {
        const VEC weight = grad[m] * power[m];
        AS_UNROLL for (int k = 0; k <= degree; ++k) of_side[k] += weight * job->inverse[m + k];
        if (m) {
            const VEC slope = AS_T(integrated)(job, side, m, degree) * power[m - 1] * (REAL)m;
            of_p += grad[m] * (AS_T(carried)(edge, scaled, m - 1, degree) + slope);
        }
    }
    return of_p;
}

/* The adjoint of a strip, from its last column to its first: p becomes dF/dp; `adjoint` is that of
 * the A below the strip, and then above; `left` that of the B behind it. */
AS_INLINE void AS_T(sweep_cells_back)(const PDE_JOB *job, VEC *p, i64 count, VEC *restrict left,
                                      VEC *restrict adjoint, const VEC *kept, const int rows,
                                      const int degree, const int fold)
{
    const int width = degree + 1;
    for (i64 t = count - 1; t >= 0; --t) {
        VEC ga[AS_TERMS], gb[AS_TERMS], power[AS_TERMS], scaled[AS_TERMS];
        AS_UNROLL for (int m = 0; m < width; ++m) ga[m] = adjoint[t * width + m];
        for (int r = rows - 1; r >= 0; --r) {
            const VEC *a = kept + (t * rows + r) * 2 * width, *b = a + width;
            VEC of_a[AS_TERMS], of_b[AS_TERMS];
            AS_UNROLL for (int m = 0; m < width; ++m)
            {
                gb[m] = left[r * width + m];
                of_a[m] = of_b[m] = (VEC){0};
            }
            AS_T(powers)(job, p[t * rows + r], power, scaled, degree + fold);
            VEC of_p = AS_T(opposite_back)(job, ga, a, b, power, scaled, of_a, of_b, degree, fold);
            of_p += AS_T(opposite_back)(job, gb, b, a, power, scaled, of_b, of_a, degree, fold);
            p[t * rows + r] = of_p;
            AS_UNROLL for (int m = 0; m < width; ++m)
            {
                ga[m] = of_a[m];
                left[r * width + m] = of_b[m];
            }
        }
        AS_UNROLL for (int m = 0; m < width; ++m) adjoint[t * width + m] = ga[m];
    }
}

static void AS_T(sweep_cells_of)(const PDE_JOB *job, const VEC *p, i64 count, VEC *left, VEC *row,
                                 VEC *kept, const AS_T(seam) * seam, i64 rows)
{
#define AS_CASE(DEGREE, FOLD)                                                                      \
    if (rows == AS_CELL_ROWS && job->degree == DEGREE && job->fold == FOLD) {                      \
        AS_T(sweep_cells)(job, p, count, left, row, kept, seam, AS_CELL_ROWS, DEGREE, FOLD);       \
        return;                                                                                    \
    }
    AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE
    AS_T(sweep_cells)(job, p, count, left, row, kept, seam, 1, (int)job->degree, (int)job->fold);
}

static void AS_T(sweep_cells_back_of)(const PDE_JOB *job, VEC *p, i64 count, VEC *left,
                                      VEC *adjoint, const VEC *kept, i64 rows)
{
#define AS_CASE(DEGREE, FOLD)                                                                      \
    if (rows == AS_CELL_ROWS && job->degree == DEGREE && job->fold == FOLD) {                      \
        AS_T(sweep_cells_back)(job, p, count, left, adjoint, kept, AS_CELL_ROWS, DEGREE, FOLD);    \
        return;                                                                                    \
    }
    AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE
    AS_T(sweep_cells_back)(job, p, count, left, adjoint, kept, 1, (int)job->degree, (int)job->fold);
}
