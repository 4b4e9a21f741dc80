/* Cells whose edges are polynomials by their slopes, and the adjoint: polynomial cells with `fold`.
 *
 * The slope of an edge of degree M is sum_{j < M} (2j + 1) g[j] P_j(2s - 1), P_j the Legendre
 * polynomials; its integral from 0 has the coefficients
 *   (I g)[j] = (g[j-1] - g[j+1]) / (2 (2j + 1)),   g[-1] = g[0],   g[M] = 0,
 * what lies above M being dropped, as Galerkin's method does. The lower edge of a cell starts from
 * the value u with slopes g, and the left one has slopes h. With Y[n] = u + n! (I^n h)[0], which is
 * u and the integral of (1-t)^n h(t), slopes of the upper edge are
 *   g' = sum_n p^n / n! I^n g + sum_n p^n / n! I^(n-1) Y[n],   n up to L = M + H (`fold`),
 * by Horner's scheme
 *   w[L] = g,   w[n] = g + p / (n+1) (I w[n+1] + Y[n+1]),   g' = w[0],
 * and h' those of the right edge, with g and h swapped. Terms of high powers and coefficients are
 * small: for n + j > L coefficient j of w[n] is that of g, and that of I h has no part in Y[n+1].
 * The upper edge starts from u + h[0] and ends in u + h[0] + g'[0], which is the kernel. The right
 * one ends there too but for rounding (for M > 1, or L = 2), as h'[0] - h[0] is g'[0] - g[0].
 *
 * Layouts are those of pde_polynomial.inc.c: A is u, then g; of B the first number is not used.
 *
 * This file is compiled twice: with AS_EACH to unroll loops, for degrees that the compiler knows,
 * and for all others, which would take it minutes. AS_CELLS makes names.
 */

/* d[j] = g[j-1] - g[j+1] */
AS_INLINE void AS_CELLS(differences_of)(const VEC *g, VEC *d, const int degree)
{
    AS_EACH for (int j = 0; j < degree; ++j)
    {
        const VEC before = g[j ? j - 1 : 0];
        d[j] = j + 1 < degree ? before - g[j + 1] : before;
    }
}

/* `sum` and 2 Y[n] but for 2 u + d[0], where d are the differences of h. What `sum` depends on may
 * be late, so that it waits for one operation only. */
AS_INLINE VEC AS_CELLS(add_moment)(const PDE_JOB *job, VEC sum, const VEC *d, const int n,
                                   const int degree, const int powers)
{
    const int count = AS_SUMMED(n, degree, powers);
    if (count < 2)
        return sum;
    if (count == 2)
        return sum + d[1] * job->moment[n][1];
    VEC moment = d[1] * job->moment[n][1];
    AS_EACH for (int j = 2; j < count; ++j) moment += d[j] * job->moment[n][j];
    return sum + moment;
}

/* p step[n][j], by sums, which go beside products, from others that are needed too: it is the same
 * for 2j and n/2, and twice that for 2n+1 and j. */
AS_INLINE VEC AS_CELLS(scaled_step)(const PDE_JOB *job, VEC p, int n, int j, const int degree,
                                    const int powers)
{
    int doublings = 0;
    if (__builtin_constant_p(degree)) {
        if (n % 2 == 0 && n > 2 * j && n / 2 < AS_CHANGED(2 * j, degree, powers)) {
            const int half = n / 2;
            n = 2 * j;
            j = half;
        }
        AS_EACH for (int k = 0; k < 4; ++k)
        {
            if (2 * n + 1 < powers && j < AS_CHANGED(2 * n + 1, degree, powers)) {
                n = 2 * n + 1;
                ++doublings;
            }
        }
    }
    VEC factor = p * job->step[n][j];
    AS_EACH for (int k = 0; k < 4; ++k)
    {
        if (k < doublings)
            factor += factor;
    }
    return factor;
}

/* What w starts from: g, of which every other coefficient carries 2 u + d[0], so that the first of
 * their differences does, and no other. */
AS_INLINE void AS_CELLS(carry)(const VEC *g, VEC carried, VEC *from, const int degree)
{
    AS_EACH for (int j = 0; j < degree; ++j)
    {
        const int carries = (j ^ degree) & 1;
        from[j] = !carries ? g[j] : j % 2 ? g[j] - carried : g[j] + carried;
    }
}

/* g' in w, from g and differences of h. With `kept` what steps multiply by their factors, [n][j],
 * is left there, and w is of no use. */
AS_INLINE void AS_CELLS(opposite_edge)(const PDE_JOB *job, VEC p, VEC twice, const VEC *g,
                                       const VEC *of_h, VEC *w, VEC *kept, const int degree,
                                       const int powers)
{
    const VEC carried = twice + of_h[0];
    VEC from[AS_MOST_FOLDED], changes[AS_MOST_FOLDED];
    AS_CELLS(carry)(g, carried, from, degree);
    AS_EACH for (int n = powers - 1; n >= 0; --n)
    {
        const int inner = n == powers - 1, count = AS_CHANGED(n, degree, powers);
        VEC *d = kept ? kept + n * degree : changes;
        AS_CELLS(differences_of)(inner ? g : w, d, degree);
        d[0] = AS_CELLS(add_moment)(job, d[0], of_h, n + 1, degree, powers);
        if (inner)
            d[0] += carried;
        if (kept && !n)
            continue;
        AS_EACH for (int j = 0; j < degree; ++j)
        {
            w[j] = n ? from[j] : g[j];
            if (j < count)
                w[j] += AS_CELLS(scaled_step)(job, p, n, j, degree, powers) * d[j];
        }
    }
}

