/* The walk over Lyndon words, from which all other coefficients follow.
 *
 * Of the words of level k about one in k is a Lyndon word. The others are known from shuffle
 * products (fill_table.h): the walk over time visits only words that begin a Lyndon word, and
 * `fill` makes the others at the end of a segment of time; backwards `fill_adjoint` leaves
 * gradients to Lyndon words first.
 *
 * Filling takes differences of terms that are larger than what they leave, and errors grow by as
 * much: about 2 times at level 3, 20 times at level 5 where the path is nearly straight. That is
 * relative to the words of the segment, and high levels of shorter segments are so much smaller
 * that two segments undo it: see `segments`. Levels above AS_FILLED_DEGREE are walked.
 *
 * A word that begins a Lyndon word (a prenecklace) has a period q, the least for which letters q
 * apart are the same. It goes on with letter `least` = word[level - q], which keeps the period, or
 * with a greater one, after which the whole word is the period; a word that ends so is a Lyndon
 * word. Lyndon words of several letters end with a letter greater than their first one. A few words
 * more than these are made. Below the last level of the signature, where words have children that
 * were not walked, prenecklaces are wanted: they may end with their first letter too.
 * Reference: J.-P. Duval, Theor. Comput. Sci. 60 (1988), 255-283.
 */

#include "fill_table.h"

#ifndef AS_FILL_STEPS
#define AS_FILL_STEPS 16 /* fewer steps of a path are walked sooner than levels are filled */
#endif
#ifndef AS_FILL_SEGMENT
#define AS_FILL_SEGMENT 512 /* the most steps that are filled at once */
#endif

/* ---- The other words ----------------------------------------------------------------------- */

/* All words of levels 2 .. most from Lyndon words. */
static void AS_T(fill)(const as_fill_table *table, i64 most, VEC *sig)
{
    for (i64 r = 0; r < table->until[most]; ++r) {
        const as_fill_run run = table->run[r];
        const VEC head = sig[run.head];
        for (i64 i = 0; i < run.count; ++i) {
            VEC sum = head * sig[run.tail + i];
            for (i64 k = run.first_term; k < run.end_term; ++k)
                sum -= sig[table->term[k].from + i * table->term[k].stride];
            if (run.same > 1)
                sum /= AS_T(all_lanes)((REAL)run.same);
            sig[run.to + i] = sum;
        }
    }
}

/* Adjoints of all words to those of Lyndon words, in place; others become 0. S is that of levels
 * below the last. Words of a run differ in their last letters, so that none is a term of another.
 */
static void AS_T(fill_adjoint)(const as_fill_table *table, i64 most, const VEC *restrict sig,
                               VEC *restrict bar)
{
    for (i64 r = table->until[most] - 1; r >= 0; --r) {
        const as_fill_run run = table->run[r];
        const VEC head = sig[run.head];
        VEC head_bar = {0};
        for (i64 i = 0; i < run.count; ++i) {
            VEC up = bar[run.to + i];
            bar[run.to + i] = (VEC){0};
            if (run.same > 1)
                up /= AS_T(all_lanes)((REAL)run.same);
            head_bar += up * sig[run.tail + i];
            bar[run.tail + i] += up * head;
            for (i64 k = run.first_term; k < run.end_term; ++k)
                bar[table->term[k].from + i * table->term[k].stride] -= up;
        }
        bar[run.head] += head_bar;
    }
}

/* ---- Last levels --------------------------------------------------------------------------- */

/* The last three levels at a node whose words end with one of the last C letters: its children from
 * letter a on, C + 1 of them at most and mostly, in tiles of P. */
