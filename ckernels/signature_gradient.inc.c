/* Gradient of the truncated signature with respect to the path, in one backward walk.
 *
 *   grad (batch, scalar_term + words) = dF/dS, path (batch, length, dimension)
 *     -> out (batch, length, dimension) = dF/dpath
 *
 * dF/dz_t of the increment z_t needs S before the step on levels < degree only, and the adjoint of
 * the last level does not change in time: it is grad. So a forward walk of levels < degree leaves
 * checkpoints at the starts of chunks, then chunks are walked backwards. With bars for adjoints,
 * g = grad, h_m as in signature_walk.inc.c, at a last node u and its children
 *     zbar_a[t] += h_1(u)[t] g(ua),      hbar_1(u)[t] = sum over a of g(ua) z_a[t]
 * (two products of small matrices, nearly all of the work) and, back at any node ua from u, for t
 * descending, with sbar = dF/dS(ua) after step t:
 *     zbar_a[t]       += h_1(u)[t] sbar + sum over m of h_{m+1}(u)[t] hbar_m(ua)[t] / m
 *     hbar_1(u)[t]    += z_a[t] sbar,    hbar_{m+1}(u)[t] += z_a[t] hbar_m(ua)[t] / m
 *     sbar            += sum over m of hbar_m(ua)[t] / m
 * Finally dF/dpath of a point is zbar before it less zbar after it. Increments are never
 * inverted: S runs backwards within one chunk only, from the checkpoint at its end.
 *
 * Checkpoints that would take more than AS_CHECKPOINT_BYTES are kept at the starts of blocks of
 * chunks, and made again within a block. Stretches of a path start from the product of the
 * signatures before them, and their adjoint at the end is grad contracted with the product of
 * those after them. Every word has one lane, so with prefix lanes the gradients of a path's lanes
 * add up; a worker takes a run of groups of one path and adds them in order.
 */

#define SIG_VJP_JOB AS_T(vjp_job)
#define SIG_VJP_SCRATCH AS_T(vjp_scratch)
#define SIG_BACKWARD AS_T(backward)
#define SIG_VJP_WALK AS_T(vjp_walk)
#define SIG_ARRAYS AS_T(arrays)

typedef struct {
    const SIG_PLAN *plan;
    const REAL *grad, *path;
    REAL *out;
    REAL *before, *after; /* stretches: signatures of levels < degree, (lane, lower_words) */
    REAL *edges;          /* stretches: gradient at the first point, (lane, dimension) */
    REAL *partial;        /* runs of groups but the first of a path: (run - 1, path, points) */
    i64 lower_words;      /* of the tree, levels below the last */
    i64 state;            /* VECs of a checkpoint: lower_words and the chain */
    i64 chunks, block;    /* the most that a group has; chunks per block */
    i64 runs;             /* prefix lanes: runs of groups per path */
    i64 *control;
    i64 next, failed;
} SIG_VJP_JOB;

/* Scratch of a worker; laid out in VECs. */
typedef struct {
    VEC *adjoint; /* of S in the tree, after the step that was undone last */
    VEC *fine;    /* checkpoints of a block, (block + 1, state) */
    VEC *coarse;  /* checkpoints of the blocks' starts, (blocks, state) */
    VEC *increments, *raw;
    VEC *zbar;  /* [step][channel], and one row more */
    VEC *carry; /* zbar of the step after the chunk, [dimension] */
    VEC *horner, *horner_adjoint;
    VEC *children, *children_adjoint;
    VEC *moves, *moves_adjoint, *chain, *chain_adjoint;
} SIG_VJP_SCRATCH;

/* What the backward walk of one chunk works on. */
typedef struct SIG_BACKWARD {
    SIG_TREE tree;  /* its sig: levels < degree at the start of the chunk */
    const VEC *end; /* the same at the end of the chunk */
    const SIG_VJP_SCRATCH *scratch;
    REAL inverse[AS_MAX_DEGREE]; /* 1 / m */
    void (*last_two)(struct SIG_BACKWARD *, i64 level, i64 node);
} SIG_BACKWARD;

AS_INLINE VEC *AS_T(horner_bar)(const SIG_BACKWARD *back, i64 level, i64 m)
{
    return back->scratch->horner_adjoint +
           (AS_T(horner)(&back->tree, level, m) - back->tree.horner);
}

static void AS_T(clear_horner_bar)(SIG_BACKWARD *back, i64 level)
{
    memset(AS_T(horner_bar)(back, level, 1), 0,
           sizeof(VEC) * (size_t)((back->tree.top - level) * back->tree.plan->chunk));
}

/* ---- Last two levels, any dimension -------------------------------------------------------- */

/* For P nodes and B of their letters: node_bar[t][p] (+)= sum of grad z, zbar += sum of node grad.
 */
AS_INLINE void AS_T(product_adjoint_block)(const VEC *restrict node, VEC *restrict node_bar,
                                           const int P, const void *restrict z, VEC *restrict zbar,
                                           i64 channels, SIG_LETTERS when, i64 steps, const int B,
                                           const VEC *restrict grad, const int shared)
{
    VEC g[32];
    AS_UNROLL for (int p = 0; p < P; ++p)
    {
        AS_UNROLL for (int b = 0; b < B; ++b) g[p * B + b] = grad[p * channels + b];
    }
    for (i64 t = when.start; t < steps; t += when.stride) {
        VEC h[AS_CHILDREN_AT_ONCE], bar[AS_CHILDREN_AT_ONCE];
        AS_UNROLL for (int p = 0; p < P; ++p)
        {
            h[p] = node[t * P + p];
            bar[p] = node_bar[t * P + p];
        }
        AS_UNROLL for (int b = 0; b < B; ++b)
        {
            VEC move = AS_T(increment)(z, t * channels + b, shared);
            VEC move_bar = zbar[t * channels + b];
            AS_IN_REGISTER(move);
            AS_UNROLL for (int p = 0; p < P; ++p)
            {
                bar[p] += g[p * B + b] * move;
                move_bar += g[p * B + b] * h[p];
            }
            zbar[t * channels + b] = move_bar;
        }
        AS_UNROLL for (int p = 0; p < P; ++p) node_bar[t * P + p] = bar[p];
    }
}

/* All letters from .. to. */
AS_INLINE void AS_T(product_adjoint)(SIG_BACKWARD *back, const VEC *node, VEC *node_bar,
                                     const int P, const VEC *grad, i64 from, i64 to,
                                     const int shared)
{
    const SIG_TREE *tree = &back->tree;
    const i64 channels = tree->plan->channels, steps = tree->steps;
    const int wide = AS_MANY_VECTORS ? 8 : (P > 2 ? 2 : 4);
    for (int c = 0; c < tree->classes; ++c) {
        const SIG_LETTERS when = tree->letters[c];
        const i64 end = as_least(when.first + when.count, to);
        i64 b = as_most(when.first, from);
#define AS_BLOCK(B)                                                                                \
    for (; b + (B) <= end; b += (B))                                                               \
    AS_T(product_adjoint_block)(node, node_bar, P, AS_T(from_letter)(tree->increments, b, shared), \
                                back->scratch->zbar + b, channels, when, steps, B, grad + b,       \
                                shared)
        AS_BLOCK(wide);
        if (wide > 4)
            AS_BLOCK(4);
        if (wide > 2)
            AS_BLOCK(2);
        AS_BLOCK(1);
#undef AS_BLOCK
    }
}

