/* Signature kernels of pairs of paths by finite differences, AS_LANES pairs at a time, and their
 * gradients.
 *
 *   increments   p[i, j] = k(x[i+1], y[j+1]) - k(x[i+1], y[j]) - k(x[i], y[j+1]) + k(x[i], y[j])
 *   refined      every cell is 2^order1 x 2^order2 cells of p / 2^(order1 + order2)
 *   scheme       K[i+1, j+1] = (K[i+1, j] + K[i, j+1]) (1 + p/2 + p^2/12) - K[i, j] (1 - p^2/12)
 *                with K = 1 on the first row and column (Salvi et al. 2021, arXiv 2006.14794)
 *
 * What is carried from row to row are the increments h = K[i, j+1] - K[i, j], not the values: with
 * a = p/2 + p^2/12 and b = p^2/12,
 *   h' = h + a (h + K[i+1, j]) + (a + b) K[i, j],    K[i+1, j+1] = K[i+1, j] + h'
 * which in float32 is a thousand times more exact than the scheme as written. (A factor 1 + a would
 * be rounded the same way in all refined cells of an increment, and the errors add up.) Here p is
 * halved from the start: a = p + p^2/3 and b = p^2/3.
 *
 * A lane is a pair of paths. The grid is swept in strips of some rows, whose values at the current
 * column are in registers, over all columns; between strips one row of h remains. Neither grids
 * nor increments of pairs are ever stored whole.
 *
 * Gradient: the adjoint of the scheme. With u the adjoint of node (i+1, j+1) of a cell,
 *   dF/dp = u ((K[i+1, j] + K[i, j+1]) (1/2 + p/6) + K[i, j] p/6)
 * and the adjoint of a node is that of its right neighbour plus g, where
 *   g(i, j) = g(i+1, j) + (a u)(cell i-1, j) + (a u)(cell i, j-1) + (b u)(cell i, j)
 * The forward sweep leaves rows of h at block boundaries; a block of strips is swept again to
 * leave rows at strip boundaries, and a strip again to leave all its values.
 *
 * Layouts: paths of the lanes [point or increment][channel]; p of a strip [column][row]; values of
 * a strip [refined column][refined row]; rows of h [refined column]; all VECs.
 */

/* Rows of a strip: the coarse rows from `first` on, and how many refined rows of each. */
typedef struct {
    i64 first, rows, fine;
} AS_T(strip);

static AS_T(strip) AS_T(strip_at)(const PDE_JOB *job, i64 number)
{
    AS_T(strip) s = {number / job->split, 1, as_least(AS_PDE_ROWS, (i64)1 << job->order1)};
    if (job->split > 1)
        return s;
    const i64 whole = job->steps1 / job->rows;
    s.first = number < whole ? number * job->rows : whole * job->rows + (number - whole);
    s.rows = number < whole ? job->rows : 1;
    return s;
}

static i64 AS_T(strip_count)(const PDE_JOB *job)
{
    return job->split > 1 ? job->steps1 * job->split
                          : job->steps1 / job->rows + job->steps1 % job->rows;
}

/* VECs that a strip of `height` refined rows hands from column to column. */
static i64 AS_T(left_size)(const PDE_JOB *job, i64 height)
{
    if (job->degree)
        return job->rows * job->width;
    return job->depth ? job->sums * height + job->powers * (height + 1) : height + 1;
}

/* What is on the left of the first column. */
static void AS_T(start_left)(const PDE_JOB *job, i64 height, VEC *left)
{
    for (i64 i = 0; i < AS_T(left_size)(job, height); ++i)
        left[i] = AS_T(all_lanes)(job->degree              ? i % job->width == 0
                                  : i < job->sums * height ? 0
                                                           : job->one);
}

/* Number i of the row above the first one. */
static REAL AS_T(first_row)(const PDE_JOB *job, i64 i)
{
    if (job->degree)
        return i % job->width == 0;
    return job->depth && i % (job->sums + job->powers) >= job->sums ? job->one : 0;
}

static void AS_T(start_row)(const PDE_JOB *job, i64 columns, VEC *row)
{
    for (i64 i = 0; i < columns * job->width; ++i)
        row[i] = AS_T(all_lanes)(AS_T(first_row)(job, i));
}

/* Sweeps `count` coarse columns of a strip, of any scheme. Only finite differences can do without
 * p, from increments of the paths. */
static void AS_T(sweep_any)(const PDE_JOB *job, const VEC *p, const VEC *x, const VEC *y, i64 count,
                            VEC *left, const VEC *above, VEC *below, VEC *values,
                            const AS_T(seam) * seam, i64 rows, i64 fine)
{
    if (job->degree)
        AS_T(sweep_cells_of)(job, p, count, left, above, below, values, seam, rows);
    else if (job->depth)
        AS_T(sweep_branched_strip)(job, p, count, left, above, below, values, seam, rows, fine);
    else
        AS_T(sweep_strip)(p, x, y, job->channels, count, job->width, left, above, below, values,
                          seam, rows, fine);
}

/* K where the edges a and b of polynomial cells end. */
static VEC AS_T(end_of)(const PDE_JOB *job, const VEC *a, const VEC *b)
{
    VEC sum = {0};
    for (i64 k = 0; k < job->width; ++k)
        sum += job->fold ? a[k] * job->end_a[k] : a[k] * job->end_a[k] + b[k] * job->end_b[k];
    return sum;
}

/* Increments of columns `t` .. `end` of a strip; with `all` for a gradient. With `known` the call
 * before was of the strip above. */
