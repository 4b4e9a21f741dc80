/* Sparse matrices and bilinear maps of integers.
 *
 *   sparse     out[b][r] = sum over the entries of row r of entry * in[b][column]
 *   bilinear   out[b][r] = sum over the entries of row r of entry * left[b][i] * right[b][j]
 *
 * Tables have, in 64-bit integers, where the entries of each row start and the end of the last
 * ones, the columns of all entries, or their i and then their j, and the entries. left[b][-1] is
 * `s` and right[b][-1] is `t`; all others of right[b] are multiplied by `scale`. Of left[b] only
 * the first `reach` are used.
 */

#ifndef ARRAYSIG_SPARSE_LIMITS
#define ARRAYSIG_SPARSE_LIMITS
#define AS_SPARSE_ROWS 1024 /* of the result, that a part has */
#define AS_SPARSE_STORED 64 /* that are written at a time */
#endif

typedef struct {
    ROWS_JOB rows;
    const REAL *left, *right; /* a matrix has no right factor */
    REAL *out;
    i64 length, left_row, right_row, reach, s, t;
    REAL scale;
    const i64 *table;
} AS_T(sparse_job);

#define AS_FILE "sparse_rows.inc.c"
#include "each_number.h"

static int AS_T(run_sparse)(AS_T(sparse_job) * job, i64 batch, i64 table, int threads, i64 *control)
{
    job->table = (const i64 *)table;
    job->rows.batch = batch;
    job->rows.control = control;
    job->rows.room = AS_SPARSE_STORED + job->reach + job->right_row + 2;
    const double work = (double)(job->table[job->length] + job->length);
    return AS_T(run_rows)(&job->rows, work, as_ceil_div(job->length, AS_SPARSE_ROWS), threads);
}

int AS_ENTRY_NAME(sparse)(const REAL *in, REAL *out, i64 batch, i64 rows, i64 columns, i64 table,
                          int threads, i64 *control)
{
    AS_T(sparse_job)
    job = {.rows = {.lanes = AS_T(sparse_lanes), .row = AS_T(sparse_rows)},
           .left = in,
           .out = out,
           .length = rows,
           .left_row = columns,
           .reach = columns};
    return AS_T(run_sparse)(&job, batch, table, threads, control);
}

int AS_ENTRY_NAME(bilinear)(const REAL *left, const REAL *right, REAL *out, i64 batch, i64 rows,
                            i64 first, i64 second, i64 reach, i64 table, i64 s, i64 t, double scale,
                            int threads, i64 *control)
{
    AS_T(sparse_job)
    job = {.rows = {.lanes = AS_T(bilinear_lanes), .row = AS_T(bilinear_rows)},
           .left = left,
           .right = right,
           .out = out,
           .length = rows,
           .left_row = first,
           .right_row = second,
           .reach = reach,
           .s = s,
           .t = t,
           .scale = (REAL)scale};
    return AS_T(run_sparse)(&job, batch, table, threads, control);
}
