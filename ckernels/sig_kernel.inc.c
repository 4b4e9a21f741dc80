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

#define PDE_JOB AS_T(pde_job)
#define PDE_LANES AS_T(pde_lanes)
#define PDE_SCRATCH AS_T(pde_scratch)
#define PDE_PART AS_T(pde_part)

#ifndef ARRAYSIG_PDE_LIMITS
#define ARRAYSIG_PDE_LIMITS
#define AS_PDE_ROWS (AS_MANY_VECTORS ? 8 : 4) /* refined rows in a strip */
#define AS_PDE_COLUMNS 32                     /* coarse columns whose p are made together */
#define AS_LAG 2 /* steps between lanes of a band: two chains of operations are under way */
#define AS_BANDS_BYTES 67108864 /* rows of h of all pairs, above which pairs share vectors */
#ifndef AS_PDE_CHECKPOINTS
#define AS_PDE_CHECKPOINTS 4194304 /* bytes of checkpoints from which there are two layers */
#endif
enum { AS_LINEAR, AS_RBF, AS_MATERN12, AS_MATERN32, AS_MATERN52, AS_RATIONAL, AS_POLYNOMIAL };
#endif

typedef struct {
    const REAL *x, *y, *grad;
    REAL *out, *dx, *dy;
    i64 count1, count2, channels;
    i64 steps1, steps2, order1, order2;
    int kind, symmetric;
    REAL p0, p1, p2, scale; /* of the static kernel; of increments when they are refined */
    i64 pairs, pairs_per_group, units;
    i64 split;                     /* strips per coarse row, more than one for high orders only */
    i64 rows, together;            /* coarse rows of a strip; strips between checkpoints */
    struct AS_T(pde_part) * parts; /* of the gradient */
    i64 part_count;
    REAL *rows_of_h; /* of pairs one at a time: [pair], and columns that bands have done */
    i64 *progress;
    i64 *control;
    i64 next, failed;
} PDE_JOB;

typedef struct {
    i64 group, row, column;
} AS_T(pair);

/* A share of the units, which sums gradients of its own: those of paths [begin, end), counted over
 * all groups. Shares are fixed, so that sums are the same every time. */
typedef struct AS_T(pde_part) {
    i64 unit, end_unit, begin1, end1, begin2, end2;
    REAL *dx, *dy;
} PDE_PART;

typedef struct {
    const REAL *x[AS_LANES], *y[AS_LANES];
    AS_T(pair) pair[AS_LANES];
    i64 count;
} PDE_LANES;

typedef struct {
    VEC *x, *y;            /* the paths: increments with the linear kernel, else points */
    VEC *p, *row;          /* increments of a strip; h above it, then below */
    VEC *points;           /* static kernel at points of a strip */
    VEC *fine, *coarse;    /* rows of h at strips of a block, and at blocks */
    VEC *values, *weights; /* of a strip: K, and derivatives of the static kernel */
    VEC *adjoint;          /* row of g */
    VEC *dx, *dy;          /* gradients of x and y */
} PDE_SCRATCH;

/* ---- Pairs -------------------------------------------------------------------------------- */

static AS_T(pair) AS_T(pair_of)(const PDE_JOB *job, i64 number)
{
    i64 group = number / job->pairs_per_group, rest = number % job->pairs_per_group, row = 0;
    if (!job->symmetric)
        return (AS_T(pair)){group, rest / job->count2, rest % job->count2};
    while (rest >= job->count2 - row)
        rest -= job->count2 - row++;
    return (AS_T(pair)){group, row, row + rest};
}

/* The pairs of a unit; spare lanes repeat the first. */
static void AS_T(lanes_of_unit)(const PDE_JOB *job, i64 unit, PDE_LANES *lanes)
{
    const i64 first = unit * AS_LANES;
    const i64 size1 = (job->steps1 + 1) * job->channels, size2 = (job->steps2 + 1) * job->channels;
    lanes->count = as_least(AS_LANES, job->pairs - first);
    for (int l = 0; l < AS_LANES; ++l) {
        const AS_T(pair) at = AS_T(pair_of)(job, first + (l < lanes->count ? l : 0));
        lanes->pair[l] = at;
        lanes->x[l] = job->x + (at.group * job->count1 + at.row) * size1;
        lanes->y[l] = job->y + (at.group * job->count2 + at.column) * size2;
    }
}

