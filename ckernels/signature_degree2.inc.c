/* Degree 2 without a walk: level 2 and its gradient are products of matrices over the points of
 * one path, which are read in order and not transposed.
 *
 * With z_t = x_{t+1} - x_t, m_t = (x_t + x_{t+1}) / 2 - x_0 and D = x_end - x_0,
 *     S_ab = sum over t of m_t,a z_t,b,      S_ab + S_ba = D_a D_b,
 * so only pairs a > b are summed. For F = <grad, S> with A_ab = grad_ab - grad_ba
 *     dF/dz_t,b = grad_b + sum over a of grad_ba D_a + A_ab m_t,a,
 *     dF/dx_t,b = sum over a of A_ab (x_{t-1,a} - x_{t+1,a}) / 2      at interior points.
 *
 * Augmentation (path.h; F leads, L lags, h is the step of time): with Q_ab = sum z_t,a z_t,b
 *     S_LL = S_FF = S,   S_LF = S - Q / 2,   S_FL = S + Q / 2,
 *     S_a,time = h sum m_t,a; for L and F twice that less, or plus, h D_a / 2;
 *     dF/dx_t = B^T (x_{t-1} - x_t) + C^T (x_t - x_{t+1}) + (time: -2 h (A_time,L + A_time,F)),
 *     B = (A_LL + A_FF) / 2 + A_LF,   C = (A_LL + A_FF) / 2 + A_FL.
 *
 * Two ways to multiply by a matrix, by dimension d:
 *   bands   2 d <= AS_LANES, gradient: a VEC takes as many whole steps as fit. Shifting one factor
 *           by j elements pairs channels b + j and b of all of them; lanes where b + j leaves the
 *           step have a 0 in the matrix.
 *   blocks  else: a few rows, one channel spread over a VEC, times VECs of channels.
 * With fewer channels the walk makes the signature: see takes_area.
 * Sums over AS_ROWS_BYTES of points go to `sums`, so that rounding errors do not add up over the
 * length. Units of work are parts of paths; their sums add.
 * The formulas are classical (areas of polygons); the products are this library's.
 */

#define AREA_JOB AS_T(area_job)
#define AREA_SCRATCH AS_T(area_scratch)

#ifndef ARRAYSIG_DEGREE2_LIMITS
#define ARRAYSIG_DEGREE2_LIMITS
#define AS_AHEAD 2048      /* bytes that points are asked for before they are used */
#define AS_UNIT_WORK 10000 /* vector operations: less, and threads wait for the counter */
#define AS_ROOM 80         /* REALs before and after rows: what shifted loads of VECs may touch */
/* Limits that a test build lowers. */
#ifndef AS_ROWS_BYTES
#define AS_ROWS_BYTES 8192 /* rows that are worked on at once */
#endif
#ifndef AS_PART_STEPS
#define AS_PART_STEPS 512 /* the least that a part of a path has */
#endif
#endif

typedef struct {
    const SIG_PLAN *plan;
    const REAL *grad, *path;
    REAL *out;
    i64 width;    /* of a row of sums: whole VECs */
    i64 rows;     /* points that are worked on at once */
    i64 parts;    /* of a path */
    i64 together; /* parts, or whole paths, in a unit of work */
    i64 stride;   /* sums of a part: S, with lead-lag Q, sum of m, 0 or NaN if a point is not finite
                   */
    REAL *sums;   /* (batch, parts, stride), when there are parts */
    i64 *control;
    i64 next, failed;
} AREA_JOB;

/* Of a worker. Rows have AS_ROOM around them. */
typedef struct {
    REAL *first, *second; /* rows: m and z, or differences and results */
    REAL *origin;         /* x_0, repeated for a VEC */
    REAL *sums;           /* one row of AREA_JOB.sums */
    REAL *matrix;         /* of the gradient, terms x (d, d) */
    REAL *constant;       /* of the gradient, d */
} AREA_SCRATCH;

AS_INLINE int AS_T(area_terms)(const SIG_PLAN *p) { return p->lead_lag ? 2 : 1; }

AS_INLINE int AS_T(uses_bands)(i64 d) { return 2 * d <= AS_LANES; }

