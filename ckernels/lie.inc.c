/* Lie elements: logarithms of tensors, and the Baker-Campbell-Hausdorff product.
 *
 *   lie_log       log(1 + tensor), in a format
 *   lie_log_vjp   its gradient with respect to the tensor
 *   lie_combine   log(exp(left) exp(right)), all three in coordinates of brackets; a `right` of
 *                 `dimension` numbers is a displacement
 *
 * Both series are t (1 + B_1), with B_j = c_j (1 + B_(j+1)) t and B_degree = 0: c_j is -j / (j + 1)
 * for the logarithm of 1 + t, and 1 / (j + 1) for the exponential of t less 1. B_j is needed to
 * level degree - j, and where words of the last level are needed at Lyndon words only, their sums
 * over splits read lower levels alone. So these tensors hold lower levels whole, and the last
 * level at Lyndon words. Adjoints: U_j of B_j, U_0 being that of the logarithm,
 *     U_(j+1)(u) = c_j sum over v of U_j(uv) t(v),
 *     dt(v) += c_j U_j(v) + c_j sum over u of U_j(uv) B_(j+1)(u)             (c_0 = 1).
 * The last level of t is not read for gradients, and elsewhere at Lyndon words only, where these
 * are what is asked for.
 *
 * Formats: all words, where there is no table of Lyndon words; their coefficients; coordinates of
 * their brackets, where there is a table that makes these of coefficients. Tables as in
 * sparse.inc.c. Rows go AS_LANES together where they fit into AS_PATH_LANES_BYTES, or else one at a
 * time.
 */

#define LIE_SPACE AS_T(lie_space)
#define LIE_JOB AS_T(lie_job)

typedef struct {
    const SIG_PLAN *plan;
    i64 count, shorter; /* Lyndon words, or 0 for all words; those below the last level */
    i64 lower;          /* words below the last level */
    /* of Lyndon words in a tensor; tables: coefficients to coordinates, coordinates to tensors,
     * structure constants (lie.py says how they lie) */
    const i64 *position, *solve, *expand, *structure;
    const i64 *splits, *top_splits; /* of each Lyndon word: their number, then u and v of each */
} LIE_SPACE;

typedef struct {
    ROWS_JOB rows;
    LIE_SPACE space;
    const REAL *x, *y;
    REAL *out;
    i64 y_row;
} LIE_JOB;

/* B_1, ..., B_(degree-1) together. */
static i64 AS_T(kept_size)(const LIE_SPACE *space)
{
    i64 size = 0;
    for (i64 k = 2; k <= space->plan->degree; ++k)
        size += AS_T(words_before)(space->plan, k);
    return size;
}

#define AS_FILE "lie_algebra.inc.c"
#include "each_number.h"

/* Fills the plan and the space. Tables of 0 are absent. */
static void AS_T(describe_space)(LIE_SPACE *space, SIG_PLAN *p, i64 batch, i64 dimension,
                                 i64 degree, int threads, i64 count, i64 words, i64 solve)
{
    AS_T(describe)(p, batch, 1, dimension, degree, 0, 0, 0, 0, threads);
    space->plan = p;
    space->count = count;
    space->lower = p->degree ? AS_T(words_before)(p, p->degree) : 0;
    space->position = words ? (const i64 *)words + count + 1 : NULL;
    space->solve = (const i64 *)solve;
    if (solve && space->solve[count] == count)
        space->solve = NULL; /* the identity: nothing but a diagonal of ones */
    space->shorter = 0;
    while (space->shorter < count && space->position[space->shorter] < space->lower)
        ++space->shorter;
}

