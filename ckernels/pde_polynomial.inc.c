/* Polynomial cells: the Goursat problem solved exactly on every cell of increments for data on its
 * lower and left edge that are polynomials of degree M (`degree`), and its adjoint.
 *
 * With coefficients times factorials, A of the lower edge and B of the left one, the edges opposite
 * to them are, for m = 0 .. M,
 *   A'[m] = sum_{k = 1 .. m} A[k] p^(m-k) / (m-k)!  +  p^m sum_{k = 0 .. M} B[k] / (m+k)!
 * and B' likewise with A and B swapped (arXiv 2502.08470). Terms above M are dropped, so that both
 * edges may differ in what they say of a corner. The kernel there is the mean, from which the next
 * cell starts with both: with a corner for each edge, differences would grow like the kernel of
 * larger increments. With `fold` all is as in pde_slopes.inc.c.
 *
 * Layouts: rows of A [column][M + 1]; B [row][M + 1]; kept edges [column][row][A, then B].
 */

#ifndef ARRAYSIG_POLYNOMIAL_LIMITS
#define ARRAYSIG_POLYNOMIAL_LIMITS
/* Degrees and folds with code of their own, in strips of AS_CELL_ROWS rows. */
#ifndef AS_EACH_DEGREE /* a test build has fewer, as they take minutes to compile there */
/* clang-format off */
#define AS_EACH_DEGREE(DO)                                                                         \
    DO(2, 0) DO(3, 0) DO(4, 0) DO(5, 0) DO(6, 0) DO(7, 0) DO(8, 0)                                 \
    DO(2, 1) DO(3, 1) DO(4, 1) DO(5, 1) DO(6, 1) DO(7, 1) DO(8, 1)                                 \
    DO(2, 2) DO(3, 2) DO(4, 2) DO(5, 2) DO(6, 2) DO(7, 2) DO(8, 2) DO(12, 2)
/* clang-format on */
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

AS_INLINE VEC AS_T(mean_of)(VEC a, VEC b) { return (a + b) * (REAL)0.5; }

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

#define AS_CELLS AS_T
#define AS_EACH AS_UNROLL
#include "pde_slopes.inc.c"
#include "pde_cells.inc.c"
#undef AS_CELLS
#undef AS_EACH
#define AS_CELLS(NAME) AS_T(NAME##_of_any)
#define AS_EACH
#include "pde_slopes.inc.c"
#include "pde_cells.inc.c"
#undef AS_CELLS
#undef AS_EACH

/* Functions of their own: as parts of one, those of order 8 with two powers more took a fifth
 * longer. */
#define AS_CASE(DEGREE, FOLD)                                                                      \
    AS_OUTLINE void AS_T(sweep_cells_##DEGREE##_##FOLD)(                                           \
        const PDE_JOB *job, const VEC *p, i64 count, VEC *left, const VEC *above, VEC *below,      \
        VEC *kept, const AS_T(seam) * seam, i64 rows)                                              \
    {                                                                                              \
        if (kept || seam)                                                                          \
            AS_T(sweep_cells)(job, p, count, left, above, below, kept, seam, rows, DEGREE, FOLD);  \
        else                                                                                       \
            AS_T(sweep_cells)(job, p, count, left, above, below, NULL, NULL, rows, DEGREE, FOLD);  \
    }                                                                                              \
    AS_OUTLINE void AS_T(sweep_cells_back_##DEGREE##_##FOLD)(                                      \
        const PDE_JOB *job, VEC *p, i64 count, VEC *left, VEC *adjoint, const VEC *kept,           \
        const VEC *seeds, i64 rows)                                                                \
    {                                                                                              \
        AS_T(sweep_cells_back)(job, p, count, left, adjoint, kept, seeds, rows, DEGREE, FOLD);     \
    }
AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE

static void AS_T(sweep_cells_of)(const PDE_JOB *job, const VEC *p, i64 count, VEC *left,
                                 const VEC *above, VEC *below, VEC *kept, const AS_T(seam) * seam,
                                 i64 rows)
{
#define AS_CASE(DEGREE, FOLD)                                                                      \
    if (job->degree == DEGREE && job->fold == FOLD) {                                              \
        AS_T(sweep_cells_##DEGREE##_##FOLD)(job, p, count, left, above, below, kept, seam, rows);  \
        return;                                                                                    \
    }
    AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE
    if (job->degree < 1 || job->degree > AS_MOST_DEGREE)
        __builtin_unreachable(); /* compilers would warn of numbers that are not set */
    AS_T(sweep_cells_of_any)(job, p, count, left, above, below, kept, seam, rows, (int)job->degree,
                             (int)job->fold);
}

static void AS_T(sweep_cells_back_of)(const PDE_JOB *job, VEC *p, i64 count, VEC *left,
                                      VEC *adjoint, const VEC *kept, const VEC *seeds, i64 rows)
{
#define AS_CASE(DEGREE, FOLD)                                                                      \
    if (job->degree == DEGREE && job->fold == FOLD) {                                              \
        AS_T(sweep_cells_back_##DEGREE##_##FOLD)(job, p, count, left, adjoint, kept, seeds, rows); \
        return;                                                                                    \
    }
    AS_EACH_DEGREE(AS_CASE)
#undef AS_CASE
    if (job->degree < 1 || job->degree > AS_MOST_DEGREE)
        __builtin_unreachable(); /* compilers would warn of numbers that are not set */
    AS_T(sweep_cells_back_of_any)(job, p, count, left, adjoint, kept, seeds, rows, (int)job->degree,
                                  (int)job->fold);
}