/* Dimensions that take bands; each has its own code. */
#undef AS_FOR_BANDS
#if AS_LANES == 16
#define AS_FOR_BANDS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#elif AS_LANES == 8
#define AS_FOR_BANDS(X) X(1) X(2) X(3) X(4)
#elif AS_LANES == 4
#define AS_FOR_BANDS(X) X(1) X(2)
#else
#define AS_FOR_BANDS(X) X(1)
#endif

/* ---- Sums over steps ----------------------------------------------------------------------- */

/* move[k] = z, mid[k] = m for `count` steps of d >= AS_LANES channels from x on, zeros after them.
 * Returns NaN where a point is not finite, else 0. */
static REAL AS_T(stage_steps)(const REAL *restrict x, const REAL *restrict origin, i64 d, i64 count,
                              REAL *restrict mid, REAL *restrict move)
{
    const i64 size = count * d;
    VEC bad = {0};
    for (i64 k = 0, channel = 0;;) {
        const VEC here = AS_T(load)(x + k), z = AS_T(load)(x + k + d) - here;
        __builtin_prefetch((const char *)(x + k + d) + AS_AHEAD, 0, 3);
        AS_T(store)(move + k, z);
        AS_T(store)(mid + k, here - AS_T(load)(origin + channel) + z * (REAL)0.5);
        bad += z - z;
        if (k + AS_LANES == size)
            break;
        k += AS_LANES;
        channel += AS_LANES;
        channel -= channel >= d ? d : 0;
        if (k + AS_LANES > size) { /* again some of what is done, so that a VEC fits */
            k = size - AS_LANES;
            channel = d - AS_LANES;
        }
    }
    memset(mid + size, 0, sizeof(REAL) * AS_ROOM);
    memset(move + size, 0, sizeof(REAL) * AS_ROOM);
    REAL wrong = 0;
    for (int l = 0; l < AS_LANES; ++l)
        wrong += bad[l];
    return wrong;
}

/* total[b] += sum over rows. */
static void AS_T(sum_rows)(const REAL *rows, i64 size, i64 d, REAL *total)
{
    for (i64 b = 0; b < d; b += AS_LANES) {
        VEC sum = {0};
        for (i64 k = b; k < size; k += d)
            sum += AS_T(load)(rows + k);
        for (i64 l = 0; l < AS_LANES && b + l < d; ++l)
            total[b + l] += sum[l];
    }
}

/* R rows from a on, V VECs of columns from b on: pointers are to the first of each. */
AS_INLINE void AS_T(block_sums)(const REAL *left, const REAL *right, i64 steps, i64 d, const int R,
                                const int V, REAL *to, i64 width)
{
    VEC sum[16];
    AS_UNROLL for (int i = 0; i < R * V; ++i) sum[i] = (VEC){0};
    for (i64 t = 0; t < steps; ++t, left += d, right += d) {
        VEC z[2];
        AS_UNROLL for (int v = 0; v < V; ++v) z[v] = AS_T(load)(right + v * AS_LANES);
        AS_UNROLL for (int r = 0; r < R; ++r)
        {
            const VEC m = AS_T(all_lanes)(left[r]);
            AS_UNROLL for (int v = 0; v < V; ++v) sum[r * V + v] += m * z[v];
        }
    }
    AS_UNROLL for (int r = 0; r < R; ++r)
    {
        AS_UNROLL for (int v = 0; v < V; ++v)
        {
            REAL *at = to + r * width + v * AS_LANES;
            AS_T(store)(at, AS_T(load)(at) + sum[r * V + v]);
        }
    }
}

AS_INLINE i64 AS_T(rows_of_blocks)(i64 a, const REAL *left, const REAL *right, i64 steps, i64 d,
                                   const int R, REAL *to, i64 width)
{
    for (; a + R <= d; a += R) {
        i64 b = 0;
        for (; R <= 8 && b + AS_LANES < a + R; b += 2 * AS_LANES)
            AS_T(block_sums)(left + a, right + b, steps, d, R, 2, to + a * width + b, width);
        if (b < a + R)
            AS_T(block_sums)(left + a, right + b, steps, d, R, 1, to + a * width + b, width);
    }
    return a;
}

