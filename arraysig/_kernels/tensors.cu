/* The truncated tensor algebra: products, their adjoints, inverses. Macros: REAL, CHANNELS, DEGREE.
 * Layout in words.h; rows are scalar_term + words long, and scalar parts are arguments, never read.
 *
 *   tensor_product         (s + left) (t + right):  out(w) = t left(w) + s right(w)
 *                                                            + sum over w = uv of left(u) right(v)
 *   tensor_contract_right  out(u) = t grad(u) + sum over v of grad(uv) right(v)
 *   tensor_contract_left   out(v) = s grad(v) + sum over u of grad(uv) left(u)
 *   tensor_inverse         (1 + out) (1 + tensor) = 1
 *
 * The contractions are the adjoints of the product in its factors. One thread per number of the
 * output, but one block per tensor for the inverse, whose levels follow from the ones below.
 */
#include "real.h"
#include "words.h"

#define WORDS as_level(CHANNELS, DEGREE + 1)

/* A word as level, first word of the level, and number within it. */
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

/* Sum over w = uv, neither empty, of left(u) right(v). */
AS_FN REAL split_sum(const REAL *left, const REAL *right, Word w)
{
    REAL sum = 0;
    i64 start = w.start, size = w.size, tail_start = 0, tail = CHANNELS;
    for (int i = w.level - 1; i > 0; i--) {
        size /= CHANNELS;
        start -= size;
        const i64 u = w.number / tail;
        sum += left[start + u] * right[tail_start + w.number - u * tail];
        tail_start += tail;
        tail *= CHANNELS;
    }
    return sum;
}

extern "C" __global__ void tensor_product(const REAL *__restrict__ left,
                                          const REAL *__restrict__ right, REAL *__restrict__ out,
                                          i64 batch, i64 s, i64 t, i64 scalar_term)
{
    const i64 row = WORDS + scalar_term;
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < batch * row;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 b = q / row, index = q - b * row - scalar_term;
        const REAL *l = left + b * row + scalar_term, *r = right + b * row + scalar_term;
        out[q] = index < 0
                     ? (REAL)(s * t)
                     : (REAL)t * l[index] + (REAL)s * r[index] + split_sum(l, r, word_at(index));
    }
}

extern "C" __global__ void tensor_contract_right(const REAL *__restrict__ grad,
                                                 const REAL *__restrict__ right,
                                                 REAL *__restrict__ out, i64 batch, i64 t,
                                                 i64 scalar_term)
{
    const i64 row = WORDS + scalar_term;
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < batch * row;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 b = q / row, index = q - b * row - scalar_term;
        REAL sum = 0;
        if (index >= 0) {
            const REAL *g = grad + b * row + scalar_term, *r = right + b * row + scalar_term;
            const Word u = word_at(index);
            i64 start = u.start, size = u.size, tail_start = 0, tail = CHANNELS;
            sum = (REAL)t * g[index];
            for (int k = u.level; k < DEGREE; k++) {
                start += size;
                size *= CHANNELS;
                const REAL *words = g + start + u.number * tail;
                for (i64 v = 0; v < tail; v++)
                    sum += words[v] * r[tail_start + v];
                tail_start += tail;
                tail *= CHANNELS;
            }
        }
        out[q] = sum;
    }
}

extern "C" __global__ void tensor_contract_left(const REAL *__restrict__ grad,
                                                const REAL *__restrict__ left,
                                                REAL *__restrict__ out, i64 batch, i64 s,
                                                i64 scalar_term)
{
    const i64 row = WORDS + scalar_term;
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < batch * row;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 b = q / row, index = q - b * row - scalar_term;
        REAL sum = 0;
        if (index >= 0) {
            const REAL *g = grad + b * row + scalar_term, *l = left + b * row + scalar_term;
            const Word v = word_at(index);
            i64 start = v.start, size = v.size, head_start = 0, head = CHANNELS;
            sum = (REAL)s * g[index];
            for (int k = v.level; k < DEGREE; k++) {
                start += size;
                size *= CHANNELS;
                for (i64 u = 0; u < head; u++)
                    sum += g[start + u * v.size + v.number] * l[head_start + u];
                head_start += head;
                head *= CHANNELS;
            }
        }
        out[q] = sum;
    }
}

extern "C" __global__ void tensor_inverse(const REAL *__restrict__ tensor, REAL *out, i64 batch,
                                          i64 scalar_term)
{
    const i64 row = WORDS + scalar_term;
    for (i64 b = blockIdx.x; b < batch; b += gridDim.x) {
        const REAL *given = tensor + b * row + scalar_term;
        REAL *inverse = out + b * row + scalar_term;
        if (scalar_term && threadIdx.x == 0)
            inverse[-1] = 1;
        Word w = {1, 0, CHANNELS, 0};
        for (int level = 1; level <= DEGREE; level++) {
            for (w.number = threadIdx.x; w.number < w.size; w.number += blockDim.x)
                inverse[w.start + w.number] =
                    -given[w.start + w.number] - split_sum(inverse, given, w);
            __syncthreads();
            w.level++;
            w.start += w.size;
            w.size *= CHANNELS;
        }
    }
}