/* P children, from letter a on, of the node at level top - 2, and the words below them that end
 * with letter `from` or a later one. */
AS_INLINE void AS_T(children_adjoint)(SIG_BACKWARD *back, const VEC *restrict h1,
                                      const VEC *restrict h2, VEC *restrict h1_bar,
                                      VEC *restrict h2_bar, i64 a, const int P,
                                      const VEC *restrict end1, VEC *restrict bar1, const VEC *bar2,
                                      i64 from, const int shared)
{
    const SIG_TREE *tree = &back->tree;
    const i64 channels = tree->plan->channels;
    const void *z = AS_T(from_letter)(tree->increments, a, shared);
    VEC *restrict zbar = back->scratch->zbar + a;
    VEC *restrict child = back->scratch->children, *restrict child_bar =
                                                       back->scratch->children_adjoint;
    VEC s[AS_CHILDREN_AT_ONCE], bar[AS_CHILDREN_AT_ONCE];
    AS_UNROLL for (int p = 0; p < P; ++p)
    {
        s[p] = end1[a + p];
        bar[p] = bar1[a + p];
    }
    for (i64 t = tree->steps - 1; t >= 0; --t) {
        AS_UNROLL for (int p = 0; p < P; ++p)
        {
            const VEC move = AS_T(increment)(z, t * channels + p, shared);
            s[p] -= move * h1[t];
            child[t * P + p] = s[p] + move * h2[t];
            child_bar[t * P + p] = (VEC){0};
        }
    }
    AS_T(product_adjoint)(back, child, child_bar, P, bar2 + a * channels, from, channels, shared);
    for (i64 t = tree->steps - 1; t >= 0; --t) {
        VEC sum1 = h1_bar[t], sum2 = h2_bar[t];
        AS_UNROLL for (int p = 0; p < P; ++p)
        {
            const VEC move = AS_T(increment)(z, t * channels + p, shared);
            const VEC up = child_bar[t * P + p];
            sum1 += move * bar[p];
            sum2 += move * up;
            zbar[t * channels + p] += h1[t] * bar[p] + h2[t] * up;
            bar[p] += up;
        }
        h1_bar[t] = sum1;
        h2_bar[t] = sum2;
    }
    AS_UNROLL for (int p = 0; p < P; ++p) bar1[a + p] = bar[p];
}

/* Children of the node from letter `first` on, and their words from letter `from` on. */
AS_INLINE void AS_T(last_two_adjoint)(SIG_BACKWARD *back, i64 level, i64 node, i64 first, i64 from,
                                      const int shared)
{
    const SIG_TREE *tree = &back->tree;
    const SIG_PLAN *p = tree->plan;
    const VEC *h1 = AS_T(horner)(tree, level, 1), *h2 = AS_T(horner)(tree, level, 2);
    VEC *h1_bar = AS_T(horner_bar)(back, level, 1), *h2_bar = AS_T(horner_bar)(back, level, 2);
    const i64 *offset = p->offset + (level - tree->root);
    const VEC *end1 = back->end + offset[1] + node * p->channels;
    VEC *bar1 = back->scratch->adjoint + offset[1] + node * p->channels;
    const VEC *bar2 = back->scratch->adjoint + offset[2] + node * p->power[2];
    i64 a = first;
#define AS_CHILDREN(P)                                                                             \
    for (; a + (P) <= p->channels; a += (P))                                                       \
    AS_T(children_adjoint)(back, h1, h2, h1_bar, h2_bar, a, P, end1, bar1, bar2, from, shared)
    if (AS_MANY_VECTORS)
        AS_CHILDREN(3);
    AS_CHILDREN(2);
    AS_CHILDREN(1);
#undef AS_CHILDREN
}

static void AS_T(last_two_adjoint_any)(SIG_BACKWARD *back, i64 level, i64 node)
{
    AS_T(last_two_adjoint)(back, level, node, 0, 0, 0);
}

static void AS_T(last_two_adjoint_shared)(SIG_BACKWARD *back, i64 level, i64 node)
{
    AS_T(last_two_adjoint)(back, level, node, 0, 0, 1);
}

/* ---- Last two levels, given dimension, path lanes ------------------------------------------ */

/* children_adjoint and its products in one pass: P children from letter a on, and C words below
 * each of them, which end with letter `first` and the next ones. `fresh`: the adjoints of the
 * node's arrays are 0 so far, and not there. */
AS_INLINE void AS_T(tile_adjoint)(SIG_BACKWARD *back, i64 level, i64 node, i64 channels, i64 a,
                                  const int P, i64 first, const int C, const int fresh)
{
    const SIG_TREE *tree = &back->tree;
    const i64 *offset = tree->plan->offset + (level - tree->root);
    const VEC *restrict h1 = AS_T(horner)(tree, level, 1);
    const VEC *restrict h2 = AS_T(horner)(tree, level, 2);
    VEC *restrict h1_bar = AS_T(horner_bar)(back, level, 1);
    VEC *restrict h2_bar = AS_T(horner_bar)(back, level, 2);
    const VEC *rows = (const VEC *)tree->increments + a;
    const VEC *columns = (const VEC *)tree->increments + first;
    VEC *row_bars = back->scratch->zbar + a, *column_bars = back->scratch->zbar + first;
    const VEC *restrict end1 = back->end + offset[1] + node * channels + a;
    VEC *restrict bar1 = back->scratch->adjoint + offset[1] + node * channels + a;
    const VEC *restrict grad =
        back->scratch->adjoint + offset[2] + (node * channels + a) * channels + first;
    VEC g[32], s[8], bar[8];
    AS_UNROLL for (int p = 0; p < P; ++p)
    {
        s[p] = end1[p];
        bar[p] = bar1[p];
        AS_UNROLL for (int b = 0; b < C; ++b) g[p * C + b] = grad[p * channels + b];
    }
    for (i64 t = tree->steps - 1; t >= 0; --t) {
        VEC n1 = h1[t], n2 = h2[t], n1_bar = {0}, n2_bar = {0}, child[8], up[8];
        AS_IN_REGISTER(n1);
        AS_IN_REGISTER(n2);
        if (!fresh) {
            n1_bar = h1_bar[t];
            n2_bar = h2_bar[t];
        }
        AS_UNROLL for (int p = 0; p < P; ++p)
        {
            VEC move = rows[t * channels + p];
            AS_IN_REGISTER(move);
            s[p] -= move * n1;
            child[p] = s[p] + move * n2;
        }
        AS_UNROLL for (int b = 0; b < C; ++b)
        {
            VEC move = columns[t * channels + b], move_bar = column_bars[t * channels + b];
            if (P > 1)
                AS_IN_REGISTER(move);
            AS_UNROLL for (int p = 0; p < P; ++p)
            {
                up[p] = b ? up[p] + g[p * C + b] * move : g[p * C + b] * move;
                move_bar += g[p * C + b] * child[p];
            }
            column_bars[t * channels + b] = move_bar;
        }
        AS_UNROLL for (int p = 0; p < P; ++p)
        {
            const VEC move = rows[t * channels + p];
            n1_bar += move * bar[p];
            n2_bar += move * up[p];
            row_bars[t * channels + p] += n1 * bar[p] + n2 * up[p];
            bar[p] += up[p];
        }
        h1_bar[t] = n1_bar;
        h2_bar[t] = n2_bar;
    }
    AS_UNROLL for (int p = 0; p < P; ++p) bar1[p] = bar[p];
}

