/* Chosen coefficients of signatures, and their gradient: a walk over the prefixes of the words.
 *
 *   path (batch, length, dimension) -> out (batch, count)
 *   grad (batch, count), path       -> out (batch, length, dimension)
 *
 * and with `stream` those of all prefixes of the path: (batch, length - 1, count) for (batch,
 * count). Each is a coefficient, or a sum of several.
 *
 * `table` (arraysig/_core/tables.py) lists the distinct prefixes, shorter ones first, four
 * numbers each: the second is its last letter, the third its height (letters of the longest
 * continuation), the others serve CUDA; then where the terms of each sum start (count + 1), the
 * prefix of each term, -1 for the empty word, the first continuation of each prefix, and the end of
 * them.
 *
 * The tree of prefixes is walked as in signature_walk.inc.c and signature_gradient.inc.c, chunk by
 * chunk, but a prefix has as many arrays h_m as its height asks for, and whatever continuations it
 * has. Lanes are paths. Backwards S runs forward from the start of the chunk. Many checkpoints are
 * kept by blocks, as there.
 */

#define COEF_JOB AS_T(coef_job)
#define COEF_SCRATCH AS_T(coef_scratch)
#define COEF_WALK AS_T(coef_walk)
#define AS_CHUNK_STATES 262144 /* bytes of S of the steps of a chunk, or of their adjoints */
#define AS_CHUNK_ARRAYS 49152  /* bytes of arrays and increments of a chunk */

typedef struct {
    i64 parent, letter, height, own;
} AS_T(prefix);

typedef struct {
    SIG_VJP_JOB paths; /* plan, path, grad, out: what the gradient of signatures has too */
    const AS_T(prefix) * prefixes;
    const i64 *starts, *terms; /* of the sums */
    const i64 *begin, *end;    /* continuations */
    i64 count, nodes, longest, first_letters;
    i64 chunks, block;
    int stream;
    int is_state; /* the result is S of all prefixes, in order */
    int backward; /* an array without elements may have the address NULL */
} COEF_JOB;

typedef struct {
    VEC *increments, *raw;
    VEC *state; /* S */
    VEC *low;   /* what rounding has taken from S so far */
    VEC *h;     /* h_m of the prefixes on the current branch, see AS_T(coef_arrays) */
    VEC *steps; /* streams: S after each step of a chunk, or their adjoints, (step, prefix) */
    VEC *fine, *coarse; /* S at the starts of chunks of a block, and of blocks */
    VEC *bar, *h_bar;   /* adjoints of S and h */
    VEC *bar_low;       /* what rounding has taken from `bar` so far */
    VEC *zbar, *carry;
    VEC *row;      /* of the result, or of its adjoint */
    REAL *inverse; /* 1 / m */
} COEF_SCRATCH;

/* A chunk of a group. */
typedef struct {
    const COEF_JOB *job;
    const COEF_SCRATCH *scratch;
    const SIG_LANES *lanes;
    i64 first, count, steps; /* raw steps, and augmented ones */
} COEF_WALK;

static void AS_T(lay_out_coef)(const COEF_JOB *job, SIG_ARENA *arena, COEF_SCRATCH *s)
{
    const SIG_PLAN *p = job->paths.plan;
    const int back = job->backward;
    const i64 arrays = job->longest * (job->longest + 1) / 2 * p->chunk;
    s->increments = AS_T(take)(arena, AS_T(increments_size)(p));
    s->raw = AS_T(take)(arena, AS_T(increments_size)(p));
    s->state = AS_T(take)(arena, job->nodes);
    s->low = AS_T(take)(arena, job->nodes);
    s->h = AS_T(take)(arena, arrays);
    s->inverse = (REAL *)AS_T(take)(arena, as_ceil_div(job->longest + 1, AS_LANES));
    s->row = AS_T(take)(arena, job->count);
    s->steps = AS_T(take)(arena, job->stream ? p->chunk * job->nodes : 0);
    s->fine = AS_T(take)(arena, back ? (job->block + 1) * job->nodes : 0);
    s->coarse =
        AS_T(take)(arena, back ? (as_ceil_div(job->chunks, job->block) + 1) * job->nodes : 0);
    s->bar = AS_T(take)(arena, back ? job->nodes : 0);
    s->bar_low = AS_T(take)(arena, back ? job->nodes : 0);
    s->h_bar = AS_T(take)(arena, back ? arrays : 0);
    s->zbar = AS_T(take)(arena, back ? p->chunk * p->channels + p->dimension : 0);
    s->carry = AS_T(take)(arena, back ? p->dimension : 0);
}

/* ---- The walk ------------------------------------------------------------------------------ */

/* Where the arrays h_1, h_2, ... of the branch's prefix of `depth` letters are, from h_1 of the
 * empty word on. */
