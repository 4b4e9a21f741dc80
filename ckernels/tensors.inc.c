/* Operations of the tensor algebra on batches: tensor_algebra.inc.c over rows of the user's memory.
 *
 *   tensor_product         (s + left) (t + right)
 *   tensor_contract_right  out(u) = t grad(u) + sum over v of grad(uv) right(v)
 *   tensor_contract_left   out(v) = s grad(v) + sum over u of grad(uv) left(u)
 *   tensor_inverse         (1 + out) (1 + tensor) = 1
 *
 * The contractions are the adjoints of the product in its factors. Rows are scalar_term + words
 * long; scalar parts are arguments, never read. AS_LANES tensors go together where their words fit
 * into AS_PATH_LANES_BYTES, else one at a time. The last levels of the factors enter the last level
 * of the result as multiples only, which are added in the user's memory: transposing them would be
 * most of the work.
 */

#define TENSOR_JOB AS_T(tensor_job)
#define AS_UNIT_ROWS 8 /* at least, so that threads do not wait for the counter */

typedef struct {
    const SIG_PLAN *plan;
    const REAL *x, *y;
    REAL *out;
    REAL s, t, scalar; /* scalar parts of the factors and of the result */
    void (*lanes)(const SIG_PLAN *, i64, VEC *restrict, const VEC *restrict, REAL, REAL);
    void (*rows)(const SIG_PLAN *, i64, REAL *restrict, const REAL *restrict, REAL, REAL);
    /* in lanes: whether x is loaded below its last level, and there; whether the last level of the
     * result has other terms than these multiples of those of x and y */
    int loads_x, loads_last_x, computes_last;
    REAL last_x, last_y;
    i64 together; /* rows in a unit of work */
    int in_lanes;
    i64 *control;
    i64 next, failed;
} TENSOR_JOB;

/* The last level of one tensor of the result, where its other terms are already. */
static void AS_T(tensor_last_level)(const TENSOR_JOB *job, i64 count, const REAL *restrict x,
                                    const REAL *restrict y, REAL *restrict out)
{
    for (i64 w = 0; w < count; ++w) {
        REAL sum = job->computes_last ? out[w] : 0;
        if (job->last_x)
            sum += job->last_x * x[w];
        if (job->last_y)
            sum += job->last_y * y[w];
        out[w] = sum;
    }
}

/* `y` is 0 at its last level. */
static void AS_T(tensor_lanes)(const TENSOR_JOB *job, i64 first, i64 count, VEC *x, VEC *y)
{
    const SIG_PLAN *p = job->plan;
    const i64 last = AS_T(words_at)(p, p->degree), lower = p->words - last;
    const REAL *from_x[AS_LANES], *from_y[AS_LANES];
    for (int l = 0; l < AS_LANES; ++l) {
        const i64 at = (first + (l < count ? l : 0)) * p->row + p->scalar_term;
        from_x[l] = job->x + at;
        from_y[l] = job->y + at;
    }
    REAL *out = job->out + first * p->row + p->scalar_term;
    if (job->loads_x)
        AS_T(load_lanes)(from_x, job->loads_last_x ? p->words : lower, 0, x);
    if (!job->loads_last_x)
        memset(x + lower, 0, sizeof(VEC) * (size_t)last);
    AS_T(load_lanes)(from_y, lower, 0, y);
    job->lanes(p, p->degree, x, y, job->s, job->t);
    AS_T(store_lanes)(x, job->computes_last ? p->words : lower, (int)count, p->row, out);
    for (i64 l = 0; l < count; ++l)
        AS_T(tensor_last_level)(job, last, from_x[l] + lower, from_y[l] + lower,
                                out + l * p->row + lower);
}

static void AS_T(tensor_worker)(void *argument)
{
    TENSOR_JOB *job = argument;
    const SIG_PLAN *p = job->plan;
    _Alignas(AS_ALIGNMENT) char stack[AS_STACK_SCRATCH];
    const i64 size = job->in_lanes ? p->words : 0;
    VEC *x = as_scratch(stack, 2 * size * (i64)sizeof(VEC));
    if (!x) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    memset(x, 0, 2 * sizeof(VEC) * (size_t)size);
    i64 unit;
    while ((unit = as_next_unit(&job->next) * job->together) < p->batch &&
           !as_cancelled(job->control)) {
        const i64 end = as_least(unit + job->together, p->batch);
        for (i64 b = unit; b < end; b += job->in_lanes ? AS_LANES : 1) {
            if (job->in_lanes) {
                AS_T(tensor_lanes)(job, b, as_least(AS_LANES, end - b), x, x + size);
                continue;
            }
            const i64 at = b * p->row + p->scalar_term;
            memcpy(job->out + at, job->x + at, sizeof(REAL) * (size_t)p->words);
            job->rows(p, p->degree, job->out + at, job->y + at, job->s, job->t);
        }
        for (i64 b = unit; b < end && p->scalar_term; ++b)
            job->out[b * p->row] = job->scalar;
        as_count(job->control, end - unit);
    }
    as_free_scratch(stack, x);
}

