/* The walk over Lyndon words, from which all other coefficients follow.
 *
 * Of the words of a level about one in `level` is a Lyndon word. The others are products of lower
 * ones: with u the first factor of the Lyndon factorisation of w = uv, the shuffle product
 *     S(u) S(v) = sum over the shuffles x of u and v of S(x) = c S(w) + sum of S(x), x < w,
 * where c is how often u begins w. In order of words all on the right but S(w) is known. So the
 * walk over time visits words that begin a Lyndon word only, and `fill` makes the others, once.
 * Rounding errors of the level grow with the number of terms: to level AS_FILLED_DEGREE by two at
 * most, where drift is strong by ten at level 6 and by a hundred at level 8 (measured), for which
 * reason higher levels are walked.
 *
 * A word that begins a Lyndon word (a prenecklace) has a period q, the least for which letters q
 * apart are the same. It goes on with letter `least` = word[level - q], which keeps the period, or
 * with a greater one, after which the whole word is the period; a word that ends so is a Lyndon
 * word. Lyndon words of several letters end with a letter greater than their first one; a few words
 * more than these are made.
 * References: J.-P. Duval, Theor. Comput. Sci. 60 (1988), 255-283; D. E. Radford, J. Algebra 58
 * (1979), 432-454; C. Reutenauer, Free Lie Algebras (1993), theorem 6.1.
 */

#ifndef AS_FILLED_DEGREE
#define AS_FILLED_DEGREE 5
#define AS_FILL_STEPS 16    /* fewer steps of a lane are walked sooner than levels are filled */
#define AS_FILL_SEGMENT 512 /* what AS_SEGMENT is where levels are filled */
#define AS_MOST_SHUFFLES 10 /* of two words that are AS_FILLED_DEGREE letters together */

/* How to fill: for words `to`, to + 1, ... up to `count` of them, numbered through all levels,
 *     S(to + i) = (S(head) S(tail + i) - sum over terms of S(term.from + i term.stride)) / same. */
typedef struct {
    int32_t to, count, head, tail, same, terms;
    struct {
        int32_t from, stride;
    } term[];
} as_fill_run;

/* Runs for levels 2 .. most, one after the other; they end with a count of 0. */
typedef struct as_fill_table {
    i64 channels;
    int most;
    struct as_fill_table *next;
    int32_t runs[];
} as_fill_table;

/* weight[k][i] is what letter i of uv, u having `first` of n letters, adds to the number of the
 * k-th shuffle, uv itself left out. Returns how many there are. */
static int as_shuffles(int n, int first, const i64 *power,
                       i64 weight[AS_MOST_SHUFFLES][AS_FILLED_DEGREE])
{
    int count = 0;
    for (int of_u = 0; of_u < 1 << n; ++of_u) { /* bit i: place i, from the end, takes from u */
        if (__builtin_popcount((unsigned)of_u) != first || of_u >> (n - first) == (1 << first) - 1)
            continue;
        int u = 0, v = first;
        for (int place = n - 1; place >= 0; --place)
            weight[count][of_u >> place & 1 ? u++ : v++] = power[place];
        ++count;
    }
    return count;
}

/* Letters that continue the prefix word[0 .. n - 2] to words that are no Lyndon words are 0 ..
 * last, and the first factor of all of these has `period` letters. */
static void as_first_factor(int n, const i64 *word, i64 channels, int *period, i64 *last)
{
    int q = 1, i = 1;
    for (; i < n - 1 && word[i] >= word[i - q]; ++i)
        if (word[i] > word[i - q])
            q = i + 1;
    *period = q;
    *last = i < n - 1 ? channels - 1 : word[n - 1 - q];
}

/* Writes the runs for level n to `runs`, or only counts what they take, if that is NULL. */
static i64 as_fill_level(int n, i64 channels, const i64 *power, const i64 *offset, int32_t *runs)
{
    i64 weight[AS_FILLED_DEGREE][AS_MOST_SHUFFLES][AS_FILLED_DEGREE];
    int shuffles[AS_FILLED_DEGREE];
    for (int first = 1; first < n; ++first)
        shuffles[first] = as_shuffles(n, first, power, weight[first]);
    i64 word[AS_FILLED_DEGREE] = {0}, used = 0;
    for (i64 prefix = 0; prefix < power[n - 1]; ++prefix) {
        i64 from[AS_MOST_SHUFFLES], last;
        int first;
        as_first_factor(n, word, channels, &first, &last);
        for (int k = 0; k < shuffles[first]; ++k) {
            from[k] = 0;
            for (int i = 0; i < n - 1; ++i)
                from[k] += word[i] * weight[first][k][i];
        }
        for (i64 b = 0, end; b <= last; b = end) {
            unsigned same = 0, now; /* shuffles that are the word itself */
            for (end = b; end <= last; ++end, same = now) {
                now = 0;
                for (int k = 0; k < shuffles[first]; ++k)
                    now |= (from[k] + end * weight[first][k][n - 1] == prefix * channels + end)
                           << k;
                if (end > b && now != same)
                    break;
            }
            const i64 w = prefix * channels + b, tails = power[n - first];
            as_fill_run run = {(int32_t)(offset[n] + w),
                               (int32_t)(end - b),
                               (int32_t)(offset[first] + w / tails),
                               (int32_t)(offset[n - first] + w % tails),
                               1 + __builtin_popcount(same),
                               0};
            as_fill_run *to = runs ? (as_fill_run *)(runs + used) : &run;
            *to = run;
            for (int k = 0; k < shuffles[first]; ++k)
                if (!(same >> k & 1)) {
                    const i64 stride = weight[first][k][n - 1];
                    if (runs) {
                        to->term[to->terms].from = (int32_t)(offset[n] + from[k] + b * stride);
                        to->term[to->terms].stride = (int32_t)stride;
                    }
                    ++to->terms;
                }
            used += (i64)(sizeof(run) + sizeof(run.term[0]) * (size_t)to->terms) / 4;
        }
        for (int i = n - 2; i >= 0 && ++word[i] == channels; --i)
            word[i] = 0;
    }
    return used;
}