/* Fills space->splits; returns how many numbers they take, where `to` is NULL without filling. */
static i64 AS_T(make_splits)(LIE_SPACE *space, i64 *to)
{
    const SIG_PLAN *p = space->plan;
    i64 size = 0, i = 0;
    space->splits = space->top_splits = to;
    for (i64 k = 1; k <= p->degree; ++k) {
        const i64 before = AS_T(words_before)(p, k), after = AS_T(words_before)(p, k + 1);
        if (to && i == space->shorter)
            space->top_splits = to + size;
        for (; i < space->count && space->position[i] < after; ++i) {
            if (to)
                to[size] = k - 1;
            ++size;
            for (i64 j = 1; to && j < k; ++j) {
                const i64 word = space->position[i] - before, tails = AS_T(words_at)(p, j);
                to[size + 2 * j - 2] = AS_T(words_before)(p, k - j) + word / tails;
                to[size + 2 * j - 1] = AS_T(words_before)(p, j) + word % tails;
            }
            size += 2 * (k - 1);
        }
    }
    return size;
}

static int AS_T(run_lie)(LIE_JOB *job, double work, int needs_splits)
{
    const SIG_PLAN *p = job->space.plan;
    _Alignas(AS_ALIGNMENT) char stack[AS_STACK_SCRATCH];
    const i64 size = needs_splits ? AS_T(make_splits)(&job->space, NULL) : 0;
    void *splits = as_scratch(stack, size * (i64)sizeof(i64));
    if (!splits)
        return AS_OUT_OF_MEMORY;
    if (size)
        AS_T(make_splits)(&job->space, splits);
    work *= (double)p->words * (double)(p->degree + 4);
    job->rows.batch = p->batch;
    const int status = AS_T(run_rows)(&job->rows, work, 1, (int)p->threads);
    as_free_scratch(stack, splits);
    return status;
}

int AS_ENTRY_NAME(lie_log)(const REAL *tensor, REAL *out, i64 batch, i64 count, i64 words,
                           i64 solve, i64 dimension, i64 degree, i64 method, int threads,
                           i64 *control)
{
    (void)method; /* is in the tables */
    SIG_PLAN plan;
    LIE_JOB job = {
        .x = tensor,
        .out = out,
        .rows = {.lanes = AS_T(lie_log_lanes), .row = AS_T(lie_log_rows), .control = control}};
    AS_T(describe_space)(&job.space, &plan, batch, dimension, degree, threads, count, words, solve);
    job.rows.room = count ? 2 * job.space.lower + 2 * count : 2 * plan.words;
    return AS_T(run_lie)(&job, 1, count > 0);
}

int AS_ENTRY_NAME(lie_log_vjp)(const REAL *grad, const REAL *tensor, REAL *out, i64 batch,
                               i64 count, i64 words, i64 solve, i64 dimension, i64 degree,
                               i64 method, int threads, i64 *control)
{
    (void)method;
    SIG_PLAN plan;
    LIE_JOB job = {.x = grad,
                   .y = tensor,
                   .out = out,
                   .rows = {.lanes = AS_T(lie_log_vjp_lanes),
                            .row = AS_T(lie_log_vjp_rows),
                            .control = control}};
    AS_T(describe_space)(&job.space, &plan, batch, dimension, degree, threads, count, words, solve);
    job.rows.room = job.space.lower + AS_T(kept_size)(&job.space) + 3 * plan.words;
    return AS_T(run_lie)(&job, 3, 0);
}

int AS_ENTRY_NAME(lie_combine)(const REAL *left, const REAL *right, REAL *out, i64 batch, i64 count,
                               i64 words, i64 solve, i64 expand, i64 right_row, i64 structure,
                               i64 dimension, i64 degree, int threads, i64 *control)
{
    SIG_PLAN plan;
    LIE_JOB job = {.x = left,
                   .y = right,
                   .out = out,
                   .y_row = right_row,
                   .rows = {.lanes = structure ? AS_T(lie_series_lanes) : AS_T(lie_combine_lanes),
                            .row = structure ? AS_T(lie_series_rows) : AS_T(lie_combine_rows),
                            .control = control}};
    AS_T(describe_space)(&job.space, &plan, batch, dimension, degree, threads, count, words, solve);
    job.space.expand = (const i64 *)expand;
    job.space.structure = (const i64 *)structure;
    job.rows.room = structure ? 7 * count : 3 * count + 3 * job.space.lower;
    return AS_T(run_lie)(&job, 3, !structure);
}