static int AS_T(run_tensors)(TENSOR_JOB job, i64 batch, i64 dimension, i64 degree, i64 scalar_term,
                             int threads)
{
    SIG_PLAN plan;
    AS_T(describe)(&plan, batch, 1, dimension, degree, 0, 0, 0, scalar_term, threads);
    job.plan = &plan;
    job.in_lanes =
        degree && batch > AS_LANES / 4 && plan.words * AS_VECTOR_BYTES <= AS_PATH_LANES_BYTES;
    const double work = (double)plan.words * (double)(degree + 4) * (double)batch / AS_LANES;
    const i64 team = work < AS_SMALL_WORK ? 1 : plan.threads;
    job.together = as_least(as_ceil_div(batch, team), as_most(AS_UNIT_ROWS, batch / (8 * team)));
    if (job.in_lanes)
        job.together = as_ceil_div(job.together, AS_LANES) * AS_LANES;
    as_run_workers(AS_T(tensor_worker), &job, as_least(team, as_ceil_div(batch, job.together)));
    if (as_cancelled(job.control))
        return AS_CANCELLED;
    return job.failed ? AS_OUT_OF_MEMORY : AS_OK;
}

int AS_ENTRY_NAME(tensor_product)(const REAL *left, const REAL *right, REAL *out, i64 batch,
                                  i64 dimension, i64 degree, i64 s, i64 t, i64 scalar_term,
                                  int threads, i64 *control)
{
    const TENSOR_JOB job = {.x = left,
                            .y = right,
                            .out = out,
                            .s = (REAL)s,
                            .t = (REAL)t,
                            .scalar = (REAL)(s * t),
                            .loads_x = 1,
                            .computes_last = 1,
                            .last_x = (REAL)t,
                            .last_y = (REAL)s,
                            .lanes = AS_T(product_lanes),
                            .rows = AS_T(product_rows),
                            .control = control};
    return AS_T(run_tensors)(job, batch, dimension, degree, scalar_term, threads);
}

int AS_ENTRY_NAME(tensor_contract_right)(const REAL *grad, const REAL *right, REAL *out, i64 batch,
                                         i64 dimension, i64 degree, i64 t, i64 scalar_term,
                                         int threads, i64 *control)
{
    const TENSOR_JOB job = {.x = grad,
                            .y = right,
                            .out = out,
                            .t = (REAL)t,
                            .loads_x = 1,
                            .loads_last_x = 1,
                            .last_x = (REAL)t,
                            .lanes = AS_T(contract_right_lanes),
                            .rows = AS_T(contract_right_rows),
                            .control = control};
    return AS_T(run_tensors)(job, batch, dimension, degree, scalar_term, threads);
}

int AS_ENTRY_NAME(tensor_contract_left)(const REAL *grad, const REAL *left, REAL *out, i64 batch,
                                        i64 dimension, i64 degree, i64 s, i64 scalar_term,
                                        int threads, i64 *control)
{
    const TENSOR_JOB job = {.x = grad,
                            .y = left,
                            .out = out,
                            .s = (REAL)s,
                            .loads_x = 1,
                            .loads_last_x = 1,
                            .last_x = (REAL)s,
                            .lanes = AS_T(contract_left_lanes),
                            .rows = AS_T(contract_left_rows),
                            .control = control};
    return AS_T(run_tensors)(job, batch, dimension, degree, scalar_term, threads);
}

int AS_ENTRY_NAME(tensor_inverse)(const REAL *tensor, REAL *out, i64 batch, i64 dimension,
                                  i64 degree, i64 scalar_term, int threads, i64 *control)
{
    const TENSOR_JOB job = {.x = tensor,
                            .y = tensor,
                            .out = out,
                            .scalar = 1,
                            .computes_last = 1,
                            .last_y = -1,
                            .lanes = AS_T(inverse_lanes),
                            .rows = AS_T(inverse_rows),
                            .control = control};
    return AS_T(run_tensors)(job, batch, dimension, degree, scalar_term, threads);
}
