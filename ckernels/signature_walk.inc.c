/* The walk over words: advances the signatures of AS_LANES lanes by a chunk of time.
 *
 * Per step with increment z, level k of the signature S at the word ua grows by z_a H_1(u), where
 *     H_m(u) = S(u) + z_{u_j} / (m + 1) * H_{m+1}(u'),   j = |u|, u' = u less its last letter,
 *     H_m(empty word) = 1,   m = 1 .. degree - j,   all S as before the step
 * (Horner's form of S (x) exp(z)). Instead of passing over all words in every step, the tree of
 * words is walked once per chunk: a node u holds h_m(u)[t] = H_m(u)[t] / m for all steps t of the
 * chunk, and its child ua has
 *     h_m(ua)[t] = (s + z_a[t] h_{m+1}(u)[t]) / m,   then s += z_a[t] h_1(u)[t],
 * s being S(ua). The last level, nearly all of the work, is a product of small matrices,
 *     S(ua) += sum over t of h_1(u)[t] z_a[t],
 * whose accumulators stay in registers over the chunk. The last two levels (three where the
 * dimension has its own code) are fused, so that h at the last nodes is never stored.
 *
 * `shared`: increments are REALs common to all lanes (signature_lanes.inc.c). It and all `const
 * int` parameters are constants after inlining.
 * References: Kidger, Lyons, arXiv:2001.00706 (Horner's form); the walk is this library's.
 */

#define SIG_LETTERS AS_T(letters)
#define SIG_TREE AS_T(tree)
#define SIG_NODE_SOURCE AS_T(node_source)
#define SIG_CHAIN AS_T(chain)

/* Letters first .. first + count move only in steps start, start + stride, ... of a chunk. */
typedef struct {
    i64 first, count, start, stride;
} SIG_LETTERS;

typedef struct SIG_TREE {
    const SIG_PLAN *plan;
    i64 root, top;          /* levels of the root and of the last words; root < top <= degree */
    i64 steps;              /* augmented, in this chunk */
    const void *increments; /* [step][channel] */
    VEC *sig;               /* the tree; level root + k at plan->offset[k] */
    VEC *horner;            /* h_m of the nodes on the current branch, see AS_T(horner) */
    VEC *children;          /* h_1 of a few last nodes, [step][node] */
    int classes;            /* classes of letters that move together */
    SIG_LETTERS letters[3];
    void (*last_two)(struct SIG_TREE *, i64 level, i64 node);
    void (*last_three)(struct SIG_TREE *, i64 level, i64 node); /* or NULL */
} SIG_TREE;

/* h_m of the node at `level` of the current branch, m = 1 .. degree - level. */
AS_INLINE VEC *AS_T(horner)(const SIG_TREE *tree, i64 level, i64 m)
{
    const i64 before = level * tree->plan->degree - level * (level - 1) / 2;
    return tree->horner + (before + m - 1) * tree->plan->chunk;
}

/* How many VECs all of them take, nodes of levels 0 .. degree - 1. */
static i64 AS_T(horner_size)(const SIG_PLAN *p)
{
    return p->degree * (p->degree + 1) / 2 * p->chunk;
}

#define AS_CHILDREN_AT_ONCE 4

AS_INLINE VEC AS_T(increment)(const void *increments, i64 index, const int shared)
{
    return shared ? AS_T(all_lanes)(((const REAL *)increments)[index])
                  : ((const VEC *)increments)[index];
}

AS_INLINE const void *AS_T(from_letter)(const void *increments, i64 letter, const int shared)
{
    return shared ? (const void *)((const REAL *)increments + letter)
                  : (const void *)((const VEC *)increments + letter);
}

/* ---- Any dimension ------------------------------------------------------------------------- */

/* sig[p * row + b] += sum over steps of h[t][p] z[t][b]: P nodes, B letters. */
AS_INLINE void AS_T(product_block)(const VEC *restrict h, const int P, const void *restrict z,
                                   i64 channels, SIG_LETTERS when, i64 steps, const int B,
                                   VEC *restrict sig, i64 row, const int shared)
{
    VEC sum[32];
    AS_UNROLL for (int k = 0; k < P * B; ++k) sum[k] = (VEC){0};
    for (i64 t = when.start; t < steps; t += when.stride) {
        VEC node[AS_CHILDREN_AT_ONCE];
        AS_UNROLL for (int p = 0; p < P; ++p) node[p] = h[t * P + p];
        AS_UNROLL for (int b = 0; b < B; ++b)
        {
            VEC move = AS_T(increment)(z, t * channels + b, shared);
            if (P > 1)
                AS_IN_REGISTER(move);
            AS_UNROLL for (int p = 0; p < P; ++p) sum[p * B + b] += node[p] * move;
        }
    }
    AS_UNROLL for (int p = 0; p < P; ++p)
    {
        AS_UNROLL for (int b = 0; b < B; ++b) sig[p * row + b] += sum[p * B + b];
    }
}