static i64 AS_T(coef_arrays)(const COEF_JOB *job, i64 depth)
{
    return (depth * job->longest - depth * (depth - 1) / 2) * job->paths.plan->chunk;
}

/* How many prefixes from `node` on, up to 4, have no continuation. */
AS_INLINE i64 AS_T(coef_leaves)(const COEF_JOB *job, i64 node, i64 end)
{
    i64 leaves = 0;
    while (leaves < 4 && node + leaves < end && !job->prefixes[node + leaves].height)
        ++leaves;
    return leaves;
}

/* Adds what S of a prefix, or its adjoint, gains in a chunk. A path has thousands of chunks: what
 * rounding takes goes into the next sum, but NaN, which is what infinities leave, does not. */
AS_INLINE void AS_T(coef_add)(VEC *state, VEC *low, VEC gain)
{
    const VEC before = *state, sum = gain + *low;
    *state = before + sum;
    const VEC lost = sum - (*state - before);
    const __typeof__(lost == lost) kept = lost == lost;
    *low = (VEC)((__typeof__(kept))lost & kept);
}

/* S of P prefixes without continuation, advanced. */
AS_INLINE void AS_T(coef_product)(const COEF_WALK *w, const VEC *restrict h, i64 node, const int P,
                                  VEC *restrict state)
{
    const i64 channels = w->job->paths.plan->channels;
    const VEC *z[4];
    VEC sum[4] = {{0}};
    AS_UNROLL for (int i = 0; i < P; ++i) z[i] =
        w->scratch->increments + w->job->prefixes[node + i].letter;
    for (i64 t = 0; t < w->steps; ++t) {
        const VEC above = h[t];
        AS_UNROLL for (int i = 0; i < P; ++i) sum[i] += z[i][t * channels] * above;
    }
    AS_UNROLL for (int i = 0; i < P; ++i)
        AS_T(coef_add)(state + node + i, w->scratch->low + node + i, sum[i]);
}

/* Advances S of prefixes node .. end, which have `depth` letters less one in common, and of their
 * continuations by the chunk; S after each step goes to `history` unless that is NULL. */
static void AS_T(coef_advance)(const COEF_WALK *w, i64 depth, i64 node, i64 end, VEC *state,
                               VEC *history)
{
    const COEF_JOB *job = w->job;
    const i64 channels = job->paths.plan->channels, chunk = job->paths.plan->chunk;
    const VEC *h = w->scratch->h + AS_T(coef_arrays)(job, depth - 1);
    VEC *own = w->scratch->h + AS_T(coef_arrays)(job, depth);
    for (; node < end; ++node) {
        const i64 leaves = history ? 0 : AS_T(coef_leaves)(job, node, end);
        if (leaves == 4) {
            AS_T(coef_product)(w, h, node, 4, state);
            node += 3;
            continue;
        }
        if (leaves) {
            AS_T(coef_product)(w, h, node, 1, state);
            continue;
        }
        const VEC *move = w->scratch->increments + job->prefixes[node].letter;
        const i64 height = job->prefixes[node].height;
        const VEC s = state[node];
        VEC gain = {0};
        if (height)
            gain = AS_T(advance_arrays)(h, own, chunk, height, move, channels, w->steps, s, 0);
        if (history)
            gain = (VEC){0};
        for (i64 t = 0; t < w->steps && history; ++t) {
            gain += move[t * channels] * h[t];
            history[t * job->nodes + node] = s + gain;
        }
        AS_T(coef_add)(state + node, w->scratch->low + node, gain);
        if (height)
            AS_T(coef_advance)(w, depth + 1, job->begin[node], job->end[node], state, history);
    }
}

/* Back from P prefixes without continuation. */
AS_INLINE void AS_T(coef_product_back)(const COEF_WALK *w, const VEC *restrict h,
                                       VEC *restrict h_bar, i64 node, const int P)
{
    const i64 channels = w->job->paths.plan->channels;
    const VEC *z[4];
    VEC bar[4], *zbar[4];
    AS_UNROLL for (int i = 0; i < P; ++i)
    {
        const i64 letter = w->job->prefixes[node + i].letter;
        z[i] = w->scratch->increments + letter;
        zbar[i] = w->scratch->zbar + letter;
        bar[i] = w->scratch->bar[node + i];
    }
    for (i64 t = 0; t < w->steps; ++t) {
        const VEC above = h[t];
        VEC sum = h_bar[t];
        AS_UNROLL for (int i = 0; i < P; ++i)
        {
            zbar[i][t * channels] += above * bar[i];
            sum += z[i][t * channels] * bar[i];
        }
        h_bar[t] = sum;
    }
}

/* The same backwards, from S at the start of the chunk; `gain` are the adjoints that S after each
 * step has of its own, or NULL. */
