/* Sparse matrices of integers times vectors.
 *
 *   sparse   out[b][r] = sum over the entries of row r of entry * in[b][column]
 *
 * The table has, in 64-bit integers, where each row starts and the end of the last one, the columns
 * of all entries, and the entries.
 */

#ifndef ARRAYSIG_SPARSE_LIMITS
#define ARRAYSIG_SPARSE_LIMITS
#define AS_SPARSE_ROWS 1024 /* that a thread does at a time */
#endif

int AS_ENTRY_NAME(sparse)(const REAL *in, REAL *out, i64 batch, i64 rows, i64 columns, i64 table,
                          int threads, i64 *control)
{
    const i64 *starts = (const i64 *)table, entries = starts[rows];
    const i64 *column = starts + rows + 1, *entry = column + entries;
    const i64 parts = as_ceil_div(rows, AS_SPARSE_ROWS);
    const double work = (double)batch * (double)(entries + rows);
#pragma omp parallel for num_threads(work < AS_SMALL_WORK ? 1 : threads) schedule(static)
    for (i64 unit = 0; unit < batch * parts; ++unit) {
        if (as_cancelled(control))
            continue;
        const i64 b = unit / parts, first = unit % parts * AS_SPARSE_ROWS;
        const i64 end = as_least(first + AS_SPARSE_ROWS, rows);
        const REAL *from = in + b * columns;
        for (i64 r = first; r < end; ++r) {
            REAL sum = 0;
            for (i64 k = starts[r]; k < starts[r + 1]; ++k)
                sum += (REAL)entry[k] * from[column[k]];
            out[b * rows + r] = sum;
        }
    }
    return as_cancelled(control) ? AS_CANCELLED : AS_OK;
}
