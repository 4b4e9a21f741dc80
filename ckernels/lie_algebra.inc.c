/* Logarithms, exponentials and changes of basis of one tensor of NUMBERs, or AS_LANES of them at
 * once: included by each_number.h. Layouts and formulas in lie.inc.c.
 */

/* B_1, to level degree - 1, into x; with `keep` B_(degree-1), ..., B_1 one after another. Returns
 * where B_1 is. */
static NUMBER *NAMED(series)(const SIG_PLAN *p, const NUMBER *t, int logarithm, int keep, NUMBER *x)
{
    for (i64 j = p->degree - 1; j >= 1; --j) {
        const i64 top = p->degree - j, words = AS_T(words_before)(p, top + 1);
        const i64 lower = AS_T(words_before)(p, top);
        const REAL factor = (REAL)((logarithm ? -(double)j : 1.0) / (double)(j + 1));
        if (keep && top > 1) {
            memcpy(x + lower, x, sizeof(NUMBER) * (size_t)lower);
            x += lower;
        }
        memset(x + lower, 0, sizeof(NUMBER) * (size_t)(words - lower));
        NAMED(product)(p, top, x, t, 1, 0);
        for (i64 w = 0; w < words; ++w)
            x[w] *= factor;
    }
    return x;
}

/* to[i] = from(w) + sum over w = uv of x(u) t(v), for Lyndon words i >= first. `from` has the last
 * level at Lyndon words only. */
static void NAMED(at_lyndon)(const LIE_SPACE *space, i64 first, const NUMBER *x, const NUMBER *t,
                             const NUMBER *from, NUMBER *to)
{
    const i64 *split = first ? space->top_splits : space->splits;
    for (i64 i = first; i < space->count; ++i) {
        NUMBER sum =
            from[i < space->shorter ? space->position[i] : space->lower + i - space->shorter];
        for (i64 left = *split++; left > 0; --left, split += 2)
            sum += x[split[0]] * t[split[1]];
        to[i] = sum;
    }
}

/* Coefficients of Lyndon words to coordinates, in place, or the adjoint of that. */
static void NAMED(solve)(const LIE_SPACE *space, int adjoint, NUMBER *x)
{
    if (!space->solve)
        return;
    const i64 *start = space->solve, *column = start + space->count + 1;
    const i64 *entry = column + start[space->count];
    for (i64 r = 0; r < space->count; ++r) {
        const i64 i = adjoint ? r : space->count - 1 - r;
        for (i64 k = start[i]; k < start[i + 1]; ++k) {
            if (column[k] == i)
                continue; /* 1 */
            if (adjoint)
                x[column[k]] += x[i] * (REAL)entry[k];
            else
                x[i] += x[column[k]] * (REAL)entry[k];
        }
    }
}

/* The tensor of coordinates, the last level at Lyndon words only. */
static void NAMED(expand)(const LIE_SPACE *space, const NUMBER *coordinates, NUMBER *to)
{
    const i64 *start = space->expand, *column = start + space->plan->words + 1;
    const i64 *entry = column + start[space->plan->words];
    const i64 count = space->lower + space->count - space->shorter;
    for (i64 i = 0; i < count; ++i) {
        const i64 row = i < space->lower ? i : space->position[i - space->lower + space->shorter];
        NUMBER sum = {0};
        for (i64 k = start[row]; k < start[row + 1]; ++k)
            sum += coordinates[column[k]] * (REAL)entry[k];
        to[i] = sum;
    }
}

/* t to exp(t) - 1, both with the last level at Lyndon words only; `x` is room for all lower levels.
 */
static void NAMED(exponential_of)(const LIE_SPACE *space, NUMBER *t, NUMBER *x)
{
    const SIG_PLAN *p = space->plan;
    NAMED(series)(p, t, 0, 0, x);
    NAMED(at_lyndon)(space, space->shorter, x, t, t, t + space->lower - space->shorter);
    NAMED(product)(p, p->degree - 1, x, t, 1, 0);
    memcpy(t, x, sizeof(NUMBER) * (size_t)space->lower);
}

/* ---- Operations: rows `first` on, as many as NUMBER has, of which `count` count -------------- */

