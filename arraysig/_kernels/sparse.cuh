/* Sparse matrices of integers. Tables have where each row starts and the end of the last one, the
 * columns of all entries, and the entries. Macro: REAL.
 */
#include "real.h"

/* Row `r` of a matrix of `rows` rows, times x. */
AS_FN REAL row_times(const i64 *table, i64 rows, i64 r, const REAL *x)
{
    const i64 *column = table + rows + 1, *entry = column + table[rows];
    REAL sum = 0;
    for (i64 k = table[r]; k < table[r + 1]; k++)
        sum += (REAL)entry[k] * x[column[k]];
    return sum;
}