/* Adds lane l of from[k] to number k of to[l], for `lanes` lanes in order; `from` is lost. */
static void AS_T(scatter)(VEC *restrict from, i64 count, REAL *const *to, i64 lanes)
{
    i64 k = 0;
    for (; k + AS_LANES <= count; k += AS_LANES) {
        AS_T(transpose)(from + k);
        for (i64 l = 0; l < lanes; ++l)
            AS_T(store)(to[l] + k, AS_T(load)(to[l] + k) + from[k + l]);
    }
    for (; k < count; ++k)
        for (i64 l = 0; l < lanes; ++l)
            to[l][k] += from[k][l];
}

static void AS_T(load_paths)(const PDE_JOB *job, const PDE_LANES *lanes, PDE_SCRATCH *s)
{
    const i64 d = job->channels, linear = job->kind == AS_LINEAR, points = linear ? 0 : 1;
    AS_T(load_lanes)(lanes->x, (job->steps1 + points) * d, linear ? d : 0, s->x);
    AS_T(load_lanes)(lanes->y, (job->steps2 + points) * d, linear ? d : 0, s->y);
    for (i64 k = 0; linear && k < job->steps1 * d; ++k)
        s->x[k] *= job->scale;
}

/* ---- Static kernels ------------------------------------------------------------------------ */

/* x^p2 for whole p2 >= 0 by squaring, else for x > 0, and 0 below. */
AS_INLINE VEC AS_T(power)(VEC x, REAL exponent)
{
    if (exponent < 0 || exponent > 1024 || exponent != (REAL)(int)exponent)
        return AS_T(pow_lanes)(x, exponent);
    VEC result = AS_T(all_lanes)(1);
    for (int n = (int)exponent; n; n >>= 1, x *= x)
        if (n & 1)
            result *= x;
    return result;
}

/* The static kernel of points of which `s` is the squared distance, or the inner product; and in
 * `weight` w such that its gradient in x is w (x - y), or w y. */
AS_INLINE VEC AS_T(static_kernel)(const PDE_JOB *job, const int kind, VEC s, VEC *weight)
{
    const VEC one = AS_T(all_lanes)(1);
    const REAL p0 = job->p0, p1 = job->p1;
    if (kind == AS_RBF) {
        const VEC value = AS_T(exp_lanes)(s * -p0);
        if (weight)
            *weight = value * (-2 * p0);
        return value;
    }
    if (kind == AS_RATIONAL) {
        const VEC base = one + s * p0, value = AS_T(pow_lanes)(base, -p1);
        if (weight)
            *weight = value / base * (-2 * p0 * p1);
        return value;
    }
    if (kind == AS_POLYNOMIAL) {
        const VEC base = s + p1;
        if (weight)
            *weight = job->p2 == 0 ? (VEC){0} : AS_T(power)(base, job->p2 - 1) * (p0 * job->p2);
        return AS_T(power)(base, job->p2) * p0;
    }
    const VEC r = AS_T(sqrt_lanes)(s), a = r * p0, decay = AS_T(exp_lanes)(-a);
    if (kind == AS_MATERN12) {
        if (weight)
            *weight = AS_T(choose)(r == (VEC){0}, (VEC){0}, decay / r * -p0);
        return decay;
    }
    if (kind == AS_MATERN32) {
        if (weight)
            *weight = decay * (-p0 * p0);
        return (one + a) * decay;
    }
    if (weight)
        *weight = (one + a) * decay * (-p0 * p0 / 3);
    return (one + a + a * a * (REAL)(1.0 / 3)) * decay;
}

/* The static kernel, in place, of `count` squared distances or inner products. */
AS_INLINE void AS_T(evaluate)(const PDE_JOB *job, const int kind, VEC *values, VEC *weights,
                              i64 count)
{
    if (weights)
        for (i64 k = 0; k < count; ++k)
            values[k] = AS_T(static_kernel)(job, kind, values[k], weights + k);
    else
        for (i64 k = 0; k < count; ++k)
            values[k] = AS_T(static_kernel)(job, kind, values[k], NULL);
}

static void AS_T(evaluate_kind)(const PDE_JOB *job, VEC *values, VEC *weights, i64 count)
{
#define AS_CASE(KIND)                                                                              \
    case KIND:                                                                                     \
        AS_T(evaluate)(job, KIND, values, weights, count);                                         \
        break;
    switch (job->kind) {
        AS_CASE(AS_RBF)
        AS_CASE(AS_MATERN12)
        AS_CASE(AS_MATERN32)
        AS_CASE(AS_MATERN52)
        AS_CASE(AS_RATIONAL)
        AS_CASE(AS_POLYNOMIAL)
    }
#undef AS_CASE
}