/* The product for letters from .. to: S of the children of P nodes, whose rows are `sig`. */
AS_INLINE void AS_T(product)(const SIG_TREE *tree, const VEC *h, const int P, VEC *sig, i64 from,
                             i64 to, const int shared)
{
    const i64 channels = tree->plan->channels, steps = tree->steps;
    const int wide = AS_MANY_VECTORS ? (P > 2 ? 8 : P > 1 ? 12 : 24) : (P > 2 ? 3 : P > 1 ? 4 : 8);
    for (int c = 0; c < tree->classes; ++c) {
        const SIG_LETTERS when = tree->letters[c];
        const i64 end = as_least(when.first + when.count, to);
        i64 b = as_most(when.first, from);
#define AS_BLOCK(B)                                                                                \
    for (; b + (B) <= end; b += (B))                                                               \
    AS_T(product_block)(h, P, AS_T(from_letter)(tree->increments, b, shared), channels, when,      \
                        steps, B, sig + b, channels, shared)
        AS_BLOCK(wide);
        if (wide > 8)
            AS_BLOCK(8);
        if (wide > 4)
            AS_BLOCK(4);
        if (wide > 3)
            AS_BLOCK(3);
        AS_BLOCK(2);
        AS_BLOCK(1);
#undef AS_BLOCK
    }
}

/* P children of a node at level top - 2, from letter a on, and the words below them that end with
 * letter `from` or a later one. */
AS_INLINE void AS_T(children_and_product)(SIG_TREE *tree, const VEC *restrict h1,
                                          const VEC *restrict h2, i64 a, const int P, VEC *sig1,
                                          VEC *sig2, i64 from, const int shared)
{
    const i64 channels = tree->plan->channels;
    const void *z = AS_T(from_letter)(tree->increments, a, shared);
    VEC *restrict child = tree->children;
    VEC s[AS_CHILDREN_AT_ONCE], more[AS_CHILDREN_AT_ONCE];
    AS_UNROLL for (int p = 0; p < P; ++p)
    {
        s[p] = sig1[a + p];
        more[p] = (VEC){0};
    }
    for (i64 t = 0; t < tree->steps; ++t) {
        AS_UNROLL for (int p = 0; p < P; ++p)
        {
            const VEC move = AS_T(increment)(z, t * channels + p, shared);
            child[t * P + p] = (s[p] + more[p]) + move * h2[t];
            more[p] += move * h1[t];
        }
    }
    AS_UNROLL for (int p = 0; p < P; ++p) sig1[a + p] = s[p] + more[p];
    AS_T(product)(tree, child, P, sig2 + a * channels, from, channels, shared);
}

/* Children of the node from letter `first` on, and their words from letter `from` on. */
AS_INLINE void AS_T(last_two_levels)(SIG_TREE *tree, i64 level, i64 node, i64 first, i64 from,
                                     const int shared)
{
    const SIG_PLAN *p = tree->plan;
    const VEC *h1 = AS_T(horner)(tree, level, 1), *h2 = AS_T(horner)(tree, level, 2);
    VEC *sig1 = tree->sig + p->offset[level - tree->root + 1] + node * p->channels;
    VEC *sig2 = tree->sig + p->offset[level - tree->root + 2] + node * p->power[2];
    i64 a = first;
    for (; a + 3 <= p->channels; a += 3)
        AS_T(children_and_product)(tree, h1, h2, a, 3, sig1, sig2, from, shared);
    for (; a + 2 <= p->channels; a += 2)
        AS_T(children_and_product)(tree, h1, h2, a, 2, sig1, sig2, from, shared);
    for (; a < p->channels; ++a)
        AS_T(children_and_product)(tree, h1, h2, a, 1, sig1, sig2, from, shared);
}

static void AS_T(last_two_any)(SIG_TREE *tree, i64 level, i64 node)
{
    AS_T(last_two_levels)(tree, level, node, 0, 0, 0);
}

static void AS_T(last_two_shared)(SIG_TREE *tree, i64 level, i64 node)
{
    AS_T(last_two_levels)(tree, level, node, 0, 0, 1);
}

/* ---- Given dimension, path lanes ----------------------------------------------------------- */

