/* What kernels of the truncated tensor algebra share: words, and sums over the ways to cut them.
 * Macros: REAL, CHANNELS. Layout in words.h; tensors have no scalar term here.
 */
#include "real.h"
#include "words.h"

/* A word as level, first word of the level, words of the level, and number within it. */
struct Word {
    int level;
    i64 start, size, number;
};

AS_FN Word word_at(i64 index)
{
    Word w = {1, 0, CHANNELS, 0};
    while (index >= w.start + w.size) {
        w.start += w.size;
        w.size *= CHANNELS;
        w.level++;
    }
    w.number = index - w.start;
    return w;
}

/* Sum over w = uv, neither empty, of left(u) right(v): letters go from u to v, the last one first.
 */
AS_FN REAL split_sum(const REAL *left, const REAL *right, Word w)
{
    REAL sum = 0;
    i64 start = w.start, size = w.size, u = w.number, v = 0, tail_start = 0, tail = 1;
    for (int i = w.level - 1; i > 0; i--) {
        size /= CHANNELS;
        start -= size;
        const i64 head = u / CHANNELS;
        v += (u - head * CHANNELS) * tail;
        u = head;
        sum += left[start + u] * right[tail_start + v];
        tail *= CHANNELS;
        tail_start += tail;
    }
    return sum;
}

/* Entry `index` of the contraction of `grad`, of levels up to `degree`, by the left or the right
 * factor, but for that by the scalar part: the sum over words that end, or begin, with the entry's.
 * With several `lanes` every one takes a part of the sum. */
AS_FN REAL contraction(const REAL *grad, const REAL *factor, i64 index, int degree, bool left,
                       int lane, int lanes)
{
    const Word w = word_at(index);
    i64 start = w.start, size = w.size, others = CHANNELS;
    REAL sum = 0;
    for (int k = w.level; k < degree; k++) {
        start += size;
        size *= CHANNELS;
        const REAL *words = grad + start + (left ? w.number : w.number * others);
        const i64 step = left ? w.size : 1;
        for (i64 v = lane; v < others; v += lanes)
            sum += words[v * step] * factor[v];
        factor += others;
        others *= CHANNELS;
    }
    return sum;
}

/* Entry `number` of level `level` of exp(v). */
AS_FN REAL exponential(const REAL *v, int level, i64 number)
{
    REAL product = 1;
    for (int i = 1; i <= level; i++, number /= CHANNELS)
        product *= v[number % CHANNELS] / (REAL)i;
    return product;
}