/* The table, made when it is first asked for and kept as long as the process lives; it has a few
 * numbers for each word. NULL when there is no memory. */
static const as_fill_table *as_fill_table_of(i64 channels, int most, const i64 *power,
                                             const i64 *offset)
{
    static as_fill_table *tables;
    as_fill_table *newest = __atomic_load_n(&tables, __ATOMIC_ACQUIRE);
    for (as_fill_table *t = newest; t; t = t->next)
        if (t->channels == channels && t->most == most)
            return t;
    i64 used = 2;
    for (int n = 2; n <= most; ++n)
        used += as_fill_level(n, channels, power, offset, NULL);
    as_fill_table *table = malloc(sizeof(as_fill_table) + sizeof(int32_t) * (size_t)used);
    if (!table)
        return NULL;
    *table = (as_fill_table){channels, most, newest};
    i64 at = 0;
    for (int n = 2; n <= most; ++n)
        at += as_fill_level(n, channels, power, offset, table->runs + at);
    table->runs[at] = table->runs[at + 1] = 0;
    while (!__atomic_compare_exchange_n(&tables, &table->next, table, 0, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
    return table;
}
#endif

/* All words of the levels that are filled, from Lyndon words. */
static void AS_T(fill)(const as_fill_table *table, VEC *sig)
{
    const as_fill_run *run = (const as_fill_run *)table->runs;
    for (; run->count; run = (const as_fill_run *)(run->term + run->terms)) {
        const VEC head = sig[run->head];
        for (i64 i = 0; i < run->count; ++i) {
            VEC sum = head * sig[run->tail + i];
            for (int k = 0; k < run->terms; ++k)
                sum -= sig[run->term[k].from + i * run->term[k].stride];
            if (run->same > 1)
                sum /= AS_T(all_lanes)((REAL)run->same);
            sig[run->to + i] = sum;
        }
    }
}

/* ---- Last levels --------------------------------------------------------------------------- */

/* The last three levels at a node whose words end with one of the last C letters: its children from
 * letter a on, C + 1 of them as a rule, in tiles of P. */
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

/* Degree 2, the last D letters: P rows of words ab, a < b. h_1 of the root is 1, h_2 is 1/2. */
AS_INLINE void AS_T(pairs_tile)(const SIG_TREE *tree, const int D, const int P)
{
    const i64 d = tree->plan->channels, first = d - D;
    const VEC *restrict z = (const VEC *)tree->increments + first;
    VEC *restrict sig1 = tree->sig + first, *restrict sig2 = tree->sig + d + first * (d + 1);
    const VEC half = AS_T(all_lanes)((REAL)0.5);
    VEC s[8], more[8], sum[32];
    AS_UNROLL for (int a = 0; a < P; ++a)
    {
        s[a] = sig1[a];
        more[a] = (VEC){0};
        AS_UNROLL for (int b = a + 1; b < D; ++b) sum[a * D - a * (a + 1) / 2 + b - a - 1] =
            (VEC){0};
    }
    for (i64 t = 0; t < tree->steps; ++t, z += d) {
        VEC child[8];
        AS_UNROLL for (int b = 0; b < D; ++b)
        {
            VEC move = z[b];
            AS_IN_REGISTER(move);
            AS_UNROLL for (int a = 0; a < (b < P ? b : P); ++a)
                sum[a * D - a * (a + 1) / 2 + b - a - 1] += child[a] * move;
            if (b < P) {
                child[b] = (s[b] + more[b]) + move * half;
                more[b] += move;
            }
        }
    }
    AS_UNROLL for (int a = 0; a < P; ++a)
    {
        sig1[a] = s[a] + more[a];
        AS_UNROLL for (int b = a + 1; b < D; ++b) sig2[a * d + b] +=
            sum[a * D - a * (a + 1) / 2 + b - a - 1];
    }
}

/* How many nodes a tile takes for each number of last letters, as the registers allow. */
#if AS_MANY_VECTORS
#define AS_FOR_COLUMNS(X)                                                                          \
    X(1, 2)                                                                                        \
    X(2, 3) X(3, 4) X(4, 3) X(5, 3) X(6, 3) X(7, 3) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2)     \
        X(13, 1) X(14, 1) X(15, 1)
#define AS_FOR_LETTERS(X)                                                                          \
    X(2, 2)                                                                                        \
    X(3, 3) X(4, 4) X(5, 5) X(6, 6) X(7, 3) X(8, 3) X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 1)    \
        X(14, 1) X(15, 1)
