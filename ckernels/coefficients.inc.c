/* Chosen coefficients of signatures, and their gradient: a walk over the prefixes of the words.
 *
 *   path (batch, length, dimension) -> out (batch, count)
 *   grad (batch, count), path       -> out (batch, length, dimension)
 *
 * and with `stream` those of all prefixes of the path: (batch, length - 1, count) for (batch,
 * count). Each is a coefficient, or a sum of several.
 *
 * `table` (arraysig/_core/tables.py) lists the distinct prefixes, shorter ones first, four
 * numbers each: where the h of its parent starts, its last letter, its height (letters of the
 * longest continuation), where its own h starts; then where the terms of each sum start (count +
 * 1), and the prefix of each term, -1 for the empty word. With increment z, as in
 * signature_walk.inc.c but step by step, H_m(ua) = S(ua) + z_a H_{m+1}(u) / (m + 1),  m = 1 ..
 * height,     S(ua) += z_a H_1(u), H(empty word) = 1. Backwards, with bars for adjoints, children
 * before parents: zbar_a += H_1(u) Sbar(ua) + sum over m of H_{m+1}(u) Hbar_m(ua) / (m + 1),
 *     Hbar_1(u) += z_a Sbar(ua),  Hbar_{m+1}(u) += z_a Hbar_m(ua) / (m + 1),
 *     Sbar(ua) += sum over m of Hbar_m(ua).
 * Lanes are paths. The gradient keeps S at the starts of chunks, and of all steps of one chunk;
 * many chunks are kept by blocks, as in signature_gradient.inc.c.
 */

#define COEF_JOB AS_T(coef_job)
#define COEF_SCRATCH AS_T(coef_scratch)
#define AS_CHUNK_STATES 262144 /* bytes of S of the steps of a chunk */

typedef struct {
    i64 parent, letter, height, own;
} AS_T(prefix);

typedef struct {
    SIG_VJP_JOB paths; /* plan, path, grad, out: what the gradient of signatures has too */
    const AS_T(prefix) * prefixes;
    const i64 *starts, *terms; /* of the sums */
    i64 count, nodes, longest, h_size;
    i64 chunks, block;
    int stream;
    int is_state; /* the result is S of all prefixes, in order */
    int backward; /* an array without elements may have the address NULL */
} COEF_JOB;

typedef struct {
    VEC *increments, *raw;
    VEC *state;         /* S */
    VEC *h;             /* H of all prefixes */
    VEC *steps;         /* gradient: S before each step of a chunk, (chunk + 1, nodes) */
    VEC *fine, *coarse; /* S at the starts of chunks of a block, and of blocks */
    VEC *bar, *h_bar;   /* adjoints of S and H */
    VEC *zbar, *carry;
    VEC *inverse; /* 1 / m */
    VEC *row;     /* of the result, or of its adjoint */
} COEF_SCRATCH;

static void AS_T(lay_out_coef)(const COEF_JOB *job, SIG_ARENA *arena, COEF_SCRATCH *s)
{
    const SIG_PLAN *p = job->paths.plan;
    const int back = job->backward;
    s->increments = AS_T(take)(arena, AS_T(increments_size)(p));
    s->raw = AS_T(take)(arena, AS_T(increments_size)(p));
    s->state = AS_T(take)(arena, job->nodes);
    s->h = AS_T(take)(arena, job->h_size);
    s->inverse = AS_T(take)(arena, job->longest + 2);
    s->row = AS_T(take)(arena, job->count);
    s->steps = AS_T(take)(arena, back ? (p->chunk + 1) * job->nodes : 0);
    s->fine = AS_T(take)(arena, back ? (job->block + 1) * job->nodes : 0);
    s->coarse =
        AS_T(take)(arena, back ? (as_ceil_div(job->chunks, job->block) + 1) * job->nodes : 0);
    s->bar = AS_T(take)(arena, back ? job->nodes : 0);
    s->h_bar = AS_T(take)(arena, back ? job->h_size : 0);
    s->zbar = AS_T(take)(arena, back ? p->chunk * p->channels + p->dimension : 0);
    s->carry = AS_T(take)(arena, back ? p->dimension : 0);
}