static void AS_T(increments_of)(const PDE_JOB *job, const PDE_SCRATCH *s, AS_T(strip) strip, i64 t,
                                i64 end, VEC *p, int all, int known)
{
    VEC *weights = all && job->of_points && job->dx ? s->weights : NULL;
    AS_T(increments)(job, s->x + strip.first * job->channels, s->y + t * job->channels, strip.rows,
                     t, end, s->edge + (job->of_points ? t : 0), known && !weights, s->gaps, p,
                     weights);
}

/* Sweeps a strip over all columns: `above` is h (or A) above it, `below`, which may be the same,
 * gets that below it, and `left` what is on the right of its last column. Returns the last value of
 * its last row. With `values` everything that the gradient needs is kept, and `below` may be NULL.
 * With `goes_on` the call before was of the strip above. */
static VEC AS_T(run_strip)(const PDE_JOB *job, const PDE_SCRATCH *s, i64 number, int goes_on,
                           const VEC *above, VEC *below, VEC *left, VEC *values)
{
    const AS_T(strip) strip = AS_T(strip_at)(job, number);
    const i64 height = strip.rows * strip.fine, w = job->width;
    AS_T(start_left)(job, height, left);
    const i64 nodes = job->levels * (height + 1); /* values of a refined column */
    if (values && !job->degree)
        for (i64 i = 0; i < nodes; ++i)
            *values++ = AS_T(all_lanes)(job->one);
    const i64 kept = job->degree ? 2 * strip.rows * w : nodes << job->order2;
    const int sweep_makes_p = !values && job->kind == AS_LINEAR && !job->degree && !job->depth &&
                              (AS_MANY_VECTORS || job->order1); /* else there are too many sums */
    for (i64 t = 0; t < job->steps2; t += AS_PDE_COLUMNS) {
        const i64 end = as_least(t + AS_PDE_COLUMNS, job->steps2);
        VEC *p = values ? s->p + t * strip.rows : s->p;
        if (!sweep_makes_p)
            AS_T(increments_of)(job, s, strip, t, end, p, values != NULL,
                                goes_on && number % job->split == 0);
        AS_T(sweep_any)(job, sweep_makes_p ? NULL : p, s->x + strip.first * job->channels,
                        s->y + t * job->channels, end - t, left, above + t * w,
                        below ? below + t * w : NULL, values ? values + t * kept : NULL, NULL,
                        strip.rows, strip.fine);
    }
    if (job->depth && job->sums > job->powers)
        return AS_T(exp2_or_zero)(left[job->sums * height - 1]);
    if (job->depth)
        return (VEC){0};
    if (!job->degree)
        return left[height];
    if (!below)
        return (VEC){0};
    return AS_T(end_of)(job, below + (job->steps2 - 1) * w, left + (strip.rows - 1) * w);
}

/* Columns of the grid but the first one. */
static i64 AS_T(grid_columns)(const PDE_JOB *job) { return job->steps2 << job->order2; }

/* VECs of the values of a strip. */
static i64 AS_T(strip_values)(const PDE_JOB *job)
{
    if (job->degree)
        return 2 * job->rows * job->steps2 * job->width;
    return (AS_T(grid_columns)(job) + 1) * job->levels * (AS_PDE_ROWS + 1);
}

static void AS_T(lay_out_pde)(const PDE_JOB *job, SIG_ARENA *arena, PDE_SCRATCH *s)
{
    const i64 n = job->steps2 * job->width, strips = AS_T(strip_count)(job);
    const int back = job->dx != NULL, keep = back || job->grid;
    s->x = AS_T(take)(arena, job->size1);
    s->y = AS_T(take)(arena, job->size2);
    s->row = AS_T(take)(arena, n);
    s->left = AS_T(take)(arena, AS_T(left_size)(job, AS_PDE_ROWS));
    s->p = AS_T(take)(arena, job->rows * (keep ? job->steps2 + 1 : AS_PDE_COLUMNS));
    s->edge = AS_T(take)(arena, job->of_points ? job->steps2 + 1 : 0);
    s->gaps = AS_T(take)(arena, job->of_points ? job->rows : 0);
    if (!keep)
        return;
    const i64 columns = AS_T(grid_columns)(job);
    s->values = AS_T(take)(arena, AS_T(strip_values)(job) * (job->kept + 1));
    if (!back)
        return;
    s->fine = AS_T(take)(arena, (as_least(job->together, strips) - 1) * n);
    s->coarse = AS_T(take)(arena, as_ceil_div(strips, job->together) * n);
    s->weights = AS_T(take)(arena, job->of_points ? (job->steps2 + 1) * (job->rows + 1) : 0);
    s->adjoint = AS_T(take)(arena, n + 1);
    s->seeds = AS_T(take)(arena, job->grid ? columns * AS_PDE_ROWS : 0);
    s->dx = AS_T(take)(arena, job->size1);
    s->dy = AS_T(take)(arena, job->size2);
}

/* ---- Grids --------------------------------------------------------------------------------- */

static i64 AS_T(grid_size)(const PDE_JOB *job)
{
    return ((job->steps1 << job->order1) + 1) * (AS_T(grid_columns)(job) + 1);
}

/* Row of the grid above the first one of a strip. */
static i64 AS_T(row_above)(const PDE_JOB *job, i64 number)
{
    const AS_T(strip) strip = AS_T(strip_at)(job, number);
    return (strip.first << job->order1) + number % job->split * strip.fine;
}