static void AS_T(coef_retreat)(const COEF_WALK *w, i64 depth, i64 node, i64 end, const VEC *start,
                               const VEC *gain)
{
    const COEF_JOB *job = w->job;
    const COEF_SCRATCH *s = w->scratch;
    const i64 channels = job->paths.plan->channels, chunk = job->paths.plan->chunk;
    const i64 above = AS_T(coef_arrays)(job, depth - 1), own = AS_T(coef_arrays)(job, depth);
    const SIG_ARRAYS arrays = {s->h + above, s->h_bar + above, s->h_bar + own, s->inverse,
                               chunk,        w->steps};
    for (; node < end; ++node) {
        const i64 leaves = gain ? 0 : AS_T(coef_leaves)(job, node, end);
        if (leaves == 4) {
            AS_T(coef_product_back)(w, arrays.h, arrays.h_bar, node, 4);
            node += 3;
            continue;
        }
        if (leaves) {
            AS_T(coef_product_back)(w, arrays.h, arrays.h_bar, node, 1);
            continue;
        }
        const i64 letter = job->prefixes[node].letter, height = job->prefixes[node].height;
        const VEC *move = s->increments + letter;
        if (height) {
            AS_T(advance_arrays)(arrays.h, s->h + own, chunk, height, move, channels, w->steps,
                                 start[node], 0);
            memset(s->h_bar + own, 0, sizeof(VEC) * (size_t)(height * chunk));
            AS_T(coef_retreat)(w, depth + 1, job->begin[node], job->end[node], start, gain);
        }
        const VEC more =
            AS_T(retreat_arrays)(&arrays, height, move, channels, s->zbar + letter, channels,
                                 gain ? gain + node : NULL, job->nodes, s->bar[node], 0);
        AS_T(coef_add)(s->bar + node, s->bar_low + node, more);
    }
}

/* ---- Chunks -------------------------------------------------------------------------------- */