/* How h_1 and h_2 of the node at level top - 2 come to the tile. */
#define AS_FROM_ARRAYS 0 /* h1, h2 are its arrays */
#define AS_FROM_PARENT 1 /* h1, h2, h3 are its parent's: made here, and s advanced */
#define AS_FROM_PAIRS 2  /* kept by an AS_FROM_PARENT tile in pairs[2t], pairs[2t + 1] */

typedef struct {
    const VEC *h1, *h2, *h3;
    VEC *pairs, *sig;
    int letter; /* of the node, in AS_FROM_PARENT */
} SIG_NODE_SOURCE;

/* P children, from letter a on, of a node at level top - 2, and C words below each of them, that
 * end with letter `first` and the next ones; all of whose sums stay in registers. sig1 and sig2 are
 * those of the node's children and their words. */
AS_INLINE void AS_T(tile)(const int from, const SIG_NODE_SOURCE *node, const int keep,
                          const SIG_TREE *tree, i64 channels, i64 a, const int P, i64 first,
                          const int C, VEC *restrict sig1, VEC *restrict sig2)
{
    const VEC *restrict h1 = node->h1, *restrict h2 = node->h2, *restrict h3 = node->h3;
    VEC *restrict pairs = node->pairs;
    const VEC *letter = (const VEC *)tree->increments + node->letter;
    const VEC *rows = (const VEC *)tree->increments + a;
    const VEC *columns = (const VEC *)tree->increments + first;
    const VEC half = AS_T(all_lanes)((REAL)0.5);
    VEC sum[32], s[8], more[8], node_sig = {0}, node_more = {0};
    if (from == AS_FROM_PARENT)
        node_sig = *node->sig;
    sig1 += a;
    sig2 += a * channels + first;
    AS_UNROLL for (int p = 0; p < P; ++p)
    {
        s[p] = sig1[p];
        more[p] = (VEC){0};
        AS_UNROLL for (int b = 0; b < C; ++b) sum[p * C + b] = (VEC){0};
    }
    for (i64 t = 0; t < tree->steps; ++t) {
        VEC n1, n2, child[8];
        if (from == AS_FROM_PARENT) {
            VEC move = letter[t * channels];
            AS_IN_REGISTER(move);
            const VEC now = node_sig + node_more;
            n1 = now + move * h2[t];
            n2 = (now + move * h3[t]) * half;
            node_more += move * h1[t];
            if (keep) {
                pairs[2 * t] = n1;
                pairs[2 * t + 1] = n2;
            }
        } else {
            n1 = from == AS_FROM_PAIRS ? pairs[2 * t] : h1[t];
            n2 = from == AS_FROM_PAIRS ? pairs[2 * t + 1] : h2[t];
            AS_IN_REGISTER(n1);
            AS_IN_REGISTER(n2);
        }
        AS_UNROLL for (int p = 0; p < P; ++p)
        {
            VEC move = rows[t * channels + p];
            AS_IN_REGISTER(move);
            child[p] = (s[p] + more[p]) + move * n2;
            more[p] += move * n1;
        }
        AS_UNROLL for (int b = 0; b < C; ++b)
        {
            VEC move = columns[t * channels + b];
            if (P > 1)
                AS_IN_REGISTER(move);
            AS_UNROLL for (int p = 0; p < P; ++p) sum[p * C + b] += child[p] * move;
        }
    }
    if (from == AS_FROM_PARENT)
        *node->sig = node_sig + node_more;
    AS_UNROLL for (int p = 0; p < P; ++p)
    {
        sig1[p] = s[p] + more[p];
        AS_UNROLL for (int b = 0; b < C; ++b) sig2[p * channels + b] += sum[p * C + b];
    }
}

/* All D children of a node in tiles of P; the first tile may make the node's arrays. */
AS_INLINE void AS_T(tiles)(const int from, const SIG_NODE_SOURCE *node, const SIG_TREE *tree,
                           const int D, const int P, VEC *sig1, VEC *sig2)
{
    const int later = from == AS_FROM_PARENT ? AS_FROM_PAIRS : from, rest = D % P;
    AS_T(tile)(from, node, P < D, tree, D, 0, P, 0, D, sig1, sig2);
    for (int a = P; a + P <= D; a += P)
        AS_T(tile)(later, node, 0, tree, D, a, P, 0, D, sig1, sig2);
    if (rest)
        AS_T(tile)(later, node, 0, tree, D, D - rest, rest ? rest : 1, 0, D, sig1, sig2);
}