/* One step: S from `from` to `to`, which may be the same; H as before the step. */
static void AS_T(coef_step)(const COEF_JOB *job, const COEF_SCRATCH *s, const VEC *z,
                            const VEC *from, VEC *to)
{
    const AS_T(prefix) *prefix = job->prefixes;
    for (i64 i = 0; i < job->nodes; ++i, ++prefix) {
        const VEC move = z[prefix->letter], before = from[i], *above = s->h + prefix->parent;
        VEC *own = s->h + prefix->own;
        for (i64 m = 1; m <= prefix->height; ++m)
            own[m - 1] = before + move * above[m] * s->inverse[m + 1];
        to[i] = before + move * above[0];
    }
}

static void AS_T(coef_step_back)(const COEF_JOB *job, const COEF_SCRATCH *s, const VEC *z,
                                 VEC *zbar)
{
    const AS_T(prefix) *prefix = job->prefixes + job->nodes;
    memset(s->h_bar, 0, sizeof(VEC) * (size_t)job->h_size);
    for (i64 i = job->nodes - 1; i >= 0; --i) {
        --prefix;
        const VEC move = z[prefix->letter], bar = s->bar[i], *above = s->h + prefix->parent;
        VEC *above_bar = s->h_bar + prefix->parent, *own_bar = s->h_bar + prefix->own;
        VEC sum = above[0] * bar, change = {0};
        above_bar[0] += move * bar;
        for (i64 m = 1; m <= prefix->height; ++m) {
            const VEC up = own_bar[m - 1] * s->inverse[m + 1];
            sum += above[m] * up;
            above_bar[m] += move * up;
            change += own_bar[m - 1];
        }
        zbar[prefix->letter] += sum;
        s->bar[i] = bar + change;
    }
}

/* Loads chunk i of the group; returns its augmented steps. */
static i64 AS_T(coef_load)(const COEF_JOB *job, const SIG_LANES *lanes, const COEF_SCRATCH *s,
                           i64 i, i64 *first, i64 *count)
{
    const SIG_PLAN *p = job->paths.plan;
    *first = lanes->longest * i / job->chunks;
    *count = lanes->longest * (i + 1) / job->chunks - *first;
    AS_T(load_increments)(p, lanes, *first, *count, s->raw, s->increments);
    return *count * p->steps_per_raw;
}

/* Row of the result after raw step `step` of a lane. */
static i64 AS_T(coef_row)(const COEF_JOB *job, const SIG_LANES *lanes, i64 lane, i64 step)
{
    const i64 at = lanes->first + lane, steps = job->paths.plan->raw_steps;
    return (job->stream ? at * steps + step : at) * job->count;
}

static void AS_T(coef_write)(const COEF_JOB *job, const SIG_LANES *lanes, const COEF_SCRATCH *s,
                             const VEC *state, i64 step)
{
    const i64 stride = AS_T(coef_row)(job, lanes, 1, step) - AS_T(coef_row)(job, lanes, 0, step);
    const i64 *term = job->terms, *starts = job->starts;
    for (i64 w = 0; w < job->count && !job->is_state; ++w) {
        VEC sum = {0};
        for (const i64 *end = job->terms + starts[w + 1]; term < end; ++term)
            sum += *term < 0 ? AS_T(all_lanes)(1) : state[*term];
        s->row[w] = sum;
    }
    AS_T(store_lanes)(job->is_state ? state : s->row, job->count, (int)lanes->count, stride,
                      job->paths.out + AS_T(coef_row)(job, lanes, 0, step));
}

/* Adds the adjoint of a row of the result to that of S. */
static void AS_T(coef_read)(const COEF_JOB *job, const SIG_LANES *lanes, const COEF_SCRATCH *s,
                            i64 step)
{
    const REAL *rows[AS_LANES];
    for (i64 l = 0; l < AS_LANES; ++l)
        rows[l] = job->paths.grad + AS_T(coef_row)(job, lanes, l < lanes->count ? l : 0, step);
    AS_T(load_lanes)(rows, job->count, 0, s->row);
    const i64 *term = job->terms, *starts = job->starts;
    for (i64 w = 0; w < job->count; ++w)
        for (const i64 *end = job->terms + starts[w + 1]; term < end; ++term)
            if (*term >= 0)
                s->bar[*term] += s->row[w];
}

/* S at the end of chunk i from that at its start. */
static void AS_T(coef_advance)(const COEF_JOB *job, const SIG_LANES *lanes, const COEF_SCRATCH *s,
                               i64 i, const VEC *from, VEC *to)
{
    const SIG_PLAN *p = job->paths.plan;
    i64 first, count;
    const i64 steps = AS_T(coef_load)(job, lanes, s, i, &first, &count);
    for (i64 t = 0; t < steps; ++t, from = to) {
        AS_T(coef_step)(job, s, s->increments + t * p->channels, from, to);
        if (job->stream && !job->backward && (t + 1) % p->steps_per_raw == 0)
            AS_T(coef_write)(job, lanes, s, to, first + t / p->steps_per_raw);
    }
}

