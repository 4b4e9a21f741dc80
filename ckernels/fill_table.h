/* Which shuffle products give the coefficients of words that are no Lyndon words.
 *
 * With u the first factor of the Lyndon factorisation of a word w = uv, the shuffle product is
 *     S(u) S(v) = sum over the shuffles x of u and v of S(x) = c S(w) + sum of S(x), x < w,
 * where c is how often u begins w. In order of words all on the right but S(w) is known.
 * References: J.-P. Duval, J. Algorithms 4 (1983), 363-381; D. E. Radford, J. Algebra 58 (1979),
 * 432-454; C. Reutenauer, Free Lie Algebras (1993), theorem 6.1.
 */
#pragma once
#include "arraysig.h"

#define AS_FILLED_DEGREE 5
#define AS_MOST_SHUFFLES 10 /* of two words that are AS_FILLED_DEGREE letters together */

/* Words to, to + 1, ... up to `count` of them, all of one level, numbered through all levels:
 *     S(to + i) = (S(head) S(tail + i) - sum over terms of S(term.from + i term.stride)) / same. */
typedef struct {
    int32_t to, count, head, tail, same, first_term, end_term;
} as_fill_run;

typedef struct {
    int32_t from, stride;
} as_fill_term;

/* Runs in order of levels and words; those of levels 2 .. k are runs 0 .. until[k]. */
typedef struct as_fill_table {
    i64 channels, most, until[AS_FILLED_DEGREE + 1], terms;
    as_fill_run *run;
    as_fill_term *term;
    struct as_fill_table *next;
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
 * last; the first factor of all of these has as many letters as is returned. */
static int as_first_factor(int n, const i64 *word, i64 channels, i64 *last)
{
    int period = 1, i = 1;
    for (; i < n - 1 && word[i] >= word[i - period]; ++i)
        if (word[i] > word[i - period])
            period = i + 1;
    *last = i < n - 1 ? channels - 1 : word[n - 1 - period];
    return period;
}

/* Appends the runs of words that begin with word[0 .. n - 2], the prefix-th one, and end with
 * letters 0 .. last; or only counts them, when there are no arrays yet. */
static void as_add_runs(as_fill_table *table, int n, const i64 *word, i64 prefix, int first,
                        i64 last, int count, const i64 weight[AS_MOST_SHUFFLES][AS_FILLED_DEGREE],
                        const i64 *power, const i64 *offset)
{
    i64 from[AS_MOST_SHUFFLES] = {0};
    for (int k = 0; k < count; ++k)
        for (int i = 0; i < n - 1; ++i)
            from[k] += word[i] * weight[k][i];
    unsigned before = 0;
    for (i64 b = 0; b <= last; ++b) {
        const i64 w = prefix * power[1] + b;
        unsigned same = 0; /* shuffles that are the word itself */
        for (int k = 0; k < count; ++k)
            same |= (unsigned)(from[k] + b * weight[k][n - 1] == w) << k;
        if (b && same == before) {
            if (table->run)
                ++table->run[table->until[n] - 1].count;
            continue;
        }
        before = same;
        const i64 tails = power[n - first], first_term = table->terms;
        for (int k = 0; k < count; ++k)
            if (!(same >> k & 1)) {
                const i64 stride = weight[k][n - 1], x = offset[n] + from[k] + b * stride;
                if (table->term)
                    table->term[table->terms] = (as_fill_term){(int32_t)x, (int32_t)stride};
                ++table->terms;
            }
        if (table->run)
            table->run[table->until[n]] = (as_fill_run){
                .to = (int32_t)(offset[n] + w),
                .count = 1,
                .head = (int32_t)(offset[first] + w / tails),
                .tail = (int32_t)(offset[n - first] + w % tails),
                .same = 1 + __builtin_popcount(same),
                .first_term = (int32_t)first_term,
                .end_term = (int32_t)table->terms,
            };
        ++table->until[n];
    }
}

/* All runs, or their number. */
static void as_add_levels(as_fill_table *table, const i64 *power, const i64 *offset)
{
    memset(table->until, 0, sizeof(table->until));
    table->terms = 0;
    for (int n = 2; n <= table->most; ++n) {
        i64 weight[AS_FILLED_DEGREE][AS_MOST_SHUFFLES][AS_FILLED_DEGREE];
        int count[AS_FILLED_DEGREE];
        for (int first = 1; first < n; ++first)
            count[first] = as_shuffles(n, first, power, weight[first]);
        table->until[n] = table->until[n - 1];
        i64 word[AS_FILLED_DEGREE] = {0};
        for (i64 prefix = 0; prefix < power[n - 1]; ++prefix) {
            i64 last;
            const int first = as_first_factor(n, word, table->channels, &last);
            as_add_runs(table, n, word, prefix, first, last, count[first], weight[first], power,
                        offset);
            for (int i = n - 2; i >= 0 && ++word[i] == table->channels; --i)
                word[i] = 0;
        }
    }
}

/* A table for levels 2 .. most or more: made when it is first asked for, and kept as long as the
 * process lives, for it has but a few numbers per word. NULL when there is no memory. Threads that
 * ask for it at once may make it twice. */
static const as_fill_table *as_fill_table_of(i64 channels, i64 most, const i64 *power,
                                             const i64 *offset)
{
    static as_fill_table *tables;
    as_fill_table *newest = __atomic_load_n(&tables, __ATOMIC_ACQUIRE);
    for (as_fill_table *t = newest; t; t = t->next)
        if (t->channels == channels && t->most >= most)
            return t;
    as_fill_table *table = malloc(sizeof(*table));
    if (!table)
        return NULL;
    *table = (as_fill_table){.channels = channels, .most = most, .next = newest};
    as_add_levels(table, power, offset);
    const size_t run_bytes = sizeof(as_fill_run) * (size_t)table->until[most];
    char *memory = malloc(run_bytes + sizeof(as_fill_term) * (size_t)table->terms + 1);
    if (!memory) {
        free(table);
        return NULL;
    }
    table->run = (as_fill_run *)memory;
    table->term = (as_fill_term *)(memory + run_bytes);
    as_add_levels(table, power, offset);
    while (!__atomic_compare_exchange_n(&tables, &table->next, table, 0, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
    return table;
}
