/* What the signature and its gradient share: how work becomes SIMD lanes, and Chen products.
 *
 * One lane walks the words below a prefix, over a stretch of time of one path. There are two ways
 * to fill the lanes of a vector:
 *   path lanes    prefix_length = 0; a lane is (path, stretch). Paths are cut into a power of two
 *                 of stretches when there are few of them; lane v = path * stretches + stretch.
 *   prefix lanes  stretches = 1; the lanes of a group share a path, lane l has the prefix of index
 *                 first_prefix + l among the words of length prefix_length. For signatures so long
 *                 that AS_LANES of them leave the cache, or too few paths to fill the lanes.
 * A group is the AS_LANES lanes that are walked together; spare lanes repeat the first one and
 * their results are dropped.
 *
 * Layouts
 *   signature  levels 1 .. degree; word w of level k at offset[k] + w, words as numbers in base
 *              `channels`, first letter most significant
 *   tree       the words below a lane's prefix, the prefix itself left out, same order:
 *              tree[word] is a VEC, level k (1 .. levels) at offset[k]
 *   increments of a chunk of augmented steps, [step][channel]: VECs for path lanes; REALs, shared
 *              by all lanes, for prefix lanes
 *
 * Augmentation (path.h): with lead-lag raw step i becomes augmented step 2i, which moves the lead
 * channels, and 2i + 1, which moves the lag channels, by the same raw increment. The time channel
 * moves by a constant. Chunks hold whole raw steps, so even positions are lead steps.
 */

#define SIG_PLAN AS_T(sig_plan)
#define SIG_ARENA AS_T(arena)
#define SIG_LANES AS_T(lanes)

#ifndef ARRAYSIG_SIGNATURE_LIMITS
#define ARRAYSIG_SIGNATURE_LIMITS
#define AS_MAX_DEGREE 64       /* two channels to degree 63 exceed 64-bit words */
#define AS_STACK_SCRATCH 32768 /* scratch up to this many bytes lives on the stack */
#define AS_SMALL_WORK 60000    /* vector operations that one thread does sooner than a team */
/* Limits that a test build lowers, to reach with small cases what large ones do. */
#ifndef AS_PATH_LANES_BYTES
#define AS_PATH_LANES_BYTES 1048576 /* path lanes keep AS_LANES signatures within this size */
#endif
#ifndef AS_SEGMENT
#define AS_SEGMENT 1024 /* steps after which sums start anew, to be combined by Chen's product */
#endif
#ifndef AS_CHECKPOINT_BYTES
#define AS_CHECKPOINT_BYTES 4194304 /* checkpoints of the gradient, per thread */
#endif

static inline i64 as_least(i64 a, i64 b) { return a < b ? a : b; }
static inline i64 as_most(i64 a, i64 b) { return a > b ? a : b; }
static inline i64 as_ceil_div(i64 a, i64 b) { return (a + b - 1) / b; }

/* Runs worker(job) on every thread of a team; workers take units of work from a counter. */
static inline void as_run_workers(void (*worker)(void *), void *job, i64 threads)
{
    if (threads <= 1) {
        worker(job);
        return;
    }
#pragma omp parallel num_threads((int)threads)
    worker(job);
}

/* Scratch of a worker: `stack` when that is large enough, else from the heap; NULL when there is
 * no memory. */
static inline void *as_scratch(char *stack, i64 size)
{
    if (size <= AS_STACK_SCRATCH)
        return stack;
    const i64 rounded = (size + AS_ALIGNMENT - 1) / AS_ALIGNMENT * AS_ALIGNMENT;
    return aligned_alloc(AS_ALIGNMENT, (size_t)rounded);
}

static inline void as_free_scratch(char *stack, void *memory)
{
    if (memory != (void *)stack)
        free(memory);
}

static inline i64 as_next_unit(i64 *counter)
{
    return __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}
#endif

