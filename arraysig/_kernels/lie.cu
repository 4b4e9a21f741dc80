/* Logarithms of tensors, and of products of exponentials. Macros: REAL, CHANNELS, DEGREE.
 * Layout in words.h, without scalar terms. One block at a time per tensor, threads over words.
 *
 *   lie_log      log(1 + tensor)
 *   lie_log_vjp  its gradient
 *   lie_combine  log(exp(left) exp(right)) of coordinates of brackets; right may be a displacement
 *
 * Formats of logarithms: all words, if there is no table; coefficients of Lyndon words, which
 * `table` says the positions of; with `solve` a matrix times these, which are coordinates. Of the
 * last level Lyndon words only are read and made: what cuts a word in two needs levels below.
 *
 * Both series of a tensor t are t (1 + B_1) with B_j = c_j t (1 + B_(j+1)), B_DEGREE = 0, where c_j
 * is -j / (j + 1) for the logarithm, and 1 / (j + 1) for the exponential. B_j has levels 1 to
 * DEGREE - j. All are kept one after the other, the longest one, B_1, last.
 *
 * Tables are sparse matrices as in sparse.cuh. What a block keeps
 * for a tensor is in dynamic shared memory, or in its part of `scratch` if that is given:
 *
 *   lie_log      B; with `solve` n coefficients
 *   lie_log_vjp  B; U, and the gradient of levels below the last, SHORT numbers each
 *   lie_combine  B; three tensors of SHORT numbers; n coefficients
 */
#include "sparse.cuh"
#include "tensors.cuh"

/* Words of all levels, of those below the last, and of all B_j. */
constexpr i64 WORDS = as_level(CHANNELS, DEGREE + 1), SHORT = as_level(CHANNELS, DEGREE);
static __device__ constexpr i64 words_of_brackets()
{
    i64 result = 0, words = 0;
    for (int k = 1; k < DEGREE; k++) {
        words = (words + 1) * CHANNELS;
        result += words;
    }
    return result;
}
constexpr i64 BRACKETS = words_of_brackets();

AS_FN REAL factor(int j, bool logarithm) { return (REAL)(logarithm ? -j : 1) / (REAL)(j + 1); }

/* All B_j of t, from `room` on; returns B_1. Begins after a barrier, and ends with one. */
AS_FN const REAL *brackets(const REAL *t, REAL *room, bool logarithm)
{
    REAL *now = room;
    i64 before = 0, words = CHANNELS;
#pragma unroll 1
    for (int j = DEGREE - 1; j > 0; j--) {
        const REAL *inner = now;
        const REAL c = factor(j, logarithm);
        now += before;
        for (i64 i = threadIdx.x; i < words; i += blockDim.x)
            now[i] = c * (t[i] + split_sum(t, inner, word_at(i)));
        __syncthreads();
        before = words;
        words = (words + 1) * CHANNELS;
    }
    return now;
}

/* Contraction by the left or the right factor of `grad`, of levels up to `degree`: gives what it is
 * at word i, but for that by the scalar part, to store(i, sum), for i < words.
 *
 * Words are lanes of warps. But on levels where warps would be idle, or would read one number per
 * cache line, every word has a warp, among whose lanes the sum is shared out. One loop for both:
 * two copies of its body take more registers. */
template <bool left, class Store>
AS_FN void contract(const REAL *grad, const REAL *factor, int degree, i64 words, Store store)
{
    i64 shared = 0, size = CHANNELS, terms = as_power(CHANNELS, degree - 1);
    for (; terms >= 32 && (!left || size < 32); terms /= CHANNELS) {
        shared += size;
        size *= CHANNELS;
    }
#pragma unroll 1
    for (int lanes = 32; lanes > 0; lanes -= 31) {
        const int lane = threadIdx.x % lanes;
        const i64 end = lanes > 1 ? shared : words;
        for (i64 i = (lanes > 1 ? 0 : shared) + threadIdx.x / lanes; i < end;
             i += blockDim.x / lanes) {
            REAL sum = contraction(grad, factor, i, degree, left, lane, lanes);
            if (lanes > 1)
                for (int other = 16; other > 0; other /= 2)
                    sum += __shfl_xor_sync(0xffffffffu, sum, other);
            if (lane == 0)
                store(i, sum);
        }
    }
}

extern "C" __global__ void lie_log(const REAL *__restrict__ tensor, REAL *__restrict__ out,
                                   REAL *scratch, const i64 *__restrict__ table,
                                   const i64 *__restrict__ solve, i64 batch, i64 n)
{
    extern __shared__ __align__(16) unsigned char memory[];
    REAL *room = scratch ? scratch + blockIdx.x * (BRACKETS + (solve ? n : 0)) : (REAL *)memory;
    const i64 *position = table ? table + n + 1 : table;
    const i64 row = table ? n : WORDS;
    for (i64 b = blockIdx.x; b < batch; b += gridDim.x) {
        const REAL *t = tensor + b * WORDS, *inner = brackets(t, room, true);
        REAL *numbers = solve ? room + BRACKETS : out + b * row;
        for (i64 i = threadIdx.x; i < row; i += blockDim.x) {
            const i64 p = position ? position[i] : i;
            numbers[i] = t[p] + split_sum(t, inner, word_at(p));
        }
        __syncthreads();
        if (solve) {
            for (i64 i = threadIdx.x; i < n; i += blockDim.x)
                out[b * n + i] = row_times(solve, n, i, numbers);
            __syncthreads();
        }
    }
}

