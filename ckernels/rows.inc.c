/* Operations on rows of the user's memory, each with its own result: AS_LANES of them at once where
 * they fit into AS_PATH_LANES_BYTES and are enough, or else one at a time. See each_number.h.
 */

#define ROWS_JOB AS_T(rows_job)

/* What an operation's own job begins with. */
typedef struct AS_T(rows_job) {
    i64 batch, parts; /* rows, and parts that each is done in */
    i64 room;         /* NUMBERs that an operation works in */
    i64 together;     /* rows in a unit of work */
    int in_lanes;
    /* job, first row, how many count, part, room */
    void (*lanes)(const struct AS_T(rows_job) *, i64, i64, i64, VEC *);
    void (*row)(const struct AS_T(rows_job) *, i64, i64, i64, REAL *);
    i64 *control;
    i64 next, failed;
} ROWS_JOB;

static void AS_T(load_rows)(const REAL *rows, i64 stride, i64 first, i64 count, i64 words, VEC *to)
{
    const REAL *from[AS_LANES];
    for (int l = 0; l < AS_LANES; ++l)
        from[l] = rows + (first + (l < count ? l : 0)) * stride;
    AS_T(load_lanes)(from, words, 0, to);
}

static void AS_T(gather_rows)(const REAL *rows, i64 stride, i64 first, i64 count, VEC *to)
{
    for (int l = 0; l < AS_LANES; ++l)
        (*to)[l] = rows[(first + (l < count ? l : 0)) * stride];
}

static void AS_T(rows_worker)(void *argument)
{
    ROWS_JOB *job = argument;
    const i64 step = job->in_lanes ? AS_LANES : 1;
    _Alignas(AS_ALIGNMENT) char stack[AS_STACK_SCRATCH];
    void *room = as_scratch(stack, job->room * (i64)(job->in_lanes ? sizeof(VEC) : sizeof(REAL)));
    if (!room) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    i64 unit;
    while ((unit = as_next_unit(&job->next)) / job->parts * job->together < job->batch &&
           !as_cancelled(job->control)) {
        const i64 first = unit / job->parts * job->together, part = unit % job->parts;
        const i64 end = as_least(first + job->together, job->batch);
        for (i64 b = first; b < end; b += step) {
            if (job->in_lanes)
                job->lanes(job, b, as_least(AS_LANES, end - b), part, room);
            else
                job->row(job, b, 1, part, room);
        }
        if (part == 0)
            as_count(job->control, end - first);
    }
    as_free_scratch(stack, room);
}

/* `work`: vector operations of one row. Rows are done in parts, `most` at most, where they are too
 * few for the threads. */
static int AS_T(run_rows)(ROWS_JOB *job, double work, i64 most, int threads)
{
    job->in_lanes = job->batch > AS_LANES / 4 && job->room * AS_VECTOR_BYTES <= AS_PATH_LANES_BYTES;
    const i64 team = work * (double)job->batch / AS_LANES < AS_SMALL_WORK ? 1 : threads;
    job->together = as_rows_together(job->batch, team, job->in_lanes ? AS_LANES : 1);
    const i64 units = as_ceil_div(job->batch, job->together);
    job->parts = units < team ? as_most(1, most) : 1;
    as_run_workers(AS_T(rows_worker), job, as_least(team, units * job->parts));
    if (as_cancelled(job->control))
        return AS_CANCELLED;
    return job->failed ? AS_OUT_OF_MEMORY : AS_OK;
}