typedef struct {
    i64 batch, length, dimension; /* of the paths as given */
    int time_aug, lead_lag;
    double time_step;
    i64 channels, degree, words;      /* of the augmented paths and their signatures */
    i64 scalar_term, row;             /* row: words + scalar_term */
    int lyndon;                       /* of the last level only Lyndon words are walked */
    i64 filled;                       /* not 0: of all levels only prenecklaces are walked */
    const struct as_fill_table *fill; /* what other words of levels 2 .. filled follow from */
    i64 raw_steps, steps_per_raw;     /* steps of the path as given; augmented steps in each */
    i64 stretches;                    /* path lanes: per path */
    i64 prefix_length, prefixes;      /* prefix lanes: letters, and how many words that makes */
    i64 levels, tree_words;           /* degree - prefix_length, and words in the tree of a lane */
    i64 groups, groups_per_path;      /* the latter for prefix lanes only, else 0 */
    i64 chunk;                        /* augmented steps walked at once */
    i64 threads;
    i64 power[AS_MAX_DEGREE + 1];  /* channels^k */
    i64 offset[AS_MAX_DEGREE + 2]; /* words before level k, k = 1 .. degree + 1 */
} SIG_PLAN;

/* Scratch memory that is laid out twice: without a base to measure it, then over memory. */
typedef struct {
    VEC *base;
    i64 used;
} SIG_ARENA;

static VEC *AS_T(take)(SIG_ARENA *arena, i64 count)
{
    VEC *at = arena->base ? arena->base + arena->used : NULL;
    arena->used += count;
    return at;
}

/* Scratch memory of a worker, laid out by `lay_out(plan or job, arena, scratch)`; without memory it
 * sets `failed` and leaves the worker. AS_FREE_SCRATCH() ends its use. */
#ifndef AS_LAY_OUT
#define AS_LAY_OUT(lay_out, of, scratch, failed)                                                   \
    _Alignas(AS_ALIGNMENT) char stack[AS_STACK_SCRATCH];                                           \
    SIG_ARENA arena = {0};                                                                         \
    lay_out(of, &arena, &(scratch));                                                               \
    arena = (SIG_ARENA){as_scratch(stack, arena.used * (i64)sizeof(VEC)), 0};                      \
    if (!arena.base) {                                                                             \
        __atomic_store_n(&(failed), 1, __ATOMIC_RELAXED);                                          \
        return;                                                                                    \
    }                                                                                              \
    lay_out(of, &arena, &(scratch))
#define AS_FREE_SCRATCH() as_free_scratch(stack, arena.base)
#endif

/* Lanes of a group: raw first points, raw steps, and where the results go. */
typedef struct {
    const REAL *start[AS_LANES];
    i64 steps[AS_LANES], longest; /* raw; they differ by one at most */
    i64 path, first_prefix;       /* prefix lanes */
    i64 first, count;             /* path lanes: number of the first lane; lanes in use */
} SIG_LANES;

/* ---- Plan ---------------------------------------------------------------------------------- */

/* Vector operations of one group walking `steps` augmented steps of a tree below a prefix. */
static double AS_T(walk_cost)(const SIG_PLAN *p, i64 steps, i64 prefix_length)
{
    const double tree = (double)p->offset[p->degree - prefix_length + 1];
    const i64 chain = prefix_length * (2 * AS_LANES + p->degree);
    const i64 loading = prefix_length ? 1 : 3 * p->channels;
    const int fills = p->filled && !prefix_length;
    const double walked = fills ? 1.25 * tree / (double)p->degree : tree;
    const double filling = fills ? 2.0 * (double)p->degree * tree : 0;
    return (double)steps * (walked + (double)(chain + loading + 4)) + filling + 4 * tree + 200;
}

/* Time of the batch with path lanes, in vector operations. */
static double AS_T(path_lanes_cost)(const SIG_PLAN *p, i64 stretches)
{
    const i64 groups = as_ceil_div(p->batch * stretches, AS_LANES);
    const double product = (double)(p->degree * p->power[p->degree]);
    double group = AS_T(walk_cost)(p, as_ceil_div(p->raw_steps, stretches) * p->steps_per_raw, 0);
    for (i64 s = 2; s <= as_least(stretches, AS_LANES); s *= 2)
        group += 2 * product;
    const double rows = (double)(stretches > AS_LANES ? p->batch * (stretches / AS_LANES) : 0);
    return (double)as_ceil_div(groups, p->threads) * group + rows * product;
}