AS_INLINE void AS_T(tiles_adjoint)(SIG_BACKWARD *back, i64 level, i64 node, const int D,
                                   const int P)
{
    const int rest = D % P;
    for (int a = 0; a + P <= D; a += P)
        AS_T(tile_adjoint)(back, level, node, D, a, P, 0, D, 0);
    if (rest)
        AS_T(tile_adjoint)(back, level, node, D, D - rest, rest ? rest : 1, 0, D, 0);
}

#define AS_DEFINE_LAST_TWO_ADJOINT(D, P)                                                           \
    static void AS_T(last_two_adjoint_##D)(SIG_BACKWARD * back, i64 level, i64 node)               \
    {                                                                                              \
        AS_T(tiles_adjoint)(back, level, node, D, P);                                              \
    }
#if AS_MANY_VECTORS
#define AS_FOR_ADJOINT_DIMENSIONS(X)                                                               \
    X(2, 2) X(3, 3) X(4, 4) X(5, 3) X(6, 3) X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(12, 2) X(16, 2)
#else
#define AS_FOR_ADJOINT_DIMENSIONS(X)                                                               \
    X(2, 2) X(3, 3) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) X(10, 2) X(16, 2)
#endif
AS_FOR_ADJOINT_DIMENSIONS(AS_DEFINE_LAST_TWO_ADJOINT)
#undef AS_DEFINE_LAST_TWO_ADJOINT

/* Children of the node from letter a on, C + 1 of them as a rule, and their words that end with one
 * of the last C letters. The adjoints of the node's arrays are made. */
AS_INLINE void AS_T(lyndon_tiles_adjoint)(SIG_BACKWARD *back, i64 level, i64 node, i64 a,
                                          const int C, const int P)
{
    const i64 d = back->tree.plan->channels;
    const int rest = (C + 1) % P;
    if (a + P <= d) {
        AS_T(tile_adjoint)(back, level, node, d, a, P, d - C, C, 1);
        a += P;
    } else
        AS_T(tile_adjoint)(back, level, node, d, a++, 1, d - C, C, 1);
    for (; a + P <= d; a += P)
        AS_T(tile_adjoint)(back, level, node, d, a, P, d - C, C, 0);
    if (rest > 1 && a + rest == d)
        AS_T(tile_adjoint)(back, level, node, d, a, rest ? rest : 1, d - C, C, 0);
    else
        for (; a < d; ++a)
            AS_T(tile_adjoint)(back, level, node, d, a, 1, d - C, C, 0);
}

/* How many nodes a tile takes for each number of last letters, as the registers allow. */
#if AS_MANY_VECTORS
#define AS_FOR_ADJOINT_COLUMNS(X)                                                                  \
    X(1, 2)                                                                                        \
    X(2, 3)                                                                                        \
    X(3, 4)                                                                                        \
    X(4, 3)                                                                                        \
    X(5, 3) X(6, 3) X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 2) X(14, 2) X(15, 2)
#else
#define AS_FOR_ADJOINT_COLUMNS(X)                                                                  \
    X(1, 2) X(2, 3) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) X(9, 2) X(10, 2)
#endif

static void AS_T(lyndon_last_two_adjoint)(SIG_BACKWARD *back, i64 level, i64 node, i64 least,
                                          i64 first)
{
#define AS_CASE(C, P)                                                                              \
    case C:                                                                                        \
        AS_T(lyndon_tiles_adjoint)(back, level, node, least, C, P);                                \
        break;
    switch (back->tree.plan->channels - first) {
        AS_FOR_ADJOINT_COLUMNS(AS_CASE)
    default:
        AS_T(clear_horner_bar)(back, level);
        AS_T(last_two_adjoint)(back, level, node, least, first, 0);
    }
#undef AS_CASE
}

