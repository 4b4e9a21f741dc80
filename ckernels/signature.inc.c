/* Truncated signature of a batch of piecewise linear paths.
 *
 *   path (batch, length, dimension) -> out (batch, scalar_term + words), levels 1 .. degree
 *
 * Lanes and layouts in signature_lanes.inc.c, the recurrences in signature_walk.inc.c. Here: the
 * driver. Work is cut into groups of lanes, which threads take one by one; every group writes its
 * own output, so results do not depend on which thread took it. Stretches of one path that share
 * a group are combined by Chen's product across lanes, others row by row at the end. Path lanes
 * start anew in every segment of time and combine by Chen's product, so that rounding errors grow
 * with the length of the segment and the number of segments instead of their product.
 *
 * Degree 1 or one channel need no walk: with D the displacement of the path, level 1 is D, and
 * the signature of one channel is D^k / k!.
 */

#define SIG_JOB AS_T(sig_job)
#define SIG_SCRATCH AS_T(sig_scratch)

typedef struct {
    const SIG_PLAN *plan;
    const REAL *path;
    REAL *out;
    REAL *rows; /* signatures of runs of AS_LANES stretches, or NULL: straight into out */
    i64 *control;
    i64 next, failed; /* unit to take; set when there is no memory */
} SIG_JOB;

/* Signatures that are functions of the displacement: degree 0 and 1, one channel, one point. */
static void AS_T(sig_of_displacement)(const SIG_PLAN *p, const REAL *path, REAL *out, i64 *control)
{
    for (i64 b = 0; b < p->batch && !as_cancelled(control); ++b) {
        const REAL *x = path + b * p->length * p->dimension;
        REAL *sig = out + b * p->row;
        if (p->scalar_term)
            *sig++ = 1;
        if (p->raw_steps == 0)
            memset(sig, 0, sizeof(REAL) * (size_t)p->words);
        else if (p->degree == 1)
            for (i64 a = 0; a < p->channels; ++a)
                sig[a] = AS_T(displacement)(p, x, a);
        else if (p->words) {
            const double step = (double)AS_T(displacement)(p, x, 0);
            double level = 1;
            for (i64 k = 1; k <= p->degree; ++k)
                sig[k - 1] = (REAL)(level *= step / (double)k);
        }
        as_count(control, 1);
    }
}

/* ---- One group ----------------------------------------------------------------------------- */

/* Scratch of one worker, in VECs. */
typedef struct {
    VEC *tree, *total, *increments, *raw, *horner, *children, *moves, *chain;
} SIG_SCRATCH;

static int AS_T(keeps_total)(const SIG_PLAN *p)
{
    return p->stretches > 1 || AS_T(segments)(p, p->raw_steps * p->steps_per_raw) > 1;
}

static void AS_T(lay_out_sig)(const SIG_PLAN *p, SIG_ARENA *arena, SIG_SCRATCH *s)
{
    const int augmented = p->time_aug || p->lead_lag;
    /* one VEC more: lanes are shifted by unaligned loads */
    s->tree = AS_T(take)(arena, p->tree_words + 1);
    s->total = AS_T(take)(arena, AS_T(keeps_total)(p) ? p->tree_words + 1 : 0);
    s->increments = AS_T(take)(arena, AS_T(increments_size)(p));
    s->raw = AS_T(take)(arena, augmented ? AS_T(increments_size)(p) : 0);
    s->horner = AS_T(take)(arena, AS_T(horner_size)(p));
    s->children = AS_T(take)(arena, p->chunk * AS_CHILDREN_AT_ONCE);
    s->moves = AS_T(take)(arena, p->prefix_length ? p->chunk : 0);
    s->chain = AS_T(take)(arena, p->prefix_length);
}

static void AS_T(swap_trees)(SIG_SCRATCH *scratch)
{
    VEC *tree = scratch->tree;
    scratch->tree = scratch->total;
    scratch->total = tree;
}

/* The segment that ends here: its other words, and the product with what came before. */
static void AS_T(end_segment)(const SIG_PLAN *p, SIG_SCRATCH *scratch, int combined)
{
    if (p->filled)
        AS_T(fill)(p->fill, p->filled, scratch->tree);
    if (combined)
        AS_T(product_lanes)(p, p->degree, scratch->total, scratch->tree, 1, 1);
}