/* Chunk i of a group, with its increments. */
static COEF_WALK AS_T(coef_chunk)(const COEF_JOB *job, const SIG_LANES *lanes,
                                  const COEF_SCRATCH *s, i64 i)
{
    COEF_WALK w = {.job = job, .scratch = s, .lanes = lanes};
    w.first = lanes->longest * i / job->chunks;
    w.count = lanes->longest * (i + 1) / job->chunks - w.first;
    w.steps = w.count * job->paths.plan->steps_per_raw;
    AS_T(load_increments)(job->paths.plan, lanes, w.first, w.count, s->raw, s->increments);
    return w;
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

/* Adds the adjoint of a row of the result to that of S, `bar`. */
static void AS_T(coef_read)(const COEF_JOB *job, const SIG_LANES *lanes, const COEF_SCRATCH *s,
                            i64 step, VEC *bar)
{
    const REAL *rows[AS_LANES];
    for (i64 l = 0; l < AS_LANES; ++l)
        rows[l] = job->paths.grad + AS_T(coef_row)(job, lanes, l < lanes->count ? l : 0, step);
    AS_T(load_lanes)(rows, job->count, 0, s->row);
    const i64 *term = job->terms, *starts = job->starts;
    for (i64 w = 0; w < job->count; ++w)
        for (const i64 *end = job->terms + starts[w + 1]; term < end; ++term)
            if (*term >= 0)
                bar[*term] += s->row[w];
}

/* S at the end of chunk i from that at its start. */
static void AS_T(coef_chunk_forth)(const COEF_JOB *job, const SIG_LANES *lanes,
                                   const COEF_SCRATCH *s, i64 i, const VEC *from, VEC *to)
{
    const COEF_WALK w = AS_T(coef_chunk)(job, lanes, s, i);
    const i64 per_row = job->paths.plan->steps_per_raw;
    VEC *history = job->stream && !job->backward ? s->steps : NULL;
    memmove(to, from, sizeof(VEC) * (size_t)job->nodes);
    AS_T(coef_advance)(&w, 1, 0, job->first_letters, to, history);
    for (i64 t = 0; t < w.count && history; ++t)
        AS_T(coef_write)(job, lanes, s, history + ((t + 1) * per_row - 1) * job->nodes,
                         w.first + t);
}

static void AS_T(coef_group)(const COEF_JOB *job, const SIG_LANES *lanes, const COEF_SCRATCH *s)
{
    memset(s->state, 0, sizeof(VEC) * (size_t)job->nodes);
    memset(s->low, 0, sizeof(VEC) * (size_t)job->nodes);
    for (i64 i = 0; i < job->chunks && !as_cancelled(job->paths.control); ++i)
        AS_T(coef_chunk_forth)(job, lanes, s, i, s->state, s->state);
    if (!job->stream)
        AS_T(coef_write)(job, lanes, s, s->state, 0);
}

/* The chunk backwards, from S at its start. */
static void AS_T(coef_chunk_back)(const COEF_JOB *job, const SIG_LANES *lanes,
                                  const COEF_SCRATCH *s, i64 i, const VEC *start)
{
    const SIG_PLAN *p = job->paths.plan;
    const i64 d = p->dimension;
    const COEF_WALK w = AS_T(coef_chunk)(job, lanes, s, i);
    const VEC *gain = job->stream ? s->steps : NULL;
    if (gain)
        memset(s->steps, 0, sizeof(VEC) * (size_t)(w.steps * job->nodes));
    for (i64 t = 0; t < w.count && gain; ++t)
        AS_T(coef_read)(job, lanes, s, w.first + t,
                        s->steps + ((t + 1) * p->steps_per_raw - 1) * job->nodes);
    memset(s->zbar, 0, sizeof(VEC) * (size_t)(w.steps * p->channels));
    memset(s->h_bar, 0, sizeof(VEC) * (size_t)(job->longest * p->chunk));
    AS_T(coef_retreat)(&w, 1, 0, job->first_letters, start, gain);
    AS_T(fold_increments)(p, w.count, s->zbar);
    if (i == job->chunks - 1)
        memset(s->zbar + w.count * d, 0, sizeof(VEC) * (size_t)d);
    else
        memcpy(s->zbar + w.count * d, s->carry, sizeof(VEC) * (size_t)d);
    AS_T(write_points)(&job->paths, lanes, w.first, w.count, s->zbar, s->carry);
}

static void AS_T(coef_group_back)(const COEF_JOB *job, const SIG_LANES *lanes,
                                  const COEF_SCRATCH *s)
{
    const i64 nodes = job->nodes, block = job->block, chunks = job->chunks;
    const size_t bytes = sizeof(VEC) * (size_t)nodes;
    memset(s->bar, 0, bytes);
    memset(s->bar_low, 0, bytes);
    if (!job->stream)
        AS_T(coef_read)(job, lanes, s, 0, s->bar);
    const i64 blocks = as_ceil_div(chunks, block);
    memset(s->coarse, 0, bytes);
    memset(s->low, 0, bytes);
    for (i64 i = 0; i < (blocks - 1) * block; ++i) {
        VEC *from = s->coarse + i / block * nodes, *to = from + nodes;
        if (as_cancelled(job->paths.control))
            return;
        AS_T(coef_chunk_forth)(job, lanes, s, i, i % block ? to : from, to);
    }
    for (i64 b = blocks - 1; b >= 0; --b) {
        const i64 begin = b * block, end = as_least(begin + block, chunks);
        memcpy(s->fine, s->coarse + b * nodes, bytes);
        memset(s->low, 0, bytes);
        for (i64 i = begin; i < end - 1; ++i) {
            if (as_cancelled(job->paths.control))
                return;
            AS_T(coef_chunk_forth)(job, lanes, s, i, s->fine + (i - begin) * nodes,
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
    for (i64 m = 1; m <= job->longest; ++m) {
        scratch.inverse[m] = (REAL)(1.0 / (double)m);
        for (i64 t = 0; t < p->chunk; ++t)
            scratch.h[(m - 1) * p->chunk + t] = AS_T(all_lanes)(scratch.inverse[m]);
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
    const i64 arrays = plan.channels + (backward ? 2 : 1) * longest * (longest + 1) / 2;
    plan.chunk = as_least(32, AS_CHUNK_ARRAYS / ((arrays + 1) * AS_VECTOR_BYTES));
    if (stream)
        plan.chunk = as_least(plan.chunk, AS_CHUNK_STATES / ((nodes + 1) * AS_VECTOR_BYTES));
    plan.chunk = as_most(longest > 32 ? 2 : 8, plan.chunk) & ~(i64)1; /* of whole raw steps */
    const double work = (double)batch * (double)(length + 1) * (double)(nodes + h_size) / AS_LANES;
    plan.threads = work < AS_SMALL_WORK ? 1 : as_most(1, as_least(plan.threads, plan.groups));
    const AS_T(prefix) *prefixes = (const AS_T(prefix) *)(intptr_t)table;
    COEF_JOB job = {
        .paths = {.plan = &plan, .grad = grad, .path = path, .out = out, .control = control},
        .prefixes = prefixes,
        .starts = (const i64 *)(prefixes + nodes),
        .count = count,
        .nodes = nodes,
        .longest = longest,
        .stream = stream != 0,
        .backward = backward};
    job.terms = job.starts + count + 1;
    job.begin = job.terms + job.starts[count];
    job.end = job.begin + nodes;
    job.first_letters = longest ? job.end[nodes + 1] : 0; /* where longer prefixes start */
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