/* K in the node behind column t of row r of a strip, from what run_strip left. */
static VEC AS_T(node)(const PDE_JOB *job, const VEC *values, const VEC *row, const VEC *left,
                      i64 rows, i64 r, i64 t)
{
    const i64 w = job->width;
    if (!job->degree)
        return values[((t + 2) * job->levels - 1) * (rows + 1) + r + 1];
    const VEC *a = r + 1 < rows ? values + (t * rows + r + 1) * 2 * w : row + t * w;
    const VEC *b = t + 1 < job->steps2 ? values + ((t + 1) * rows + r) * 2 * w + w : left + r * w;
    return AS_T(end_of)(job, a, b);
}

/* Writes the rows of a strip to the grids of its pairs. */
static void AS_T(put_rows)(const PDE_JOB *job, const PDE_LANES *lanes, const PDE_SCRATCH *s,
                           i64 number, const VEC *left)
{
    const AS_T(strip) strip = AS_T(strip_at)(job, number);
    const i64 rows = strip.rows * strip.fine, n = AS_T(grid_columns)(job);
    REAL *out = job->out + (AS_T(row_above)(job, number) + 1) * (n + 1) + 1;
    for (i64 r = 0; r < rows; ++r, out += n + 1)
        for (i64 t = 0; t < n; t += AS_LANES) {
            VEC block[AS_LANES];
            const i64 count = as_least(AS_LANES, n - t);
            for (i64 k = 0; k < AS_LANES; ++k)
                block[k] =
                    k < count ? AS_T(node)(job, s->values, s->row, left, rows, r, t + k) : (VEC){0};
            AS_T(transpose)(block);
            for (i64 l = 0; l < lanes->count; ++l)
                memcpy(out + lanes->number[l] * AS_T(grid_size)(job) + t, block + l,
                       sizeof(REAL) * (size_t)count);
        }
}

/* K = 1 on the first row and column. */
static void AS_T(put_borders)(const PDE_JOB *job, const PDE_LANES *lanes)
{
    const i64 n = AS_T(grid_columns)(job), size = AS_T(grid_size)(job);
    for (i64 l = 0; l < lanes->count; ++l) {
        REAL *out = job->out + lanes->number[l] * size;
        for (i64 t = 0; t <= n; ++t)
            out[t] = 1;
        for (i64 at = n + 1; at < size; at += n + 1)
            out[at] = 1;
    }
}

/* Derivatives with respect to the nodes of a strip. */
static void AS_T(load_seeds)(const PDE_JOB *job, const PDE_LANES *lanes, i64 number, VEC *seeds)
{
    const AS_T(strip) strip = AS_T(strip_at)(job, number);
    const i64 rows = strip.rows * strip.fine, n = AS_T(grid_columns)(job);
    const REAL *in = job->grad + (AS_T(row_above)(job, number) + 1) * (n + 1) + 1;
    for (i64 r = 0; r < rows; ++r, in += n + 1)
        for (i64 t = 0; t < n; t += AS_LANES) {
            VEC block[AS_LANES];
            const i64 count = as_least(AS_LANES, n - t);
            for (i64 l = 0; l < AS_LANES; ++l) {
                block[l] = (VEC){0};
                if (l < lanes->count)
                    memcpy(block + l, in + lanes->number[l] * AS_T(grid_size)(job) + t,
                           sizeof(REAL) * (size_t)count);
            }
            AS_T(transpose)(block);
            for (i64 k = 0; k < count; ++k)
                seeds[(t + k) * rows + r] = block[k];
        }
}

/* ---- Forward ------------------------------------------------------------------------------- */

/* Numbers of the result that a pair is: what progress counts. */
static i64 AS_T(entries_of)(const PDE_JOB *job, AS_T(pair) at)
{
    return job->symmetric && at.row != at.column ? 2 : 1;
}

static void AS_T(count_lanes)(const PDE_JOB *job, const PDE_LANES *lanes)
{
    i64 count = 0;
    for (i64 l = 0; l < lanes->count; ++l)
        count += AS_T(entries_of)(job, lanes->pair[l]);
    as_count(job->control, count);
}

/* Writes the kernel of a pair. */
static void AS_T(put)(const PDE_JOB *job, AS_T(pair) at, REAL value)
{
    REAL *out = job->out + at.group * job->count1 * job->count2;
    out[at.row * job->count2 + at.column] = value;
    if (job->symmetric)
        out[at.column * job->count2 + at.row] = value;
}

static void AS_T(kernel_worker)(void *argument)
{
    PDE_JOB *job = argument;
    PDE_SCRATCH s;
    AS_LAY_OUT(AS_T(lay_out_pde), job, s, job->failed);
    const unsigned subnormals = as_flush_subnormals();
    const i64 strips = job->steps2 ? AS_T(strip_count)(job) : 0;
    for (i64 unit; (unit = as_next_unit(&job->next)) < job->units;) {
        PDE_LANES lanes;
        AS_T(lanes_of_unit)(job, unit, &lanes);
        AS_T(load_paths)(job, &lanes, &s);
        AS_T(start_row)(job, job->steps2, s.row);
        VEC *left = s.left, result = AS_T(all_lanes)(1);
        for (i64 strip = 0; strip < strips && !as_cancelled(job->control); ++strip) {
            result = AS_T(run_strip)(job, &s, strip, strip > 0, s.row, s.row, left,
                                     job->grid ? s.values : NULL);
            if (job->grid)
                AS_T(put_rows)(job, &lanes, &s, strip, left);
        }
        if (as_cancelled(job->control))
            break;
        if (job->grid)
            AS_T(put_borders)(job, &lanes);
        for (i64 l = 0; l < lanes.count && !job->grid; ++l)
            AS_T(put)(job, lanes.pair[l], result[l]);
        AS_T(count_lanes)(job, &lanes);
    }
    as_restore_subnormals(subnormals);
    AS_FREE_SCRATCH();
}