static void AS_T(sums_by_blocks)(const REAL *left, const REAL *right, i64 steps, i64 d, REAL *to,
                                 i64 width)
{
    i64 a = 0;
    if (AS_MANY_VECTORS && AS_LANES == 16 && d == 16)
        a = AS_T(rows_of_blocks)(a, left, right, steps, d, 16, to, width);
    if (AS_MANY_VECTORS)
        a = AS_T(rows_of_blocks)(a, left, right, steps, d, 8, to, width);
    a = AS_T(rows_of_blocks)(a, left, right, steps, d, 4, to, width);
    a = AS_T(rows_of_blocks)(a, left, right, steps, d, 2, to, width);
    AS_T(rows_of_blocks)(a, left, right, steps, d, 1, to, width);
}

/* Adds S of pairs a > b, and Q of pairs a >= b, of `count` staged steps. */
static void AS_T(add_sums)(const AREA_JOB *job, const AREA_SCRATCH *s, i64 count)
{
    const SIG_PLAN *p = job->plan;
    const i64 d = p->dimension, matrix = d * job->width;
    if (p->time_aug)
        AS_T(sum_rows)(s->first, count * d, d, s->sums + AS_T(area_terms)(p) * matrix);
    AS_T(sums_by_blocks)(s->first, s->second, count, d, s->sums, job->width);
    if (p->lead_lag)
        AS_T(sums_by_blocks)(s->second, s->second, count, d, s->sums + matrix, job->width);
}

/* ---- From sums to a signature -------------------------------------------------------------- */

/* Writes S_ab, and with lead-lag the four that S_ab and Q_ab make. */
AS_INLINE void AS_T(put_pair)(const SIG_PLAN *p, REAL *level2, i64 a, i64 b, double s,
                              double half_q)
{
    const i64 d = p->dimension, c = p->channels;
    level2[a * c + b] = (REAL)s;
    if (p->lead_lag) {
        level2[(d + a) * c + d + b] = (REAL)s;
        level2[a * c + d + b] = (REAL)(s - half_q);
        level2[(d + a) * c + b] = (REAL)(s + half_q);
    }
}

/* The signature of path b from the sums of its parts. */
static void AS_T(write_degree2)(const AREA_JOB *job, i64 path, const REAL *sums)
{
    const SIG_PLAN *p = job->plan;
    const i64 d = p->dimension, c = p->channels, width = job->width;
    const REAL *x = job->path + path * p->length * d;
    REAL *level1 = job->out + path * p->row + p->scalar_term, *level2 = level1 + c;
    const REAL *q = sums + d * width, *mids = sums + AS_T(area_terms)(p) * d * width;
    REAL wrong = 0;
    if (p->scalar_term)
        level1[-1] = 1;
    for (i64 i = 0; i < job->parts; ++i)
        wrong += sums[i * job->stride + job->stride - 1];
    for (i64 a = 0; a < d; ++a) {
        level1[a] = wrong == 0 ? x[p->raw_steps * d + a] - x[a] : AS_T(displacement)(p, x, a);
        if (p->lead_lag)
            level1[d + a] = level1[a];
    }
    for (i64 a = 0; a < d; ++a)
        for (i64 b = 0; b <= a; ++b) {
            const double both = (double)level1[a] * (double)level1[b];
            double s = 0, half_q = 0;
            for (i64 i = 0; i < job->parts; ++i) {
                s += (double)sums[i * job->stride + a * width + b];
                if (p->lead_lag)
                    half_q += 0.5 * (double)q[i * job->stride + a * width + b];
            }
            if (a == b)
                s = 0.5 * both;
            AS_T(put_pair)(p, level2, a, b, s, half_q);
            AS_T(put_pair)(p, level2, b, a, both - s, half_q);
        }
    if (!p->time_aug)
        return;
    const double h = p->time_step, end = h * (double)(p->raw_steps * p->steps_per_raw);
    const i64 time = c - 1;
    level1[time] = (REAL)end;
    level2[time * c + time] = (REAL)(0.5 * end * end);
    for (i64 a = 0; a < c - 1; ++a) {
        double mid = 0;
        for (i64 i = 0; i < job->parts; ++i)
            mid += (double)mids[i * job->stride + a % d];
        const double moved = (double)level1[a];
        if (p->lead_lag)
            mid = 2 * mid + (a < d ? -0.5 : 0.5) * moved;
        level2[a * c + time] = (REAL)(h * mid);
        level2[time * c + a] = (REAL)(end * moved - h * mid);
    }
}

