/* Where pairs are few, lanes are AS_LANES strips below each other of one pair, each AS_LAG steps
 * behind the one above, and AS_LANES strips make a band. Bands follow each other through a row of h
 * (or A) in memory, which band b + 1 may read where band b has been: that is how threads share a
 * pair. Rows behind the last have p = 0, with which h stays what it is; polynomial cells need
 * a mask. */

/* Steps of a band, whole chunks, and numbers in a row of h, with room for columns that there are
 * not at both ends: where they are read they are 0. */
static i64 AS_T(band_steps)(const PDE_JOB *job)
{
    const i64 steps = job->steps2 + AS_LAG * (AS_LANES - 1);
    return as_ceil_div(steps, AS_PDE_COLUMNS) * AS_PDE_COLUMNS;
}

static i64 AS_T(band_row)(const PDE_JOB *job)
{
    return (AS_T(band_steps)(job) + AS_LAG * (AS_LANES - 1)) * job->width;
}

/* Rows of a lane: of polynomial cells at most AS_LAG, as a row is a column behind the one above. */
static i64 AS_T(band_rows)(const PDE_JOB *job)
{
    return job->degree ? as_least(job->rows, AS_LAG) : job->rows;
}

static i64 AS_T(band_count)(const PDE_JOB *job)
{
    return as_ceil_div(job->split > 1 ? job->steps1 * job->split
                                      : as_ceil_div(job->steps1, AS_T(band_rows)(job)),
                       AS_LANES);
}

/* The second path by channels, each backwards, even columns and odd ones apart: lanes, which are
 * AS_LAG columns apart, are then next to each other. */
typedef struct {
    REAL *reversed;
    i64 stride, last; /* of a channel; where column 0 or 1 is */
} AS_T(columns);

static AS_T(columns) AS_T(describe_columns)(const PDE_JOB *job, REAL *memory)
{
    const i64 last = AS_T(band_steps)(job) / AS_LAG + 1;
    return (AS_T(columns)){memory, last + AS_LANES, last};
}

static void AS_T(reverse_columns)(const PDE_JOB *job, const REAL *y, AS_T(columns) to)
{
    const i64 d = job->channels, linear = job->kind == AS_LINEAR;
    for (i64 odd = 0; odd < AS_LAG; ++odd)
        for (i64 a = 0; a < d; ++a)
            for (i64 i = 0; i < to.stride; ++i) {
                const i64 column = AS_LAG * (to.last - i) + odd;
                const i64 inside = as_most(0, as_least(column, job->steps2 - linear));
                const REAL *at = y + inside * d + a;
                to.reversed[(odd * d + a) * to.stride + i] = !linear            ? *at
                                                             : column == inside ? at[d] - *at
                                                                                : 0;
            }
}

/* Columns of the lanes at steps [begin, begin + count). */
static void AS_T(columns_of_lanes)(AS_T(columns) from, i64 begin, i64 count, i64 d, VEC *y)
{
    for (i64 t = begin; t < begin + count; ++t, y += d)
        for (i64 a = 0; a < d; ++a)
            y[a] = AS_T(load)(from.reversed + (t % AS_LAG * d + a) * from.stride + from.last -
                              t / AS_LAG);
}

/* Rows of the first path that the lanes of a band have: increments, 0 where there are none; else
 * points, the last one for those. */
static void AS_T(rows_of_lanes)(const PDE_JOB *job, const REAL *x, i64 band, VEC *to)
{
    const i64 d = job->channels, linear = job->kind == AS_LINEAR, rows = job->rows;
    for (i64 r = 0; r < rows + !linear; ++r)
        for (int l = 0; l < AS_LANES; ++l) {
            const i64 row = (band * AS_LANES + l) * rows / job->split + r;
            const REAL *at = x + as_least(row, job->steps1 - linear) * d;
            for (i64 a = 0; a < d; ++a)
                to[r * d + a][l] = !linear             ? at[a]
                                   : row < job->steps1 ? (at[a + d] - at[a]) * job->scale
                                                       : 0;
        }
}

typedef struct {
    VEC *x, *y, *p, *edge, *gaps, *bottom, *left;
    IVEC *active;
    REAL *reversed;
} AS_T(band_scratch);

static void AS_T(lay_out_band)(const PDE_JOB *job, SIG_ARENA *arena, AS_T(band_scratch) * s)
{
    const i64 d = job->channels, linear = job->kind == AS_LINEAR;
    s->x = AS_T(take)(arena, (job->rows + 1) * d);
    s->y = AS_T(take)(arena, (AS_PDE_COLUMNS + 1) * d);
    s->p = AS_T(take)(arena, job->rows * AS_PDE_COLUMNS);
    s->edge = AS_T(take)(arena, linear ? 0 : AS_PDE_COLUMNS + 1);
    s->gaps = AS_T(take)(arena, linear ? 0 : job->rows);
    s->bottom = AS_T(take)(arena, AS_LAG * job->width);
    s->left = AS_T(take)(arena, AS_T(left_size)(job, AS_PDE_ROWS));
    s->active = (IVEC *)AS_T(take)(arena, job->degree ? job->rows * AS_PDE_COLUMNS : 0);
    const i64 reversed = AS_LAG * d * AS_T(describe_columns)(job, NULL).stride;
    s->reversed = (REAL *)AS_T(take)(arena, as_ceil_div(reversed, AS_LANES));
}

