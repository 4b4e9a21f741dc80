/* The scheme of finite differences on strips, and its adjoint: see sig_kernel.inc.c.
 *
 * Layouts: rows of h [refined column]; values of a strip [refined column][refined row].
 */

/* Where lanes are strips below each other: what passes from one to the next, and from the last lane
 * to the first of the strips below, by rows of single numbers. */
typedef struct {
    VEC *bottom; /* [2][refined column], h of the last row, one and two steps ago */
    const REAL *in;
    REAL *out;
    const IVEC *active; /* [column][row], lanes that are on the grid, or NULL when all are */
} AS_T(seam);

/* a and a + b of a cell. */
AS_INLINE void AS_T(factors)(VEC p, VEC *a, VEC *ab)
{
    const VEC square = p * p;
    *a = p + square * (REAL)(1.0 / 3);
    *ab = p + square * (REAL)(2.0 / 3);
}

/* One coarse column of a strip of `rows` coarse rows, each `fine` refined ones. k[0 .. rows * fine]
 * are the values at the current column, from the row above the strip on; `above` holds h of the row
 * above, and `below`, which may be the same, gets that of the last row. With `values` they are kept
 * too, from the column after the current one on, and `below` may be NULL. With a seam that takes
 * the place of rows. */
AS_INLINE void AS_T(sweep_column)(const VEC *p, i64 t, i64 fine_columns, VEC *k, const VEC *above,
                                  VEC *below, VEC *values, const AS_T(seam) * seam, const int rows,
                                  const int fine)
{
    const int height = rows * fine;
    VEC a[AS_PDE_ROWS], ab[AS_PDE_ROWS];
    AS_UNROLL for (int r = 0; fine > 1 && r < rows; ++r) AS_T(factors)(p[r], a + r, ab + r);
    for (i64 c = 0; c < fine_columns; ++c) {
        const i64 column = t * fine_columns + c;
        VEC *passed = seam ? seam->bottom + (t & 1) * fine_columns + c : NULL;
        VEC h = seam ? AS_T(shift_lanes)(*passed, seam->in[column]) : above[column];
        VEC corner = k[0];
        k[0] = corner + h;
        AS_UNROLL for (int r = 0; r < height; ++r)
        {
            const VEC left_value = k[r + 1];
            if (fine == 1) /* not before: registers */
                AS_T(factors)(p[r], a + r, ab + r);
            h = a[r / fine] * (h + left_value) + (h + ab[r / fine] * corner);
            corner = left_value;
            k[r + 1] = left_value + h;
        }
        if (seam) {
            *passed = h;
            seam->out[column] = h[AS_LANES - 1];
        } else if (!values || below)
            below[column] = h;
        AS_UNROLL for (int r = 0; values && r <= height; ++r) values[column * (height + 1) + r] =
            k[r];
    }
}

/* Sweeps `count` coarse columns of a strip: see above; `left` is k before and after. Without p it
 * is made, two columns at a time, of d channels of increments x of the strip and y of the columns.
 */
AS_INLINE void AS_T(sweep)(const VEC *p, const VEC *x, const VEC *y, i64 d, i64 count,
                           i64 fine_columns, VEC *restrict left, const VEC *above, VEC *below,
                           VEC *restrict values, const AS_T(seam) * seam, const int rows,
                           const int fine)
{
    VEC k[AS_PDE_ROWS + 1], made[2 * AS_PDE_ROWS];
    AS_UNROLL for (int r = 0; r <= rows * fine; ++r) k[r] = left[r];
    i64 t = 0;
    for (; !p && t + 2 <= count; t += 2) {
        AS_T(inner_products)(x, y + t * d, d, made, rows, 2);
        AS_UNROLL for (int c = 0; c < 2; ++c) AS_T(sweep_column)(
            made + c * rows, t + c, fine_columns, k, above, below, values, seam, rows, fine);
    }
    for (; t < count; ++t) {
        if (!p)
            AS_T(inner_products)(x, y + t * d, d, made, rows, 1);
        AS_T(sweep_column)(p ? p + t * rows : made, t, fine_columns, k, above, below, values, seam,
                           rows, fine);
    }
    AS_UNROLL for (int r = 0; r <= rows * fine; ++r) left[r] = k[r];
}

/* Shapes of strips: coarse rows times refined rows of each, AS_PDE_ROWS or one coarse row. */
#define AS_EACH_SHAPE(DO)                                                                          \
    DO(AS_PDE_ROWS, 1)                                                                             \
    DO(AS_PDE_ROWS / 2, 2) DO(AS_PDE_ROWS / 4, 4) DO(1, 1) DO(1, 2) AS_SHAPE_OF_MANY(DO)