/* ---- Matrices of the gradient -------------------------------------------------------------- */

/* What multiplies x_{t-1} - x_{t+1} (one term), or x_{t-1} - x_t and x_t - x_{t+1} (two), and what
 * time adds. */
static void AS_T(gradient_matrices)(const AREA_JOB *job, const REAL *grad, AREA_SCRATCH *s)
{
    const SIG_PLAN *p = job->plan;
    const i64 d = p->dimension, c = p->channels, time = c - 1;
    const REAL *g = grad + c;
#define AS_A(a, b) (g[(a) * c + (b)] - g[(b) * c + (a)])
    for (i64 a = 0; a < d; ++a)
        for (i64 b = 0; b < d; ++b) {
            REAL *to = s->matrix + a * d + b;
            to[0] = (REAL)0.5 * AS_A(a, b);
            if (p->lead_lag) {
                const REAL same = to[0] + (REAL)0.5 * AS_A(d + a, d + b);
                to[0] = same + AS_A(a, d + b);
                to[d * d] = same + AS_A(d + a, b);
            }
        }
    for (i64 b = 0; b < d; ++b) {
        double sum = 0;
        if (p->time_aug)
            sum = -p->time_step * (double)AS_A(time, b);
        if (p->time_aug && p->lead_lag)
            sum = 2 * (sum - p->time_step * (double)AS_A(time, d + b));
        s->constant[b] = (REAL)sum;
    }
#undef AS_A
    for (i64 l = 0; l < AS_LANES; ++l) /* what VECs at the ends reach */
        s->constant[d + l] = s->matrix[AS_T(area_terms)(p) * d * d + l] = 0;
}

/* sign * dF/dz, folded to the raw step from x[step] on, into to[d]. */
static void AS_T(end_point)(const AREA_JOB *job, const REAL *x, i64 step, const REAL *grad,
                            double sign, REAL *to)
{
    const SIG_PLAN *p = job->plan;
    const i64 d = p->dimension, c = p->channels;
    const REAL *here = x + step * d, *end = x + p->raw_steps * d, *g = grad + c;
    const double whole = p->time_step * (double)(p->raw_steps * p->steps_per_raw);
    for (i64 b = 0; b < d; ++b) {
        double sum = 0;
        for (i64 half = 0; half < p->steps_per_raw; ++half) { /* with lead-lag: lead, then lag */
            const i64 w = p->lead_lag && half == 0 ? d + b : b;
            sum += (double)grad[w];
            for (i64 a = 0; a < c; ++a) {
                double mid, moved;
                if (p->time_aug && a == c - 1) {
                    mid = p->time_step * ((double)(step * p->steps_per_raw + half) + 0.5);
                    moved = whole;
                } else {
                    const i64 k = a % d;
                    const double z = (double)here[d + k] - (double)here[k];
                    double share = 0.5; /* of z that m has: all of it where lead has moved */
                    if (p->lead_lag)
                        share = a < d ? 0.5 * (double)half : half ? 1 : 0.5;
                    mid = ((double)here[k] - (double)x[k]) + share * z;
                    moved = (double)end[k] - (double)x[k];
                }
                sum += (double)g[w * c + a] * (moved - mid) + (double)g[a * c + w] * mid;
            }
        }
        to[b] = (REAL)(sign * sum);
    }
}

/* ---- Interior points ----------------------------------------------------------------------- */

#define AS_POINTS_AT_ONCE (AS_MANY_VECTORS ? 8 : 4)