#else
#define AS_FOR_COLUMNS(X)                                                                          \
    X(1, 2) X(2, 3) X(3, 2) X(4, 2) X(5, 2) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1)
#define AS_FOR_LETTERS(X)                                                                          \
    X(2, 2) X(3, 3) X(4, 2) X(5, 2) X(6, 2) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1)
#endif

/* Nodes left == 3 levels above the last: their child `letter`, and the words below it. */
static void AS_T(lyndon_last_three)(SIG_TREE *tree, i64 level, i64 node, i64 letter, i64 first,
                                    i64 least)
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
    switch (d - 1 - first) {
        AS_FOR_COLUMNS(AS_CASE)
    default:
        break;
    }
#undef AS_CASE
    const void *move = AS_T(from_letter)(tree->increments, letter, 0);
    *sig = AS_T(advance_child)(tree, level, move, d, *sig, 0);
    AS_T(last_two_levels)(tree, level + 1, child, least, first + 1, 0);
}

/* ---- The walk ------------------------------------------------------------------------------ */

/* Whether that is worth it without filled levels: small alphabets have their own code for the last
 * levels. */
static int AS_T(walks_lyndon)(const SIG_PLAN *p)
{
    return p->channels > 4 || (p->channels > 2 && p->degree > 3);
}

/* Degree 2: words ab, a < b. */
static void AS_T(walk_pairs)(SIG_TREE *tree)
{
    const SIG_PLAN *p = tree->plan;
    const i64 d = p->channels;
    const VEC *h1 = AS_T(horner)(tree, 0, 1), *h2 = AS_T(horner)(tree, 0, 2);
    for (i64 a = 0; a < d - 1;) {
#define AS_CASE(D, P)                                                                              \
    case D:                                                                                        \
        AS_T(pairs_tile)(tree, D, P);                                                              \
        a += P;                                                                                    \
        break;
        switch (d - a) {
            AS_FOR_LETTERS(AS_CASE)
        default:
            AS_T(children_and_product)(tree, h1, h2, a, 1, tree->sig, tree->sig + d, a + 1, 0);
            ++a;
        }
#undef AS_CASE
    }
}

/* Whether words of the last level are walked that are no Lyndon words; which levels are filled.
 * With `lyndon` nobody reads others in the last level. */
static void AS_T(choose_words)(SIG_PLAN *p, int lyndon)
{
    const i64 most = p->degree - (lyndon != 0);
    p->filled = 0;
    if (most <= AS_FILLED_DEGREE && p->raw_steps * p->steps_per_raw >= AS_FILL_STEPS)
        p->filled = (int)most;
    p->lyndon = p->filled || (lyndon && AS_T(walks_lyndon)(p));
}

/* Below a node, a prenecklace. Without `filled` levels, what goes on with a smaller letter, and so
 * begins no Lyndon word, is walked to the level before the last. */
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
    for (i64 a = p->filled ? least : 0; a < d; ++a) {
        const i64 child = node * d + a, kept = level && a == least ? period : level + 1;
        word[level] = a;
        if (p->filled && word[0] == d - 1) { /* begins no longer one */
            AS_T(product)(tree, AS_T(horner)(tree, level, 1), 1, sig, a, d, 0);
            return;
        }
        if (p->filled && left == 3) {
            AS_T(lyndon_last_three)(tree, level, node, a, word[0], word[level + 1 - kept]);
            continue;
        }
        tree->top -= a < least;
        const void *move = AS_T(from_letter)(tree->increments, a, 0);
        sig[a] = AS_T(advance_child)(tree, level, move, d, sig[a], 0);
        if (a >= least)
            AS_T(walk_lyndon)(tree, level + 1, child, word, kept);
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
    i64 word[AS_MAX_DEGREE] = {0};
    if (p->lyndon && tree->top == p->degree) {
        if (p->degree == 2)
            AS_T(walk_pairs)(tree);
        else
            AS_T(walk_lyndon)(tree, 0, 0, word, 0);
    } else if (tree->top - tree->root > 1)
        AS_T(walk_node)(tree, tree->root, 0);
    else if (p->prefix_length)
        AS_T(product)(tree, AS_T(horner)(tree, tree->root, 1), 1, tree->sig, 0, p->channels, 1);
    else
        AS_T(product)(tree, AS_T(horner)(tree, tree->root, 1), 1, tree->sig, 0, p->channels, 0);
}