/* Walks all chunks of a group; the result is in scratch->tree. Returns whether it was cancelled. */
static int AS_T(walk_group)(SIG_TREE *tree, SIG_CHAIN *chain, const SIG_LANES *lanes,
                            SIG_SCRATCH *scratch, i64 *control)
{
    const SIG_PLAN *p = tree->plan;
    const size_t bytes = sizeof(VEC) * (size_t)p->tree_words;
    const i64 chunks = AS_T(chunk_count)(p, lanes->longest);
    const i64 steps = lanes->longest * p->steps_per_raw;
    const i64 segments = as_least(chunks, AS_T(segments)(p, steps));
    i64 segment = -1;
    memset(chain->sig, 0, sizeof(VEC) * (size_t)p->prefix_length);
    AS_T(set_prefixes)(p, lanes, chain);
    for (i64 i = 0; i < chunks; ++i) {
        const i64 first = lanes->longest * i / chunks;
        const i64 count = lanes->longest * (i + 1) / chunks - first;
        if (as_cancelled(control))
            return 1;
        if (i * segments / chunks > segment) {
            ++segment;
            if (segment)
                AS_T(end_segment)(p, scratch, segment > 1);
            if (segment == 1)
                AS_T(swap_trees)(scratch);
            memset(scratch->tree, 0, bytes);
            tree->sig = scratch->tree;
        }
        tree->steps = count * p->steps_per_raw;
        AS_T(load_increments)(p, lanes, first, count, scratch->raw, scratch->increments);
        AS_T(walk_chain)(tree, chain);
        AS_T(walk)(tree);
    }
    AS_T(end_segment)(p, scratch, segments > 1);
    if (segments > 1)
        AS_T(swap_trees)(scratch);
    return 0;
}

/* Combines the stretches of each path that lie in neighbouring lanes, by halves: lane l takes
 * lane l + gap. The path's result ends in its first lane; other lanes hold what is not used. */
static void AS_T(combine_lanes)(const SIG_PLAN *p, const SIG_SCRATCH *scratch)
{
    for (i64 gap = 1; gap < as_least(p->stretches, AS_LANES); gap *= 2) {
        const REAL *lane = (const REAL *)scratch->tree + gap;
        scratch->tree[p->tree_words] = (VEC){0};
        for (i64 w = 0; w < p->tree_words; ++w)
            scratch->total[w] = AS_T(load)(lane + w * AS_LANES);
        AS_T(product_lanes)(p, p->degree, scratch->tree, scratch->total, 1, 1);
    }
}

static void AS_T(write_path_lanes)(const SIG_JOB *job, const SIG_LANES *lanes, const VEC *tree)
{
    const SIG_PLAN *p = job->plan;
    const i64 together = as_least(p->stretches, AS_LANES);
    const i64 stride = job->rows ? p->words : p->row;
    REAL *to = job->rows ? job->rows : job->out + p->scalar_term;
    to += lanes->first / together * stride;
    if (together == 1) {
        AS_T(store_lanes)(tree, p->words, (int)lanes->count, stride, to);
        return;
    }
    const REAL *element = (const REAL *)tree;
    for (i64 l = 0; l < lanes->count; l += together, to += stride)
        for (i64 w = 0; w < p->words; ++w)
            to[w] = element[w * AS_LANES + l];
}

static void AS_T(write_prefix_lanes)(const SIG_JOB *job, const SIG_LANES *lanes,
                                     const SIG_CHAIN *chain, const VEC *tree)
{
    const SIG_PLAN *p = job->plan;
    REAL *out = job->out + lanes->path * p->row + p->scalar_term;
    for (int l = 0; l < lanes->count; ++l)
        for (i64 k = 1; k <= p->prefix_length; ++k) {
            const i64 below = p->power[p->prefix_length - k];
            const i64 prefix = lanes->first_prefix + l;
            if (prefix % below == 0) /* the first of the lanes that share these letters */
                out[p->offset[k] + prefix / below] = chain->sig[k - 1][l];
        }
    for (i64 k = 1; k <= p->levels; ++k)
        AS_T(store_lanes)(tree + p->offset[k], p->power[k], (int)lanes->count, p->power[k],
                          out + p->offset[p->prefix_length + k] +
                              lanes->first_prefix * p->power[k]);
}

/* ---- Driver -------------------------------------------------------------------------------- */