static void NAMED(lie_log)(const ROWS_JOB *rows, i64 first, i64 count, i64 part, NUMBER *room)
{
    (void)part;
    const LIE_JOB *job = (const LIE_JOB *)rows;
    const LIE_SPACE *space = &job->space;
    const SIG_PLAN *p = space->plan;
    NUMBER *t = room;
    if (!space->count) {
        NUMBER *x = t + p->words;
        LOAD(job->x, p->words, first, count, p->words, t);
        NAMED(series)(p, t, 1, 0, x);
        memset(x + space->lower, 0, sizeof(NUMBER) * (size_t)(p->words - space->lower));
        NAMED(product)(p, p->degree, x, t, 1, 0);
        STORE(x, p->words, p->words, first, count, job->out);
        return;
    }
    const i64 top = space->count - space->shorter;
    NUMBER *x = t + space->lower + top, *out = x + space->lower;
    LOAD(job->x, p->words, first, count, space->lower, t);
    for (i64 i = 0; i < top; ++i)
        GATHER(job->x + space->position[space->shorter + i], p->words, first, count,
               t + space->lower + i);
    NAMED(series)(p, t, 1, 0, x);
    NAMED(at_lyndon)(space, 0, x, t, t, out);
    NAMED(solve)(space, 0, out);
    STORE(out, space->count, space->count, first, count, job->out);
}

/* The adjoints U_j of B_j one after another, from longer words to shorter ones. */
static void NAMED(lie_log_vjp)(const ROWS_JOB *rows, i64 first, i64 count, i64 part, NUMBER *room)
{
    (void)part;
    const LIE_JOB *job = (const LIE_JOB *)rows;
    const LIE_SPACE *space = &job->space;
    const SIG_PLAN *p = space->plan;
    NUMBER *t = room, *kept = t + space->lower, *bar = kept + AS_T(kept_size)(space);
    NUMBER *up = bar + p->words, *share = up + p->words;
    if (space->count) {
        LOAD(job->x, space->count, first, count, space->count, up);
        NAMED(solve)(space, 1, up);
        memset(bar, 0, sizeof(NUMBER) * (size_t)p->words);
        for (i64 i = 0; i < space->count; ++i)
            bar[space->position[i]] = up[i];
    } else
        LOAD(job->x, p->words, first, count, p->words, bar);
    LOAD(job->y, p->words, first, count, space->lower, t);
    const NUMBER *bracket = NAMED(series)(p, t, 1, 1, kept);
    for (i64 j = 0; j < p->degree; ++j) { /* B_0 is the logarithm */
        const i64 top = p->degree - j, words = AS_T(words_before)(p, top + 1);
        if (j) {
            const REAL factor = (REAL)(-(double)j / (double)(j + 1));
            for (i64 w = 0; w < words; ++w)
                bar[w] += up[w] *= factor;
        } else
            memcpy(up, bar, sizeof(NUMBER) * (size_t)words);
        if (top == 1)
            break;
        memcpy(share, up, sizeof(NUMBER) * (size_t)words);
        NAMED(contract_left)(p, top, share, bracket, 0, 0);
        for (i64 w = 0; w < AS_T(words_before)(p, top); ++w)
            bar[w] += share[w];
        NAMED(contract_right)(p, top, up, t, 0, 0);
        bracket -= AS_T(words_before)(p, top - 1);
    }
    STORE(bar, p->words, p->words, first, count, job->out);
}

/* Brackets s = [x, y] and r = [u, z] + [v, w] of words `from` .. `end`, all of one length, by a
 * part of the table of structure constants that begins at `at`; returns where the next part begins.
 * Of [x, y] there are x(i) y(j), the first of `halves`, and -x(j) y(i), the second; so of [u, z];
 * of [v, w] the first one, unless v is NULL. Without `add`, to = s and other = r; with it to += s /
 * 2 + r. */
AS_INLINE const i64 *NAMED(brackets)(const i64 *at, i64 from, i64 end, const NUMBER *x,
                                     const NUMBER *y, const int halves, const NUMBER *u,
                                     const NUMBER *z, const int halves_of_u, const NUMBER *v,
                                     const NUMBER *w, const int add, NUMBER *to, NUMBER *other)
{
    for (i64 k = from; k < end; ++k) {
        NUMBER s = {0}, r = {0};
        i64 plus = *at++, minus = *at++;
#define AS_TERM(PLUS, MINUS)                                                                       \
    if (halves & 1)                                                                                \
        s PLUS x[at[0]] * y[at[1]];                                                                \
    if (halves & 2)                                                                                \
        s MINUS x[at[1]] * y[at[0]];                                                               \
    if (halves_of_u & 1)                                                                           \
        r PLUS u[at[0]] * z[at[1]];                                                                \
    if (halves_of_u & 2)                                                                           \
        r MINUS u[at[1]] * z[at[0]];                                                               \
    if (v)                                                                                         \
        r PLUS v[at[0]] * w[at[1]];
        for (; plus > 0; --plus, at += 2) {
            AS_TERM(+=, -=)
        }
        for (; minus > 0; --minus, at += 2) {
            AS_TERM(-=, +=)
        }
#undef AS_TERM
        if (add)
            to[k] += s * (REAL)0.5 + r;
        if (!add && halves)
            to[k] = s;
        if (!add && halves_of_u)
            other[k] = r;
    }
    return at;
}