#if AS_MANY_VECTORS
#define AS_SHAPE_OF_MANY(DO) DO(1, 4) DO(1, 8)
#else
#define AS_SHAPE_OF_MANY(DO)
#endif

static void AS_T(sweep_strip)(const VEC *p, const VEC *x, const VEC *y, i64 d, i64 count,
                              i64 fine_columns, VEC *left, const VEC *above, VEC *below,
                              VEC *values, const AS_T(seam) * seam, i64 rows, i64 fine)
{
#define AS_SHAPE(ROWS, FINE)                                                                       \
    if (rows == ROWS && fine == FINE) {                                                            \
        if (seam)                                                                                  \
            AS_T(sweep)(p, NULL, NULL, 0, count, fine_columns, left, NULL, NULL, NULL, seam, ROWS, \
                        FINE);                                                                     \
        else if (values)                                                                           \
            AS_T(sweep)(p, NULL, NULL, 0, count, fine_columns, left, above, below, values, NULL,   \
                        ROWS, FINE);                                                               \
        else if (!p)                                                                               \
            AS_T(sweep)(NULL, x, y, d, count, fine_columns, left, above, below, NULL, NULL, ROWS,  \
                        FINE);                                                                     \
        else                                                                                       \
            AS_T(sweep)(p, NULL, NULL, 0, count, fine_columns, left, above, below, NULL, NULL,     \
                        ROWS, FINE);                                                               \
        return;                                                                                    \
    }
    AS_EACH_SHAPE(AS_SHAPE)
#undef AS_SHAPE
}

/* The adjoint of a strip, from its last column to its first: p becomes dF/dp, and `adjoint`, which
 * is g of the last row without the terms of the strip's cells, the same of the row above it.
 * `seeds` [refined column][refined row] are derivatives with respect to nodes, or NULL. */
AS_INLINE void AS_T(sweep_back)(VEC *p, i64 count, i64 fine_columns, const VEC *values,
                                VEC *restrict adjoint, const VEC *seeds, const int rows,
                                const int fine)
{
    const int height = rows * fine;
    VEC u[AS_PDE_ROWS + 1]; /* adjoints of the nodes of the column to the right */
    VEC m[AS_PDE_ROWS + 1]; /* what its cells contribute to g in this column */
    AS_UNROLL for (int r = 0; r <= height; ++r) u[r] = m[r] = (VEC){0};
    values += count * fine_columns * (height + 1);
    adjoint += count * fine_columns;
    if (seeds)
        seeds += count * fine_columns * height;
    for (i64 t = count - 1; t >= 0; --t) {
        VEC a[AS_PDE_ROWS], b[AS_PDE_ROWS], sum[AS_PDE_ROWS];
        VEC *p_here = p + t * rows;
        AS_UNROLL for (int r = 0; r < rows; ++r)
        {
            b[r] = p_here[r] * p_here[r] * (REAL)(1.0 / 3);
            a[r] = p_here[r] + b[r];
            sum[r] = (VEC){0};
        }
        for (i64 c = 0; c < fine_columns; ++c, values -= height + 1, --adjoint) {
            const VEC *here = values, *before = values - (height + 1);
            VEC g = *adjoint + m[height], below = {0}, corner = before[height];
            if (seeds)
                seeds -= height;
            AS_UNROLL for (int i = height; i >= 1; --i)
            {
                const int r = (i - 1) / fine;
                if (seeds)
                    g += seeds[i - 1];
                u[i] += g;
                g = a[r] * u[i] + (g + m[i - 1]);
                m[i] = a[r] * u[i] + below;
                below = b[r] * u[i];
                const VEC third = p_here[r] * (REAL)(2.0 / 3);
                const VEC left_value = corner;
                corner = before[i - 1];
                sum[r] += u[i] * ((left_value + here[i - 1]) * (third + (REAL)1) + corner * third);
            }
            m[0] = below;
            *adjoint = g;
        }
        AS_UNROLL for (int r = 0; r < rows; ++r) p_here[r] = sum[r];
    }
}

static void AS_T(sweep_strip_back)(VEC *p, i64 count, i64 fine_columns, const VEC *values,
                                   VEC *adjoint, const VEC *seeds, i64 rows, i64 fine)
{
#define AS_SHAPE(ROWS, FINE)                                                                       \
    if (rows == ROWS && fine == FINE) {                                                            \
        if (seeds)                                                                                 \
            AS_T(sweep_back)(p, count, fine_columns, values, adjoint, seeds, ROWS, FINE);          \
        else                                                                                       \
            AS_T(sweep_back)(p, count, fine_columns, values, adjoint, NULL, ROWS, FINE);           \
        return;                                                                                    \
    }
    AS_EACH_SHAPE(AS_SHAPE)
#undef AS_SHAPE
}