static void AS_T(sig_worker)(void *argument)
{
    SIG_JOB *job = argument;
    const SIG_PLAN *p = job->plan;
    SIG_SCRATCH scratch;
    AS_LAY_OUT(AS_T(lay_out_sig), p, scratch, job->failed);
    SIG_TREE tree;
    SIG_CHAIN chain;
    SIG_LANES lanes;
    chain.moves = scratch.moves;
    chain.sig = scratch.chain;
    AS_T(start_tree)(&tree, p, p->degree, scratch.horner, scratch.children, scratch.increments);
    for (i64 g; (g = as_next_unit(&job->next)) < p->groups;) {
        AS_T(lanes_of_group)(p, job->path, g, &lanes);
        if (AS_T(walk_group)(&tree, &chain, &lanes, &scratch, job->control))
            break;
        if (p->prefix_length)
            AS_T(write_prefix_lanes)(job, &lanes, &chain, scratch.tree);
        else {
            AS_T(combine_lanes)(p, &scratch);
            AS_T(write_path_lanes)(job, &lanes, scratch.tree);
        }
        as_count(job->control, AS_T(paths_finished)(p, &lanes));
    }
    AS_FREE_SCRATCH();
}

/* Combines the rows of each path, one worker per path. */
static void AS_T(combine_rows_worker)(void *argument)
{
    SIG_JOB *job = argument;
    const SIG_PLAN *p = job->plan;
    const i64 rows = p->stretches / AS_LANES;
    for (i64 b; (b = as_next_unit(&job->next)) < p->batch;) {
        REAL *sig = job->rows + b * rows * p->words;
        for (i64 r = 1; r < rows && !as_cancelled(job->control); ++r)
            AS_T(product_rows)(p, p->degree, sig, sig + r * p->words, 1, 1);
        memcpy(job->out + b * p->row + p->scalar_term, sig, sizeof(REAL) * (size_t)p->words);
    }
}

/* Level 1 as the displacement, exact but for one rounding, where no point made it NaN; and the
 * scalar term. */
static void AS_T(finish_sig)(const SIG_PLAN *p, const REAL *path, REAL *out)
{
    const i64 d = p->dimension;
    for (i64 b = 0; b < p->batch; ++b, out += p->row) {
        if (p->scalar_term)
            out[0] = 1;
        REAL *level1 = out + p->scalar_term;
        const REAL *start = path + b * p->length * d, *end = start + p->raw_steps * d;
        for (i64 a = 0; a < (p->lead_lag ? 2 * d : d); ++a)
            if (level1[a] - level1[a] == 0)
                level1[a] = end[a % d] - start[a % d];
    }
}

static int AS_T(walk_signatures)(const SIG_PLAN *p, const REAL *path, REAL *out, i64 *control)
{
    SIG_JOB job = {.plan = p, .path = path, .out = out, .control = control};
    const i64 rows = p->stretches > AS_LANES ? p->batch * (p->stretches / AS_LANES) : 0;
    if (rows) {
        job.rows = malloc(sizeof(REAL) * (size_t)(rows * p->words));
        if (!job.rows)
            return AS_OUT_OF_MEMORY;
    }
    as_run_workers(AS_T(sig_worker), &job, p->threads);
    if (rows && !job.failed && !as_cancelled(control)) {
        job.next = 0;
        as_run_workers(AS_T(combine_rows_worker), &job, as_least(p->threads, p->batch));
    }
    free(job.rows);
    if (job.failed)
        return AS_OUT_OF_MEMORY;
    AS_T(finish_sig)(p, path, out);
    return AS_OK;
}

/* Degree 2 as a product of matrices (signature_degree2.inc.c). It needs many channels, fewer with
 * lead-lag, which it does not walk twice. */
static int AS_T(takes_area)(const SIG_PLAN *p)
{
    return p->dimension >= (p->lead_lag ? (AS_MANY_VECTORS ? 1 : 2) * AS_LANES : 24);
}

int AS_ENTRY_NAME(sig)(const REAL *path, REAL *out, i64 batch, i64 length, i64 dimension,
                       i64 degree, i64 time_aug, i64 lead_lag, double end_time, i64 scalar_term,
                       i64 lyndon, int threads, i64 *control)
{
    SIG_PLAN plan;
    AS_T(describe)(&plan, batch, length, dimension, degree, time_aug, lead_lag, end_time,
                   scalar_term, threads);
    int status = AS_OK;
    if (degree <= 1 || plan.channels <= 1 || plan.raw_steps < 1 || batch < 1)
        AS_T(sig_of_displacement)(&plan, path, out, control);
    else if (degree == 2 && AS_T(takes_area)(&plan))
        status = AS_T(degree2)(&plan, NULL, path, out, control);
    else {
        AS_T(choose_words)(&plan, lyndon != 0);
        AS_T(plan_lanes)(&plan, 28 << 10, 0, 1);
        status = AS_T(prepare_words)(&plan) ? AS_T(walk_signatures)(&plan, path, out, control)
                                            : AS_OUT_OF_MEMORY;
    }
    return as_cancelled(control) ? AS_CANCELLED : status;
}