#include "pde_bands.inc.c"

/* ---- Backward ------------------------------------------------------------------------------ */

/* Adds the gradients that weights w [column][stride], of which `rows` rows are meant, give:
 * dx += w y and dy += w x for inner products, dx += w (x - y) and dy -= the same for distances. */
AS_INLINE void AS_T(add_gradients)(const VEC *w, i64 stride, i64 columns, i64 d, const VEC *x,
                                   const VEC *y, VEC *restrict dx, VEC *restrict dy, const int rows,
                                   const int distances)
{
    for (i64 a = 0; a < d; ++a) {
        VEC point[AS_PDE_ROWS], sum[AS_PDE_ROWS];
        AS_UNROLL for (int r = 0; r < rows; ++r)
        {
            point[r] = x[r * d + a];
            sum[r] = dx[r * d + a];
        }
        for (i64 t = 0; t < columns; ++t) {
            const VEC other = y[t * d + a];
            VEC sum_y = dy[t * d + a];
            AS_UNROLL for (int r = 0; r < rows; ++r)
            {
                const VEC weight = w[t * stride + r];
                if (distances) {
                    const VEC force = weight * (point[r] - other);
                    sum[r] += force;
                    sum_y -= force;
                } else {
                    sum[r] += weight * other;
                    sum_y += weight * point[r];
                }
            }
            dy[t * d + a] = sum_y;
        }
        AS_UNROLL for (int r = 0; r < rows; ++r) dx[r * d + a] = sum[r];
    }
}

static void AS_T(add_gradients_of_rows)(const PDE_JOB *job, const VEC *w, i64 stride, i64 columns,
                                        const VEC *x, const VEC *y, VEC *dx, VEC *dy, i64 rows)
{
    const i64 d = job->channels;
    const int distances = job->kind != AS_LINEAR && job->kind != AS_POLYNOMIAL;
#define AS_CASE(ROWS)                                                                              \
    if (rows == ROWS && distances) {                                                               \
        AS_T(add_gradients)(w, stride, columns, d, x, y, dx, dy, ROWS, 1);                         \
        return;                                                                                    \
    }                                                                                              \
    if (rows == ROWS) {                                                                            \
        AS_T(add_gradients)(w, stride, columns, d, x, y, dx, dy, ROWS, 0);                         \
        return;                                                                                    \
    }
    AS_CASE(AS_PDE_ROWS)
    AS_CASE(AS_PDE_ROWS / 2)
    AS_CASE(AS_PDE_ROWS / 4)
    AS_CASE(1)
#undef AS_CASE
}

/* Gradients of the points of a strip from dF/dp, which with points become weights in place. */
static void AS_T(add_strip)(const PDE_JOB *job, const PDE_SCRATCH *s, AS_T(strip) strip)
{
    const i64 d = job->channels, rows = strip.rows, n = job->steps2;
    const VEC *p = job->depth ? s->p + rows : s->p; /* where the adjoint left dF/dp */
    const VEC *x = s->x + strip.first * d;
    VEC *dx = s->dx + strip.first * d;
    if (job->kind == AS_GIVEN) {
        for (i64 t = 0; t < n; ++t)
            for (i64 r = 0; r < rows; ++r)
                dx[r * d + t] += p[t * rows + r] * job->scale;
        return;
    }
    if (job->kind == AS_LINEAR) {
        for (i64 t = 0; t < n; t += AS_PDE_COLUMNS)
            AS_T(add_gradients_of_rows)(job, p + t * rows, rows, as_least(AS_PDE_COLUMNS, n - t), x,
                                        s->y + t * d, dx, s->dy + t * d, rows);
        return;
    }
    for (i64 t = 0; t <= n; ++t) {
        const VEC *before = p + (t - 1) * rows, *here = p + t * rows;
        VEC *w = s->weights + t * (rows + 1), above = {0};
        for (i64 r = 0; r <= rows; ++r) {
            VEC difference = {0}; /* of row r of cells, the column before less this one */
            if (r < rows)
                difference = (t ? before[r] : (VEC){0}) - (t < n ? here[r] : (VEC){0});
            w[r] *= (above - difference) * job->scale;
            above = difference;
        }
    }
    for (i64 t = 0; t <= n; t += AS_PDE_COLUMNS) {
        const i64 columns = as_least(AS_PDE_COLUMNS, n + 1 - t);
        const VEC *w = s->weights + t * (rows + 1), *y = s->y + t * d;
        AS_T(add_gradients_of_rows)(job, w, rows + 1, columns, x, y, dx, s->dy + t * d, rows);
        AS_T(add_gradients_of_rows)(job, w + rows, rows + 1, columns, x + rows * d, y,
                                    dx + rows * d, s->dy + t * d, 1);
    }
}

/* Gradients of `steps` increments become those of the points between them. */
static void AS_T(points_of_increments)(VEC *dx, i64 steps, i64 d, REAL scale)
{
    for (i64 k = (steps + 1) * d - 1; k >= 0; --k)
        dx[k] = ((k >= d ? dx[k - d] : (VEC){0}) - (k < steps * d ? dx[k] : (VEC){0})) * scale;
}

/* Row of h (or A), of n VECs, above strip i of a block. */
static const VEC *AS_T(row_above_strip)(const PDE_SCRATCH *s, i64 n, i64 block, i64 i)
{
    return i ? s->fine + (i - 1) * n : s->coarse + block * n;
}

