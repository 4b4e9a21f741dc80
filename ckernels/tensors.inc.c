/* Operations of the tensor algebra on batches.
 *
 *   tensor_product         (s + left) (t + right)
 *   tensor_contract_right  out(u) = t grad(u) + sum over v of grad(uv) right(v)
 *   tensor_contract_left   out(v) = s grad(v) + sum over u of grad(uv) left(u)
 *   tensor_inverse         (1 + out) (1 + tensor) = 1
 *   sig_join               (1 + sig) exp(displacement), or with `prepend` the factors swapped
 *   sig_join_vjp_sig       the adjoint of that in the signature
 *   sig_join_vjp_segment   and in the displacement
 *
 * The contractions are the adjoints of the product in its factors. Rows are scalar_term + words
 * long; scalar parts are arguments, never read; where one is 0, which only derivatives
 * have, NaNs of the other factor may enter or not. Small tensors go AS_LANES together, by
 * tensor_algebra.inc.c; where they do not fit into AS_PATH_LANES_BYTES, one goes at a time. So do
 * products from AS_ROW_VECTORS vectors on where channels fill a quarter of a vector: transposing
 * would be most of the work.
 */

#define TENSOR_JOB AS_T(tensor_job)
#ifndef ARRAYSIG_TENSOR_LIMITS
#define ARRAYSIG_TENSOR_LIMITS
#define AS_UNIT_ROWS 8   /* at least, so that threads do not wait for the counter */
#define AS_ROW_VECTORS 6 /* length from which products go one at a time */
#define AS_STRIP 1024    /* words of a product that are made together */

/* Rows in a unit of work, a multiple of `lanes`. */
static inline i64 as_rows_together(i64 batch, i64 team, i64 lanes)
{
    const i64 rows = as_least(as_ceil_div(batch, team), as_most(AS_UNIT_ROWS, batch / (8 * team)));
    return as_ceil_div(rows, lanes) * lanes;
}
#endif

typedef struct AS_T(tensor_job) {
    const SIG_PLAN *plan;
    const REAL *x, *y;
    REAL *out;
    REAL s, t, scalar;              /* scalar parts of the factors and of the result */
    int x_is_segment, y_is_segment; /* displacements, for which their exponentials stand */
    const REAL *segment; /* where the result is the adjoint of its exponential, applied, or NULL */
    void (*lanes)(const SIG_PLAN *, i64, VEC *restrict, const VEC *restrict, REAL, REAL);
    void (*row)(const struct AS_T(tensor_job) *, const REAL *, const REAL *, REAL *, REAL *);
    /* in lanes: whether the last level of x enters the others, and that of the result has no terms
     * but multiples of those of x and y; these multiples, if they are added in the user's memory */
    int contracts;
    REAL last_x, last_y;
    i64 together; /* rows in a unit of work */
    int in_lanes;
    i64 *control;
    i64 next, failed;
} TENSOR_JOB;

/* ---- One at a time ------------------------------------------------------------------------- */

/* Words that products make together: those of the last `depth` letters. */
static i64 AS_T(strip_depth)(const SIG_PLAN *p, i64 level)
{
    i64 depth = 1;
    while (depth < level && p->power[depth + 1] <= AS_STRIP)
        ++depth;
    return depth;
}

/* VECs of two strips, and of a tensor but for its last level; vectors reach over their ends. */
static i64 AS_T(row_room)(const SIG_PLAN *p)
{
    const i64 lower = p->words ? AS_T(words_before)(p, p->degree) : 0;
    return as_ceil_div(lower + 2 * as_most(AS_STRIP, p->channels), AS_LANES) + 3;
}

/* to = from + heads (x) tail, from = NULL for 0. Vectors reach over the words of the next head,
 * which come later. */
