/* exp, log and powers of vectors, a few units in the last place off. NaN stays NaN.
 *
 * exp: x = k ln 2 + r with |r| <= ln 2 / 2, and a Taylor polynomial in r.
 * log: x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)), for normal
 * positive x. Adding and subtracting 1.5 * 2^mantissa rounds to an integer, which then stands in
 * the lowest bits.
 */

#define IVEC AS_T(ivec)
#ifdef AS_DOUBLE
typedef i64 IVEC __attribute__((vector_size(AS_VECTOR_BYTES)));
#define AS_MANTISSA 52
#define AS_BIAS 1023
#define AS_ROUNDER 6755399441055744.0 /* 1.5 * 2^52 */
#define AS_LN2_HIGH 0x1.62e42fefa0000p-1
#define AS_LN2_LOW 0x1.cf79abc9e3b39p-40
#define AS_EXP_TERMS 13
#define AS_LOG_TERMS 11
#define AS_EXP_LEAST (-708.0)
#define AS_EXP_MOST 709.0
#else
typedef int32_t IVEC __attribute__((vector_size(AS_VECTOR_BYTES)));
#define AS_MANTISSA 23
#define AS_BIAS 127
#define AS_ROUNDER 12582912.0f /* 1.5 * 2^23 */
#define AS_LN2_HIGH 0.693359375f
#define AS_LN2_LOW (-2.12194440e-4f)
#define AS_EXP_TERMS 7
#define AS_LOG_TERMS 5
#define AS_EXP_LEAST (-87.0f)
#define AS_EXP_MOST 88.0f
#endif

/* Lane by lane, a where `mask` (of a comparison) is true, else b. */
AS_INLINE VEC AS_T(choose)(IVEC mask, VEC a, VEC b)
{
    return (VEC)(((IVEC)a & mask) | ((IVEC)b & ~mask));
}

/* exp(x), and within the range of normal results only: least or largest of them beyond it. */
AS_INLINE VEC AS_T(exp_lanes)(VEC x)
{
    const VEC least = AS_T(all_lanes)(AS_EXP_LEAST), most = AS_T(all_lanes)(AS_EXP_MOST);
    VEC inside = AS_T(choose)(x < least, least, x);
    inside = AS_T(choose)(inside > most, most, inside);
    VEC k = inside * (REAL)1.4426950408889634 + (REAL)AS_ROUNDER;
    const IVEC power = (IVEC)k;
    k -= (REAL)AS_ROUNDER;
    VEC r = inside - k * (REAL)AS_LN2_HIGH;
    r -= k * (REAL)AS_LN2_LOW;
    static const REAL inverse_factorials[] = {1,
                                              1,
                                              (REAL)(1.0 / 2),
                                              (REAL)(1.0 / 6),
                                              (REAL)(1.0 / 24),
                                              (REAL)(1.0 / 120),
                                              (REAL)(1.0 / 720),
                                              (REAL)(1.0 / 5040),
                                              (REAL)(1.0 / 40320),
                                              (REAL)(1.0 / 362880),
                                              (REAL)(1.0 / 3628800),
                                              (REAL)(1.0 / 39916800),
                                              (REAL)(1.0 / 479001600),
                                              (REAL)(1.0 / 6227020800)};
    VEC sum = AS_T(all_lanes)(inverse_factorials[AS_EXP_TERMS]);
    AS_UNROLL for (int i = AS_EXP_TERMS - 1; i >= 0; --i) sum = sum * r + inverse_factorials[i];
    return sum * (VEC)((power + AS_BIAS) << AS_MANTISSA); /* a product, for NaN to stay */
}

/* 2^x for |x| <= 1/2 by a polynomial with 1 in front, of least largest error: 0.02 and 0.08 units
 * of rounding. */
