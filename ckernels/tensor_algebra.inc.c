/* The truncated tensor algebra, in place, on one tensor of NUMBERs: included with NUMBER = VEC
 * (AS_LANES tensors at once, names end in _lanes) and NUMBER = REAL (_rows). NAMED(name) is the
 * name with its ending. NUMBER_IS_VECTOR is defined in the first case. Levels 1 .. degree, no
 * scalar terms; layout in signature_lanes.inc.c.
 */

#ifdef NUMBER_IS_VECTOR
/* Words from letter a on, A of them, of a prefix with k - 1 letters, whose first i letters are word
 * head[i] of level i and the others word tail[i] of theirs: their product at level k. */
AS_INLINE void NAMED(product_words)(const SIG_PLAN *p, i64 k, const i64 *head, const i64 *tail,
                                    const int A, i64 a, NUMBER *restrict x,
                                    const NUMBER *restrict y, REAL s, REAL t)
{
    const i64 d = AS_T(words_at)(p, 1), at = AS_T(words_before)(p, k) + head[k - 1] * d + a;
    NUMBER sum[8];
    AS_UNROLL for (int e = 0; e < A; ++e) sum[e] = x[at + e] * t + y[at + e] * s;
    for (i64 i = 1; i < k; ++i) {
        const NUMBER scale = x[AS_T(words_before)(p, i) + head[i]];
        const NUMBER *other = y + AS_T(words_before)(p, k - i) + tail[i] * d + a;
        AS_UNROLL for (int e = 0; e < A; ++e) sum[e] += scale * other[e];
    }
    AS_UNROLL for (int e = 0; e < A; ++e) x[at + e] = sum[e];
}

/* Level k >= 2 of the product for two channels or more: passes through memory once. */
static void NAMED(product_level)(const SIG_PLAN *p, i64 k, NUMBER *restrict x,
                                 const NUMBER *restrict y, REAL s, REAL t)
{
    const i64 d = AS_T(words_at)(p, 1);
    i64 head[AS_MAX_DEGREE] = {0}, tail[AS_MAX_DEGREE] = {0};
    for (; head[k - 1] < AS_T(words_at)(p, k - 1); ++head[k - 1]) {
        i64 a = 0;
#define AS_BLOCK(A)                                                                                \
    for (; a + (A) <= d; a += (A))                                                                 \
    NAMED(product_words)(p, k, head, tail, A, a, x, y, s, t)
        AS_BLOCK(8);
        AS_BLOCK(4);
        AS_BLOCK(2);
        AS_BLOCK(1);
#undef AS_BLOCK
        for (i64 i = k - 2; i >= 1; --i)
            if (++tail[i] == AS_T(words_at)(p, k - 1 - i)) {
                tail[i] = 0;
                ++head[i];
            }
    }
}

#endif

/* x <- (s + x) (t + y): top level first, so that lower levels are still those of the factor. */
static void NAMED(product)(const SIG_PLAN *p, i64 degree, NUMBER *restrict x,
                           const NUMBER *restrict y, REAL s, REAL t)
{
    for (i64 k = degree; k >= 1; --k) {
#ifdef NUMBER_IS_VECTOR
        if (k > 1 && p->channels > 1) {
            NAMED(product_level)(p, k, x, y, s, t);
            continue;
        }
#endif
        NUMBER *top = x + AS_T(words_before)(p, k);
        const NUMBER *other = y + AS_T(words_before)(p, k);
        for (i64 w = 0; w < AS_T(words_at)(p, k); ++w)
            top[w] = top[w] * t + other[w] * s;
        for (i64 i = 1; i < k; ++i) {
            const NUMBER *head = x + AS_T(words_before)(p, i);
            const NUMBER *tail = y + AS_T(words_before)(p, k - i);
            const i64 heads = AS_T(words_at)(p, i), tails = AS_T(words_at)(p, k - i);
            NUMBER *restrict word = top;
            for (i64 u = 0; u < heads; ++u, word += tails) {
                const NUMBER scale = head[u];
                for (i64 v = 0; v < tails; ++v)
                    word[v] += scale * tail[v];
            }
        }
    }
}

