/* The truncated tensor algebra: products, their adjoints, inverses. Macros: REAL, CHANNELS, DEGREE.
 * Layout in words.h; rows are scalar_term + words long, and scalar parts are arguments, never read.
 *
 *   tensor_product         (s + left) (t + right):  out(w) = t left(w) + s right(w)
 *                                                            + sum over w = uv of left(u) right(v)
 *   tensor_contract_right  out(u) = t grad(u) + sum over v of grad(uv) right(v)
 *   tensor_contract_left   out(v) = s grad(v) + sum over u of grad(uv) left(u)
 *   tensor_inverse         (1 + out) (1 + tensor) = 1
 *   sig_join               (1 + sig) exp(displacement), or with `prepend` the factors swapped
 *   sig_join_vjp_sig       the adjoint of that in the signature
 *   sig_join_vjp_segment   and in the displacement
 *
 * The contractions are the adjoints of the product in its factors. One thread per number of the
 * output, but one block per tensor where others have to be made first.
 */
#include "tensors.cuh"

#define WORDS as_level(CHANNELS, DEGREE + 1)

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

/* Entry `index` of the contraction by `factor`, the left or the right one, whose scalar part is
 * `scalar`. */
AS_FN REAL contracted(const REAL *grad, const REAL *factor, i64 index, i64 scalar, bool left)
{
    return (REAL)scalar * grad[index] + contraction(grad, factor, index, DEGREE, left, 0, 1);
}

extern "C" __global__ void tensor_contract_right(const REAL *__restrict__ grad,
                                                 const REAL *__restrict__ right,
                                                 REAL *__restrict__ out, i64 batch, i64 t,
                                                 i64 scalar_term)
{
    const i64 row = WORDS + scalar_term;
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < batch * row;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 b = q / row, index = q - b * row - scalar_term, start = q - index;
        out[q] = index < 0 ? (REAL)0 : contracted(grad + start, right + start, index, t, false);
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
        const i64 b = q / row, index = q - b * row - scalar_term, start = q - index;
        out[q] = index < 0 ? (REAL)0 : contracted(grad + start, left + start, index, s, true);
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

/* Horner: the sum for one letter more from that for the first letters, or for the last ones. */
extern "C" __global__ void sig_join(const REAL *__restrict__ sig,
                                    const REAL *__restrict__ displacement, REAL *__restrict__ out,
                                    i64 batch, i64 prepend, i64 scalar_term)
{
    const i64 row = WORDS + scalar_term;
    for (i64 q = (i64)blockIdx.x * blockDim.x + threadIdx.x; q < batch * row;
         q += (i64)gridDim.x * blockDim.x) {
        const i64 b = q / row, index = q - b * row - scalar_term;
        REAL sum = 1;
        if (index >= 0) {
            const REAL *s = sig + q - index, *v = displacement + b * CHANNELS;
            const Word w = word_at(index);
            i64 start = 0, size = CHANNELS, rest = w.size;
            for (int i = 1; i <= w.level; i++) {
                rest /= CHANNELS;
                const i64 part = prepend ? w.number % size : w.number / rest;
                const i64 letter = prepend ? part / (size / CHANNELS) : part % CHANNELS;
                sum = s[start + part] + v[letter] * sum / (REAL)(w.level - i + 1);
                start += size;
                size *= CHANNELS;
            }
        }
        out[q] = sum;
    }
}

/* `factor` has room for a tensor per block: the exponential. */
extern "C" __global__ void sig_join_vjp_sig(const REAL *__restrict__ grad,
                                            const REAL *__restrict__ displacement,
                                            REAL *__restrict__ out, REAL *factor, i64 batch,
                                            i64 prepend, i64 scalar_term)
{
    const i64 row = WORDS + scalar_term;
    REAL *other = factor + blockIdx.x * WORDS;
    for (i64 b = blockIdx.x; b < batch; b += gridDim.x) {
        const REAL *g = grad + b * row + scalar_term;
        for (i64 i = threadIdx.x; i < WORDS; i += blockDim.x) {
            const Word w = word_at(i);
            other[i] = exponential(displacement + b * CHANNELS, w.level, w.number);
        }
        __syncthreads();
        for (i64 i = (i64)threadIdx.x - scalar_term; i < WORDS; i += blockDim.x)
            out[b * row + scalar_term + i] =
                i < 0 ? (REAL)0 : contracted(g, other, i, 1, prepend != 0);
        __syncthreads();
    }
}

/* `adjoint` has room for a tensor per block: that of the exponential, exp_k = exp_(k-1) (x) v / k.
 */
extern "C" __global__ void sig_join_vjp_segment(const REAL *__restrict__ grad,
                                                const REAL *__restrict__ sig,
                                                const REAL *__restrict__ displacement,
                                                REAL *__restrict__ out, REAL *adjoint, i64 batch,
                                                i64 prepend, i64 scalar_term)
{
    const i64 row = WORDS + scalar_term;
    REAL *bar = adjoint + blockIdx.x * WORDS;
    for (i64 b = blockIdx.x; b < batch; b += gridDim.x) {
        const REAL *g = grad + b * row + scalar_term, *s = sig + b * row + scalar_term;
        const REAL *v = displacement + b * CHANNELS;
        for (i64 i = threadIdx.x; i < WORDS; i += blockDim.x)
            bar[i] = contracted(g, s, i, 1, prepend == 0);
        __syncthreads();
        i64 start = WORDS, size = as_power(CHANNELS, DEGREE);
        for (int k = DEGREE; k > 1; k--) {
            start -= size;
            size /= CHANNELS;
            for (i64 u = threadIdx.x; u < size; u += blockDim.x) {
                REAL sum = 0;
                for (i64 a = 0; a < CHANNELS; a++)
                    sum += bar[start + u * CHANNELS + a] * v[a];
                bar[start - size + u] += sum / (REAL)k;
            }
            __syncthreads();
        }
        for (i64 a = threadIdx.x; a < CHANNELS; a += blockDim.x) {
            REAL sum = DEGREE > 0 ? bar[a] : (REAL)0;
            i64 first = CHANNELS, heads = CHANNELS;
            for (int k = 2; k <= DEGREE; k++) {
                for (i64 u = 0; u < heads; u++)
                    sum += exponential(v, k - 1, u) / (REAL)k * bar[first + u * CHANNELS + a];
                heads *= CHANNELS;
                first += heads;
            }
            out[b * CHANNELS + a] = sum;
        }
        __syncthreads();
    }
}