static double AS_T(prefix_lanes_cost)(const SIG_PLAN *p, i64 prefix_length)
{
    const i64 groups = p->batch * as_ceil_div(p->power[prefix_length], AS_LANES);
    return (double)as_ceil_div(groups, p->threads) *
           AS_T(walk_cost)(p, p->raw_steps * p->steps_per_raw, prefix_length);
}

/* Chooses stretches or prefixes by least cost within bounds on scratch memory. */
static void AS_T(choose_lanes)(SIG_PLAN *p, i64 row_bytes)
{
    const i64 tree_limit = AS_PATH_LANES_BYTES / AS_VECTOR_BYTES;
    double best = -1;
    if (p->words <= tree_limit) {
        best = AS_T(path_lanes_cost)(p, 1);
        for (i64 s = 2; p->raw_steps / s >= 16 && p->batch * s <= 4 * AS_LANES * p->threads &&
                        p->batch * s * row_bytes <= 16 << 20;
             s *= 2) {
            const double cost = AS_T(path_lanes_cost)(p, s);
            if (cost < best) {
                best = cost;
                p->stretches = s;
            }
        }
    }
    if (best >= 0 && p->batch * p->stretches >= AS_LANES * p->threads)
        return; /* lanes and threads are full */
    for (i64 n = 1; n < p->degree; ++n) {
        const i64 tree = p->offset[p->degree - n + 1];
        if (tree > tree_limit / 2 && n < p->degree - 1)
            continue;
        const double cost = AS_T(prefix_lanes_cost)(p, n);
        if (best < 0 || cost < best) {
            best = cost;
            p->stretches = 1;
            p->prefix_length = n;
        }
        if (p->power[n] > 64 * AS_LANES * p->threads)
            break; /* more prefixes only add work */
    }
}

/* More stretches, until none is long enough to lose digits (see AS_SEGMENT), as long as their rows
 * take no more than a few times the memory of the path. */
static void AS_T(shorten_stretches)(SIG_PLAN *p, i64 row_bytes)
{
    const i64 step_bytes = p->dimension * (i64)sizeof(REAL);
    while (p->raw_steps * p->steps_per_raw > 2 * AS_SEGMENT * p->stretches &&
           p->stretches * row_bytes < 2 * p->raw_steps * step_bytes)
        p->stretches *= 2;
}

/* Fills the plan; degree >= 2, channels >= 2 and at least one step. `increment_bytes` is what the
 * increments of a chunk may take in the first-level cache, `row_bytes` what a stretch costs.
 * `shared_steps_are_small`: with prefix lanes a step takes REALs only, so chunks may be longer. */
static void AS_T(plan_lanes)(SIG_PLAN *p, i64 increment_bytes, i64 row_bytes,
                             int shared_steps_are_small)
{
    p->stretches = 1;
    p->prefix_length = 0;
    const i64 cost = p->batch * p->raw_steps * p->steps_per_raw;
    if ((double)cost * (double)p->words < (double)AS_SMALL_WORK * AS_LANES)
        p->threads = 1;
    AS_T(choose_lanes)(p, row_bytes);
    if (row_bytes && !p->prefix_length)
        AS_T(shorten_stretches)(p, row_bytes);
    p->prefixes = p->power[p->prefix_length];
    p->levels = p->degree - p->prefix_length;
    p->tree_words = p->offset[p->levels + 1];
    p->groups_per_path = p->prefix_length ? as_ceil_div(p->prefixes, AS_LANES) : 0;
    p->groups = p->prefix_length ? p->batch * p->groups_per_path
                                 : as_ceil_div(p->batch * p->stretches, AS_LANES);
    p->threads = as_most(1, as_least(p->threads, p->groups));
    const int shared = p->prefix_length && shared_steps_are_small;
    const i64 step_bytes = p->channels * (shared ? (i64)sizeof(REAL) : AS_VECTOR_BYTES);
    /* the way back has twice the arrays of VECs, each with a chunk of them */
    const i64 most = shared ? 64 : row_bytes && AS_VECTOR_BYTES > 32 ? 24 : 32;
    p->chunk = as_most(16, as_least(most, increment_bytes / step_bytes)) & ~(i64)7;
    const i64 longest = as_ceil_div(p->raw_steps, p->stretches) * p->steps_per_raw;
    p->chunk = as_least(p->chunk, longest);
}