#define AS_DEFINE_LAST_LEVELS(D, P)                                                                \
    static void AS_T(last_two_##D)(SIG_TREE * tree, i64 level, i64 node)                           \
    {                                                                                              \
        const i64 *offset = tree->plan->offset + (level - tree->root);                             \
        SIG_NODE_SOURCE                                                                            \
        source = {.h1 = AS_T(horner)(tree, level, 1), .h2 = AS_T(horner)(tree, level, 2)};         \
        AS_T(tiles)(AS_FROM_ARRAYS, &source, tree, D, P, tree->sig + offset[1] + node * (D),       \
                    tree->sig + offset[2] + node * (D) * (D));                                     \
    }                                                                                              \
    static void AS_T(last_three_##D)(SIG_TREE * tree, i64 level, i64 node)                         \
    {                                                                                              \
        const i64 *offset = tree->plan->offset + (level - tree->root);                             \
        for (int a = 0; a < (D); ++a) {                                                            \
            const i64 child = node * (D) + a;                                                      \
            SIG_NODE_SOURCE                                                                        \
            source = {AS_T(horner)(tree, level, 1),  AS_T(horner)(tree, level, 2),                 \
                      AS_T(horner)(tree, level, 3),  tree->children,                               \
                      tree->sig + offset[1] + child, a};                                           \
            AS_T(tiles)(AS_FROM_PARENT, &source, tree, D, P, tree->sig + offset[2] + child * (D),  \
                        tree->sig + offset[3] + child * (D) * (D));                                \
        }                                                                                          \
    }

/* Dimensions with their own code, and how many nodes a tile takes: as the registers allow. */
#if AS_MANY_VECTORS
#define AS_FOR_DIMENSIONS(X)                                                                       \
    X(2, 2) X(3, 3) X(4, 4) X(5, 3) X(6, 3) X(7, 3) X(8, 2) X(9, 2) X(10, 2) X(12, 2) X(16, 1)
#else
#define AS_FOR_DIMENSIONS(X) X(2, 2) X(3, 3) X(4, 2) X(5, 2) X(6, 2) X(7, 1) X(10, 1)
#endif
AS_FOR_DIMENSIONS(AS_DEFINE_LAST_LEVELS)
#undef AS_DEFINE_LAST_LEVELS

/* ---- The walk ------------------------------------------------------------------------------ */

/* h_m of a child from h_1 and h_{m+1} of its parent, and what its S gains; m = 2 makes m = 1 too.
 * move[t * stride] are the increments of the child's letter. */
AS_INLINE VEC AS_T(advance)(const VEC *restrict h1, const VEC *restrict h2,
                            const VEC *restrict above, i64 m, const void *move, i64 stride,
                            i64 steps, VEC s, VEC *restrict child, VEC *restrict child1,
                            const int with_first, const int shared)
{
    const VEC scale = AS_T(all_lanes)((REAL)(1.0 / (double)m));
    VEC more = {0};
    for (i64 t = 0; t < steps; ++t) {
        const VEC z = AS_T(increment)(move, t * stride, shared), now = s + more;
        if (with_first)
            child1[t] = now + z * h2[t];
        child[t] = (now + z * above[t]) * scale;
        more += z * h1[t];
    }
    return more;
}

/* Arrays 1 .. most (one at least) of a child from those of its parent, which are `chunk` apart, and
 * what S of the child, `s`, gains. */
AS_INLINE VEC AS_T(advance_arrays)(const VEC *h, VEC *child, i64 chunk, i64 most, const void *move,
                                   i64 stride, i64 steps, VEC s, const int shared)
{
    const VEC *h1 = h, *h2 = h + chunk;
    if (most <= 1)
        return AS_T(advance)(h1, h2, h2, 1, move, stride, steps, s, child, NULL, 0, shared);
    for (i64 m = most; m > 2; --m)
        AS_T(advance)(h1, h2, h + m * chunk, m, move, stride, steps, s, child + (m - 1) * chunk,
                      NULL, 0, shared);
    return AS_T(advance)(h1, h2, h2 + chunk, 2, move, stride, steps, s, child + chunk, child, 1,
                         shared);
}

/* Those of the child at level + 1 whose letter moves by `move`, up to h_{top - level - 1}, which
 * may be h_0 where the chain ends at the last level: h_1 is made, and not used then. S advanced. */
AS_INLINE VEC AS_T(advance_child)(SIG_TREE *tree, i64 level, const void *move, i64 stride, VEC s,
                                  const int shared)
{
    return s + AS_T(advance_arrays)(AS_T(horner)(tree, level, 1), AS_T(horner)(tree, level + 1, 1),
                                    tree->plan->chunk, tree->top - level - 1, move, stride,
                                    tree->steps, s, shared);
}

static void AS_T(walk_node)(SIG_TREE *tree, i64 level, i64 node)
{
    const SIG_PLAN *p = tree->plan;
    const i64 left = tree->top - level, d = p->channels;
    if (left == 2) {
        tree->last_two(tree, level, node);
        return;
    }
    if (left == 3 && tree->last_three) {
        tree->last_three(tree, level, node);
        return;
    }
    const int shared = p->prefix_length > 0;
    VEC *sig = tree->sig + p->offset[level - tree->root + 1] + node * d;
    for (i64 a = 0; a < d; ++a) {
        const void *move = AS_T(from_letter)(tree->increments, a, shared);
        sig[a] = shared ? AS_T(advance_child)(tree, level, move, d, sig[a], 1)
                        : AS_T(advance_child)(tree, level, move, d, sig[a], 0);
        AS_T(walk_node)(tree, level + 1, node * d + a);
    }
}

/* ---- Prefixes ------------------------------------------------------------------------------ */

/* The chain of nodes from the empty word to the prefixes of a group's lanes. */
typedef struct {
    i64 letter[AS_MAX_DEGREE][AS_LANES]; /* of each lane's prefix */
    VEC *sig;                            /* S of the first 1, 2, ... letters */
    VEC *moves;                          /* increments of one letter of each lane, [step] */
} SIG_CHAIN;

static void AS_T(set_prefixes)(const SIG_PLAN *p, const SIG_LANES *lanes, SIG_CHAIN *chain)
{
    for (i64 i = 0; i < p->prefix_length; ++i)
        for (int l = 0; l < AS_LANES; ++l) {
            const i64 prefix = lanes->first_prefix + (l < lanes->count ? l : 0);
            chain->letter[i][l] = prefix / p->power[p->prefix_length - 1 - i] % p->channels;
        }
}

static void AS_T(gather_moves)(const SIG_TREE *tree, const i64 *letter, VEC *moves)
{
    const REAL *z = tree->increments;
    for (i64 t = 0; t < tree->steps; ++t, z += tree->plan->channels) {
        VEC move;
        AS_UNROLL for (int l = 0; l < AS_LANES; ++l) move[l] = z[letter[l]];
        moves[t] = move;
    }
}

/* Advances S of the prefixes by the chunk and leaves h_m at the tree's root. */
static void AS_T(walk_chain)(SIG_TREE *tree, SIG_CHAIN *chain)
{
    for (i64 i = 0; i < tree->plan->prefix_length; ++i) {
        AS_T(gather_moves)(tree, chain->letter[i], chain->moves);
        chain->sig[i] = AS_T(advance_child)(tree, i, chain->moves, 1, chain->sig[i], 0);
    }
}

/* ---- Setting up ---------------------------------------------------------------------------- */

static void AS_T(choose_tails)(SIG_TREE *tree)
{
    tree->last_three = NULL;
    tree->last_two = tree->plan->prefix_length ? AS_T(last_two_shared) : AS_T(last_two_any);
    if (tree->plan->prefix_length)
        return;
#define AS_CASE(D, P)                                                                              \
    case D:                                                                                        \
        tree->last_two = AS_T(last_two_##D);                                                       \
        tree->last_three = AS_T(last_three_##D);                                                   \
        break;
    switch (tree->plan->channels) {
        AS_FOR_DIMENSIONS(AS_CASE)
    default:
        break;
    }
#undef AS_CASE
}

/* A tree to level `top` over scratch memory; h_m of the empty word are constants. */
static void AS_T(start_tree)(SIG_TREE *tree, const SIG_PLAN *p, i64 top, VEC *horner, VEC *children,
                             const void *increments)
{
    tree->plan = p;
    tree->root = p->prefix_length;
    tree->top = top;
    tree->horner = horner;
    tree->children = children;
    tree->increments = increments;
    const i64 d = p->dimension;
    tree->classes = 0;
    if (p->lead_lag) {
        tree->letters[tree->classes++] = (SIG_LETTERS){0, d, 1, 2};
        tree->letters[tree->classes++] = (SIG_LETTERS){d, d, 0, 2};
        if (p->time_aug)
            tree->letters[tree->classes++] = (SIG_LETTERS){2 * d, 1, 0, 1};
    } else
        tree->letters[tree->classes++] = (SIG_LETTERS){0, p->channels, 0, 1};
    for (i64 m = 1; m <= p->degree; ++m)
        for (i64 t = 0; t < p->chunk; ++t)
            AS_T(horner)(tree, 0, m)[t] = AS_T(all_lanes)((REAL)(1.0 / (double)m));
    AS_T(choose_tails)(tree);
}