AS_INLINE VEC AS_T(exp2_fraction)(VEC x)
{
#ifdef AS_DOUBLE
    static const double terms[] = {
        0.69314718055994569675,   0.24022650695910098007,   0.055504108664790394552,
        0.0096181291076070023796, 0.0013333558153439964747, 0.0001540353044157213033,
        1.5252727385193868197e-5, 1.3215442675329822143e-6, 1.0180647659234138888e-7,
        7.0725704128144235096e-9, 4.078071929588336665e-10};
    enum { LAST = 10 };
#else
    static const float terms[] = {0.6931472149680279f,    0.24022652782887737f,
                                  0.05550310551013797f,   0.009617692972993062f,
                                  0.0013406643902351759f, 0.00015594678161326619f};
    enum { LAST = 5 };
#endif
    VEC sum = AS_T(all_lanes)(terms[LAST]);
    AS_UNROLL for (int i = LAST - 1; i >= 0; --i) sum = sum * x + terms[i];
    return sum * x + (REAL)1;
}

/* 2^x where that is a normal number; the least of them below, and infinity above, from half the
 * largest number on. */
AS_INLINE VEC AS_T(exp2_lanes)(VEC x)
{
    const VEC least = AS_T(all_lanes)(1 - AS_BIAS), most = AS_T(all_lanes)(AS_BIAS + 1);
    VEC inside = AS_T(choose)(x < least, least, x);
    inside = AS_T(choose)(inside > most, most, inside);
    const VEC k = inside + (REAL)AS_ROUNDER;
    const VEC sum = AS_T(exp2_fraction)(inside - (k - (REAL)AS_ROUNDER));
    return sum * (VEC)(((IVEC)k + AS_BIAS) << AS_MANTISSA); /* a product, for NaN to stay */
}

/* The same, and 0 below the least normal number. */
AS_INLINE VEC AS_T(exp2_or_zero)(VEC x)
{
    return AS_T(choose)(x < AS_T(all_lanes)(1 - AS_BIAS), (VEC){0}, AS_T(exp2_lanes)(x));
}

/* log(x) of normal numbers x > 0. */
AS_INLINE VEC AS_T(log_lanes)(VEC x)
{
    const IVEC bits = (IVEC)x;
    const IVEC rounder = (IVEC)AS_T(all_lanes)(AS_ROUNDER);
    /* exponent of x / sqrt(1/2), so that m is in [sqrt(1/2), sqrt(2)) */
    const IVEC half = (IVEC)AS_T(all_lanes)((REAL)0.70710678118654752);
    const IVEC exponent = (bits - half) >> AS_MANTISSA;
    const VEC m = (VEC)(bits - (exponent << AS_MANTISSA));
    const VEC e = (VEC)(rounder + exponent) - (REAL)AS_ROUNDER;
    const VEC f = (m - (REAL)1) / (m + (REAL)1), s = f * f;
    VEC sum = AS_T(all_lanes)((REAL)(2.0 / (2 * AS_LOG_TERMS + 1)));
    AS_UNROLL for (int i = AS_LOG_TERMS - 1; i >= 1; --i) sum = sum * s + (REAL)(2.0 / (2 * i + 1));
    /* log m = 2 f + f s sum */
    const VEC log_m = f * (REAL)2 + (f * s) * sum;
    const VEC result = e * (REAL)AS_LN2_HIGH + (log_m + e * (REAL)AS_LN2_LOW);
    return AS_T(choose)(x == x, result, x);
}

/* sqrt(x), x >= 0: the compiler makes one instruction of the loop. */
AS_INLINE VEC AS_T(sqrt_lanes)(VEC x)
{
    VEC root;
    for (int l = 0; l < AS_LANES; ++l)
#ifdef AS_DOUBLE
        root[l] = __builtin_sqrt(x[l]);
#else
        root[l] = __builtin_sqrtf(x[l]);
#endif
    return root;
}

/* x^exponent for x > 0, and 0 for x <= 0. */
AS_INLINE VEC AS_T(pow_lanes)(VEC x, REAL exponent)
{
    const VEC power = AS_T(exp_lanes)(AS_T(log_lanes)(x) * exponent);
    return AS_T(choose)(x <= (VEC){0}, (VEC){0}, power);
}

#undef AS_MANTISSA
#undef AS_BIAS
#undef AS_ROUNDER
#undef AS_LN2_HIGH
#undef AS_LN2_LOW
#undef AS_EXP_TERMS
#undef AS_LOG_TERMS
#undef AS_EXP_LEAST
#undef AS_EXP_MOST