/* The edges opposite to A and B. */
AS_INLINE void AS_CELLS(pass_slopes)(const PDE_JOB *job, VEC p, const VEC *a, const VEC *b,
                                     VEC *next_a, VEC *next_b, const int degree, const int fold)
{
    const VEC twice = a[0] + a[0];
    VEC of_g[AS_MOST_FOLDED], of_h[AS_MOST_FOLDED];
    AS_CELLS(differences_of)(a + 1, of_g, degree);
    AS_CELLS(differences_of)(b + 1, of_h, degree);
    next_a[0] = a[0] + b[1];
    AS_CELLS(opposite_edge)(job, p, twice, a + 1, of_h, next_a + 1, NULL, degree, degree + fold);
    AS_CELLS(opposite_edge)(job, p, twice, b + 1, of_g, next_b + 1, NULL, degree, degree + fold);
}

/* Adds to `of_g` the adjoint of differences_of, whose results have the adjoint `of_d`. */
AS_INLINE void AS_CELLS(add_differences_back)(const VEC *of_d, VEC *of_g, const int degree)
{
    AS_EACH for (int j = 0; j < degree; ++j)
    {
        of_g[j ? j - 1 : 0] += of_d[j];
        if (j + 1 < degree)
            of_g[j + 1] -= of_d[j];
    }
}

/* The adjoint of one edge: `of_out`, which is lost, is that of g', and `d` what opposite_edge
 * keeps. of_g gets that of g, of_e that of the differences of h, by way of Y, and that of u is
 * added to `of_value`. Returns dF/dp. */
AS_INLINE VEC AS_CELLS(edge_back)(const PDE_JOB *job, VEC p, const VEC *d, VEC *of_out, VEC *of_g,
                                  VEC *of_e, VEC *of_value, const int degree, const int powers)
{
    VEC sum = {0}, of_p = {0}, of_d[AS_MOST_FOLDED];
    AS_EACH for (int j = 0; j < degree; ++j) of_g[j] = of_e[j] = (VEC){0};
    AS_EACH for (int n = 0; n < powers; ++n)
    {
        const int count = AS_CHANGED(n, degree, powers);
        const int moments = AS_SUMMED(n + 1, degree, powers);
        VEC of_p_here = {0}; /* a sum of its own for each power: no long chain of additions */
        AS_EACH for (int j = 0; j < degree; ++j)
        {
            of_g[j] = n ? of_g[j] + of_out[j] : of_out[j];
            of_d[j] = (VEC){0};
            if (j < count) {
                const VEC step = of_out[j] * job->step[n][j];
                of_p_here += step * d[n * degree + j];
                of_d[j] = step * p;
            }
        }
        of_p += of_p_here;
        sum += of_d[0];
        AS_EACH for (int j = 1; j < moments; ++j) of_e[j] += of_d[0] * job->moment[n + 1][j];
        AS_EACH for (int j = 0; j < degree; ++j)
        {
            of_out[j] = j ? -of_d[j - 1] : of_d[0];
            if (j + 1 < degree)
                of_out[j] += of_d[j + 1];
        }
    }
    AS_EACH for (int j = 0; j < degree; ++j) of_g[j] += of_out[j];
    of_e[0] = sum;
    *of_value += sum + sum;
    return of_p;
}

/* The adjoint of a cell: from `of_a` and `of_b`, of the edges A' and B', to those of A and B.
 * Returns the derivative with respect to p. */
AS_INLINE VEC AS_CELLS(slopes_back)(const PDE_JOB *job, VEC p, const VEC *a, const VEC *b,
                                    VEC *of_a, VEC *of_b, const int degree, const int fold)
{
    const int powers = degree + fold;
    VEC d[AS_MOST_FOLDED], e[AS_MOST_FOLDED]; /* differences of slopes, then their adjoints */
    VEC of_g[AS_MOST_FOLDED], of_h[AS_MOST_FOLDED], w[AS_MOST_FOLDED];
    VEC kept[AS_MOST_POWERS * AS_MOST_FOLDED];
    const VEC twice = a[0] + a[0], of_value = of_a[0];
    AS_CELLS(differences_of)(b + 1, e, degree);
    AS_CELLS(opposite_edge)(job, p, twice, a + 1, e, w, kept, degree, powers);
    VEC of_p = AS_CELLS(edge_back)(job, p, kept, of_a + 1, of_g, e, of_a, degree, powers);
    AS_CELLS(differences_of)(a + 1, d, degree);
    AS_CELLS(opposite_edge)(job, p, twice, b + 1, d, w, kept, degree, powers);
    of_p += AS_CELLS(edge_back)(job, p, kept, of_b + 1, of_h, d, of_a, degree, powers);
    AS_CELLS(add_differences_back)(d, of_g, degree);
    AS_CELLS(add_differences_back)(e, of_h, degree);
    AS_EACH for (int j = 0; j < degree; ++j)
    {
        of_a[1 + j] = of_g[j];
        of_b[1 + j] = j ? of_h[j] : of_h[0] + of_value;
    }
    return of_p;
}