/* Sizes that depend on the arguments only. */
static void AS_T(describe)(SIG_PLAN *p, i64 batch, i64 length, i64 dimension, i64 degree,
                           i64 time_aug, i64 lead_lag, double end_time, i64 scalar_term,
                           int threads)
{
    p->lyndon = 0;
    p->filled = 0;
    p->fill = NULL;
    const i64 points = AS_T(as_points)(length, lead_lag != 0);
    p->batch = batch;
    p->length = length;
    p->dimension = dimension;
    p->time_aug = time_aug != 0;
    p->lead_lag = lead_lag != 0;
    p->time_step = points > 1 ? end_time / (double)(points - 1) : 0;
    p->channels = AS_T(as_channels)(dimension, p->time_aug, p->lead_lag);
    p->degree = degree;
    p->scalar_term = scalar_term != 0;
    p->raw_steps = length - 1;
    p->steps_per_raw = p->lead_lag ? 2 : 1;
    p->threads = as_most(1, threads);
    if (p->channels > 1) {
        i64 power = 1, words = 0;
        for (i64 k = 0; k <= degree; ++k) {
            p->power[k] = power;
            if (k)
                words += power;
            p->offset[k + 1] = words;
            if (k < degree)
                power *= p->channels;
        }
        p->words = words;
    } else
        p->words = p->channels * degree;
    p->row = p->words + p->scalar_term;
}

/* x_end - x_0, exact but for one rounding; NaN where any point is NaN or infinite. */
static REAL AS_T(displacement)(const SIG_PLAN *p, const REAL *x, i64 channel)
{
    const i64 points = p->raw_steps * p->steps_per_raw + 1, d = p->dimension;
    if (p->time_aug && channel == p->channels - 1)
        return (REAL)(p->time_step * (double)(points - 1));
    channel %= d;
    REAL not_finite = 0;
    for (i64 i = 0; i < p->length; ++i)
        not_finite += x[i * d + channel] - x[i * d + channel];
    return x[p->raw_steps * d + channel] - x[channel] + not_finite;
}

/* ---- Lanes of a group ---------------------------------------------------------------------- */

/* First raw step of a stretch; the last stretch is never shorter than another. */
static i64 AS_T(stretch_start)(const SIG_PLAN *p, i64 stretch)
{
    return stretch * p->raw_steps / p->stretches;
}

static void AS_T(lanes_of_group)(const SIG_PLAN *p, const REAL *path, i64 group, SIG_LANES *lanes)
{
    const i64 path_size = p->length * p->dimension;
    if (p->prefix_length) {
        lanes->path = group / p->groups_per_path;
        lanes->first_prefix = group % p->groups_per_path * AS_LANES;
        lanes->first = 0;
        lanes->count = as_least(AS_LANES, p->prefixes - lanes->first_prefix);
        lanes->longest = p->raw_steps;
        for (int l = 0; l < AS_LANES; ++l) {
            lanes->start[l] = path + lanes->path * path_size;
            lanes->steps[l] = p->raw_steps;
        }
        return;
    }
    lanes->path = lanes->first_prefix = 0;
    lanes->first = group * AS_LANES;
    lanes->count = as_least(AS_LANES, p->batch * p->stretches - lanes->first);
    lanes->longest = 0;
    for (int l = 0; l < AS_LANES; ++l) {
        const i64 lane = lanes->first + (l < lanes->count ? l : 0);
        const i64 stretch = lane % p->stretches, from = AS_T(stretch_start)(p, stretch);
        lanes->start[l] = path + lane / p->stretches * path_size + from * p->dimension;
        lanes->steps[l] = AS_T(stretch_start)(p, stretch + 1) - from;
        lanes->longest = as_most(lanes->longest, lanes->steps[l]);
    }
}