AS_INLINE void AS_T(add_outer)(const REAL *from, const REAL *head, i64 heads, const REAL *tail,
                               i64 size, REAL *to, const int has_from)
{
    for (i64 u = 0; u < heads; ++u, to += size) {
        const VEC scale = AS_T(all_lanes)(head[u]);
        for (i64 w = 0; w < size; w += AS_LANES) {
            const VEC term = scale * AS_T(load)(tail + w);
            AS_T(store)(to + w, has_from ? AS_T(load)(from + u * size + w) + term : term);
        }
    }
}

/* The same into the result, with multiples of both factors; `end` numbers of them are left. */
AS_INLINE void AS_T(finish_words)(const TENSOR_JOB *job, const REAL *from, const REAL *head,
                                  i64 heads, const REAL *tail, i64 size, const REAL *x,
                                  const REAL *y, REAL *out, i64 end, const int terms)
{
    const VEC s = AS_T(all_lanes)(job->s), t = AS_T(all_lanes)(job->t);
    for (i64 u = 0; u < heads; ++u) {
        const VEC scale = AS_T(all_lanes)(terms ? head[u] : 0);
        const i64 at = u * size;
        i64 w = 0;
        for (; w < size && at + w + AS_LANES <= end; w += AS_LANES) {
            VEC sum = AS_T(load)(x + at + w) * t + AS_T(load)(y + at + w) * s;
            if (terms)
                sum += scale * AS_T(load)(tail + w);
            if (terms > 1)
                sum += AS_T(load)(from + at + w);
            AS_T(store)(out + at + w, sum);
        }
        for (; w < size; ++w)
            out[at + w] = x[at + w] * job->t + y[at + w] * job->s +
                          (terms ? head[u] * tail[w] : 0) + (terms > 1 ? from[at + w] : 0);
    }
}

/* out = (s + x) (t + y) for two channels or more, not in place. `room` has AS_T(row_room). */
static void AS_T(product_row)(const TENSOR_JOB *job, const REAL *restrict x, const REAL *restrict y,
                              REAL *restrict out, REAL *restrict room)
{
    const SIG_PLAN *p = job->plan;
    const REAL *tails = room; /* readable beyond its end */
    memcpy(room, y, sizeof(REAL) * (size_t)p->offset[p->degree]);
    room += p->offset[p->degree] + AS_LANES;
    for (i64 k = 1; k <= p->degree; ++k) {
        const i64 depth = AS_T(strip_depth)(p, k), size = p->power[depth];
        for (i64 b = 0; b < p->power[k - depth]; ++b) {
            REAL *strip = room, *next = room + as_most(AS_STRIP, p->channels) + AS_LANES;
            const i64 at = p->offset[k] + b * size, end = p->words - at;
            if (k == 1)
                AS_T(finish_words)(job, NULL, NULL, 1, NULL, size, x, y, out, end, 0);
            for (i64 j = 1; j < k; ++j) {
                const i64 inside = as_least(j, depth), of_tail = p->power[j - inside];
                const i64 heads = p->power[depth - inside], width = p->power[inside];
                const REAL *head = x + p->offset[k - j] + b * heads / of_tail;
                const REAL *tail = tails + p->offset[j] + b % of_tail * size;
                if (k == 2)
                    AS_T(finish_words)(job, NULL, head, heads, tail, width, x + at, y + at,
                                       out + at, end, 1);
                else if (j == k - 1)
                    AS_T(finish_words)(job, strip, head, heads, tail, width, x + at, y + at,
                                       out + at, end, 2);
                else if (j == 1)
                    AS_T(add_outer)(NULL, head, heads, tail, width, next, 0);
                else
                    AS_T(add_outer)(strip, head, heads, tail, width, next, 1);
                REAL *other = strip;
                strip = next;
                next = other;
            }
        }
    }
}