static void AS_T(coef_group)(const COEF_JOB *job, const SIG_LANES *lanes, const COEF_SCRATCH *s)
{
    memset(s->state, 0, sizeof(VEC) * (size_t)job->nodes);
    for (i64 i = 0; i < job->chunks && !as_cancelled(job->paths.control); ++i)
        AS_T(coef_advance)(job, lanes, s, i, s->state, s->state);
    if (!job->stream)
        AS_T(coef_write)(job, lanes, s, s->state, 0);
}

/* The chunk backwards: S of all its steps first, from its start. */
static void AS_T(coef_chunk_back)(const COEF_JOB *job, const SIG_LANES *lanes,
                                  const COEF_SCRATCH *s, i64 i, const VEC *start)
{
    const SIG_PLAN *p = job->paths.plan;
    const i64 c = p->channels, d = p->dimension, nodes = job->nodes;
    i64 first, count;
    const i64 steps = AS_T(coef_load)(job, lanes, s, i, &first, &count);
    memcpy(s->steps, start, sizeof(VEC) * (size_t)nodes);
    for (i64 t = 0; t < steps; ++t)
        AS_T(coef_step)(job, s, s->increments + t * c, s->steps + t * nodes,
                        s->steps + (t + 1) * nodes);
    memset(s->zbar, 0, sizeof(VEC) * (size_t)(steps * c));
    for (i64 t = steps - 1; t >= 0; --t) {
        const VEC *z = s->increments + t * c;
        if (job->stream && (t + 1) % p->steps_per_raw == 0)
            AS_T(coef_read)(job, lanes, s, first + t / p->steps_per_raw);
        AS_T(coef_step)(job, s, z, s->steps + t * nodes, s->state); /* for H */
        AS_T(coef_step_back)(job, s, z, s->zbar + t * c);
    }
    AS_T(fold_increments)(p, count, s->zbar);
    if (i == job->chunks - 1)
        memset(s->zbar + count * d, 0, sizeof(VEC) * (size_t)d);
    else
        memcpy(s->zbar + count * d, s->carry, sizeof(VEC) * (size_t)d);
    AS_T(write_points)(&job->paths, lanes, first, count, s->zbar, s->carry);
}

static void AS_T(coef_group_back)(const COEF_JOB *job, const SIG_LANES *lanes,
                                  const COEF_SCRATCH *s)
{
    const i64 nodes = job->nodes, block = job->block, chunks = job->chunks;
    const size_t bytes = sizeof(VEC) * (size_t)nodes;
    memset(s->bar, 0, bytes);
    if (!job->stream)
        AS_T(coef_read)(job, lanes, s, 0);
    const i64 blocks = as_ceil_div(chunks, block);
    memset(s->coarse, 0, bytes);
    for (i64 i = 0; i < (blocks - 1) * block; ++i) {
        VEC *from = s->coarse + i / block * nodes, *to = from + nodes;
        if (as_cancelled(job->paths.control))
            return;
        AS_T(coef_advance)(job, lanes, s, i, i % block ? to : from, to);
    }
    for (i64 b = blocks - 1; b >= 0; --b) {
        const i64 begin = b * block, end = as_least(begin + block, chunks);
        memcpy(s->fine, s->coarse + b * nodes, bytes);
        for (i64 i = begin; i < end - 1; ++i) {
            if (as_cancelled(job->paths.control))
                return;
            AS_T(coef_advance)(job, lanes, s, i, s->fine + (i - begin) * nodes,
                               s->fine + (i - begin + 1) * nodes);
        }
        for (i64 i = end - 1; i >= begin; --i) {
            if (as_cancelled(job->paths.control))
                return;
            AS_T(coef_chunk_back)(job, lanes, s, i, s->fine + (i - begin) * nodes);
        }
    }
    AS_T(write_first_points)(&job->paths, lanes, s->carry);
}