/* Backwards through the series, from U_0, what comes for the logarithm as a tensor. What comes for
 * B_j, times c_j, is U_j, of levels 1 to DEGREE - j: c_j times U_(j-1) contracted by t. The
 * gradient is the sum of the U_j contracted by 1 + B_(j+1). `solve` is transposed here. */
extern "C" __global__ void lie_log_vjp(const REAL *__restrict__ grad,
                                       const REAL *__restrict__ tensor, REAL *out, REAL *scratch,
                                       const i64 *__restrict__ table, const i64 *__restrict__ solve,
                                       i64 batch, i64 n)
{
    extern __shared__ __align__(16) unsigned char memory[];
    REAL *room = scratch ? scratch + blockIdx.x * (BRACKETS + 2 * SHORT) : (REAL *)memory;
    REAL *first_u = room + BRACKETS, *kept = first_u + SHORT;
    const i64 *position = table ? table + n + 1 : table;
    for (i64 b = blockIdx.x; b < batch; b += gridDim.x) {
        const REAL *t = tensor + b * WORDS, *given = grad + b * (table ? n : WORDS);
        REAL *bar = out + b * WORDS;
        for (i64 i = threadIdx.x; i < WORDS; i += blockDim.x)
            bar[i] = table ? (REAL)0 : given[i];
        __syncthreads();
        if (table) {
            for (i64 i = threadIdx.x; i < n; i += blockDim.x)
                bar[position[i]] = solve ? row_times(solve, n, i, given) : given[i];
            __syncthreads();
        }
        const REAL *inner = brackets(t, room, true);
        REAL *u = bar, *next = first_u;
        i64 words = WORDS, shorter = SHORT;
#pragma unroll 1
        for (int j = 0; j < DEGREE; j++) { /* u is U_j, inner B_(j+1) */
            contract<true>(u, inner, DEGREE - j, j ? words : shorter, [&](i64 i, REAL sum) {
                const REAL so_far = j == 0 ? (REAL)0 : j == 1 ? kept[i] : bar[i];
                (j ? bar : kept)[i] = so_far + u[i] + sum;
            });
            const REAL c = factor(j + 1, true);
            contract<false>(u, t, DEGREE - j, shorter, [&](i64 i, REAL sum) { next[i] = c * sum; });
            __syncthreads();
            REAL *const spare = j ? u : first_u - SHORT; /* B_1 is read for j = 0 only */
            u = next;
            next = spare;
            words = shorter;
            shorter = shorter / CHANNELS - 1;
            inner -= shorter;
        }
    }
}

extern "C" __global__ void
lie_combine(const REAL *__restrict__ left, const REAL *__restrict__ right, REAL *__restrict__ out,
            REAL *scratch, const i64 *__restrict__ table, const i64 *__restrict__ solve,
            const i64 *__restrict__ expand, i64 batch, i64 n, i64 right_row, i64 first)
{
    extern __shared__ __align__(16) unsigned char memory[];
    REAL *room = scratch ? scratch + blockIdx.x * (BRACKETS + 3 * SHORT + n) : (REAL *)memory;
    REAL *x = room + BRACKETS, *one = x + SHORT, *two = one + SHORT, *numbers = two + SHORT;
    const i64 *position = table + n + 1;
    /* Words are those of levels below the last, and then the Lyndon words of the last level, the
     * first of which is `first`, and whose coefficients are made in place: nothing else needs them.
     */
    const i64 words = SHORT + n - first;
    REAL *last = numbers + first - SHORT;
    auto word = [&](i64 i) { return word_at(i < SHORT ? i : position[first + i - SHORT]); };
    for (i64 b = blockIdx.x; b < batch; b += gridDim.x) {
#pragma unroll 1
        for (int side = 0; side < 2; side++) {
            const REAL *given = side ? right + b * right_row : left + b * n;
            REAL *e = side ? two : one;
            if (side && right_row < n) {
                for (i64 i = threadIdx.x; i < words; i += blockDim.x) {
                    const Word w = word(i);
                    const REAL value = exponential(given, w.level, w.number);
                    if (i < SHORT)
                        e[i] = value;
                    else
                        last[i] += value;
                }
            } else {
                for (i64 i = threadIdx.x; i < words; i += blockDim.x) {
                    const Word w = word(i);
                    const REAL value = row_times(expand, WORDS, w.start + w.number, given);
                    if (i < SHORT)
                        x[i] = value;
                    else
                        last[i] = side ? last[i] + value : value;
                }
                __syncthreads();
                const REAL *inner = brackets(x, room, false);
                for (i64 i = threadIdx.x; i < words; i += blockDim.x) {
                    const REAL value = split_sum(x, inner, word(i));
                    if (i < SHORT)
                        e[i] = x[i] + value;
                    else
                        last[i] += value;
                }
            }
            __syncthreads();
        }
        for (i64 i = threadIdx.x; i < words; i += blockDim.x) {
            const REAL value = split_sum(one, two, word(i));
            if (i < SHORT)
                x[i] = one[i] + two[i] + value;
            else
                last[i] += value;
        }
        __syncthreads();
        const REAL *inner = brackets(x, room, true);
        for (i64 i = threadIdx.x; i < n; i += blockDim.x) {
            const i64 p = position[i];
            numbers[i] = (i < first ? x[p] : numbers[i]) + split_sum(x, inner, word_at(p));
        }
        __syncthreads();
        for (i64 i = threadIdx.x; i < n; i += blockDim.x)
            out[b * n + i] = row_times(solve, n, i, numbers);
        __syncthreads();
    }
}