/* Paths whose last lane is in this group: what progress counts. */
static i64 AS_T(paths_finished)(const SIG_PLAN *p, const SIG_LANES *lanes)
{
    if (p->prefix_length)
        return lanes->first_prefix + lanes->count == p->prefixes;
    return (lanes->first + lanes->count) / p->stretches - lanes->first / p->stretches;
}

/* ---- Increments of a chunk ----------------------------------------------------------------- */

/* to[k][lane] = from[lane][k + gap] - from[lane][k], or from[lane][k] when gap is 0. */
AS_INLINE void AS_T(load_lanes)(const REAL *const *from, i64 count, i64 gap, VEC *to)
{
    if (count < AS_LANES) {
        REAL *element = (REAL *)to;
        for (i64 k = 0; k < count; ++k)
            for (int l = 0; l < AS_LANES; ++l, ++element)
                *element = gap ? from[l][k + gap] - from[l][k] : from[l][k];
        return;
    }
    for (i64 k = 0;; k = as_least(k + AS_LANES, count - AS_LANES)) {
        VEC r[AS_LANES];
        AS_UNROLL for (int l = 0; l < AS_LANES; ++l)
        {
            r[l] = AS_T(load)(from[l] + k);
            if (gap)
                r[l] = AS_T(load)(from[l] + k + gap) - r[l];
        }
        AS_T(transpose)(r);
        AS_UNROLL for (int l = 0; l < AS_LANES; ++l) to[k + l] = r[l];
        if (k + AS_LANES == count)
            return;
    }
}

/* to[row * stride + k] = from[k][row] for rows < used. */
AS_INLINE void AS_T(store_lanes)(const VEC *from, i64 count, int used, i64 stride, REAL *to)
{
    if (count < AS_LANES) {
        const REAL *element = (const REAL *)from;
        for (int l = 0; l < used; ++l)
            for (i64 k = 0; k < count; ++k)
                to[l * stride + k] = element[k * AS_LANES + l];
        return;
    }
    for (i64 k = 0;; k = as_least(k + AS_LANES, count - AS_LANES)) {
        VEC r[AS_LANES];
        AS_UNROLL for (int l = 0; l < AS_LANES; ++l) r[l] = from[k + l];
        AS_T(transpose)(r);
        if (used == AS_LANES) {
            AS_UNROLL for (int l = 0; l < AS_LANES; ++l) AS_T(store)(to + l * stride + k, r[l]);
        } else {
            for (int l = 0; l < used; ++l)
                AS_T(store)(to + l * stride + k, r[l]);
        }
        if (k + AS_LANES == count)
            return;
    }
}

/* Raw increments [step][dimension] into the augmented layout [step][channel]; works for VEC and
 * REAL. With lead-lag the zeros are written too. `first` is the raw step, from the start of the
 * stretch, of the first one. Time moves by differences of rounded times, whose sums are exact: a
 * constant would be rounded the same way in every step, and the error would grow with the length.
 */
#define AS_DEFINE_AUGMENT(NAME, TYPE)                                                              \
    AS_INLINE void NAME(const SIG_PLAN *p, i64 first, i64 raw_steps, const TYPE *raw, TYPE *to)    \
    {                                                                                              \
        const i64 d = p->dimension;                                                                \
        const TYPE zero = {0};                                                                     \
        i64 step = first * p->steps_per_raw;                                                       \
        REAL time = (REAL)((double)step * p->time_step);                                           \
        for (i64 i = 0; i < raw_steps; ++i, raw += d)                                              \
            for (i64 moves = p->steps_per_raw; moves > 0; --moves, to += p->channels) {            \
                TYPE *channel = to;                                                                \
                if (p->lead_lag)                                                                   \
                    for (i64 a = 0; a < d; ++a)                                                    \
                        *channel++ = moves == 1 ? raw[a] : zero;                                   \
                for (i64 a = 0; a < d; ++a)                                                        \
                    *channel++ = moves == 2 || !p->lead_lag ? raw[a] : zero;                       \
                if (p->time_aug) {                                                                 \
                    const REAL next = (REAL)((double)++step * p->time_step);                       \
                    *channel = zero + (next - time);                                               \
                    time = next;                                                                   \
                }                                                                                  \
            }                                                                                      \
    }