/* out[column][row] = inner products, or squared distances, of x[row] and y[column]; columns go two
 * at a time. */
AS_INLINE void AS_T(products)(const VEC *x, const VEC *y, i64 columns, i64 d, VEC *out,
                              const int rows, const int distances)
{
    for (; columns > 0; columns -= 2, y += 2 * d, out += 2 * rows) {
        const VEC *other = columns > 1 ? y + d : y;
        VEC sum0[AS_PDE_ROWS + 1], sum1[AS_PDE_ROWS + 1];
        AS_UNROLL for (int r = 0; r < rows; ++r) sum0[r] = sum1[r] = (VEC){0};
        for (i64 a = 0; a < d; ++a) {
            AS_UNROLL for (int r = 0; r < rows; ++r)
            {
                VEC point = x[r * d + a];
                AS_IN_REGISTER(point);
                const VEC gap0 = point - y[a], gap1 = point - other[a];
                sum0[r] += distances ? gap0 * gap0 : point * y[a];
                sum1[r] += distances ? gap1 * gap1 : point * other[a];
            }
        }
        AS_UNROLL for (int r = 0; r < rows; ++r) out[r] = sum0[r];
        if (columns > 1) {
            AS_UNROLL for (int r = 0; r < rows; ++r) out[rows + r] = sum1[r];
        }
    }
}

static void AS_T(products_of_rows)(const PDE_JOB *job, const VEC *x, const VEC *y, i64 columns,
                                   i64 rows, VEC *out)
{
    const i64 d = job->channels;
    const int distances = job->kind != AS_LINEAR && job->kind != AS_POLYNOMIAL;
#define AS_CASE(ROWS)                                                                              \
    if (rows == (ROWS)) {                                                                          \
        if (distances)                                                                             \
            AS_T(products)(x, y, columns, d, out, ROWS, 1);                                        \
        else                                                                                       \
            AS_T(products)(x, y, columns, d, out, ROWS, 0);                                        \
        return;                                                                                    \
    }
    AS_CASE(AS_PDE_ROWS)
    AS_CASE(AS_PDE_ROWS / 2)
    AS_CASE(AS_PDE_ROWS / 4)
    AS_CASE(1)
    AS_CASE(AS_PDE_ROWS + 1)
    AS_CASE(AS_PDE_ROWS / 2 + 1)
    AS_CASE(AS_PDE_ROWS / 4 + 1)
    AS_CASE(2)
#undef AS_CASE
}

/* p of a strip of `rows` coarse rows at columns [begin, end), of which y has the first. `points` is
 * scratch that keeps the static kernel at the last column for the next call; weights of points
 * [column][rows + 1] are kept if they are wanted. */
static void AS_T(increments)(const PDE_JOB *job, const VEC *x, const VEC *y, i64 rows, i64 begin,
                             i64 end, VEC *points, VEC *p, VEC *weights)
{
    const i64 d = job->channels, width = rows + 1;
    if (job->kind == AS_LINEAR) {
        AS_T(products_of_rows)(job, x, y, end - begin, rows, p);
        return;
    }
    const i64 first = begin ? begin + 1 : 0, count = end + 1 - first;
    if (begin)
        memcpy(points, points + AS_PDE_COLUMNS * width, sizeof(VEC) * (size_t)width);
    VEC *fresh = points + (first - begin) * width;
    AS_T(products_of_rows)(job, x, y + (first - begin) * d, count, width, fresh);
    AS_T(evaluate_kind)(job, fresh, weights ? weights + first * width : NULL, count * width);
    for (i64 t = 0; t < end - begin; ++t) {
        const VEC *here = points + t * width, *next = here + width;
        for (i64 r = 0; r < rows; ++r)
            p[t * rows + r] = ((next[r + 1] - next[r]) - (here[r + 1] - here[r])) * job->scale;
    }
}

/* ---- Forward ------------------------------------------------------------------------------- */

/* Where lanes are strips below each other: what passes from one to the next, and from the last lane
 * to the first of the strips below, by rows of single numbers. */
typedef struct {
    VEC *bottom; /* [2][refined column], h of the last row, one and two steps ago */
    const REAL *in;
    REAL *out;
} AS_T(seam);