static void AS_T(unit_back)(PDE_JOB *job, const PDE_SCRATCH *s, const PDE_LANES *lanes)
{
    const i64 n = job->steps2 * job->width, strips = AS_T(strip_count)(job);
    memset(s->dx, 0, sizeof(VEC) * (size_t)job->size1);
    memset(s->dy, 0, sizeof(VEC) * (size_t)job->size2);
    VEC grad = {0};
    for (i64 l = 0; l < lanes->count && !job->grid; ++l) {
        const AS_T(pair) at = lanes->pair[l];
        const REAL *of = job->grad + at.group * job->count1 * job->count2;
        grad[l] = of[at.row * job->count2 + at.column];
        if (job->symmetric && at.row != at.column)
            grad[l] += of[at.column * job->count2 + at.row];
    }
    memset(s->adjoint, 0, sizeof(VEC) * (size_t)(n + 1));
    VEC total = {0};     /* E at the end of branched kernels */
    VEC corner[AS_LEFT]; /* adjoint of the last B */
    if (job->degree) {
        for (i64 k = 0; k < job->width; ++k) {
            s->adjoint[n - job->width + k] = grad * job->end_a[k];
            corner[k] = grad * job->end_b[k];
        }
    } else if (!job->depth)
        s->adjoint[n] = grad;
    AS_T(start_row)(job, job->steps2, s->coarse);
    const i64 blocks = as_ceil_div(strips, job->together);
    VEC *left = s->left;
    for (i64 block = 0; block < blocks - 1; ++block) {
        VEC *above = s->coarse + block * n, *next = above + n;
        for (i64 i = 0; i < job->together; ++i, above = next) {
            if (as_cancelled(job->control))
                return;
            const i64 number = block * job->together + i;
            AS_T(run_strip)(job, s, number, number > 0, above, next, left, NULL);
        }
    }
    for (i64 block = blocks - 1; block >= 0; --block) {
        const i64 first = block * job->together;
        const i64 count = as_least(job->together, strips - first);
        const i64 from = as_most(0, count - 1 - job->kept); /* strips whose values are kept */
        for (i64 i = 0; i < count - 1; ++i)
            AS_T(run_strip)(job, s, first + i, i > 0, AS_T(row_above_strip)(s, n, block, i),
                            s->fine + i * n, left,
                            i < from ? NULL : s->values + (i - from + 1) * job->strip_values);
        for (i64 i = count - 1; i >= 0 && !as_cancelled(job->control); --i) {
            const AS_T(strip) strip = AS_T(strip_at)(job, first + i);
            const int is_kept = i >= from && i < count - 1;
            VEC *values = s->values + (is_kept ? (i - from + 1) * job->strip_values : 0);
            if (is_kept) {
                for (i64 t = 0; t < job->steps2; t += AS_PDE_COLUMNS)
                    AS_T(increments_of)(job, s, strip, t, as_least(t + AS_PDE_COLUMNS, job->steps2),
                                        s->p + t * strip.rows, 1, 0);
            } else
                AS_T(run_strip)(job, s, first + i, 0, AS_T(row_above_strip)(s, n, block, i), NULL,
                                left, values);
            const VEC *seeds = job->grid ? s->seeds : NULL;
            if (seeds)
                AS_T(load_seeds)(job, lanes, first + i, s->seeds);
            if (job->depth) {
                memset(left, 0, sizeof(VEC) * (size_t)(job->sums * AS_PDE_ROWS));
                AS_T(sweep_branched_strip_back)(job, s->p, job->steps2, values, s->adjoint, left,
                                                seeds, &total, strip.rows, strip.fine);
            } else if (job->degree) {
                memset(left, 0, sizeof(VEC) * (size_t)AS_T(left_size)(job, 0));
                if (first + i == strips - 1)
                    memcpy(left + (strip.rows - 1) * job->width, corner,
                           sizeof(VEC) * (size_t)job->width);
                AS_T(sweep_cells_back_of)(job, s->p, job->steps2, left, s->adjoint, values, seeds,
                                          strip.rows);
            } else
                AS_T(sweep_strip_back)(s->p, job->steps2, job->width, values, s->adjoint, seeds,
                                       strip.rows, strip.fine);
            AS_T(add_strip)(job, s, strip);
        }
    }
    if (job->depth && !job->grid) {
        const VEC factor = grad * AS_T(exp2_or_zero)(total);
        for (i64 k = 0; k < job->size1; ++k)
            s->dx[k] *= factor;
        for (i64 k = 0; k < job->size2; ++k)
            s->dy[k] *= factor;
    }
    if (job->kind == AS_LINEAR) {
        AS_T(points_of_increments)(s->dx, job->steps1, job->channels, job->scale);
        AS_T(points_of_increments)(s->dy, job->steps2, job->channels, 1);
    }
}