/* x(u) <- t x(u) + sum over v of x(uv) y(v): upwards, since longer words are read. */
static void NAMED(contract_right)(const SIG_PLAN *p, i64 degree, NUMBER *restrict x,
                                  const NUMBER *restrict y, REAL s, REAL t)
{
    (void)s;
    for (i64 i = 1; i <= degree; ++i)
        for (i64 u = 0; u < AS_T(words_at)(p, i); ++u) {
            NUMBER *at = x + AS_T(words_before)(p, i) + u;
            NUMBER sum[4] = {*at * t};
            for (i64 k = 1; k <= degree - i; ++k) {
                const i64 tails = AS_T(words_at)(p, k);
                const NUMBER *restrict word = x + AS_T(words_before)(p, i + k) + u * tails;
                const NUMBER *restrict tail = y + AS_T(words_before)(p, k);
                i64 v = 0;
                for (; v + 4 <= tails; v += 4)
                    AS_UNROLL for (int e = 0; e < 4; ++e) sum[e] += word[v + e] * tail[v + e];
                for (; v < tails; ++v)
                    sum[0] += word[v] * tail[v];
            }
            *at = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        }
}

/* x(v) <- s x(v) + sum over u of x(uv) y(u), upwards too. */
static void NAMED(contract_left)(const SIG_PLAN *p, i64 degree, NUMBER *restrict x,
                                 const NUMBER *restrict y, REAL s, REAL t)
{
    (void)t;
    for (i64 j = 1; j <= degree; ++j) {
        NUMBER *restrict to = x + AS_T(words_before)(p, j);
        const i64 tails = AS_T(words_at)(p, j);
        for (i64 v = 0; v < tails; ++v)
            to[v] *= s;
        for (i64 k = 1; k <= degree - j; ++k) {
            const NUMBER *restrict word = x + AS_T(words_before)(p, j + k);
            const NUMBER *restrict head = y + AS_T(words_before)(p, k);
            for (i64 u = 0; u < AS_T(words_at)(p, k); ++u, word += tails) {
                const NUMBER scale = head[u];
                for (i64 v = 0; v < tails; ++v)
                    to[v] += scale * word[v];
            }
        }
    }
}

/* x <- exp(x) - 1, where x has level 1 only. */
static void NAMED(exponential)(const SIG_PLAN *p, i64 degree, NUMBER *x)
{
    const i64 d = AS_T(words_at)(p, 1);
    for (i64 k = 2; k <= degree; ++k) {
        const NUMBER *shorter = x + AS_T(words_before)(p, k - 1);
        NUMBER *to = x + AS_T(words_before)(p, k);
        for (i64 u = 0; u < AS_T(words_at)(p, k - 1); ++u, to += d) {
            const NUMBER scale = shorter[u] * (REAL)(1.0 / (double)k);
            for (i64 a = 0; a < d; ++a)
                to[a] = scale * x[a];
        }
    }
}

/* From the adjoint of exp(v) at all levels, and x = exp(v) below `degree`: the adjoint of v, which
 * is level 1 of x, at level 1. */
static void NAMED(exponential_vjp)(const SIG_PLAN *p, i64 degree, NUMBER *restrict bar,
                                   const NUMBER *restrict x)
{
    const i64 d = AS_T(words_at)(p, 1);
    for (i64 k = degree; k >= 2; --k) {
        const NUMBER *shorter = x + AS_T(words_before)(p, k - 1);
        NUMBER *to = bar + AS_T(words_before)(p, k - 1);
        const NUMBER *from = bar + AS_T(words_before)(p, k);
        for (i64 u = 0; u < AS_T(words_at)(p, k - 1); ++u, from += d) {
            const REAL share = (REAL)(1.0 / (double)k);
            const NUMBER scale = shorter[u] * share;
            NUMBER sum = {0};
            for (i64 a = 0; a < d; ++a) {
                sum += from[a] * x[a];
                bar[a] += from[a] * scale;
            }
            to[u] += sum * share;
        }
    }
}

/* x <- (1 + y)^-1 - 1, from low levels to high ones. */
static void NAMED(inverse)(const SIG_PLAN *p, i64 degree, NUMBER *restrict x,
                           const NUMBER *restrict y, REAL s, REAL t)
{
    (void)s, (void)t;
    for (i64 k = 1; k <= degree; ++k) {
        NUMBER *top = x + AS_T(words_before)(p, k);
        const NUMBER *same = y + AS_T(words_before)(p, k);
        for (i64 w = 0; w < AS_T(words_at)(p, k); ++w)
            top[w] = -same[w];
        for (i64 i = 1; i < k; ++i) {
            const NUMBER *head = x + AS_T(words_before)(p, i);
            const NUMBER *tail = y + AS_T(words_before)(p, k - i);
            const i64 heads = AS_T(words_at)(p, i), tails = AS_T(words_at)(p, k - i);
            NUMBER *restrict word = top;
            for (i64 u = 0; u < heads; ++u, word += tails) {
                const NUMBER scale = head[u];
                for (i64 v = 0; v < tails; ++v)
                    word[v] -= scale * tail[v];
            }
        }
    }
}