/* The product to degree 4 by the Baker-Campbell-Hausdorff series of coordinates,
 *     x + y + c / 2 + [u, c] + [v, d],   c = [x, y], u = (x - y) / 12, v = -y / 24, d = [x, c],
 * into x, longer words first, since they need the shorter ones of x. `is_segment`: y has letters
 * only. */
AS_INLINE void NAMED(series_of)(const LIE_SPACE *space, NUMBER *x, const NUMBER *y,
                                const int is_segment, NUMBER *room)
{
    const i64 words = space->count, degree = space->plan->degree;
    const int whole = 3, longer = is_segment ? 2 : 3;
    i64 end[5] = {0};
    for (i64 k = 1, i = 0; k <= degree; ++k) {
        while (i < words && space->position[i] < AS_T(words_before)(space->plan, k + 1))
            ++i;
        end[k] = i;
    }
    const i64 shorter = end[as_least(degree, 3)]; /* words that longer ones are made of */
    NUMBER *c = room, *d = c + shorter, *e = d + shorter, *u = e + shorter, *v = u + shorter;
    const i64 *twos = space->structure, *threes = NULL;
    memset(c, 0, sizeof(NUMBER) * (size_t)end[1]);
    if (degree > 1)
        threes =
            NAMED(brackets)(twos, end[1], end[2], x, y, whole, x, y, 0, NULL, NULL, 0, c, NULL);
    if (degree > 2) {
        NAMED(brackets)(threes, end[2], end[3], x, y, longer, x, y, 0, NULL, NULL, 0, c, NULL);
        for (i64 i = 0; i < end[2]; ++i)
            u[i] = (x[i] - y[i]) * (REAL)(1.0 / 12);
        for (i64 i = 0; i < end[1]; ++i)
            v[i] = y[i] * (REAL)(-1.0 / 24);
        const i64 *fours =
            NAMED(brackets)(threes, end[2], end[3], x, c, 1, u, c, 1, NULL, NULL, 0, d, e);
        if (degree > 3) {
            const i64 *twice =
                NAMED(brackets)(fours, end[3], end[4], x, y, longer, u, c, 1, v, d, 1, x, NULL);
            NAMED(brackets)(twice, end[3], end[4], x, y, is_segment ? 0 : whole, u, c, whole, NULL,
                            NULL, 1, x, NULL);
        }
        for (i64 i = end[2]; i < end[3]; ++i)
            x[i] += e[i];
    }
    for (i64 i = 0; i < shorter; ++i)
        x[i] += c[i] * (REAL)0.5;
    for (i64 i = 0; i < words; ++i)
        x[i] += y[i];
}

static void NAMED(lie_series)(const ROWS_JOB *rows, i64 first, i64 count, i64 part, NUMBER *room)
{
    (void)part;
    const LIE_JOB *job = (const LIE_JOB *)rows;
    const LIE_SPACE *space = &job->space;
    const i64 words = space->count;
    NUMBER *x = room, *y = x + words, *rest = y + words;
    LOAD(job->x, words, first, count, words, x);
    memset(y + job->y_row, 0, sizeof(NUMBER) * (size_t)(words - job->y_row));
    LOAD(job->y, job->y_row, first, count, job->y_row, y);
    if (job->y_row < words)
        NAMED(series_of)(space, x, y, 1, rest);
    else
        NAMED(series_of)(space, x, y, 0, rest);
    STORE(x, words, words, first, count, job->out);
}

static void NAMED(lie_combine)(const ROWS_JOB *rows, i64 first, i64 count, i64 part, NUMBER *room)
{
    (void)part;
    const LIE_JOB *job = (const LIE_JOB *)rows;
    const LIE_SPACE *space = &job->space;
    const SIG_PLAN *p = space->plan;
    const i64 lower = space->lower, top = space->count - space->shorter, size = lower + top;
    NUMBER *coordinates = room, *left = coordinates + space->count, *right = left + size;
    NUMBER *x = right + size;
    LOAD(job->x, space->count, first, count, space->count, coordinates);
    NAMED(expand)(space, coordinates, left);
    memset(coordinates, 0, sizeof(NUMBER) * (size_t)space->count);
    LOAD(job->y, job->y_row, first, count, job->y_row, coordinates);
    NAMED(expand)(space, coordinates, right);
    NAMED(exponential_of)(space, left, x);
    NAMED(exponential_of)(space, right, x);
    for (i64 i = lower; i < size; ++i)
        left[i] += right[i];
    NAMED(at_lyndon)(space, space->shorter, left, right, left, left + lower - space->shorter);
    NAMED(product)(p, p->degree - 1, left, right, 1, 1);
    NAMED(series)(p, left, 1, 0, x);
    NAMED(at_lyndon)(space, 0, x, left, left, coordinates);
    NAMED(solve)(space, 0, coordinates);
    STORE(coordinates, space->count, space->count, first, count, job->out);
}