static void AS_T(kernel_vjp_worker)(void *argument)
{
    PDE_JOB *job = argument;
    PDE_SCRATCH s;
    AS_LAY_OUT(AS_T(lay_out_pde), job, s, job->failed);
    const unsigned subnormals = as_flush_subnormals();
    const i64 size1 = job->size1, size2 = job->size2;
    for (i64 number; (number = as_next_unit(&job->next)) < job->part_count;) {
        const PDE_PART *part = job->parts + number;
        memset(part->dx, 0, sizeof(REAL) * (size_t)((part->end1 - part->begin1) * size1));
        memset(part->dy, 0, sizeof(REAL) * (size_t)((part->end2 - part->begin2) * size2));
        for (i64 unit = part->unit; unit < part->end_unit; ++unit) {
            PDE_LANES lanes;
            AS_T(lanes_of_unit)(job, unit, &lanes);
            AS_T(load_paths)(job, &lanes, &s);
            AS_T(unit_back)(job, &s, &lanes);
            if (as_cancelled(job->control))
                break;
            REAL *dx[AS_LANES], *dy[AS_LANES];
            for (int l = 0; l < AS_LANES; ++l) {
                const AS_T(pair) at = lanes.pair[l];
                dx[l] = part->dx + (at.group * job->count1 + at.row - part->begin1) * size1;
                dy[l] = part->dy + (at.group * job->count2 + at.column - part->begin2) * size2;
            }
            AS_T(scatter)(s.dx, size1, dx, lanes.count);
            AS_T(scatter)(s.dy, size2, dy, lanes.count);
            AS_T(count_lanes)(job, &lanes);
        }
    }
    as_restore_subnormals(subnormals);
    AS_FREE_SCRATCH();
}

/* Shares out the units. Returns memory to free, or NULL without memory; one share needs none but
 * that, as it sums where the result is wanted. */
static void *AS_T(share_out)(PDE_JOB *job, i64 shares)
{
    const i64 size1 = job->size1, size2 = job->size2;
    const i64 header = as_ceil_div(shares * (i64)sizeof(PDE_PART), (i64)sizeof(REAL));
    PDE_PART *parts = NULL;
    for (REAL *base = NULL;;) { /* first to measure, then over memory */
        i64 used = header;
        for (i64 i = 0; i < shares; ++i) {
            PDE_PART p = {.unit = i * job->units / shares};
            p.end_unit = (i + 1) * job->units / shares;
            const i64 last_pair = as_least(p.end_unit * AS_LANES, job->pairs) - 1;
            const AS_T(pair) first = AS_T(pair_of)(job, p.unit * AS_LANES);
            const AS_T(pair) last = AS_T(pair_of)(job, last_pair);
            const int one_row = first.group == last.group && first.row == last.row;
            p.begin1 = first.group * job->count1 + first.row;
            p.end1 = last.group * job->count1 + last.row + 1;
            p.begin2 = first.group * job->count2 + (one_row ? first.column : 0);
            p.end2 = last.group * job->count2 + (one_row ? last.column + 1 : job->count2);
            const i64 of_x = (p.end1 - p.begin1) * size1, of_y = (p.end2 - p.begin2) * size2;
            if (shares == 1) {
                p.dx = job->dx;
                p.dy = job->dy;
            } else if (base) {
                p.dx = base + used;
                p.dy = p.dx + of_x;
            }
            if (shares > 1)
                used += of_x + of_y;
            if (parts)
                parts[i] = p;
        }
        if (base)
            return base;
        base = malloc(sizeof(REAL) * (size_t)used);
        if (!base)
            return NULL;
        job->parts = parts = (PDE_PART *)base;
        job->part_count = shares;
    }
}

/* out = sum over shares, in their order. */
static void AS_T(sum_shares)(const PDE_JOB *job, i64 paths1, i64 paths2, int threads)
{
    const i64 size1 = job->size1, size2 = job->size2;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (i64 path = 0; path < paths1 + paths2; ++path) {
        const int second = path >= paths1;
        const i64 at = second ? path - paths1 : path, size = second ? size2 : size1;
        REAL *out = (second ? job->dy : job->dx) + at * size;
        memset(out, 0, sizeof(REAL) * (size_t)size);
        for (i64 i = 0; i < job->part_count; ++i) {
            const PDE_PART *p = job->parts + i;
            const i64 begin = second ? p->begin2 : p->begin1, end = second ? p->end2 : p->end1;
            if (at < begin || at >= end)
                continue;
            const REAL *from = (second ? p->dy : p->dx) + (at - begin) * size;
            for (i64 k = 0; k < size; ++k)
                out[k] += from[k];
        }
    }
}

/* ---- Entries ------------------------------------------------------------------------------- */

/* `order1` and `order2`, or for polynomial cells `degree` and `fold`, are filled in by entries. */
static PDE_JOB AS_T(describe_pde)(const REAL *x, const REAL *y, i64 groups, i64 count1, i64 count2,
                                  i64 length1, i64 length2, i64 channels, i64 kind, double p0,
                                  double p1, double p2, i64 symmetric, i64 grid, i64 *control)
{
    PDE_JOB job = {.x = x, .y = y, .count1 = count1, .count2 = count2, .channels = channels};
    job.steps1 = length1 - 1;
    job.steps2 = length2 - 1;
    job.size1 = length1 * channels;
    job.size2 = length2 * channels;
    job.of_points = kind != AS_LINEAR;
    job.grid = grid != 0;
    job.kind = (int)kind;
    job.symmetric = symmetric != 0;
    job.p0 = (REAL)p0;
    job.p1 = (REAL)p1;
    job.p2 = (REAL)p2;
    job.pairs_per_group = symmetric ? count1 * (count1 + 1) / 2 : count1 * count2;
    job.pairs = groups * job.pairs_per_group;
    job.units = as_ceil_div(job.pairs, AS_LANES);
    job.split = job.rows = job.width = job.levels = 1;
    job.scale = job.one = 1;
    job.control = control;
    return job;
}

/* Of increments in place of paths. */
static PDE_JOB AS_T(describe_given)(const REAL *increments, i64 pairs, i64 steps1, i64 steps2,
                                    i64 grid, i64 *control)
{
    PDE_JOB job = AS_T(describe_pde)(increments, NULL, pairs, 1, 1, steps1 + 1, steps2 + 1, steps2,
                                     AS_GIVEN, 0, 0, 0, 0, grid, control);
    job.size1 = steps1 * steps2;
    job.size2 = 0;
    job.of_points = 0;
    return job;
}