/* from[k] = x[k - d] - x[k + d], or with lead-lag x[k - d] - x[k] and one row more; then zeros. */
static void AS_T(stage_differences)(const REAL *restrict x, i64 d, i64 count, int lead_lag,
                                    REAL *restrict from)
{
    const i64 size = (count + (lead_lag != 0)) * d;
    const REAL *restrict before = x - d, *restrict after = lead_lag ? x : x + d;
    i64 k = 0;
    for (; k + AS_LANES <= size; k += AS_LANES)
        AS_T(store)(from + k, AS_T(load)(before + k) - AS_T(load)(after + k));
    for (; k < size; ++k)
        from[k] = before[k] - after[k];
    memset(from + size, 0, sizeof(REAL) * (size_t)(AS_POINTS_AT_ONCE * d + AS_ROOM));
}

/* The bands of a matrix: [term][j + d - 1][lane], channel b + j to b. */
static void AS_T(make_bands)(const AREA_JOB *job, const AREA_SCRATCH *s, VEC *bands, VEC *constant)
{
    const SIG_PLAN *p = job->plan;
    const i64 d = p->dimension, used = AS_LANES / d * d;
    for (i64 term = 0; term < AS_T(area_terms)(p); ++term)
        for (i64 j = 1 - d; j < d; ++j, ++bands)
            for (i64 l = 0; l < AS_LANES; ++l) {
                const i64 b = l % d, a = b + j;
                const int in = l < used && a >= 0 && a < d;
                (*bands)[l] = in ? s->matrix[(term * d + a) * d + b] : 0;
            }
    for (i64 l = 0; l < AS_LANES; ++l)
        (*constant)[l] = s->constant[l % d];
}

AS_INLINE void AS_T(multiply_bands)(const REAL *from, i64 size, const int d, const int terms,
                                    const VEC *bands, VEC constant, REAL *to)
{
    const int stride = AS_LANES / d * d, count = 2 * d - 1;
    for (i64 k = 0; k < size; k += stride) { /* ascending: what is too much is overwritten */
        VEC sum[2] = {constant, {0}};
        AS_UNROLL for (int i = 0; i < terms * count; ++i)
        {
            if (terms == 1 && i == d - 1)
                continue; /* A_aa = 0 */
            sum[i % 2] += bands[i] * AS_T(load)(from + k + i / count * d + i % count - (d - 1));
        }
        AS_T(store)(to + k, sum[0] + sum[1]);
    }
}

/* T points, V VECs of channels: all pointers are to the first of them. */
AS_INLINE void AS_T(multiply_block)(const REAL *from, i64 d, i64 rows, const REAL *matrix,
                                    const REAL *constant, const int T, const int V, REAL *to)
{
    VEC sum[16];
    AS_UNROLL for (int t = 0; t < T; ++t)
    {
        AS_UNROLL for (int v = 0; v < V; ++v) sum[t * V + v] = AS_T(load)(constant + v * AS_LANES);
    }
    for (i64 a = 0; a < rows; ++a, matrix += d) {
        VEC m[2];
        AS_UNROLL for (int v = 0; v < V; ++v) m[v] = AS_T(load)(matrix + v * AS_LANES);
        AS_UNROLL for (int t = 0; t < T; ++t)
        {
            const VEC u = AS_T(all_lanes)(from[t * d + a]);
            AS_UNROLL for (int v = 0; v < V; ++v) sum[t * V + v] += u * m[v];
        }
    }
    AS_UNROLL for (int t = 0; t < T; ++t)
    {
        AS_UNROLL for (int v = 0; v < V; ++v)
            AS_T(store)(to + t * d + v * AS_LANES, sum[t * V + v]);
    }
}

/* All points, channels b .. b + V AS_LANES; with fewer channels than that, what is too much of a
 * point is overwritten by the next. */
AS_INLINE void AS_T(multiply_columns)(const AREA_JOB *job, const AREA_SCRATCH *s, i64 count, i64 b,
                                      const int V)
{
    const i64 d = job->plan->dimension, rows = AS_T(area_terms)(job->plan) * d;
    for (i64 t = 0; t < count; t += AS_POINTS_AT_ONCE) /* rows of two terms follow each other */
        AS_T(multiply_block)(s->first + t * d, d, rows, s->matrix + b, s->constant + b,
                             AS_POINTS_AT_ONCE, V, s->second + t * d + b);
}