AS_INLINE void AS_T(lyndon_tiles)(const SIG_NODE_SOURCE *node, const SIG_TREE *tree, i64 a,
                                  const int C, const int P, VEC *sig1, VEC *sig2)
{
    const i64 d = tree->plan->channels;
    const int rest = (C + 1) % P;
    if (a + P <= d) {
        AS_T(tile)(AS_FROM_PARENT, node, P <= C, tree, d, a, P, d - C, C, sig1, sig2);
        a += P;
    } else
        AS_T(tile)(AS_FROM_PARENT, node, 1, tree, d, a++, 1, d - C, C, sig1, sig2);
    if (P <= C)
        for (; a + P <= d; a += P)
            AS_T(tile)(AS_FROM_PAIRS, node, 0, tree, d, a, P, d - C, C, sig1, sig2);
    if (rest > 1 && a + rest == d)
        AS_T(tile)(AS_FROM_PAIRS, node, 0, tree, d, a, rest ? rest : 1, d - C, C, sig1, sig2);
    else
        for (; a < d; ++a)
            AS_T(tile)(AS_FROM_PAIRS, node, 0, tree, d, a, 1, d - C, C, sig1, sig2);
}

/* Of the last D letters P rows of words ab, a + gap <= b, gap 0 or 1. h_1 of the root is 1, h_2 is
 * 1/2. */
AS_INLINE void AS_T(pairs_tile)(const SIG_TREE *tree, const int D, const int P, const int gap)
{
    const i64 d = tree->plan->channels, first = d - D;
    const VEC *restrict z = (const VEC *)tree->increments + first;
    VEC *restrict sig1 = tree->sig + first, *restrict sig2 = tree->sig + d + first * (d + 1);
    const VEC half = AS_T(all_lanes)((REAL)0.5);
    VEC s[8], more[8], sum[8][16];
    AS_UNROLL for (int a = 0; a < P; ++a)
    {
        s[a] = sig1[a];
        more[a] = (VEC){0};
        AS_UNROLL for (int b = a + gap; b < D; ++b) sum[a][b] = (VEC){0};
    }
    for (i64 t = 0; t < tree->steps; ++t, z += d) {
        VEC child[8];
        AS_UNROLL for (int b = 0; b < D; ++b)
        {
            VEC move = z[b];
            AS_IN_REGISTER(move);
            if (b < P) {
                child[b] = (s[b] + more[b]) + move * half;
                more[b] += move;
            }
            AS_UNROLL for (int a = 0; a < P; ++a)
            {
                if (a + gap <= b)
                    sum[a][b] += child[a] * move;
            }
        }
    }
    AS_UNROLL for (int a = 0; a < P; ++a)
    {
        sig1[a] = s[a] + more[a];
        AS_UNROLL for (int b = a + gap; b < D; ++b) sig2[a * d + b] += sum[a][b];
    }
}

/* How many nodes a tile takes for each number of last letters, as the registers allow. No letter is
 * left over by pairs_tile. */
#if AS_MANY_VECTORS
#define AS_FOR_COLUMNS(X)                                                                          \
    X(1, 2)                                                                                        \
    X(2, 3)                                                                                        \
    X(3, 4)                                                                                        \
    X(4, 3)                                                                                        \
    X(5, 3) X(6, 3) X(7, 3) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 1) X(14, 1) X(15, 1)
#define AS_FOR_LETTERS(X)                                                                          \
    X(2, 2)                                                                                        \
    X(3, 3)                                                                                        \
    X(4, 4)                                                                                        \
    X(5, 5) X(6, 6) X(7, 3) X(8, 3) X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 1) X(14, 1) X(15, 1)
#else
#define AS_FOR_COLUMNS(X)                                                                          \
    X(1, 2) X(2, 3) X(3, 2) X(4, 2) X(5, 2) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1)
#define AS_FOR_LETTERS(X)                                                                          \
    X(2, 2) X(3, 3) X(4, 2) X(5, 2) X(6, 2) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1)
#endif

/* Child `letter` of a node three levels above the last; its children from letter `least` on, and
 * the words below these that end with letter `first` or a later one: all prenecklaces, or with a
 * `first` greater than the first letter of these words all Lyndon words. */