static void AS_T(use_differences)(PDE_JOB *job, i64 order1, i64 order2)
{
    job->order1 = order1;
    job->order2 = order2;
    job->width = (i64)1 << order2;
    job->rows = as_most(1, (i64)AS_PDE_ROWS >> order1);
    job->split = as_most(1, ((i64)1 << order1) / AS_PDE_ROWS);
    double scale = 0.5;
    for (i64 i = 0; i < order1 + order2; ++i)
        scale *= 0.5;
    job->scale = (REAL)(job->kind == AS_LINEAR ? scale * job->p0 : scale);
}

/* Depth 0 is 1, whatever the increments. */
static void AS_T(use_branched)(PDE_JOB *job, i64 depth, i64 order1, i64 order2)
{
    AS_T(use_differences)(job, order1, order2);
    job->scale *= (REAL)(2 / AS_LN2);
    job->is_one = !depth;
    job->one = (REAL)0.25;
    job->depth = job->sums = as_most(depth, 1);
    job->powers = job->depth - 1;
    job->levels = job->powers + job->grid;
    job->width = (job->sums + job->powers) << order2;
}

static void AS_T(use_polynomials)(PDE_JOB *job, i64 degree, i64 fold)
{
    job->degree = degree;
    job->fold = fold;
    job->width = degree + 1;
    job->rows = as_has_degree(degree, fold) ? AS_CELL_ROWS : 1;
    job->scale = job->kind == AS_LINEAR ? job->p0 : 1;
    AS_T(fill_inverse)(job);
    if (fold)
        AS_T(fill_slope_tables)(job);
    for (i64 k = 0; k <= degree; ++k) {
        job->end_a[k] = fold ? k < 2 : job->inverse[k] / 2;
        job->end_b[k] = fold ? 0 : job->inverse[k] / 2;
    }
}

static int AS_T(pde_status)(const PDE_JOB *job)
{
    return job->failed ? AS_OUT_OF_MEMORY : as_cancelled(job->control) ? AS_CANCELLED : AS_OK;
}

static i64 AS_T(pde_threads)(const PDE_JOB *job, int threads)
{
    const double cells = (double)(job->steps1 << job->order1) * (double)(job->steps2 * job->width);
    const double work = (double)job->units * (4 * cells + 1000);
    return work < AS_SMALL_WORK ? 1 : as_most(1, as_least(threads, job->units));
}

/* Whether pairs go one at a time: when that is less work for a thread, by a margin for what bands
 * cost beside cells. */
static int AS_T(takes_bands)(const PDE_JOB *job, int threads)
{
    const i64 bands = AS_T(band_count)(job), memory = job->pairs * AS_T(band_row)(job);
    if (job->grid || job->kind == AS_GIVEN || memory > AS_BANDS_BYTES / (i64)sizeof(REAL))
        return 0;
    const i64 strips = as_ceil_div(job->steps1, job->rows) * job->split;
    const double together = (double)as_ceil_div(job->units, threads) *
                            (double)(strips * job->rows) * (double)job->steps2;
    const double alone =
        (double)as_ceil_div(job->pairs * bands, threads) *
        (double)((AS_T(band_steps)(job) + 2 * AS_PDE_COLUMNS) * AS_T(band_rows)(job));
    return 1.2 * alone < together;
}

static int AS_T(run_bands)(PDE_JOB *job, int threads)
{
    job->rows = AS_T(band_rows)(job);
    const i64 units = job->pairs * AS_T(band_count)(job);
    job->rows_of_h = calloc((size_t)(job->pairs * AS_T(band_row)(job)), sizeof(REAL));
    job->progress = calloc((size_t)units, sizeof(i64));
    job->failed = !job->rows_of_h || !job->progress;
    const int ones = job->degree || job->depth;
    for (i64 i = 0; ones && !job->failed && i < job->pairs * AS_T(band_row)(job); ++i)
        job->rows_of_h[i] = AS_T(first_row)(job, i);
    if (!job->failed) {
        const double work = (double)units * (double)(AS_T(band_steps)(job) * job->width);
        const i64 team = work * 8 * AS_PDE_ROWS < AS_SMALL_WORK ? 1 : as_least(threads, units);
        as_run_workers(AS_T(band_worker), job, team);
    }
    free(job->rows_of_h);
    free(job->progress);
    return job->failed ? AS_OUT_OF_MEMORY : as_cancelled(job->control) ? AS_CANCELLED : AS_OK;
}

/* Whether bytes of a row overflow, of which a gradient has up to three for each strip. */
static int AS_T(is_too_long)(const PDE_JOB *job)
{
    return job->steps2 > ((i64)1 << 40) / as_most(1, job->width);
}

static int AS_T(run_kernels)(PDE_JOB *job, REAL *out, int threads)
{
    job->out = out;
    if (job->is_one || !job->steps1 || !job->steps2) {
        const i64 groups = job->pairs / as_most(1, job->pairs_per_group);
        const i64 count = groups * job->count1 * job->count2;
        for (i64 i = 0; i < count * (job->grid ? AS_T(grid_size)(job) : 1); ++i)
            out[i] = 1;
        as_count(job->control, count);
        return AS_OK;
    }
    if (AS_T(is_too_long)(job))
        return AS_OUT_OF_MEMORY;
    if (AS_T(takes_bands)(job, threads))
        return AS_T(run_bands)(job, threads);
    as_run_workers(AS_T(kernel_worker), job, AS_T(pde_threads)(job, threads));
    return AS_T(pde_status)(job);
}