static void AS_T(multiply_blocks)(const AREA_JOB *job, const AREA_SCRATCH *s, i64 count)
{
    const i64 d = job->plan->dimension;
    i64 b = 0;
    for (; b + 2 * AS_LANES <= d; b += 2 * AS_LANES)
        AS_T(multiply_columns)(job, s, count, b, 2);
    if (b + AS_LANES <= d) {
        AS_T(multiply_columns)(job, s, count, b, 1);
        b += AS_LANES;
    }
    if (b < d) /* the last VEC repeats channels, so as to end where the row does */
        AS_T(multiply_columns)(job, s, count, as_most(d - AS_LANES, 0), 1);
}

/* ---- Units --------------------------------------------------------------------------------- */

static void AS_T(lay_out_areas)(const AREA_JOB *job, SIG_ARENA *arena, AREA_SCRATCH *s)
{
    const i64 d = job->plan->dimension, room = AS_LANES;
    const i64 rows = (job->rows + AS_POINTS_AT_ONCE + 1) * d + 2 * AS_ROOM;
    REAL **const fields[] = {&s->first, &s->second, &s->origin, &s->sums, &s->matrix, &s->constant};
    const i64 sizes[] = {rows,
                         rows,
                         d + room,
                         job->grad ? 0 : job->stride,
                         job->grad ? AS_T(area_terms)(job->plan) * d * d + room : 0,
                         job->grad ? d + room : 0};
    for (int i = 0; i < 6; ++i)
        *fields[i] = (REAL *)AS_T(take)(arena, as_ceil_div(sizes[i], AS_LANES));
    if (arena->base) {
        s->first += AS_ROOM;
        s->second += AS_ROOM;
    }
}

static i64 AS_T(part_start)(const AREA_JOB *job, i64 points, i64 part)
{
    return points * part / job->parts;
}

/* Sums of a part of a path; writes the signature if that is all of it. */
static void AS_T(sum_part)(AREA_JOB *job, AREA_SCRATCH *s, i64 path, i64 part)
{
    const SIG_PLAN *p = job->plan;
    const i64 d = p->dimension;
    const i64 begin = AS_T(part_start)(job, p->raw_steps, part);
    const i64 end = AS_T(part_start)(job, p->raw_steps, part + 1);
    const REAL *x = job->path + path * p->length * d;
    for (i64 k = 0, a = 0; k < d + AS_LANES; ++k, a = a + 1 < d ? a + 1 : 0)
        s->origin[k] = x[a];
    memset(s->sums, 0, sizeof(REAL) * (size_t)job->stride);
    for (i64 t = begin; t < end; t += job->rows) {
        const i64 count = as_least(job->rows, end - t);
        if (as_cancelled(job->control))
            return;
        s->sums[job->stride - 1] +=
            AS_T(stage_steps)(x + t * d, s->origin, d, count, s->first, s->second);
        AS_T(add_sums)(job, s, count);
    }
    if (job->parts > 1)
        memcpy(job->sums + (path * job->parts + part) * job->stride, s->sums,
               sizeof(REAL) * (size_t)job->stride);
    else
        AS_T(write_degree2)(job, path, s->sums);
}