static void AS_T(lyndon_last_three)(SIG_TREE *tree, i64 level, i64 node, i64 letter, i64 least,
                                    i64 first)
{
    const SIG_PLAN *p = tree->plan;
    const i64 d = p->channels, child = node * d + letter;
    VEC *sig = tree->sig + p->offset[level + 1] + child;
    VEC *sig1 = tree->sig + p->offset[level + 2] + child * d;
    VEC *sig2 = tree->sig + p->offset[level + 3] + child * d * d;
    const SIG_NODE_SOURCE source = {AS_T(horner)(tree, level, 1),
                                    AS_T(horner)(tree, level, 2),
                                    AS_T(horner)(tree, level, 3),
                                    tree->children,
                                    sig,
                                    (int)letter};
#define AS_CASE(C, P)                                                                              \
    case C:                                                                                        \
        AS_T(lyndon_tiles)(&source, tree, least, C, P, sig1, sig2);                                \
        return;
    switch (d - first) {
        AS_FOR_COLUMNS(AS_CASE)
    default:
        break;
    }
#undef AS_CASE
    const void *move = AS_T(from_letter)(tree->increments, letter, 0);
    *sig = AS_T(advance_child)(tree, level, move, d, *sig, 0);
    AS_T(last_two_levels)(tree, level + 1, child, least, first, 0);
}

/* ---- The walk ------------------------------------------------------------------------------ */

/* Whether log-signatures leave out words of the last level where levels are not filled: small
 * alphabets have code of their own for all of them. */
static int AS_T(walks_lyndon)(const SIG_PLAN *p)
{
    return p->channels > 4 || (p->channels > 2 && p->degree > 3);
}

/* Two levels: words ab, a + gap <= b. */
AS_INLINE void AS_T(walk_pairs)(SIG_TREE *tree, const int gap)
{
    const SIG_PLAN *p = tree->plan;
    const i64 d = p->channels;
    const VEC *h1 = AS_T(horner)(tree, 0, 1), *h2 = AS_T(horner)(tree, 0, 2);
    for (i64 a = 0; a < d - 1;) {
#define AS_CASE(D, P)                                                                              \
    case D:                                                                                        \
        AS_T(pairs_tile)(tree, D, P, gap);                                                         \
        a += P;                                                                                    \
        break;
        switch (d - a) {
            AS_FOR_LETTERS(AS_CASE)
        default:
            AS_T(children_and_product)(tree, h1, h2, a, 1, tree->sig, tree->sig + d, a + gap, 0);
            ++a;
        }
#undef AS_CASE
    }
}

/* Which words are walked. With `lyndon` nobody reads others than Lyndon words in the last level.
 * From level 4 on there are two segments at least, and it takes more steps until that pays. */
static void AS_T(choose_words)(SIG_PLAN *p, int lyndon)
{
    const i64 most = p->degree - lyndon, steps = p->raw_steps * p->steps_per_raw;
    const int few = steps < (most > 3 ? 3 * AS_FILL_STEPS : AS_FILL_STEPS);
    p->filled = most > AS_FILLED_DEGREE || few ? 0 : most;
    p->lyndon = p->filled || (lyndon && AS_T(walks_lyndon)(p));
}

/* After lanes are chosen; 0 when there is no memory. */
static int AS_T(prepare_words)(SIG_PLAN *p)
{
    if (p->prefix_length)
        p->lyndon = p->filled = 0;
    if (p->filled)
        p->fill = as_fill_table_of(p->channels, p->filled, p->power, p->offset);
    return !p->filled || p->fill;
}

/* How many segments of time a lane is cut into, whose signatures are multiplied. Stretches of paths
 * are segments already. */
static i64 AS_T(segments)(const SIG_PLAN *p, i64 steps)
{
    if (p->prefix_length)
        return 1;
    const i64 least = p->filled > 3 && p->stretches == 1 ? 2 : 1;
    return as_most(least, as_ceil_div(steps, p->filled ? AS_FILL_SEGMENT : AS_SEGMENT));
}

