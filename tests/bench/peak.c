/* What the machine can do at most, for tests/bench.
 *
 * as_fma_f32, as_fma_f64 (steps): CHAINS independent chains acc = acc * m + b of vectors of the
 *     widest kind that the compiler flags allow, `steps` times each; returns a value that depends
 *     on all of them. Flops: 2 * CHAINS * lanes * steps. as_lanes_f32, as_lanes_f64: the lanes.
 * as_triad (a, b, c, n): a[i] = b[i] + 3 c[i];  as_copy (a, b, n): a[i] = b[i], in double.
 *
 * CHAINS covers latency 4 to 8 at two operations per cycle and fits in 16 registers. */
#include <stdint.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12

#define FMA_KERNEL(REAL, SUFFIX)                                                                   \
    typedef REAL vec_##SUFFIX __attribute__((vector_size(BYTES)));                                 \
    int as_lanes_##SUFFIX(void) { return (int)(sizeof(vec_##SUFFIX) / sizeof(REAL)); }             \
    double as_fma_##SUFFIX(int64_t steps, REAL factor, REAL term)                                  \
    {                                                                                              \
        vec_##SUFFIX m = factor - (vec_##SUFFIX){0}, b = term - (vec_##SUFFIX){0};                 \
        vec_##SUFFIX a0 = b, a1 = b + 1, a2 = b + 2, a3 = b + 3, a4 = b + 4, a5 = b + 5;           \
        vec_##SUFFIX a6 = b + 6, a7 = b + 7, a8 = b + 8, a9 = b + 9, a10 = b + 10, a11 = b + 11;   \
        for (int64_t i = 0; i < steps; i++) {                                                      \
            a0 = a0 * m + b, a1 = a1 * m + b, a2 = a2 * m + b, a3 = a3 * m + b;                    \
            a4 = a4 * m + b, a5 = a5 * m + b, a6 = a6 * m + b, a7 = a7 * m + b;                    \
            a8 = a8 * m + b, a9 = a9 * m + b, a10 = a10 * m + b, a11 = a11 * m + b;                \
        }                                                                                          \
        vec_##SUFFIX s = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;              \
        double sum = 0;                                                                            \
        for (int k = 0; k < as_lanes_##SUFFIX(); k++)                                              \
            sum += (double)s[k];                                                                   \
        return sum;                                                                                \
    }

FMA_KERNEL(float, f32)
FMA_KERNEL(double, f64)

int as_chains(void) { return CHAINS; }

void as_triad(double *restrict a, const double *restrict b, const double *restrict c, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        a[i] = b[i] + 3.0 * c[i];
}

void as_fill(double *restrict a, const double *restrict b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        a[i] = b[0];
}

/* Compilers make this a call of memcpy, whose streaming stores show the most that memory can do. */
void as_copy(double *restrict a, const double *restrict b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        a[i] = b[i];
}