/* Gradient of a part of the points of a path. */
static void AS_T(gradient_part)(AREA_JOB *job, AREA_SCRATCH *s, i64 path, i64 part)
{
    const SIG_PLAN *p = job->plan;
    const i64 d = p->dimension, last = p->raw_steps;
    const i64 begin = AS_T(part_start)(job, p->length, part);
    const i64 end = AS_T(part_start)(job, p->length, part + 1);
    const REAL *x = job->path + path * p->length * d;
    const REAL *grad = job->grad + path * p->row + p->scalar_term;
    REAL *out = job->out + path * p->length * d;
    const int bands = AS_T(uses_bands)(d);
    VEC band[2 * AS_LANES], constant = {0}; /* two terms of 2 d - 1, d <= AS_LANES / 2 */
    AS_T(gradient_matrices)(job, grad, s);
    memset(s->first - AS_ROOM, 0, sizeof(REAL) * AS_ROOM);
    if (bands)
        AS_T(make_bands)(job, s, band, &constant);
    if (begin == 0)
        AS_T(end_point)(job, x, 0, grad, -1, out);
    if (end == p->length)
        AS_T(end_point)(job, x, last - 1, grad, 1, out + last * d);
    const i64 stop = as_least(end, last);
    for (i64 t = as_most(begin, 1); t < stop; t += job->rows) {
        const i64 count = as_least(job->rows, stop - t);
        if (as_cancelled(job->control))
            return;
        AS_T(stage_differences)(x + t * d, d, count, p->lead_lag, s->first);
        switch (bands ? d : 0) {
#define AS_CASE(D)                                                                                 \
    case D:                                                                                        \
        if (p->lead_lag)                                                                           \
            AS_T(multiply_bands)(s->first, count * (D), D, 2, band, constant, s->second);          \
        else                                                                                       \
            AS_T(multiply_bands)(s->first, count * (D), D, 1, band, constant, s->second);          \
        break;
            AS_FOR_BANDS(AS_CASE)
#undef AS_CASE
        default:
            AS_T(multiply_blocks)(job, s, count);
        }
        memcpy(out + t * d, s->second, sizeof(REAL) * (size_t)(count * d));
    }
}

static void AS_T(area_worker)(void *argument)
{
    AREA_JOB *job = argument;
    AREA_SCRATCH scratch;
    AS_LAY_OUT(AS_T(lay_out_areas), job, scratch, job->failed);
    const i64 units = job->plan->batch * job->parts;
    i64 unit;
    while ((unit = as_next_unit(&job->next) * job->together) < units) {
        const i64 end = as_least(unit + job->together, units);
        for (; unit < end && !as_cancelled(job->control); ++unit) {
            const i64 path = unit / job->parts, part = unit % job->parts;
            if (job->grad)
                AS_T(gradient_part)(job, &scratch, path, part);
            else
                AS_T(sum_part)(job, &scratch, path, part);
            as_count(job->control, part == job->parts - 1);
        }
    }
    AS_FREE_SCRATCH();
}

/* The signature (without grad) or its gradient. */
static int AS_T(degree2)(const SIG_PLAN *p, const REAL *grad, const REAL *path, REAL *out,
                         i64 *control)
{
    const i64 d = p->dimension;
    AREA_JOB job = {.plan = p, .grad = grad, .path = path, .out = out, .control = control};
    job.width = as_ceil_div(d, AS_LANES) * AS_LANES;
    job.rows = as_most(8, AS_ROWS_BYTES / (d * (i64)sizeof(REAL)));
    job.rows = as_least(job.rows, p->raw_steps);
    job.stride = AS_T(area_terms)(p) * d * job.width + d + 1;
    const double work = (double)(p->batch * p->raw_steps) * (double)(d * (d + 8)) / AS_LANES;
    const i64 threads = work < AS_SMALL_WORK ? 1 : p->threads;
    job.parts = 1;
    if (p->batch < 4 * threads && threads > 1)
        job.parts =
            as_most(1, as_least(as_ceil_div(4 * threads, p->batch), p->raw_steps / AS_PART_STEPS));
    const double pieces = work / (double)(p->batch * job.parts);
    job.together =
        as_most(1, as_least((i64)(AS_UNIT_WORK / (pieces + 1)), p->batch / (4 * threads)));
    if (job.parts > 1 && !grad) {
        job.sums = malloc(sizeof(REAL) * (size_t)(p->batch * job.parts * job.stride));
        if (!job.sums)
            return AS_OUT_OF_MEMORY;
    }
    as_run_workers(AS_T(area_worker), &job, as_least(threads, p->batch * job.parts));
    if (job.sums && !job.failed && !as_cancelled(control))
        for (i64 b = 0; b < p->batch; ++b)
            AS_T(write_degree2)(&job, b, job.sums + b * job.parts * job.stride);
    free(job.sums);
    return job.failed ? AS_OUT_OF_MEMORY : AS_OK;
}