/* Sweeps `count` coarse columns of a strip of `rows` coarse rows, each `fine` refined ones.
 * left[0 .. rows * fine] are the values at the current column, from the row above the strip on;
 * `row` holds h of the row above and then that of the last row. With `values` they are kept too,
 * from the column after the current one on. With a seam that takes the place of `row`. */
AS_INLINE void AS_T(sweep)(const VEC *p, i64 count, i64 fine_columns, VEC *restrict left,
                           VEC *restrict row, VEC *restrict values, const AS_T(seam) * seam,
                           const int rows, const int fine)
{
    VEC k[AS_PDE_ROWS + 1];
    AS_UNROLL for (int r = 0; r <= rows * fine; ++r) k[r] = left[r];
    for (i64 t = 0; t < count; ++t, p += rows) {
        VEC a[AS_PDE_ROWS], ab[AS_PDE_ROWS];
        AS_UNROLL for (int r = 0; r < rows; ++r)
        {
            const VEC square = p[r] * p[r];
            a[r] = p[r] + square * (REAL)(1.0 / 3);
            ab[r] = p[r] + square * (REAL)(2.0 / 3);
        }
        for (i64 c = 0; c < fine_columns; ++c) {
            VEC *passed = seam ? seam->bottom + (t & 1) * fine_columns + c : row++;
            VEC h = seam ? AS_T(shift_lanes)(*passed, seam->in[t * fine_columns + c]) : *passed;
            VEC corner = k[0];
            k[0] = corner + h;
            AS_UNROLL for (int r = 0; r < rows * fine; ++r)
            {
                const VEC left_value = k[r + 1];
                h = a[r / fine] * (h + left_value) + (h + ab[r / fine] * corner);
                corner = left_value;
                k[r + 1] = left_value + h;
            }
            *passed = h;
            if (seam)
                seam->out[t * fine_columns + c] = h[AS_LANES - 1];
            if (values) {
                AS_UNROLL for (int r = 0; r <= rows * fine; ++r) values[r] = k[r];
                values += rows * fine + 1;
            }
        }
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

static void AS_T(sweep_strip)(const VEC *p, i64 count, i64 fine_columns, VEC *left, VEC *row,
                              VEC *values, const AS_T(seam) * seam, i64 rows, i64 fine)
{
#define AS_SHAPE(ROWS, FINE)                                                                       \
    if (rows == ROWS && fine == FINE) {                                                            \
        if (seam)                                                                                  \
            AS_T(sweep)(p, count, fine_columns, left, NULL, NULL, seam, ROWS, FINE);               \
        else if (values)                                                                           \
            AS_T(sweep)(p, count, fine_columns, left, row, values, NULL, ROWS, FINE);              \
        else                                                                                       \
            AS_T(sweep)(p, count, fine_columns, left, row, NULL, NULL, ROWS, FINE);                \
        return;                                                                                    \
    }
    AS_EACH_SHAPE(AS_SHAPE)
#undef AS_SHAPE
}

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

/* Sweeps a strip over all columns: `row` is h above it, and then below. Returns the last value of
 * its last row. With `values` and s->weights everything that the gradient needs is kept. */
static VEC AS_T(run_strip)(const PDE_JOB *job, const PDE_SCRATCH *s, i64 number, VEC *row,
                           VEC *values)
{
    const AS_T(strip) strip = AS_T(strip_at)(job, number);
    const i64 height = strip.rows * strip.fine, columns = (i64)1 << job->order2;
    VEC left[AS_PDE_ROWS + 1];
    for (i64 r = 0; r <= height; ++r) {
        left[r] = AS_T(all_lanes)(1);
        if (values)
            values[r] = left[r];
    }
    const VEC *x = s->x + strip.first * job->channels;
    VEC *weights = values && job->kind != AS_LINEAR ? s->weights : NULL;
    for (i64 t = 0; t < job->steps2; t += AS_PDE_COLUMNS) {
        const i64 end = as_least(t + AS_PDE_COLUMNS, job->steps2);
        VEC *p = values ? s->p + t * strip.rows : s->p;
        AS_T(increments)(job, x, s->y + t * job->channels, strip.rows, t, end, s->points, p,
                         weights);
        AS_T(sweep_strip)(p, end - t, columns, left, row + t * columns,
                          values ? values + (1 + t * columns) * (height + 1) : NULL, NULL,
                          strip.rows, strip.fine);
    }
    return left[height];
}

static void AS_T(lay_out_pde)(const PDE_JOB *job, SIG_ARENA *arena, PDE_SCRATCH *s)
{
    const i64 d = job->channels, fine_columns = job->steps2 << job->order2;
    const int back = job->dx != NULL;
    const i64 height = AS_PDE_ROWS, strips = AS_T(strip_count)(job);
    s->x = AS_T(take)(arena, (job->steps1 + 1) * d);
    s->y = AS_T(take)(arena, (job->steps2 + 1) * d);
    s->row = AS_T(take)(arena, fine_columns);
    s->p = AS_T(take)(arena, job->rows * (back ? job->steps2 : AS_PDE_COLUMNS));
    const int linear = job->kind == AS_LINEAR;
    s->points = AS_T(take)(arena, linear ? 0 : (AS_PDE_COLUMNS + 1) * (job->rows + 1));
    if (!back)
        return;
    s->fine = AS_T(take)(arena, as_least(job->together, strips) * fine_columns);
    s->coarse = AS_T(take)(arena, as_ceil_div(strips, job->together) * fine_columns);
    s->values = AS_T(take)(arena, (fine_columns + 1) * (height + 1));
    s->weights = AS_T(take)(arena, linear ? 0 : (job->steps2 + 1) * (job->rows + 1));
    s->adjoint = AS_T(take)(arena, fine_columns + 1);
    s->dx = AS_T(take)(arena, (job->steps1 + 1) * d);
    s->dy = AS_T(take)(arena, (job->steps2 + 1) * d);
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
    const i64 strips = AS_T(strip_count)(job);
    for (i64 unit; (unit = as_next_unit(&job->next)) < job->units;) {
        PDE_LANES lanes;
        AS_T(lanes_of_unit)(job, unit, &lanes);
        AS_T(load_paths)(job, &lanes, &s);
        memset(s.row, 0, sizeof(VEC) * (size_t)(job->steps2 << job->order2));
        VEC result = AS_T(all_lanes)(1);
        for (i64 strip = 0; strip < strips && !as_cancelled(job->control); ++strip)
            result = AS_T(run_strip)(job, &s, strip, s.row, NULL);
        if (as_cancelled(job->control))
            break;
        for (i64 l = 0; l < lanes.count; ++l)
            AS_T(put)(job, lanes.pair[l], result[l]);
        as_count(job->control, lanes.count);
    }
    AS_FREE_SCRATCH();
}

/* ---- Forward, a pair at a time ------------------------------------------------------------- */

/* Where pairs are few, lanes are AS_LANES strips below each other of one pair, each AS_LAG steps
 * behind the one above, and AS_LANES strips make a band. Bands follow each other through a row of h
 * in memory, which band b + 1 may read where band b has been: that is how threads share a pair.
 * Rows behind the last have p = 0, and so copy the row above. */

/* Steps of a band, whole chunks, and numbers in a row of h, with room for columns that there are
 * not at both ends: where they are read they are 0. */
static i64 AS_T(band_steps)(const PDE_JOB *job)
{
    const i64 steps = job->steps2 + AS_LAG * (AS_LANES - 1);
    return as_ceil_div(steps, AS_PDE_COLUMNS) * AS_PDE_COLUMNS;
}

static i64 AS_T(band_row)(const PDE_JOB *job)
{
    return (AS_T(band_steps)(job) + AS_LAG * (AS_LANES - 1)) << job->order2;
}

static i64 AS_T(band_count)(const PDE_JOB *job)
{
    return as_ceil_div(
        job->split > 1 ? job->steps1 * job->split : as_ceil_div(job->steps1, job->rows), AS_LANES);
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
    VEC *x, *y, *p, *points, *bottom;
    REAL *reversed;
} AS_T(band_scratch);

static void AS_T(lay_out_band)(const PDE_JOB *job, SIG_ARENA *arena, AS_T(band_scratch) * s)
{
    const i64 d = job->channels, linear = job->kind == AS_LINEAR;
    s->x = AS_T(take)(arena, (job->rows + 1) * d);
    s->y = AS_T(take)(arena, (AS_PDE_COLUMNS + 1) * d);
    s->p = AS_T(take)(arena, job->rows * AS_PDE_COLUMNS);
    s->points = AS_T(take)(arena, linear ? 0 : (AS_PDE_COLUMNS + 1) * (job->rows + 1));
    s->bottom = AS_T(take)(arena, AS_LAG << job->order2);
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

/* A band of a pair; returns the value at its last row and column, or 0 when cancelled. */
static REAL AS_T(run_band)(const PDE_JOB *job, const AS_T(band_scratch) * s, AS_T(columns) y,
                           REAL *row, const i64 *above, i64 *progress)
{
    const i64 d = job->channels, fine = as_least(AS_PDE_ROWS, (i64)1 << job->order1);
    const i64 steps = AS_T(band_steps)(job), behind = AS_LAG * (AS_LANES - 1);
    VEC left[AS_PDE_ROWS + 1];
    for (i64 r = 0; r <= AS_PDE_ROWS; ++r)
        left[r] = AS_T(all_lanes)(1);
    memset(s->bottom, 0, sizeof(VEC) * (size_t)(AS_LAG << job->order2));
    for (i64 t = 0; t < steps; t += AS_PDE_COLUMNS) {
        const i64 end = t + AS_PDE_COLUMNS;
        AS_T(columns_of_lanes)(y, t, AS_PDE_COLUMNS + (job->kind != AS_LINEAR), d, s->y);
        AS_T(increments)(job, s->x, s->y, job->rows, t, end, s->points, s->p, NULL);
        if (as_cancelled(job->control) ||
            (above && !AS_T(wait_for)(above, as_least(end, job->steps2), job->control)))
            return 0;
        const AS_T(seam)
            seam = {s->bottom, row + ((t + behind) << job->order2), row + (t << job->order2)};
        AS_T(sweep_strip)(s->p, AS_PDE_COLUMNS, (i64)1 << job->order2, left, NULL, NULL, &seam,
                          job->rows, fine);
        __atomic_store_n(progress, end - behind, __ATOMIC_RELEASE);
    }
    return left[job->rows * fine][AS_LANES - 1];
}

static void AS_T(band_worker)(void *argument)
{
    PDE_JOB *job = argument;
    AS_T(band_scratch) s;
    AS_LAY_OUT(AS_T(lay_out_band), job, s, job->failed);
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
                                          band ? progress - 1 : NULL, progress);
        if (as_cancelled(job->control))
            break;
        if (band == bands - 1) {
            AS_T(put)(job, at, value);
            as_count(job->control, 1);
        }
    }
    AS_FREE_SCRATCH();
}

/* ---- Backward ------------------------------------------------------------------------------ */

/* The adjoint of a strip, from its last column to its first: p becomes dF/dp, and `adjoint`, which
 * is g of the last row without the terms of the strip's cells, the same of the row above it. */
AS_INLINE void AS_T(sweep_back)(VEC *p, i64 count, i64 fine_columns, const VEC *values,
                                VEC *restrict adjoint, const int rows, const int fine)
{
    const int height = rows * fine;
    VEC u[AS_PDE_ROWS + 1]; /* adjoints of the nodes of the column to the right */
    VEC m[AS_PDE_ROWS + 1]; /* what its cells contribute to g in this column */
    AS_UNROLL for (int r = 0; r <= height; ++r) u[r] = m[r] = (VEC){0};
    values += count * fine_columns * (height + 1);
    adjoint += count * fine_columns;
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
            AS_UNROLL for (int i = height; i >= 1; --i)
            {
                const int r = (i - 1) / fine;
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
                                   VEC *adjoint, i64 rows, i64 fine)
{
#define AS_SHAPE(ROWS, FINE)                                                                       \
    if (rows == ROWS && fine == FINE) {                                                            \
        AS_T(sweep_back)(p, count, fine_columns, values, adjoint, ROWS, FINE);                     \
        return;                                                                                    \
    }
    AS_EACH_SHAPE(AS_SHAPE)
#undef AS_SHAPE
}

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
    const VEC *x = s->x + strip.first * d;
    VEC *dx = s->dx + strip.first * d;
    if (job->kind == AS_LINEAR) {
        for (i64 t = 0; t < n; t += AS_PDE_COLUMNS)
            AS_T(add_gradients_of_rows)(job, s->p + t * rows, rows, as_least(AS_PDE_COLUMNS, n - t),
                                        x, s->y + t * d, dx, s->dy + t * d, rows);
        return;
    }
    for (i64 t = 0; t <= n; ++t) {
        const VEC *before = s->p + (t - 1) * rows, *here = s->p + t * rows;
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

static void AS_T(unit_back)(PDE_JOB *job, const PDE_SCRATCH *s, const PDE_LANES *lanes)
{
    const i64 n = job->steps2 << job->order2, strips = AS_T(strip_count)(job);
    const size_t row_bytes = sizeof(VEC) * (size_t)n;
    memset(s->dx, 0, sizeof(VEC) * (size_t)((job->steps1 + 1) * job->channels));
    memset(s->dy, 0, sizeof(VEC) * (size_t)((job->steps2 + 1) * job->channels));
    memset(s->adjoint, 0, row_bytes);
    s->adjoint[n] = (VEC){0};
    for (i64 l = 0; l < lanes->count; ++l) {
        const AS_T(pair) at = lanes->pair[l];
        const REAL *grad = job->grad + at.group * job->count1 * job->count2;
        s->adjoint[n][l] = grad[at.row * job->count2 + at.column];
        if (job->symmetric && at.row != at.column)
            s->adjoint[n][l] += grad[at.column * job->count2 + at.row];
    }
    memset(s->row, 0, row_bytes);
    const i64 blocks = as_ceil_div(strips, job->together);
    for (i64 block = 0; block < blocks; ++block) {
        memcpy(s->coarse + block * n, s->row, row_bytes);
        for (i64 i = 0; i < job->together && block < blocks - 1; ++i) {
            if (as_cancelled(job->control))
                return;
            AS_T(run_strip)(job, s, block * job->together + i, s->row, NULL);
        }
    }
    for (i64 block = blocks - 1; block >= 0; --block) {
        const i64 first = block * job->together;
        const i64 count = as_least(job->together, strips - first);
        VEC *row = s->coarse + block * n;
        for (i64 i = 0; i < count; ++i) {
            memcpy(s->fine + i * n, row, row_bytes);
            if (i < count - 1)
                AS_T(run_strip)(job, s, first + i, row, NULL);
        }
        for (i64 i = count - 1; i >= 0 && !as_cancelled(job->control); --i) {
            const AS_T(strip) strip = AS_T(strip_at)(job, first + i);
            AS_T(run_strip)(job, s, first + i, s->fine + i * n, s->values);
            AS_T(sweep_strip_back)(s->p, job->steps2, (i64)1 << job->order2, s->values, s->adjoint,
                                   strip.rows, strip.fine);
            AS_T(add_strip)(job, s, strip);
        }
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
    const i64 size1 = (job->steps1 + 1) * job->channels, size2 = (job->steps2 + 1) * job->channels;
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
            as_count(job->control, lanes.count);
        }
    }
    AS_FREE_SCRATCH();
}

/* Shares out the units. Returns memory to free, or NULL without memory; one share needs none but
 * that, as it sums where the result is wanted. */
static void *AS_T(share_out)(PDE_JOB *job, i64 shares)
{
    const i64 size1 = (job->steps1 + 1) * job->channels, size2 = (job->steps2 + 1) * job->channels;
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
    const i64 size1 = (job->steps1 + 1) * job->channels, size2 = (job->steps2 + 1) * job->channels;
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

static PDE_JOB AS_T(describe_pde)(const REAL *x, const REAL *y, i64 groups, i64 count1, i64 count2,
                                  i64 length1, i64 length2, i64 channels, i64 order1, i64 order2,
                                  i64 kind, double p0, double p1, double p2, i64 symmetric,
                                  i64 *control)
{
    PDE_JOB job = {.x = x, .y = y, .count1 = count1, .count2 = count2, .channels = channels};
    job.steps1 = length1 - 1;
    job.steps2 = length2 - 1;
    job.order1 = order1;
    job.order2 = order2;
    job.kind = (int)kind;
    job.symmetric = symmetric != 0;
    double scale = 0.5;
    for (i64 i = 0; i < order1 + order2; ++i)
        scale *= 0.5;
    job.scale = (REAL)(kind == AS_LINEAR ? scale * p0 : scale);
    job.p0 = (REAL)p0;
    job.p1 = (REAL)p1;
    job.p2 = (REAL)p2;
    job.pairs_per_group = symmetric ? count1 * (count1 + 1) / 2 : count1 * count2;
    job.pairs = groups * job.pairs_per_group;
    job.units = as_ceil_div(job.pairs, AS_LANES);
    job.rows = as_most(1, (i64)AS_PDE_ROWS >> order1);
    job.split = as_most(1, ((i64)1 << order1) / AS_PDE_ROWS);
    job.control = control;
    return job;
}

static i64 AS_T(pde_threads)(const PDE_JOB *job, int threads)
{
    const double cells =
        (double)(job->steps1 << job->order1) * (double)(job->steps2 << job->order2);
    const double work = (double)job->units * (4 * cells + 1000);
    return work < AS_SMALL_WORK ? 1 : as_most(1, as_least(threads, job->units));
}

/* Whether pairs go one at a time: when that is less work for a thread, by a margin for what bands
 * cost beside cells. */
static int AS_T(takes_bands)(const PDE_JOB *job, int threads)
{
    const i64 bands = AS_T(band_count)(job), memory = job->pairs * AS_T(band_row)(job);
    if (!job->steps1 || !job->steps2 || memory > AS_BANDS_BYTES / (i64)sizeof(REAL))
        return 0;
    const i64 strips = as_ceil_div(job->steps1, job->rows) * job->split;
    const double together =
        (double)as_ceil_div(job->units, threads) * (double)strips * (double)job->steps2;
    const double alone = (double)as_ceil_div(job->pairs * bands, threads) *
                         (double)(AS_T(band_steps)(job) + 2 * AS_PDE_COLUMNS);
    return 1.2 * alone < together;
}

static int AS_T(run_bands)(PDE_JOB *job, int threads)
{
    const i64 units = job->pairs * AS_T(band_count)(job);
    job->rows_of_h = calloc((size_t)(job->pairs * AS_T(band_row)(job)), sizeof(REAL));
    job->progress = calloc((size_t)units, sizeof(i64));
    job->failed = !job->rows_of_h || !job->progress;
    if (!job->failed) {
        const double work = (double)units * (double)(AS_T(band_steps)(job) << job->order2);
        const i64 team = work * 8 * AS_PDE_ROWS < AS_SMALL_WORK ? 1 : as_least(threads, units);
        as_run_workers(AS_T(band_worker), job, team);
    }
    free(job->rows_of_h);
    free(job->progress);
    return job->failed ? AS_OUT_OF_MEMORY : as_cancelled(job->control) ? AS_CANCELLED : AS_OK;
}

int AS_ENTRY_NAME(sig_kernel)(const REAL *path1, const REAL *path2, REAL *out, i64 groups,
                              i64 count1, i64 count2, i64 length1, i64 length2, i64 channels,
                              i64 order1, i64 order2, i64 kind, double p0, double p1, double p2,
                              i64 symmetric, int threads, i64 *control)
{
    PDE_JOB job =
        AS_T(describe_pde)(path1, path2, groups, count1, count2, length1, length2, channels, order1,
                           order2, kind, p0, p1, p2, symmetric, control);
    job.out = out;
    if (AS_T(takes_bands)(&job, threads))
        return AS_T(run_bands)(&job, threads);
    as_run_workers(AS_T(kernel_worker), &job, AS_T(pde_threads)(&job, threads));
    return job.failed ? AS_OUT_OF_MEMORY : as_cancelled(control) ? AS_CANCELLED : AS_OK;
}

int AS_ENTRY_NAME(sig_kernel_vjp)(const REAL *grad, const REAL *path1, const REAL *path2, REAL *dx,
                                  REAL *dy, i64 groups, i64 count1, i64 count2, i64 length1,
                                  i64 length2, i64 channels, i64 order1, i64 order2, i64 kind,
                                  double p0, double p1, double p2, i64 symmetric, int threads,
                                  i64 *control)
{
    PDE_JOB job =
        AS_T(describe_pde)(path1, path2, groups, count1, count2, length1, length2, channels, order1,
                           order2, kind, p0, p1, p2, symmetric, control);
    const i64 paths1 = groups * count1, paths2 = groups * count2;
    job.grad = grad;
    job.dx = dx;
    job.dy = dy;
    const i64 strips = AS_T(strip_count)(&job);
    if (!strips || !job.steps2 || !job.pairs) {
        memset(dx, 0, sizeof(REAL) * (size_t)(paths1 * length1 * channels));
        memset(dy, 0, sizeof(REAL) * (size_t)(paths2 * length2 * channels));
        return AS_OK;
    }
    job.together = strips;
    if (strips * (job.steps2 << order2) > AS_PDE_CHECKPOINTS / AS_VECTOR_BYTES)
        for (job.together = 1; job.together * job.together < strips;)
            ++job.together;
    const i64 team = AS_T(pde_threads)(&job, threads);
    void *memory = AS_T(share_out)(&job, team);
    if (!memory)
        return AS_OUT_OF_MEMORY;
    as_run_workers(AS_T(kernel_vjp_worker), &job, team);
    if (team > 1 && !job.failed)
        AS_T(sum_shares)(&job, paths1, paths2, (int)team);
    free(memory);
    return job.failed ? AS_OUT_OF_MEMORY : as_cancelled(control) ? AS_CANCELLED : AS_OK;
}