#define AS_DEFINE_ROW(NAME)                                                                        \
    static void AS_T(NAME##_row_in_place)(const TENSOR_JOB *job, const REAL *x, const REAL *y,     \
                                          REAL *out, REAL *room)                                   \
    {                                                                                              \
        (void)room;                                                                                \
        memcpy(out, x, sizeof(REAL) * (size_t)job->plan->words);                                   \
        AS_T(NAME##_rows)(job->plan, job->plan->degree, out, y, job->s, job->t);                   \
    }
AS_DEFINE_ROW(product)
AS_DEFINE_ROW(contract_right)
AS_DEFINE_ROW(contract_left)
AS_DEFINE_ROW(inverse)
#undef AS_DEFINE_ROW

/* exp(v); there is room for AS_LANES numbers more, over which vectors reach. */
static void AS_T(exponential_row)(const SIG_PLAN *p, const REAL *v, REAL *out)
{
    memcpy(out, v, sizeof(REAL) * (size_t)p->channels);
    if (p->channels == 1) {
        AS_T(exponential_rows)(p, p->degree, out);
        return;
    }
    for (i64 k = 2; k <= p->degree; ++k) {
        const REAL *shorter = out + p->offset[k - 1];
        REAL *to = out + p->offset[k];
        for (i64 u = 0; u < p->power[k - 1]; ++u, to += p->channels) {
            const VEC scale = AS_T(all_lanes)(shorter[u] * (REAL)(1.0 / (double)k));
            for (i64 a = 0; a < p->channels; a += AS_LANES)
                AS_T(store)(to + a, scale * AS_T(load)(out + a));
        }
    }
}

static const REAL *AS_T(factor_row)(const SIG_PLAN *p, const REAL *rows, int is_segment, i64 b,
                                    REAL *scratch)
{
    if (!is_segment)
        return rows + b * p->row + p->scalar_term;
    AS_T(exponential_row)(p, rows + b * p->channels, scratch);
    return scratch;
}

static void AS_T(segment_row)(const TENSOR_JOB *job, i64 b, REAL *bar, REAL *factor)
{
    const SIG_PLAN *p = job->plan;
    const i64 at = b * p->row + p->scalar_term, d = p->channels;
    job->row(job, job->x + at, job->y + at, bar, factor);
    AS_T(exponential_row)(p, job->segment + b * d, factor);
    AS_T(exponential_vjp_rows)(p, p->degree, bar, factor);
    memcpy(job->out + b * d, bar, sizeof(REAL) * (size_t)d);
}

/* ---- In lanes ------------------------------------------------------------------------------ */

/* Loads `words` words of each factor, or makes whole exponentials. */
static void AS_T(factor_lanes)(const SIG_PLAN *p, const REAL *rows, int is_segment, i64 first,
                               i64 count, i64 words, VEC *to)
{
    const REAL *from[AS_LANES];
    const i64 stride = is_segment ? p->channels : p->row;
    for (int l = 0; l < AS_LANES; ++l)
        from[l] = rows + (first + (l < count ? l : 0)) * stride + (is_segment ? 0 : p->scalar_term);
    AS_T(load_lanes)(from, is_segment ? p->channels : words, 0, to);
    if (is_segment)
        AS_T(exponential_lanes)(p, p->degree, to);
}

/* The last level of one tensor of the result, where its other terms are already. */
static void AS_T(tensor_last_level)(const TENSOR_JOB *job, i64 count, const REAL *restrict x,
                                    const REAL *restrict y, REAL *restrict out)
{
    for (i64 w = 0; w < count; ++w) {
        REAL sum = job->contracts ? 0 : out[w];
        if (job->last_x)
            sum += job->last_x * x[w];
        if (job->last_y)
            sum += job->last_y * y[w];
        out[w] = sum;
    }
}

/* `y` is 0 at its last level, or has been made whole before. */
static void AS_T(tensor_lanes)(const TENSOR_JOB *job, i64 first, i64 count, VEC *x, VEC *y)
{
    const SIG_PLAN *p = job->plan;
    const i64 last = AS_T(words_at)(p, p->degree), lower = p->words - last;
    const i64 start = first * p->row + p->scalar_term;
    AS_T(factor_lanes)(p, job->x, job->x_is_segment, first, count,
                       job->contracts ? p->words : lower, x);
    AS_T(factor_lanes)(p, job->y, job->y_is_segment, first, count, lower, y);
    if (!job->contracts && !job->x_is_segment)
        memset(x + lower, 0, sizeof(VEC) * (size_t)last);
    job->lanes(p, p->degree, x, y, job->s, job->t);
    if (job->segment) {
        AS_T(factor_lanes)(p, job->segment, 1, first, count, 0, y);
        AS_T(exponential_vjp_lanes)(p, p->degree, x, y);
        AS_T(store_lanes)(x, p->channels, (int)count, p->channels, job->out + first * p->channels);
        return;
    }
    AS_T(store_lanes)(x, job->contracts ? lower : p->words, (int)count, p->row, job->out + start);
    if (job->contracts || job->last_x || job->last_y)
        for (i64 l = 0, at = start + lower; l < count; ++l, at += p->row)
            AS_T(tensor_last_level)(job, last, job->x_is_segment ? NULL : job->x + at,
                                    job->y_is_segment ? NULL : job->y + at, job->out + at);
}

/* ---- Driver -------------------------------------------------------------------------------- */

static void AS_T(tensor_worker)(void *argument)
{
    TENSOR_JOB *job = argument;
    const SIG_PLAN *p = job->plan;
    _Alignas(AS_ALIGNMENT) char stack[AS_STACK_SCRATCH];
    const i64 tensor = as_ceil_div(p->words, AS_LANES) + 1; /* vectors reach over its end */
    const int has_segment = job->x_is_segment || job->y_is_segment || job->segment;
    const i64 size = job->in_lanes ? p->words : has_segment ? tensor : 0;
    const i64 room = job->in_lanes                   ? p->words
                     : job->segment                  ? tensor
                     : job->row == AS_T(product_row) ? AS_T(row_room)(p)
                                                     : 0;
    VEC *x = as_scratch(stack, (size + room) * (i64)sizeof(VEC));
    if (!x) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    if (job->in_lanes)
        memset(x + size, 0, sizeof(VEC) * (size_t)room);
    i64 unit;
    while ((unit = as_next_unit(&job->next) * job->together) < p->batch &&
           !as_cancelled(job->control)) {
        const i64 end = as_least(unit + job->together, p->batch);
        for (i64 b = unit; b < end && p->words; b += job->in_lanes ? AS_LANES : 1) {
            if (job->in_lanes)
                AS_T(tensor_lanes)(job, b, as_least(AS_LANES, end - b), x, x + size);
            else if (job->segment)
                AS_T(segment_row)(job, b, (REAL *)x, (REAL *)(x + size));
            else
                job->row(job, AS_T(factor_row)(p, job->x, job->x_is_segment, b, (REAL *)x),
                         AS_T(factor_row)(p, job->y, job->y_is_segment, b, (REAL *)x),
                         job->out + b * p->row + p->scalar_term, (REAL *)(x + size)); /* room */
        }
        for (i64 b = unit; b < end && p->scalar_term && !job->segment; ++b)
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
    const int is_product = job.row == AS_T(product_row);
    const int in_rows =
        is_product && 4 * dimension >= AS_LANES && plan.words >= AS_ROW_VECTORS * AS_LANES;
    job.in_lanes = plan.words && batch > AS_LANES / 4 && !in_rows &&
                   plan.words * AS_VECTOR_BYTES <= AS_PATH_LANES_BYTES;
    if (is_product && dimension == 1)
        job.row = AS_T(product_row_in_place);
    const double work = (double)plan.words * (double)(degree + 4) * (double)batch / AS_LANES;
    const i64 team = work < AS_SMALL_WORK ? 1 : plan.threads;
    job.together = as_rows_together(batch, team, job.in_lanes ? AS_LANES : 1);
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
                            .lanes = AS_T(product_lanes),
                            .row = AS_T(product_row),
                            .last_x = (REAL)t,
                            .last_y = (REAL)s,
                            .control = control};
    return AS_T(run_tensors)(job, batch, dimension, degree, scalar_term, threads);
}

int AS_ENTRY_NAME(sig_join)(const REAL *sig, const REAL *displacement, REAL *out, i64 batch,
                            i64 dimension, i64 degree, i64 prepend, i64 scalar_term, int threads,
                            i64 *control)
{
    const TENSOR_JOB job = {.x = prepend ? displacement : sig,
                            .y = prepend ? sig : displacement,
                            .x_is_segment = prepend != 0,
                            .y_is_segment = prepend == 0,
                            .out = out,
                            .s = 1,
                            .t = 1,
                            .scalar = 1,
                            .lanes = AS_T(product_lanes),
                            .row = AS_T(product_row),
                            .last_x = prepend == 0,
                            .last_y = prepend != 0,
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
                            .lanes = AS_T(contract_right_lanes),
                            .row = AS_T(contract_right_row_in_place),
                            .contracts = 1,
                            .last_x = (REAL)t,
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
                            .lanes = AS_T(contract_left_lanes),
                            .row = AS_T(contract_left_row_in_place),
                            .contracts = 1,
                            .last_x = (REAL)s,
                            .control = control};
    return AS_T(run_tensors)(job, batch, dimension, degree, scalar_term, threads);
}

int AS_ENTRY_NAME(sig_join_vjp_sig)(const REAL *grad, const REAL *displacement, REAL *out,
                                    i64 batch, i64 dimension, i64 degree, i64 prepend,
                                    i64 scalar_term, int threads, i64 *control)
{
    const TENSOR_JOB job = {
        .x = grad,
        .y = displacement,
        .y_is_segment = 1,
        .out = out,
        .s = 1,
        .t = 1,
        .lanes = prepend ? AS_T(contract_left_lanes) : AS_T(contract_right_lanes),
        .row = prepend ? AS_T(contract_left_row_in_place) : AS_T(contract_right_row_in_place),
        .contracts = 1,
        .last_x = 1,
        .control = control};
    return AS_T(run_tensors)(job, batch, dimension, degree, scalar_term, threads);
}

int AS_ENTRY_NAME(sig_join_vjp_segment)(const REAL *grad, const REAL *sig, const REAL *displacement,
                                        REAL *out, i64 batch, i64 dimension, i64 degree,
                                        i64 prepend, i64 scalar_term, int threads, i64 *control)
{
    const TENSOR_JOB job = {
        .x = grad,
        .y = sig,
        .segment = displacement,
        .out = out,
        .s = 1,
        .t = 1,
        .lanes = prepend ? AS_T(contract_right_lanes) : AS_T(contract_left_lanes),
        .row = prepend ? AS_T(contract_right_row_in_place) : AS_T(contract_left_row_in_place),
        .contracts = 1,
        .control = control};
    if (!degree)
        memset(out, 0, sizeof(REAL) * (size_t)(batch * dimension));
    return AS_T(run_tensors)(job, batch, dimension, degree, scalar_term, threads);
}

int AS_ENTRY_NAME(tensor_inverse)(const REAL *tensor, REAL *out, i64 batch, i64 dimension,
                                  i64 degree, i64 scalar_term, int threads, i64 *control)
{
    const TENSOR_JOB job = {.x = tensor,
                            .y = tensor,
                            .out = out,
                            .scalar = 1,
                            .lanes = AS_T(inverse_lanes),
                            .row = AS_T(inverse_row_in_place),
                            .last_y = -1,
                            .control = control};
    return AS_T(run_tensors)(job, batch, dimension, degree, scalar_term, threads);
}