static void AS_T(coef_worker)(void *argument)
{
    COEF_JOB *job = argument;
    const SIG_PLAN *p = job->paths.plan;
    COEF_SCRATCH scratch;
    AS_LAY_OUT(AS_T(lay_out_coef), job, scratch, job->paths.failed);
    for (i64 m = 0; m <= job->longest + 1; ++m) {
        scratch.inverse[m] = AS_T(all_lanes)(m ? (REAL)(1.0 / (double)m) : 0);
        if (m < job->longest)
            scratch.h[m] = AS_T(all_lanes)(1);
    }
    SIG_LANES lanes;
    for (i64 g; (g = as_next_unit(&job->paths.next)) < p->groups;) {
        AS_T(lanes_of_group)(p, job->paths.path, g, &lanes);
        if (job->backward)
            AS_T(coef_group_back)(job, &lanes, &scratch);
        else
            AS_T(coef_group)(job, &lanes, &scratch);
        if (as_cancelled(job->paths.control))
            break;
        as_count(job->paths.control, lanes.count);
    }
    AS_FREE_SCRATCH();
}

static int AS_T(run_coef)(int backward, const REAL *grad, const REAL *path, REAL *out, i64 batch,
                          i64 length, i64 dimension, i64 count, i64 nodes, i64 longest, i64 h_size,
                          i64 table, i64 stream, i64 time_aug, i64 lead_lag, double end_time,
                          int threads, i64 *control)
{
    SIG_PLAN plan;
    AS_T(describe)(&plan, batch, length, dimension, 1, time_aug, lead_lag, end_time, 0, threads);
    plan.stretches = 1;
    plan.prefix_length = 0;
    plan.groups = as_ceil_div(batch, AS_LANES);
    plan.chunk = as_most(8, as_least(32, AS_CHUNK_STATES / ((nodes + 1) * AS_VECTOR_BYTES)));
    const double work = (double)batch * (double)(length + 1) * (double)(nodes + h_size) / AS_LANES;
    plan.threads = work < AS_SMALL_WORK ? 1 : as_most(1, as_least(plan.threads, plan.groups));
    const AS_T(prefix) *prefixes = (const AS_T(prefix) *)(intptr_t)table;
    COEF_JOB job = {
        .paths = {.plan = &plan, .grad = grad, .path = path, .out = out, .control = control},
        .prefixes = prefixes,
        .starts = (const i64 *)(prefixes + nodes),
        .terms = (const i64 *)(prefixes + nodes) + count + 1,
        .count = count,
        .nodes = nodes,
        .longest = longest,
        .h_size = h_size,
        .stream = stream != 0,
        .backward = backward};
    job.is_state = count == nodes;
    for (i64 w = 0; w < count && job.is_state; ++w)
        job.is_state = job.starts[w] == w && job.starts[w + 1] == w + 1 && job.terms[w] == w;
    job.chunks = AS_T(chunk_count)(&plan, plan.raw_steps);
    job.block = as_most(1, job.chunks);
    if (job.chunks * nodes * (i64)sizeof(VEC) > AS_CHECKPOINT_BYTES) {
        job.block = 1;
        while (job.block * job.block < job.chunks)
            ++job.block;
    }
    if (backward && !job.chunks)
        memset(out, 0, sizeof(REAL) * (size_t)(batch * length * dimension));
    else
        as_run_workers(AS_T(coef_worker), &job, plan.threads);
    if (as_cancelled(control))
        return AS_CANCELLED;
    return job.paths.failed ? AS_OUT_OF_MEMORY : AS_OK;
}

int AS_ENTRY_NAME(sig_coef)(const REAL *path, REAL *out, i64 batch, i64 length, i64 dimension,
                            i64 count, i64 nodes, i64 longest, i64 h_size, i64 table, i64 stream,
                            i64 time_aug, i64 lead_lag, double end_time, int threads, i64 *control)
{
    return AS_T(run_coef)(0, NULL, path, out, batch, length, dimension, count, nodes, longest,
                          h_size, table, stream, time_aug, lead_lag, end_time, threads, control);
}

int AS_ENTRY_NAME(sig_coef_vjp)(const REAL *grad, const REAL *path, REAL *out, i64 batch,
                                i64 length, i64 dimension, i64 count, i64 nodes, i64 longest,
                                i64 h_size, i64 table, i64 stream, i64 time_aug, i64 lead_lag,
                                double end_time, int threads, i64 *control)
{
    return AS_T(run_coef)(1, grad, path, out, batch, length, dimension, count, nodes, longest,
                          h_size, table, stream, time_aug, lead_lag, end_time, threads, control);
}