AS_DEFINE_AUGMENT(AS_T(augment_lanes), VEC)
AS_DEFINE_AUGMENT(AS_T(augment_shared), REAL)
#undef AS_DEFINE_AUGMENT

/* Asks for the points of raw steps first .. first + count of lanes in `path`, as they lie in `at`,
 * an array of the same shape. Inline: to GCC a function that only prefetches does nothing. */
AS_INLINE void AS_T(prefetch_points)(const SIG_PLAN *p, const SIG_LANES *lanes, i64 first,
                                     i64 count, const REAL *path, const REAL *at)
{
    const i64 line = AS_ALIGNMENT / (i64)sizeof(REAL);
    for (int l = 0; l < lanes->count; ++l) {
        const REAL *from = at + (lanes->start[l] - path) + (first + 1) * p->dimension;
        for (i64 k = 0; k < count * p->dimension; k += line)
            __builtin_prefetch(from + k, 1, 2);
    }
}

/* Increments of raw steps first .. first + count of a group; `raw` is room for the raw ones, used
 * when the path is augmented. Lanes that have ended get zeros. */
static void AS_T(load_increments)(const SIG_PLAN *p, const SIG_LANES *lanes, i64 first, i64 count,
                                  void *raw, void *to)
{
    const i64 d = p->dimension, size = count * d;
    const int plain = !p->time_aug && !p->lead_lag;
    if (p->prefix_length) {
        const REAL *x = lanes->start[0] + first * d;
        REAL *z = plain ? to : raw;
        for (i64 k = 0; k < size; ++k)
            z[k] = x[k + d] - x[k];
        if (!plain)
            AS_T(augment_shared)(p, first, count, raw, to);
        return;
    }
    const REAL *x[AS_LANES];
    for (int l = 0; l < AS_LANES; ++l)
        x[l] = lanes->start[l] + first * d;
    if (d)
        AS_T(load_lanes)(x, size, d, plain ? to : raw);
    if (!plain)
        AS_T(augment_lanes)(p, first, count, raw, to);
    if (p->stretches > 1 && first + count == lanes->longest) {
        const i64 last = p->steps_per_raw * p->channels;
        REAL *end = (REAL *)((VEC *)to + count * last);
        for (int l = 0; l < AS_LANES; ++l)
            if (lanes->steps[l] < lanes->longest)
                for (i64 k = 1; k <= last; ++k)
                    end[l - k * AS_LANES] = 0;
    }
}

/* VECs for the increments of a chunk. */
static i64 AS_T(increments_size)(const SIG_PLAN *p)
{
    const i64 count = p->chunk * p->channels;
    return p->prefix_length ? as_ceil_div(count, AS_LANES) : count;
}

/* How many chunks a group has: chunk i of n starts at raw step longest * i / n. */
static i64 AS_T(chunk_count)(const SIG_PLAN *p, i64 raw_steps)
{
    return as_ceil_div(raw_steps * p->steps_per_raw, p->chunk);
}

/* ---- Tensor algebra ------------------------------------------------------------------------ */

/* Words of level k, and how many are shorter; one channel has no table, its degree may be large. */
AS_INLINE i64 AS_T(words_at)(const SIG_PLAN *p, i64 k) { return p->channels > 1 ? p->power[k] : 1; }
AS_INLINE i64 AS_T(words_before)(const SIG_PLAN *p, i64 k)
{
    return p->channels > 1 ? p->offset[k] : k - 1;
}

#define NUMBER VEC
#define NUMBER_IS_VECTOR
#define NAMED(name) AS_T(name##_lanes)
#include "tensor_algebra.inc.c"
#undef NUMBER_IS_VECTOR
#undef NUMBER
#undef NAMED
#define NUMBER REAL
#define NAMED(name) AS_T(name##_rows)
#include "tensor_algebra.inc.c"
#undef NUMBER
#undef NAMED
