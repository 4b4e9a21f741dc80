/* What signature kernels are computed with: the job, pairs of paths as lanes, increments of static
 * kernels. See sig_kernel.inc.c for the mathematics.
 *
 * Layouts: paths of the lanes [point or increment][channel]; p of a strip [column][row]; weights
 * of static kernels [point of the second path][point of the strip]; all VECs.
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
#define AS_PDE_CHECKPOINTS 16777216 /* bytes of checkpoints from which there are two layers */
#endif
#ifndef AS_PDE_KEPT
#define AS_PDE_KEPT                                                                                \
    1048576 /* bytes of values that a gradient keeps instead of computing them again */
#endif
#define AS_FAR 1000       /* a distance where kernels are 0, and powers of it are finite */
#define AS_MOST_DEGREE 64 /* of polynomial cells */
#define AS_MOST_FOLD 2
#define AS_MOST_FOLDED 16 /* degree with `fold` */
#define AS_MOST_POWERS (AS_MOST_FOLDED + AS_MOST_FOLD)
#define AS_CELL_ROWS 4               /* rows in a strip of polynomial cells, for some degrees */
#define AS_LEFT (AS_MOST_DEGREE + 1) /* VECs that a strip hands from column to column, at most */
/* Of pde_slopes.inc.c: coefficients that step n changes, and how many Y[n] is made of. */
#define AS_CHANGED(N, DEGREE, POWERS) (int)as_least((POWERS) - (N) + 1, DEGREE)
#define AS_SUMMED(N, DEGREE, POWERS) (int)as_least(N, AS_CHANGED((N) - 1, DEGREE, POWERS))
/* With AS_GIVEN increments come in place of paths, as `x`: a job has one pair in every group. */
enum {
    AS_LINEAR,
    AS_RBF,
    AS_MATERN12,
    AS_MATERN32,
    AS_MATERN52,
    AS_RATIONAL,
    AS_POLYNOMIAL,
    AS_GIVEN
};
#endif

typedef struct {
    const REAL *x, *y, *grad;
    REAL *out, *dx, *dy;
    i64 count1, count2, channels;
    i64 steps1, steps2, order1, order2;
    i64 size1, size2; /* of a path, in numbers */
    i64 degree, fold; /* of polynomial cells, else 0 */
    i64 depth;        /* of branched kernels, else 0 */
    int is_one;       /* they are of depth 0 */
    i64 sums, powers; /* depths of which E, and K, go from row to row */
    REAL one;         /* K = 1 as strips have it: of branched kernels a quarter */
    i64 levels;       /* values that a strip has of a node */
    i64 strip_values; /* VECs of them */
    i64 kept;         /* strips that a gradient keeps the values of, not to compute them again */
    i64 width;        /* VECs of a row of h or of A per coarse column */
    REAL inverse[2 * (AS_MOST_DEGREE + 1)]; /* 1 / k! */
    REAL end_a[AS_LEFT], end_b[AS_LEFT]; /* K where edges end is the sum of these times A and B */
    REAL step[AS_MOST_POWERS + 1][AS_MOST_FOLDED], moment[AS_MOST_POWERS + 1][AS_MOST_FOLDED];
    int kind, symmetric;
    int of_points; /* the static kernel is evaluated at points, not at increments */
    int grid;      /* results, and what gradients start from, are of all nodes of the grid */
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
    i64 number[AS_LANES]; /* of the pair */
    i64 count;
} PDE_LANES;

typedef struct {
    VEC *x, *y;            /* the paths: increments with the linear kernel, else points */
    VEC *p, *row;          /* increments of a strip; h or A above it, then below */
    VEC *left;             /* what a strip hands from column to column */
    VEC *edge;             /* static kernel in the row of points above a strip, then its last */
    VEC *gaps;             /* its differences between rows, at the last column */
    VEC *fine, *coarse;    /* rows of h at strips of a block, and at blocks */
    VEC *values, *weights; /* of a strip: K, and derivatives of the static kernel */
    VEC *adjoint;          /* row of g */
    VEC *seeds;            /* of a strip: derivatives with respect to K */
    VEC *dx, *dy;          /* gradients of x and y */
} PDE_SCRATCH;

