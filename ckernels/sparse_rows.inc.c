/* Sums over entries of tables, of rows of NUMBERs: included by each_number.h. See sparse.inc.c. */

/* One part of rows of the result; `y` is NULL for a matrix. */
AS_INLINE void NAMED(sums)(const AS_T(sparse_job) * job, i64 first, i64 count, i64 part,
                           const NUMBER *x, const NUMBER *y, NUMBER *to)
{
    const i64 *starts = job->table, *i = starts + job->length + 1;
    const i64 entries = starts[job->length], *j = i + entries, *entry = y ? j + entries : j;
    const i64 begin = job->rows.parts > 1 ? part * AS_SPARSE_ROWS : 0;
    const i64 end =
        job->rows.parts > 1 ? as_least(begin + AS_SPARSE_ROWS, job->length) : job->length;
    for (i64 from = begin; from < end; from += AS_SPARSE_STORED) {
        const i64 rows = as_least(AS_SPARSE_STORED, end - from);
        i64 k = starts[from];
        for (i64 r = 0; r < rows; ++r) {
            const i64 last = starts[from + r + 1];
            NUMBER sum = {0};
            for (; k < last; ++k)
                sum += (y ? x[i[k]] * y[j[k]] : x[i[k]]) * (REAL)entry[k];
            to[r] = sum;
        }
        STORE(to, rows, job->length, first, count, job->out + from);
    }
}

static void NAMED(sparse)(const ROWS_JOB *rows, i64 first, i64 count, i64 part, NUMBER *room)
{
    const AS_T(sparse_job) *job = (const AS_T(sparse_job) *)rows;
    NUMBER *x = room + AS_SPARSE_STORED;
    LOAD(job->left, job->left_row, first, count, job->left_row, x);
    NAMED(sums)(job, first, count, part, x, NULL, room);
}

static void NAMED(bilinear)(const ROWS_JOB *rows, i64 first, i64 count, i64 part, NUMBER *room)
{
    const AS_T(sparse_job) *job = (const AS_T(sparse_job) *)rows;
    NUMBER *x = room + AS_SPARSE_STORED + 1, *y = x + job->reach + 1;
    x[-1] = (NUMBER){0} + (REAL)job->s;
    y[-1] = (NUMBER){0} + (REAL)job->t;
    LOAD(job->left, job->left_row, first, count, job->reach, x);
    LOAD(job->right, job->right_row, first, count, job->right_row, y);
    for (i64 i = 0; i < job->right_row; ++i)
        y[i] *= job->scale;
    NAMED(sums)(job, first, count, part, x, y, room);
}