static int AS_T(run_gradients)(PDE_JOB *job, i64 groups, const REAL *grad, REAL *dx, REAL *dy,
                               int threads)
{
    const i64 paths1 = groups * job->count1, paths2 = groups * job->count2;
    job->grad = grad;
    job->dx = dx;
    job->dy = dy;
    const i64 strips = AS_T(strip_count)(job);
    if (!strips || !job->steps2 || !job->pairs || job->is_one) {
        memset(dx, 0, sizeof(REAL) * (size_t)(paths1 * job->size1));
        memset(dy, 0, sizeof(REAL) * (size_t)(paths2 * job->size2));
        return AS_OK;
    }
    if (AS_T(is_too_long)(job))
        return AS_OUT_OF_MEMORY;
    if (job->depth && !job->grid) { /* the last depth is left out */
        job->sums = job->powers;
        job->width = (job->sums + job->powers) << job->order2;
    }
    job->strip_values = AS_T(strip_values)(job);
    if (job->depth) /* exponentials cost more than memory */
        job->kept =
            as_least(strips - 1, AS_PDE_KEPT / AS_VECTOR_BYTES / as_most(1, job->strip_values));
    job->together = strips;
    if (strips * job->steps2 * job->width > AS_PDE_CHECKPOINTS / AS_VECTOR_BYTES)
        for (job->together = 1; job->together * job->together < strips;)
            ++job->together;
    const i64 team = AS_T(pde_threads)(job, threads);
    void *memory = AS_T(share_out)(job, team);
    if (!memory)
        return AS_OUT_OF_MEMORY;
    as_run_workers(AS_T(kernel_vjp_worker), job, team);
    if (team > 1 && !job->failed)
        AS_T(sum_shares)(job, paths1, paths2, (int)team);
    free(memory);
    return AS_T(pde_status)(job);
}

/* Entries of a scheme, which USE chooses by the numbers that are declared last. */
#define AS_PDE_ENTRIES(NAME, USE, ...)                                                             \
    int AS_ENTRY_NAME(NAME)(const REAL *path1, const REAL *path2, REAL *out, i64 groups,           \
                            i64 count1, i64 count2, i64 length1, i64 length2, i64 channels,        \
                            __VA_ARGS__, i64 kind, double p0, double p1, double p2, i64 symmetric, \
                            i64 grid, int threads, i64 *control)                                   \
    {                                                                                              \
        PDE_JOB job = AS_T(describe_pde)(path1, path2, groups, count1, count2, length1, length2,   \
                                         channels, kind, p0, p1, p2, symmetric, grid, control);    \
        USE;                                                                                       \
        return AS_T(run_kernels)(&job, out, threads);                                              \
    }                                                                                              \
    int AS_ENTRY_NAME(NAME##_increments)(const REAL *increments, REAL *out, i64 pairs, i64 steps1, \
                                         i64 steps2, __VA_ARGS__, i64 grid, int threads,           \
                                         i64 *control)                                             \
    {                                                                                              \
        PDE_JOB job = AS_T(describe_given)(increments, pairs, steps1, steps2, grid, control);      \
        USE;                                                                                       \
        return AS_T(run_kernels)(&job, out, threads);                                              \
    }
#define AS_PDE_VJP_ENTRIES(NAME, USE, ...)                                                         \
    int AS_ENTRY_NAME(NAME##_vjp)(                                                                 \
        const REAL *grad, const REAL *path1, const REAL *path2, REAL *dx, REAL *dy, i64 groups,    \
        i64 count1, i64 count2, i64 length1, i64 length2, i64 channels, __VA_ARGS__, i64 kind,     \
        double p0, double p1, double p2, i64 symmetric, i64 grid, int threads, i64 *control)       \
    {                                                                                              \
        PDE_JOB job = AS_T(describe_pde)(path1, path2, groups, count1, count2, length1, length2,   \
                                         channels, kind, p0, p1, p2, symmetric, grid, control);    \
        USE;                                                                                       \
        return AS_T(run_gradients)(&job, groups, grad, dx, dy, threads);                           \
    }                                                                                              \
    int AS_ENTRY_NAME(NAME##_increments_vjp)(const REAL *grad, const REAL *increments, REAL *out,  \
                                             i64 pairs, i64 steps1, i64 steps2, __VA_ARGS__,       \
                                             i64 grid, int threads, i64 *control)                  \
    {                                                                                              \
        PDE_JOB job = AS_T(describe_given)(increments, pairs, steps1, steps2, grid, control);      \
        USE;                                                                                       \
        return AS_T(run_gradients)(&job, pairs, grad, out, out, threads);                          \
    }
#define AS_PDE_SCHEME(NAME, USE, ...)                                                              \
    AS_PDE_ENTRIES(NAME, USE, __VA_ARGS__)                                                         \
    AS_PDE_VJP_ENTRIES(NAME, USE, __VA_ARGS__)
AS_PDE_SCHEME(sig_kernel, AS_T(use_differences)(&job, order1, order2), i64 order1, i64 order2)
AS_PDE_SCHEME(sig_kernel_polynomial, AS_T(use_polynomials)(&job, order, fold), i64 order, i64 fold)
AS_PDE_SCHEME(branched_sig_kernel, AS_T(use_branched)(&job, depth, order1, order2), i64 depth,
              i64 order1, i64 order2)
#undef AS_PDE_ENTRIES
#undef AS_PDE_VJP_ENTRIES
#undef AS_PDE_SCHEME