/* ---- Pairs -------------------------------------------------------------------------------- */

/* With `symmetric` pairs are those on and above the diagonal, row by row; n (n + 1) / 2 of them are
 * in the last n rows. */
static AS_T(pair) AS_T(pair_of)(const PDE_JOB *job, i64 number)
{
    const i64 group = number / job->pairs_per_group, rest = number % job->pairs_per_group;
    if (!job->symmetric)
        return (AS_T(pair)){group, rest / job->count2, rest % job->count2};
    const i64 left = job->pairs_per_group - rest;
    i64 n = (i64)__builtin_sqrt(2.0 * (double)left); /* but for one more or less */
    while (n * (n + 1) / 2 < left)
        ++n;
    while (n * (n - 1) / 2 >= left)
        --n;
    const i64 row = job->count2 - n;
    return (AS_T(pair)){group, row, job->count2 - (left - n * (n - 1) / 2)};
}

/* The pairs of a unit; spare lanes repeat the first. */
static void AS_T(lanes_of_unit)(const PDE_JOB *job, i64 unit, PDE_LANES *lanes)
{
    const i64 first = unit * AS_LANES;
    lanes->count = as_least(AS_LANES, job->pairs - first);
    for (int l = 0; l < AS_LANES; ++l) {
        lanes->number[l] = first + (l < lanes->count ? l : 0);
        const AS_T(pair) at = AS_T(pair_of)(job, lanes->number[l]);
        lanes->pair[l] = at;
        lanes->x[l] = job->x + (at.group * job->count1 + at.row) * job->size1;
        lanes->y[l] = job->y + (at.group * job->count2 + at.column) * job->size2;
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
    const i64 gap = job->kind == AS_LINEAR ? job->channels : 0;
    AS_T(load_lanes)(lanes->x, job->size1 - gap, gap, s->x);
    AS_T(load_lanes)(lanes->y, job->size2 - gap, gap, s->y);
    for (i64 k = 0; !job->of_points && k < job->size1 - gap; ++k)
        s->x[k] *= job->scale;
}

/* ---- Static kernels ------------------------------------------------------------------------ */

/* x^p2 for whole p2 >= 0 by squaring, else for x > 0, and 0 below. */
AS_INLINE VEC AS_T(power)(VEC x, REAL exponent)
{
    if (exponent < 0 || exponent > 1024 || exponent != (REAL)(int)exponent)
        return AS_T(pow_lanes)(x, (VEC){0}, exponent);
    VEC result = AS_T(all_lanes)(1);
    for (int n = (int)exponent; n; n >>= 1, x *= x)
        if (n & 1)
            result *= x;
    return result;
}

/* The static kernel, in place, of one vector or two side by side of squared distances s of points,
 * or inner products; and in `weights` w such that its gradient in x is w (x - y), or w y. */
AS_INLINE void AS_T(static_kernel)(const PDE_JOB *job, const int kind, VEC *s, VEC *weights,
                                   const int count)
{
    const VEC one = AS_T(all_lanes)(1);
    const REAL p0 = job->p0, p1 = job->p1;
    VEC power[2], decay[2], r[2];
    AS_UNROLL for (int i = 0; i < count; ++i)
    {
        r[i] = kind == AS_RBF ? s[i] : AS_T(sqrt_lanes)(s[i]);
        power[i] = r[i] * (REAL)(-p0 / AS_LN2);
    }
    if (kind != AS_RATIONAL && kind != AS_POLYNOMIAL)
        AS_T(exp2_many)(power, decay, count, 0);
    AS_UNROLL for (int i = 0; i < count; ++i)
    {
        VEC a = r[i] * p0, value = decay[i], weight;
        a = AS_T(choose)(a > AS_T(all_lanes)(AS_FAR), AS_T(all_lanes)(AS_FAR), a);
        if (kind == AS_RBF)
            weight = value * (-2 * p0);
        else if (kind == AS_RATIONAL) {
            const VEC z = s[i] * p0, base = one + z;
            value = AS_T(pow_lanes)(base, z - (base - one), -p1);
            weight = value / base * (-2 * p0 * p1);
        } else if (kind == AS_POLYNOMIAL) {
            const VEC base = s[i] + p1;
            value = AS_T(power)(base, job->p2) * p0;
            weight = (VEC){0};
            if (weights && job->p2 != 0)
                weight = AS_T(power)(base, job->p2 - 1) * (p0 * job->p2);
        } else if (kind == AS_MATERN12)
            weight = AS_T(choose)(r[i] == (VEC){0}, (VEC){0}, value / r[i] * -p0);
        else if (kind == AS_MATERN32) {
            weight = value * (-p0 * p0);
            value *= one + a;
        } else {
            weight = (one + a) * value * (-p0 * p0 / 3);
            value *= one + a + a * a * (REAL)(1.0 / 3);
        }
        s[i] = value;
        if (weights)
            weights[i] = weight;
    }
}

/* out[column][row] = static kernel of points x[row] and y[column], and weights of columns `stride`
 * apart, if they are wanted. Of two columns the second may repeat the first. */
AS_INLINE void AS_T(kernel_of_points)(const PDE_JOB *job, const VEC *x, const VEC *y, VEC *out,
                                      VEC *weights, i64 stride, int repeat, const int kind,
                                      const int rows, const int columns)
{
    const i64 d = job->channels, next = repeat ? 0 : d;
    const int count = rows * columns;
    AS_UNROLL for (int i = 0; i < count; ++i) out[i] = (VEC){0};
    for (i64 a = 0; a < d; ++a) {
        AS_UNROLL for (int r = 0; r < rows; ++r)
        {
            VEC point = x[r * d + a];
            AS_IN_REGISTER(point);
            AS_UNROLL for (int c = 0; c < columns; ++c)
            {
                const VEC other = y[c * next + a], gap = point - other;
                out[c * rows + r] += kind == AS_POLYNOMIAL ? point * other : gap * gap;
            }
        }
    }
    if (repeat)
        stride = 0;
    AS_UNROLL for (int i = 0; i < count; i += 2)
    {
        VEC weight[2];
        const int both = i + 1 < count;
        AS_T(static_kernel)(job, kind, out + i, weights ? weight : NULL, 1 + both);
        AS_UNROLL for (int j = 0; weights && j <= both; ++j)
            weights[(i + j) / rows * stride + (i + j) % rows] = weight[j];
    }
}

/* p of `rows` coarse rows from points y[0 .. columns - 1], of which the first belongs to the column
 * before unless `starts`. `edge` has the static kernel in the row of points above, and gets that
 * in the last one; `gaps` differences between rows at the last column. Weights of columns, of the
 * rows below the first, are rows + 1 apart. */
AS_INLINE void AS_T(increments_of_points)(const PDE_JOB *job, const VEC *x, const VEC *y,
                                          i64 columns, int starts, VEC *edge, VEC *gaps, VEC *p,
                                          VEC *weights, const int kind, const int rows)
{
    enum { MOST = 2 };
    const int together = rows < 8 ? MOST : 1; /* columns: enough sums for the units, in registers */
    VEC before[AS_PDE_ROWS], here[MOST * AS_PDE_ROWS];
    AS_UNROLL for (int r = 0; r < rows; ++r) before[r] = gaps[r];
    for (i64 t = 0; t < columns;) {
        AS_T(kernel_of_points)(job, x, y + t * job->channels, here,
                               weights ? weights + t * (rows + 1) : NULL, rows + 1,
                               t + together > columns, kind, rows, together);
        AS_UNROLL for (int c = 0; c < together; ++c)
        {
            if (t == columns)
                break;
            VEC above = edge[t];
            AS_UNROLL for (int r = 0; r < rows; ++r)
            {
                const VEC value = here[c * rows + r], gap = value - above;
                above = value;
                if (t || !starts)
                    *p++ = (gap - before[r]) * job->scale;
                before[r] = gap;
            }
            edge[t++] = above;
        }
    }
    AS_UNROLL for (int r = 0; r < rows; ++r) gaps[r] = before[r];
}

/* The static kernel of one point x and `columns` points y, and weights `stride` apart. */
AS_INLINE void AS_T(row_of_points)(const PDE_JOB *job, const VEC *x, const VEC *y, i64 columns,
                                   VEC *out, VEC *weights, i64 stride, const int kind)
{
    for (i64 t = 0; t < columns; ++t)
        AS_T(kernel_of_points)(job, x, y + t * job->channels, out + t,
                               weights ? weights + t * stride : NULL, stride, 0, kind, 1, 1);
}

/* out[column][row] = inner products of x[row] and y[column], of one column or two. */
AS_INLINE void AS_T(inner_products)(const VEC *x, const VEC *y, i64 d, VEC *out, const int rows,
                                    const int columns)
{
    VEC sum[2 * AS_PDE_ROWS];
    AS_UNROLL for (int i = 0; i < rows * columns; ++i) sum[i] = (VEC){0};
    for (i64 a = 0; a < d; ++a) {
        AS_UNROLL for (int r = 0; r < rows; ++r)
        {
            VEC point = x[r * d + a];
            AS_IN_REGISTER(point);
            AS_UNROLL for (int c = 0; c < columns; ++c) sum[c * rows + r] += point * y[c * d + a];
        }
    }
    AS_UNROLL for (int i = 0; i < rows * columns; ++i) out[i] = sum[i];
}

/* The same of any number of columns, two at a time. */
AS_INLINE void AS_T(products)(const VEC *x, const VEC *y, i64 columns, i64 d, VEC *out,
                              const int rows)
{
    i64 t = 0;
    for (; t + 2 <= columns; t += 2)
        AS_T(inner_products)(x, y + t * d, d, out + t * rows, rows, 2);
    if (t < columns)
        AS_T(inner_products)(x, y + t * d, d, out + t * rows, rows, 1);
}

/* p of a strip of `rows` coarse rows at columns [begin, end), of which y has the first; given ones
 * are rows of x. What static kernels of points need from one call to the next is in `edge`, by
 * columns from `begin` on, and `gaps`; `edge` is made if it is not `known`. Weights of points
 * [column][rows + 1] are kept if they are wanted. */
static void AS_T(increments)(const PDE_JOB *job, const VEC *x, const VEC *y, i64 rows, i64 begin,
                             i64 end, VEC *edge, int known, VEC *gaps, VEC *p, VEC *weights)
{
    const i64 d = job->channels;
    if (job->kind == AS_GIVEN) {
        for (i64 t = begin; t < end; ++t)
            for (i64 r = 0; r < rows; ++r)
                *p++ = x[r * d + t];
        return;
    }
    const i64 first = begin > 0, columns = end + 1 - begin - first; /* that are new */
    if (job->kind != AS_LINEAR) {
        y += first * d;
        edge += first;
        if (weights)
            weights += (begin + first) * (rows + 1);
    }
#define AS_ROWS(KIND, ROWS)                                                                        \
    if (rows == (ROWS)) {                                                                          \
        AS_T(increments_of_points)(job, x + d, y, columns, !begin, edge, gaps, p,                  \
                                   weights ? weights + 1 : NULL, KIND, ROWS);                      \
        return;                                                                                    \
    }
#define AS_CASE(KIND)                                                                              \
    case KIND:                                                                                     \
        if (!known)                                                                                \
            AS_T(row_of_points)(job, x, y, columns, edge, weights, rows + 1, KIND);                \
        AS_ROWS(KIND, AS_PDE_ROWS)                                                                 \
        AS_ROWS(KIND, AS_PDE_ROWS / 2) AS_ROWS(KIND, AS_PDE_ROWS / 4) AS_ROWS(KIND, 1) break;
    switch (job->kind) {
        AS_CASE(AS_RBF)
        AS_CASE(AS_MATERN12)
        AS_CASE(AS_MATERN32)
        AS_CASE(AS_MATERN52)
        AS_CASE(AS_RATIONAL)
        AS_CASE(AS_POLYNOMIAL)
    }
#undef AS_ROWS
#define AS_ROWS(ROWS)                                                                              \
    if (rows == (ROWS)) {                                                                          \
        AS_T(products)(x, y, end - begin, d, p, ROWS);                                             \
        return;                                                                                    \
    }
    AS_ROWS(AS_PDE_ROWS) AS_ROWS(AS_PDE_ROWS / 2) AS_ROWS(AS_PDE_ROWS / 4) AS_ROWS(1)
#undef AS_ROWS
#undef AS_CASE
}