static void AS_T(choose_adjoint_tail)(SIG_BACKWARD *back)
{
    back->last_two = AS_T(last_two_adjoint_any);
    if (back->tree.plan->prefix_length) {
        back->last_two = AS_T(last_two_adjoint_shared);
        return;
    }
#define AS_CASE(D, P)                                                                              \
    case D:                                                                                        \
        back->last_two = AS_T(last_two_adjoint_##D);                                               \
        break;
    switch (back->tree.plan->channels) {
        AS_FOR_ADJOINT_DIMENSIONS(AS_CASE)
    default:
        break;
    }
#undef AS_CASE
}

/* ---- Inner nodes --------------------------------------------------------------------------- */

/* Arrays of a node and their adjoints, `chunk` apart, and adjoints of the arrays of its child.
 * Those of the empty word are constants, whose adjoints nobody needs: NULL. */
typedef struct {
    const VEC *h;
    VEC *h_bar;
    const VEC *child_bar;
    const REAL *inverse; /* 1 / m */
    i64 chunk, steps;
} SIG_ARRAYS;

/* Back from a child with M arrays to its parent; returns what the adjoint of the child's S, `bar`
 * at the end of the chunk, gains up to its start. move_bar[t * stride_bar] is its letter's;
 * gain[t * stride_gain], unless NULL, is added to the adjoint of S after step t. */
AS_INLINE VEC AS_T(retreat_steps)(const SIG_ARRAYS *arrays, const void *move, i64 stride,
                                  VEC *restrict move_bar, i64 stride_bar, const VEC *gain,
                                  i64 stride_gain, VEC bar, const int shared, const i64 M)
{
    const i64 chunk = arrays->chunk;
    const VEC *restrict h = arrays->h, *restrict child_bar = arrays->child_bar;
    VEC *restrict h_bar = arrays->h_bar;
    VEC sum = {0};
    for (i64 t = arrays->steps - 1; t >= 0; --t) {
        if (gain)
            sum += gain[t * stride_gain];
        const VEC z = AS_T(increment)(move, t * stride, shared), now = bar + sum;
        VEC z_bar = h[t] * now, change = {0};
        if (h_bar)
            h_bar[t] += z * now;
        for (i64 m = 1; m <= M; ++m) {
            const REAL share = M <= 4 ? (REAL)(1.0 / (double)m) : arrays->inverse[m];
            const VEC up = child_bar[(m - 1) * chunk + t] * share;
            change += up;
            z_bar += h[m * chunk + t] * up;
            if (h_bar)
                h_bar[m * chunk + t] += z * up;
        }
        move_bar[t * stride_bar] += z_bar;
        sum += change;
    }
    return sum;
}

AS_INLINE VEC AS_T(retreat_arrays)(const SIG_ARRAYS *arrays, i64 M, const void *move, i64 stride,
                                   VEC *move_bar, i64 stride_bar, const VEC *gain, i64 stride_gain,
                                   VEC bar, const int shared)
{
#define AS_CASE(COUNT)                                                                             \
    case COUNT:                                                                                    \
        return AS_T(retreat_steps)(arrays, move, stride, move_bar, stride_bar, gain, stride_gain,  \
                                   bar, shared, COUNT)
    switch (M) {
        AS_CASE(0);
        AS_CASE(1);
        AS_CASE(2);
        AS_CASE(3);
        AS_CASE(4);
    default:
        return AS_T(retreat_steps)(arrays, move, stride, move_bar, stride_bar, gain, stride_gain,
                                   bar, shared, M);
    }
#undef AS_CASE
}

/* The adjoint of the child's S at the start of the chunk. */
AS_INLINE VEC AS_T(retreat)(SIG_BACKWARD *back, i64 level, const void *move, i64 stride,
                            VEC *move_bar, i64 stride_bar, VEC bar, const int shared)
{
    const SIG_ARRAYS arrays = {AS_T(horner)(&back->tree, level, 1),
                               level ? AS_T(horner_bar)(back, level, 1) : NULL,
                               AS_T(horner_bar)(back, level + 1, 1),
                               back->inverse,
                               back->tree.plan->chunk,
                               back->tree.steps};
    return bar + AS_T(retreat_arrays)(&arrays, back->tree.top - level - 1, move, stride, move_bar,
                                      stride_bar, NULL, 0, bar, shared);
}

static void AS_T(walk_back)(SIG_BACKWARD *back, i64 level, i64 node)
{
    SIG_TREE *tree = &back->tree;
    const SIG_PLAN *p = tree->plan;
    const i64 d = p->channels, first = p->offset[level - tree->root + 1] + node * d;
    if (tree->top - level == 2) {
        back->last_two(back, level, node);
        return;
    }
    const int shared = p->prefix_length > 0;
    for (i64 a = 0; a < d; ++a) {
        const void *move = AS_T(from_letter)(tree->increments, a, shared);
        VEC *bar = back->scratch->adjoint + first + a, *zbar = back->scratch->zbar + a;
        const VEC s = tree->sig[first + a];
        if (shared)
            AS_T(advance_child)(tree, level, move, d, s, 1);
        else
            AS_T(advance_child)(tree, level, move, d, s, 0);
        AS_T(clear_horner_bar)(back, level + 1);
        AS_T(walk_back)(back, level + 1, node * d + a);
        *bar = shared ? AS_T(retreat)(back, level, move, d, zbar, d, *bar, 1)
                      : AS_T(retreat)(back, level, move, d, zbar, d, *bar, 0);
    }
}

/* The same where only Lyndon words have gradients: as in walk_prenecklaces. */
static void AS_T(walk_back_prenecklaces)(SIG_BACKWARD *back, i64 level, i64 node, i64 *word,
                                         i64 period)
{
    SIG_TREE *tree = &back->tree;
    const i64 left = tree->top - level, d = tree->plan->channels;
    const i64 least = level ? word[level - period] : 0;
    const i64 at = tree->plan->offset[level + 1] + node * d;
    VEC *bar = back->scratch->adjoint + at, *zbar = back->scratch->zbar;
    if (left == 2) {
        AS_T(lyndon_last_two_adjoint)(back, level, node, least, word[0] + 1);
        return;
    }
    for (i64 a = least; a < d; ++a) {
        word[level] = a;
        if (word[0] == d - 1) { /* the last letter begins no longer one */
            for (i64 t = 0; t < tree->steps; ++t)
                zbar[t * d + a] += bar[a];
            return;
        }
        const void *move = AS_T(from_letter)(tree->increments, a, 0);
        AS_T(advance_child)(tree, level, move, d, tree->sig[at + a], 0);
        if (left > 3) /* else tiles make them */
            AS_T(clear_horner_bar)(back, level + 1);
        AS_T(walk_back_prenecklaces)(back, level + 1, node * d + a, word,
                                     level && a == least ? period : level + 1);
        bar[a] = AS_T(retreat)(back, level, move, d, zbar + a, d, bar[a], 0);
    }
}

/* The same where only Lyndon words of the last level have gradients there: as in walk_lyndon. */
static void AS_T(walk_back_lyndon)(SIG_BACKWARD *back, i64 level, i64 node, i64 *word, i64 period)
{
    SIG_TREE *tree = &back->tree;
    const SIG_PLAN *p = tree->plan;
    const i64 left = tree->top - level, d = p->channels, least = level ? word[level - period] : 0;
    const i64 at = p->offset[level + 1] + node * d;
    VEC *bar = back->scratch->adjoint + at;
    if (left == 2) {
        const i64 first = word[0] + 1 < d ? least : d;
        AS_T(product_adjoint)(back, AS_T(horner)(tree, level, 1), AS_T(horner_bar)(back, level, 1),
                              1, bar, 0, first, 0);
        AS_T(last_two_adjoint)(back, level, node, first, word[0] + 1, 0);
        return;
    }
    for (i64 a = 0; a < d; ++a) {
        const i64 child = node * d + a;
        tree->top -= a < least;
        const void *move = AS_T(from_letter)(tree->increments, a, 0);
        AS_T(advance_child)(tree, level, move, d, tree->sig[at + a], 0);
        AS_T(clear_horner_bar)(back, level + 1);
        word[level] = a;
        if (a >= least)
            AS_T(walk_back_lyndon)(back, level + 1, child, word,
                                   level && a == least ? period : level + 1);
        else if (left > 3)
            AS_T(walk_back)(back, level + 1, child);
        else
            AS_T(product_adjoint)(
                back, AS_T(horner)(tree, level + 1, 1), AS_T(horner_bar)(back, level + 1, 1), 1,
                back->scratch->adjoint + p->offset[level + 2] + child * d, 0, d, 0);
        bar[a] = AS_T(retreat)(back, level, move, d, back->scratch->zbar + a, d, bar[a], 0);
        tree->top += a < least;
    }
}

/* From the root of the tree through the prefixes of the lanes back to the empty word. */
static void AS_T(chain_back)(SIG_BACKWARD *back, SIG_CHAIN *chain)
{
    const SIG_VJP_SCRATCH *scratch = back->scratch;
    const i64 channels = back->tree.plan->channels, steps = back->tree.steps;
    for (i64 i = back->tree.plan->prefix_length - 1; i >= 0; --i) {
        AS_T(gather_moves)(&back->tree, chain->letter[i], chain->moves);
        memset(scratch->moves_adjoint, 0, sizeof(VEC) * (size_t)steps);
        scratch->chain_adjoint[i] = AS_T(retreat)(back, i, chain->moves, 1, scratch->moves_adjoint,
                                                  1, scratch->chain_adjoint[i], 0);
        for (i64 t = 0; t < steps; ++t)
            for (int l = 0; l < AS_LANES; ++l)
                scratch->zbar[t * channels + chain->letter[i][l]][l] +=
                    scratch->moves_adjoint[t][l];
    }
}

/* zbar of a chunk; `state` and back->end are checkpoints at its start and end. */
static void AS_T(chunk_back)(SIG_BACKWARD *back, SIG_CHAIN *chain, const SIG_VJP_JOB *job,
                             VEC *state)
{
    const SIG_PLAN *p = job->plan;
    const SIG_VJP_SCRATCH *scratch = back->scratch;
    memset(scratch->zbar, 0, sizeof(VEC) * (size_t)(back->tree.steps * p->channels));
    for (i64 level = 1; level <= p->prefix_length; ++level)
        AS_T(clear_horner_bar)(back, level);
    back->tree.sig = state;
    if (p->prefix_length) {
        memcpy(scratch->chain, state + job->lower_words, sizeof(VEC) * (size_t)p->prefix_length);
        chain->sig = scratch->chain;
        AS_T(walk_chain)(&back->tree, chain);
    }
    i64 word[AS_MAX_DEGREE];
    if (p->filled)
        AS_T(walk_back_prenecklaces)(back, 0, 0, word, 0);
    else if (p->lyndon)
        AS_T(walk_back_lyndon)(back, 0, 0, word, 0);
    else if (p->levels > 1)
        AS_T(walk_back)(back, p->prefix_length, 0);
    else
        AS_T(product_adjoint)(back, AS_T(horner)(&back->tree, p->prefix_length, 1),
                              AS_T(horner_bar)(back, p->prefix_length, 1), 1, scratch->adjoint, 0,
                              p->channels, 1);
    AS_T(chain_back)(back, chain);
}

/* ---- From increments to points ------------------------------------------------------------- */

/* zbar of the augmented steps to that of the raw ones, in place: [raw step][dimension]. */
static void AS_T(fold_increments)(const SIG_PLAN *p, i64 raw_steps, VEC *zbar)
{
    if (!p->time_aug && !p->lead_lag)
        return;
    const i64 d = p->dimension, c = p->channels;
    const VEC *from = zbar;
    for (i64 i = 0; i < raw_steps; ++i, zbar += d, from += p->steps_per_raw * c)
        for (i64 a = 0; a < d; ++a)
            zbar[a] = p->lead_lag ? from[d + a] + from[c + a] : from[a];
}

/* Path lanes: points first + 1 .. first + count of each stretch; zbar has the row after them, is
 * overwritten, and its first row goes to `carry`. Transposes of the chunk come before the first
 * store: stores that jump from path to path fill no line at once and wait for all of them. */
static void AS_T(write_points)(const SIG_VJP_JOB *job, const SIG_LANES *lanes, i64 first, i64 count,
                               VEC *zbar, VEC *carry)
{
    const SIG_PLAN *p = job->plan;
    const i64 d = p->dimension, size = count * d;
    const int ends = p->stretches > 1 && first + count == lanes->longest;
    REAL *to[AS_LANES];
    for (int l = 0; l < AS_LANES; ++l) {
        to[l] = job->out + (lanes->start[l] - job->path) + (first + 1) * d;
        if (ends && lanes->steps[l] < lanes->longest) /* this lane has no last step */
            for (i64 a = 0; a < d; ++a)
                zbar[size - d + a][l] = 0;
    }
    memcpy(carry, zbar, sizeof(VEC) * (size_t)d);
    const i64 common = ends ? size - d : size; /* the rows that all lanes have */
    i64 whole = 0;
    for (; whole + AS_LANES <= common; whole += AS_LANES) {
        VEC *r = zbar + whole;
        AS_UNROLL for (int l = 0; l < AS_LANES; ++l) r[l] -= r[l + d];
        AS_T(transpose)(r);
    }
    for (int l = 0; l < lanes->count; ++l) {
        const i64 mine = ends && lanes->steps[l] < lanes->longest ? size - d : size;
        for (i64 k = 0; k < whole; k += AS_LANES)
            AS_T(store)(to[l] + k, zbar[k + l]);
        for (i64 k = whole; k < mine; ++k)
            to[l][k] = zbar[k][l] - zbar[k + d][l];
    }
}

/* Path lanes: what the first step of each stretch gives to its first point. */
static void AS_T(write_first_points)(const SIG_VJP_JOB *job, const SIG_LANES *lanes,
                                     const VEC *zbar)
{
    const SIG_PLAN *p = job->plan;
    for (int l = 0; l < lanes->count; ++l) {
        REAL *to = p->stretches > 1 ? job->edges + (lanes->first + l) * p->dimension
                                    : job->out + (lanes->start[l] - job->path);
        for (i64 a = 0; a < p->dimension; ++a)
            to[a] = -zbar[a][l];
    }
}

/* Prefix lanes: adds what a chunk gives to the points of its path. */
static void AS_T(add_points)(const SIG_PLAN *p, i64 first, i64 count, const VEC *zbar, REAL *points)
{
    const i64 d = p->dimension, size = count * d;
    REAL *before = points + first * d, *after = before + d;
    for (i64 k = 0; k < size; k += AS_LANES) {
        VEC r[AS_LANES], sum = {0};
        for (i64 l = 0; l < AS_LANES; ++l)
            r[l] = k + l < size ? zbar[k + l] : (VEC){0};
        AS_T(transpose)(r);
        AS_UNROLL for (int l = 0; l < AS_LANES; ++l) sum += r[l];
        for (i64 l = 0; l < AS_LANES && k + l < size; ++l) {
            after[k + l] += sum[l];
            before[k + l] -= sum[l];
        }
    }
}

/* ---- Adjoints at the end of a group -------------------------------------------------------- */

/* Fills the adjoint and the state at the start; `room` holds lower_words VECs. */
static void AS_T(start_path_lanes)(const SIG_VJP_JOB *job, const SIG_LANES *lanes, VEC *adjoint,
                                   VEC *state, VEC *room)
{
    const SIG_PLAN *p = job->plan;
    const REAL *grad[AS_LANES], *before[AS_LANES], *after[AS_LANES];
    for (int l = 0; l < AS_LANES; ++l) {
        const i64 lane = lanes->first + (l < lanes->count ? l : 0);
        grad[l] = job->grad + lane / p->stretches * p->row + p->scalar_term;
        before[l] = job->before + (p->stretches > 1 ? lane * job->lower_words : 0);
        after[l] = job->after + (p->stretches > 1 ? lane * job->lower_words : 0);
    }
    AS_T(load_lanes)(grad, p->words, 0, adjoint);
    if (p->stretches == 1) {
        memset(state, 0, sizeof(VEC) * (size_t)job->state);
        return;
    }
    AS_T(load_lanes)(before, job->lower_words, 0, state);
    AS_T(load_lanes)(after, job->lower_words, 0, room);
    /* what the stretches that follow give to S; the last level of `room` is not read */
    AS_T(contract_right_lanes)(p, p->degree, adjoint, room, 1, 1);
}

/* The words below each lane's prefix, and in chain_adjoint its letters': every word in one lane. */
static void AS_T(start_prefix_lanes)(const SIG_VJP_JOB *job, const SIG_LANES *lanes, VEC *adjoint,
                                     VEC *chain_adjoint, VEC *state)
{
    const SIG_PLAN *p = job->plan;
    const REAL *grad = job->grad + lanes->path * p->row + p->scalar_term;
    memset(state, 0, sizeof(VEC) * (size_t)job->state);
    for (i64 k = 1; k <= p->levels; ++k) {
        const REAL *rows[AS_LANES];
        for (int l = 0; l < AS_LANES; ++l)
            rows[l] = grad + p->offset[p->prefix_length + k] +
                      (lanes->first_prefix + (l < lanes->count ? l : 0)) * p->power[k];
        AS_T(load_lanes)(rows, p->power[k], 0, adjoint + p->offset[k]);
    }
    for (i64 w = 0; lanes->count < AS_LANES && w < p->tree_words; ++w)
        for (i64 l = lanes->count; l < AS_LANES; ++l)
            adjoint[w][l] = 0;
    for (i64 k = 1; k <= p->prefix_length; ++k) {
        const i64 below = p->power[p->prefix_length - k];
        for (int l = 0; l < AS_LANES; ++l) {
            const i64 prefix = lanes->first_prefix + l;
            const int mine = l < lanes->count && prefix % below == 0;
            chain_adjoint[k - 1][l] = mine ? grad[p->offset[k] + prefix / below] : 0;
        }
    }
}

/* ---- One group ----------------------------------------------------------------------------- */

/* What a worker keeps: the backward walk, the forward one of levels < degree, and positions. */
typedef struct {
    SIG_BACKWARD back;
    SIG_TREE forward;
    SIG_CHAIN chain;
    SIG_LANES lanes;
    i64 chunks, loaded; /* of this group; chunk whose increments are in scratch, or -1 */
} SIG_VJP_WALK;

static i64 AS_T(chunk_start)(const SIG_VJP_WALK *w, i64 chunk)
{
    return w->lanes.longest * chunk / w->chunks;
}

static void AS_T(load_chunk)(SIG_VJP_WALK *w, i64 chunk)
{
    const SIG_PLAN *p = w->forward.plan;
    const SIG_VJP_SCRATCH *scratch = w->back.scratch;
    const i64 first = AS_T(chunk_start)(w, chunk), count = AS_T(chunk_start)(w, chunk + 1) - first;
    w->forward.steps = w->back.tree.steps = count * p->steps_per_raw;
    if (w->loaded != chunk)
        AS_T(load_increments)(p, &w->lanes, first, count, scratch->raw, scratch->increments);
    w->loaded = chunk;
}

/* The checkpoint after a chunk from the one before it. */
static void AS_T(advance_state)(SIG_VJP_WALK *w, const SIG_VJP_JOB *job, i64 chunk, const VEC *from,
                                VEC *to)
{
    const SIG_PLAN *p = job->plan;
    AS_T(load_chunk)(w, chunk);
    memmove(to, from, sizeof(VEC) * (size_t)job->state);
    w->forward.sig = to;
    w->chain.sig = to + job->lower_words;
    AS_T(walk_chain)(&w->forward, &w->chain);
    if (p->levels > 1)
        AS_T(walk)(&w->forward);
}

/* Gradient of one group; prefix lanes add to `points`. Returns whether it was cancelled. */
static int AS_T(group_back)(SIG_VJP_WALK *w, const SIG_VJP_JOB *job, REAL *points)
{
    const SIG_PLAN *p = job->plan;
    const SIG_VJP_SCRATCH *scratch = w->back.scratch;
    const i64 block = job->block, d = p->dimension;
    w->chunks = AS_T(chunk_count)(p, w->lanes.longest);
    w->loaded = -1;
    const i64 blocks = as_ceil_div(w->chunks, block);
    if (p->prefix_length)
        AS_T(start_prefix_lanes)(job, &w->lanes, scratch->adjoint, scratch->chain_adjoint,
                                 scratch->coarse);
    else
        AS_T(start_path_lanes)(job, &w->lanes, scratch->adjoint, scratch->coarse, scratch->fine);
    for (i64 i = 0; i < (blocks - 1) * block; ++i) {
        if (as_cancelled(job->control))
            return 1;
        VEC *from = scratch->coarse + i / block * job->state, *to = from + job->state;
        AS_T(advance_state)(w, job, i, i % block ? to : from, to);
    }
    for (i64 b = blocks - 1; b >= 0; --b) {
        const i64 begin = b * block, end = as_least(begin + block, w->chunks);
        memcpy(scratch->fine, scratch->coarse + b * job->state, sizeof(VEC) * (size_t)job->state);
        for (i64 i = begin; i < end; ++i) {
            if (as_cancelled(job->control))
                return 1;
            VEC *from = scratch->fine + (i - begin) * job->state;
            AS_T(advance_state)(w, job, i, from, from + job->state);
        }
        if (p->filled && b == blocks - 1) {
            VEC *last = scratch->fine + (end - begin) * job->state;
            AS_T(fill)(p->fill, as_least(p->filled, p->degree - 1), last);
            AS_T(fill_adjoint)(p->fill, p->filled, last, scratch->adjoint);
        }
        for (i64 i = end - 1; i >= begin; --i) {
            if (as_cancelled(job->control))
                return 1;
            const i64 first = AS_T(chunk_start)(w, i), count = AS_T(chunk_start)(w, i + 1) - first;
            VEC *state = scratch->fine + (i - begin) * job->state;
            AS_T(load_chunk)(w, i);
            w->back.end = state + job->state;
            if (!p->prefix_length && i > 0) {
                const i64 before = AS_T(chunk_start)(w, i - 1);
                AS_T(prefetch_points)(p, &w->lanes, before, first - before, job->path, job->path);
                AS_T(prefetch_points)(p, &w->lanes, before, first - before, job->path, job->out);
            }
            AS_T(chunk_back)(&w->back, &w->chain, job, state);
            AS_T(fold_increments)(p, count, scratch->zbar);
            if (p->prefix_length) {
                AS_T(add_points)(p, first, count, scratch->zbar, points);
                continue;
            }
            VEC *after = scratch->zbar + count * d;
            if (i == w->chunks - 1)
                memset(after, 0, sizeof(VEC) * (size_t)d);
            else
                memcpy(after, scratch->carry, sizeof(VEC) * (size_t)d);
            AS_T(write_points)(job, &w->lanes, first, count, scratch->zbar, scratch->carry);
        }
    }
    if (!p->prefix_length)
        AS_T(write_first_points)(job, &w->lanes, scratch->carry);
    return 0;
}

/* ---- Driver -------------------------------------------------------------------------------- */

static void AS_T(lay_out_vjp)(const SIG_VJP_JOB *job, SIG_ARENA *arena, SIG_VJP_SCRATCH *s)
{
    const SIG_PLAN *p = job->plan;
    const int augmented = p->time_aug || p->lead_lag;
    s->adjoint = AS_T(take)(arena, p->tree_words);
    s->fine = AS_T(take)(arena, (job->block + 1) * job->state);
    s->coarse = AS_T(take)(arena, as_ceil_div(job->chunks, job->block) * job->state);
    s->increments = AS_T(take)(arena, AS_T(increments_size)(p));
    s->raw = AS_T(take)(arena, augmented ? AS_T(increments_size)(p) : 0);
    s->zbar = AS_T(take)(arena, p->chunk * p->channels + p->dimension);
    s->carry = AS_T(take)(arena, p->dimension);
    s->horner = AS_T(take)(arena, AS_T(horner_size)(p));
    s->horner_adjoint = AS_T(take)(arena, AS_T(horner_size)(p));
    s->children = AS_T(take)(arena, p->chunk * AS_CHILDREN_AT_ONCE);
    s->children_adjoint = AS_T(take)(arena, p->chunk * AS_CHILDREN_AT_ONCE);
    s->moves = AS_T(take)(arena, p->prefix_length ? p->chunk : 0);
    s->moves_adjoint = AS_T(take)(arena, p->prefix_length ? p->chunk : 0);
    s->chain = AS_T(take)(arena, p->prefix_length);
    s->chain_adjoint = AS_T(take)(arena, p->prefix_length);
}

/* Runs body(worker state, job) with scratch memory; a worker of all phases that walk groups. */
static void AS_T(with_scratch)(SIG_VJP_JOB *job, void (*body)(SIG_VJP_WALK *, SIG_VJP_JOB *))
{
    const SIG_PLAN *p = job->plan;
    SIG_VJP_SCRATCH scratch;
    AS_LAY_OUT(AS_T(lay_out_vjp), job, scratch, job->failed);
    SIG_VJP_WALK walk;
    walk.chain.moves = scratch.moves;
    walk.back.scratch = &scratch;
    AS_T(start_tree)(&walk.forward, p, p->degree - 1, scratch.horner, scratch.children,
                     scratch.increments);
    walk.back.tree = walk.forward;
    walk.back.tree.top = p->degree;
    for (i64 m = 1; m < p->degree; ++m)
        walk.back.inverse[m] = (REAL)(1.0 / (double)m);
    AS_T(choose_adjoint_tail)(&walk.back);
    body(&walk, job);
    AS_FREE_SCRATCH();
}

/* Signatures of all stretches, levels < degree, into both before and after. */
static void AS_T(sum_stretches)(SIG_VJP_WALK *w, SIG_VJP_JOB *job)
{
    const SIG_PLAN *p = job->plan;
    VEC *state = w->back.scratch->fine;
    for (i64 g; (g = as_next_unit(&job->next)) < p->groups;) {
        AS_T(lanes_of_group)(p, job->path, g, &w->lanes);
        w->chunks = AS_T(chunk_count)(p, w->lanes.longest);
        w->loaded = -1;
        memset(state, 0, sizeof(VEC) * (size_t)job->state);
        for (i64 i = 0; i < w->chunks; ++i) {
            if (as_cancelled(job->control))
                return;
            AS_T(advance_state)(w, job, i, state, state);
        }
        if (p->filled)
            AS_T(fill)(p->fill, as_least(p->filled, p->degree - 1), state);
        const i64 first = w->lanes.first * job->lower_words;
        AS_T(store_lanes)(state, job->lower_words, (int)w->lanes.count, job->lower_words,
                          job->before + first);
        memcpy(job->after + first, job->before + first,
               sizeof(REAL) * (size_t)(w->lanes.count * job->lower_words));
    }
}

static void AS_T(sum_stretches_worker)(void *job) { AS_T(with_scratch)(job, AS_T(sum_stretches)); }

/* Per path: before[q] = product of the stretches before q, after[q] = of those after it. */
static void AS_T(products_worker)(void *argument)
{
    SIG_VJP_JOB *job = argument;
    const SIG_PLAN *p = job->plan;
    const i64 words = job->lower_words, top = p->degree - 1;
    const size_t bytes = sizeof(REAL) * (size_t)words;
    REAL *product = malloc(2 * bytes);
    if (!product) {
        __atomic_store_n(&job->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    REAL *longer = product + words;
    for (i64 b; (b = as_next_unit(&job->next)) < p->batch && !as_cancelled(job->control);) {
        REAL *before = job->before + b * p->stretches * words;
        REAL *after = job->after + b * p->stretches * words;
        memset(before, 0, bytes);
        for (i64 q = 1; q < p->stretches; ++q) {
            memcpy(before + q * words, before + (q - 1) * words, bytes);
            AS_T(product_rows)(p, top, before + q * words, after + (q - 1) * words, 1, 1);
        }
        memset(product, 0, bytes);
        for (i64 q = p->stretches - 1; q >= 0; --q) {
            memcpy(longer, after + q * words, bytes);
            memcpy(after + q * words, product, bytes);
            AS_T(product_rows)(p, top, longer, product, 1, 1);
            memcpy(product, longer, bytes);
        }
    }
    free(product);
}

static void AS_T(path_lanes_back)(SIG_VJP_WALK *w, SIG_VJP_JOB *job)
{
    for (i64 g; (g = as_next_unit(&job->next)) < job->plan->groups;) {
        AS_T(lanes_of_group)(job->plan, job->path, g, &w->lanes);
        if (AS_T(group_back)(w, job, NULL))
            return;
        as_count(job->control, AS_T(paths_finished)(job->plan, &w->lanes));
    }
}

static void AS_T(prefix_lanes_back)(SIG_VJP_WALK *w, SIG_VJP_JOB *job)
{
    const SIG_PLAN *p = job->plan;
    const i64 size = p->length * p->dimension, groups = p->groups_per_path;
    for (i64 unit; (unit = as_next_unit(&job->next)) < p->batch * job->runs;) {
        const i64 b = unit / job->runs, run = unit % job->runs;
        REAL *points = run ? job->partial + ((run - 1) * p->batch + b) * size : job->out + b * size;
        memset(points, 0, sizeof(REAL) * (size_t)size);
        for (i64 g = run * groups / job->runs; g < (run + 1) * groups / job->runs; ++g) {
            AS_T(lanes_of_group)(p, job->path, b * groups + g, &w->lanes);
            AS_T(set_prefixes)(p, &w->lanes, &w->chain);
            if (AS_T(group_back)(w, job, points))
                return;
        }
        as_count(job->control, run == job->runs - 1);
    }
}

static void AS_T(vjp_worker)(void *argument)
{
    SIG_VJP_JOB *job = argument;
    AS_T(with_scratch)(job,
                       job->plan->prefix_length ? AS_T(prefix_lanes_back) : AS_T(path_lanes_back));
}

/* The first point of a stretch is the last of the one before it: both gave to it. */
static void AS_T(add_edges)(const SIG_VJP_JOB *job)
{
    const SIG_PLAN *p = job->plan;
    const i64 d = p->dimension;
    for (i64 lane = 0; lane < p->batch * p->stretches; ++lane) {
        const i64 stretch = lane % p->stretches;
        REAL *to =
            job->out + (lane / p->stretches * p->length + AS_T(stretch_start)(p, stretch)) * d;
        for (i64 a = 0; a < d; ++a)
            to[a] = (stretch ? to[a] : 0) + job->edges[lane * d + a];
    }
}

/* Sizes of checkpoints and runs, and the memory of the job; 0 when there is none. */
static int AS_T(prepare_vjp)(SIG_VJP_JOB *job)
{
    const SIG_PLAN *p = job->plan;
    job->lower_words = p->offset[p->levels];
    job->state = job->lower_words + p->prefix_length;
    job->chunks = AS_T(chunk_count)(p, as_ceil_div(p->raw_steps, p->stretches));
    job->block = job->chunks;
    if (job->chunks * job->state * (i64)sizeof(VEC) > AS_CHECKPOINT_BYTES) {
        job->block = 1;
        while (job->block * job->block < job->chunks)
            ++job->block;
    }
    const i64 lanes = p->batch * p->stretches;
    if (p->stretches > 1) {
        job->before = malloc(sizeof(REAL) * (size_t)(lanes * job->lower_words));
        job->after = malloc(sizeof(REAL) * (size_t)(lanes * job->lower_words));
        job->edges = malloc(sizeof(REAL) * (size_t)(lanes * p->dimension));
        return job->before && job->after && job->edges;
    }
    job->runs = 1;
    if (p->prefix_length && p->batch < 2 * p->threads && p->batch % p->threads)
        job->runs = as_least(p->threads, p->groups_per_path);
    if (job->runs > 1) {
        const i64 size = p->batch * p->length * p->dimension;
        job->partial = malloc(sizeof(REAL) * (size_t)((job->runs - 1) * size));
        return job->partial != NULL;
    }
    return 1;
}

static void AS_T(run_phase)(SIG_VJP_JOB *job, void (*worker)(void *))
{
    if (job->failed || as_cancelled(job->control))
        return;
    job->next = 0;
    as_run_workers(worker, job, job->plan->threads);
}

static int AS_T(walk_gradients)(const SIG_PLAN *p, const REAL *grad, const REAL *path, REAL *out,
                                i64 *control)
{
    SIG_VJP_JOB
    job = {.plan = p, .grad = grad, .path = path, .out = out, .control = control};
    job.failed = !AS_T(prepare_vjp)(&job);
    if (p->stretches > 1) {
        AS_T(run_phase)(&job, AS_T(sum_stretches_worker));
        AS_T(run_phase)(&job, AS_T(products_worker));
    }
    AS_T(run_phase)(&job, AS_T(vjp_worker));
    if (!job.failed && !as_cancelled(control)) {
        if (p->stretches > 1)
            AS_T(add_edges)(&job);
        const i64 size = p->batch * p->length * p->dimension;
        for (i64 r = 0; r < job.runs - 1; ++r)
            for (i64 i = 0; i < size; ++i)
                out[i] += job.partial[r * size + i];
    }
    free(job.before);
    free(job.after);
    free(job.edges);
    free(job.partial);
    return job.failed ? AS_OUT_OF_MEMORY : AS_OK;
}

/* Where the signature is a function of the displacement only the end points matter. */
static void AS_T(vjp_of_displacement)(const SIG_PLAN *p, const REAL *grad, const REAL *path,
                                      REAL *out, i64 *control)
{
    const i64 d = p->dimension, size = p->length * d;
    for (i64 b = 0; b < p->batch && !as_cancelled(control); ++b) {
        const REAL *g = grad + b * p->row + p->scalar_term;
        REAL *points = out + b * size;
        memset(points, 0, sizeof(REAL) * (size_t)size);
        for (i64 a = 0; a < d && p->raw_steps && p->degree; ++a) {
            double sum = 0;
            if (p->degree == 1)
                sum = (double)g[a] + (p->lead_lag ? (double)g[d + a] : 0);
            else {
                const double step = (double)AS_T(displacement)(p, path + b * size, 0);
                double level = 1;
                for (i64 k = 1; k <= p->degree; ++k) {
                    sum += (double)g[k - 1] * level;
                    level *= step / (double)k;
                }
            }
            points[a] = (REAL)-sum;
            points[p->raw_steps * d + a] = (REAL)sum;
        }
        as_count(control, 1);
    }
}

int AS_ENTRY_NAME(sig_vjp)(const REAL *grad, const REAL *path, REAL *out, i64 batch, i64 length,
                           i64 dimension, i64 degree, i64 time_aug, i64 lead_lag, double end_time,
                           i64 scalar_term, i64 lyndon, int threads, i64 *control)
{
    SIG_PLAN plan;
    AS_T(describe)(&plan, batch, length, dimension, degree, time_aug, lead_lag, end_time,
                   scalar_term, threads);
    int status = AS_OK;
    if (degree <= 1 || plan.channels <= 1 || plan.raw_steps < 1 || batch < 1)
        AS_T(vjp_of_displacement)(&plan, grad, path, out, control);
    else if (degree == 2)
        status = AS_T(degree2)(&plan, grad, path, out, control);
    else {
        const i64 lower = plan.offset[degree] * 2 * (i64)sizeof(REAL);
        AS_T(choose_words)(&plan, lyndon != 0);
        AS_T(plan_lanes)(&plan, 16 << 10, lower, 0);
        status = AS_T(prepare_words)(&plan) ? AS_T(walk_gradients)(&plan, grad, path, out, control)
                                            : AS_OUT_OF_MEMORY;
    }
    return as_cancelled(control) ? AS_CANCELLED : status;
}