/* All prenecklaces below a node, which is one, that begin longer ones; of the signature's last
 * level Lyndon words. */
static void AS_T(walk_prenecklaces)(SIG_TREE *tree, i64 level, i64 node, i64 *word, i64 period)
{
    const SIG_PLAN *p = tree->plan;
    const i64 left = tree->top - level, d = p->channels, least = level ? word[level - period] : 0;
    VEC *sig = tree->sig + p->offset[level + 1] + node * d;
    for (i64 a = least; a < d; ++a) {
        const i64 kept = level && a == least ? period : level + 1;
        word[level] = a;
        if (word[0] == d - 1) /* the last letter begins no longer one */
            AS_T(product)(tree, AS_T(horner)(tree, level, 1), 1, sig, a, d, 0);
        else if (left == 3)
            AS_T(lyndon_last_three)(tree, level, node, a, word[level + 1 - kept],
                                    word[0] + (tree->top == p->degree));
        else {
            const void *move = AS_T(from_letter)(tree->increments, a, 0);
            sig[a] = AS_T(advance_child)(tree, level, move, d, sig[a], 0);
            AS_T(walk_prenecklaces)(tree, level + 1, node * d + a, word, kept);
        }
    }
}

/* The same without filled levels: what goes on with a smaller letter, and so begins no Lyndon word,
 * is walked to the level before the last. */
static void AS_T(walk_lyndon)(SIG_TREE *tree, i64 level, i64 node, i64 *word, i64 period)
{
    const SIG_PLAN *p = tree->plan;
    const i64 left = tree->top - level, d = p->channels, least = level ? word[level - period] : 0;
    VEC *sig = tree->sig + p->offset[level + 1] + node * d;
    if (left == 2) {
        const i64 first = word[0] + 1 < d ? least : d;
        AS_T(product)(tree, AS_T(horner)(tree, level, 1), 1, sig, 0, first, 0);
        AS_T(last_two_levels)(tree, level, node, first, word[0] + 1, 0);
        return;
    }
    for (i64 a = 0; a < d; ++a) {
        const i64 child = node * d + a;
        tree->top -= a < least;
        const void *move = AS_T(from_letter)(tree->increments, a, 0);
        sig[a] = AS_T(advance_child)(tree, level, move, d, sig[a], 0);
        word[level] = a;
        if (a >= least)
            AS_T(walk_lyndon)(tree, level + 1, child, word,
                              level && a == least ? period : level + 1);
        else if (left > 3)
            AS_T(walk_node)(tree, level + 1, child);
        else
            AS_T(product)(tree, AS_T(horner)(tree, level + 1, 1), 1,
                          tree->sig + p->offset[level + 2] + child * d, 0, d, 0);
        tree->top += a < least;
    }
}

/* Advances the tree by the chunk; h_m at the root are given. */
static void AS_T(walk)(SIG_TREE *tree)
{
    const SIG_PLAN *p = tree->plan;
    const int whole = tree->top == p->degree;
    i64 word[AS_MAX_DEGREE] = {0};
    if (p->filled && tree->top == 2) {
        if (whole)
            AS_T(walk_pairs)(tree, 1);
        else
            AS_T(walk_pairs)(tree, 0);
    } else if (p->filled)
        AS_T(walk_prenecklaces)(tree, 0, 0, word, 0);
    else if (p->lyndon && whole)
        AS_T(walk_lyndon)(tree, 0, 0, word, 0);
    else if (tree->top - tree->root > 1)
        AS_T(walk_node)(tree, tree->root, 0);
    else if (p->prefix_length)
        AS_T(product)(tree, AS_T(horner)(tree, tree->root, 1), 1, tree->sig, 0, p->channels, 1);
    else
        AS_T(product)(tree, AS_T(horner)(tree, tree->root, 1), 1, tree->sig, 0, p->channels, 0);
}