/* Waits until the band above has done `columns` columns; 0 when cancelled. */
static int AS_T(wait_for)(const i64 *progress, i64 columns, i64 *control)
{
    for (i64 tries = 1; __atomic_load_n(progress, __ATOMIC_ACQUIRE) < columns; ++tries) {
        if (as_cancelled(control))
            return 0;
        if (tries % 1024 == 0)
            sched_yield();
    }
    return 1;
}

/* Lanes that are on the grid in the steps of a chunk, for polynomial cells, which p = 0 would
 * change; NULL where all are. */
static const IVEC *AS_T(active_lanes)(const PDE_JOB *job, i64 band, i64 begin, IVEC *active)
{
    const i64 first = band * AS_LANES * job->rows, behind = AS_LAG * (AS_LANES - 1);
    if (!job->degree || (begin >= behind && begin + AS_PDE_COLUMNS <= job->steps2 &&
                         first + AS_LANES * job->rows <= job->steps1))
        return NULL;
    for (i64 t = 0; t < AS_PDE_COLUMNS; ++t)
        for (i64 r = 0; r < job->rows; ++r)
            for (int l = 0; l < AS_LANES; ++l) {
                const i64 column = begin + t - AS_LAG * l;
                const int row_is = first + l * job->rows + r < job->steps1;
                active[t * job->rows + r][l] =
                    row_is && column >= 0 && column < job->steps2 ? -1 : 0;
            }
    return active;
}

/* A band of a pair; returns the value at its last row and column, or 0 when cancelled. */
static REAL AS_T(run_band)(const PDE_JOB *job, const AS_T(band_scratch) * s, AS_T(columns) y,
                           REAL *row, i64 band, i64 *progress)
{
    const i64 d = job->channels, fine = as_least(AS_PDE_ROWS, (i64)1 << job->order1);
    const i64 steps = AS_T(band_steps)(job), behind = AS_LAG * (AS_LANES - 1), w = job->width;
    VEC *left = s->left;
    AS_T(start_left)(job, job->rows * fine, left);
    AS_T(start_row)(job, AS_LAG, s->bottom);
    for (i64 t = 0; t < steps; t += AS_PDE_COLUMNS) {
        const i64 end = t + AS_PDE_COLUMNS;
        AS_T(columns_of_lanes)(y, t, AS_PDE_COLUMNS + (job->kind != AS_LINEAR), d, s->y);
        AS_T(increments)(job, s->x, s->y, job->rows, t, end, s->edge, 0, s->gaps, s->p, NULL);
        if (as_cancelled(job->control) ||
            (band && !AS_T(wait_for)(progress - 1, as_least(end, job->steps2), job->control)))
            return 0;
        const AS_T(seam) seam = {s->bottom, row + (t + behind) * w, row + t * w,
                                 AS_T(active_lanes)(job, band, t, s->active)};
        AS_T(sweep_any)(job, s->p, NULL, NULL, AS_PDE_COLUMNS, left, NULL, NULL, NULL, &seam,
                        job->rows, fine);
        __atomic_store_n(progress, end - behind, __ATOMIC_RELEASE);
    }
    if (job->depth)
        return AS_T(exp2_or_zero)(left[job->sums * job->rows * fine - 1])[AS_LANES - 1];
    if (!job->degree)
        return left[job->rows * fine][AS_LANES - 1];
    /* rows behind the last one pass A on, so that the last lane has it, but not B */
    const i64 last = job->steps1 - 1 - band * AS_LANES * job->rows;
    const VEC *b = left + last % job->rows * w;
    const REAL *a = row + (behind + job->steps2 - 1) * w;
    REAL sum = 0;
    for (i64 k = 0; k < w; ++k)
        sum += a[k] * job->end_a[k] + b[k][last / job->rows % AS_LANES] * job->end_b[k];
    return sum;
}

static void AS_T(band_worker)(void *argument)
{
    PDE_JOB *job = argument;
    AS_T(band_scratch) s;
    AS_LAY_OUT(AS_T(lay_out_band), job, s, job->failed);
    const unsigned subnormals = as_flush_subnormals();
    const AS_T(columns) y = AS_T(describe_columns)(job, s.reversed);
    const i64 bands = AS_T(band_count)(job), d = job->channels;
    i64 have = -1;
    /* bands are taken in order: one that waits has another at work above it */
    for (i64 unit; (unit = as_next_unit(&job->next)) < job->pairs * bands;) {
        const i64 number = unit / bands, band = unit % bands;
        const AS_T(pair) at = AS_T(pair_of)(job, number);
        if (number != have)
            AS_T(reverse_columns)(
                job, job->y + (at.group * job->count2 + at.column) * (job->steps2 + 1) * d, y);
        have = number;
        AS_T(rows_of_lanes)(job, job->x + (at.group * job->count1 + at.row) * (job->steps1 + 1) * d,
                            band, s.x);
        i64 *progress = job->progress + unit;
        const REAL value = AS_T(run_band)(job, &s, y, job->rows_of_h + number * AS_T(band_row)(job),
                                          band, progress);
        if (as_cancelled(job->control))
            break;
        if (band == bands - 1) {
            AS_T(put)(job, at, value);
            as_count(job->control, AS_T(entries_of)(job, at));
        }
    }
    as_restore_subnormals(subnormals);
    AS_FREE_SCRATCH();
}
