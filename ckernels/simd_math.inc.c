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
    const VEC inside = AS_T(at_most)(AS_T(all_lanes)(AS_EXP_MOST),
                                     AS_T(at_least)(AS_T(all_lanes)(AS_EXP_LEAST), x));
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

/* 2^x where that is a normal number; the least of them below, and infinity above, from half the
 * largest number on. x = k / AS_PARTS + r with |r| <= 1 / (2 AS_PARTS); of 2^r there is a
 * polynomial with 1 in front that is good to 0.04 units of rounding (interpolation at Chebyshev's
 * nodes), and of 2^(k / AS_PARTS) the fraction of the exponent stands in a register where that has
 * room. */
#if AS_VECTOR_BYTES == 64 && !defined(__clang__) /* which has no shuffle by a variable */
#define AS_PARTS AS_LANES
#define AS_PART_SHIFT (AS_MANTISSA - (AS_LANES == 16 ? 4 : 3))
#else
#define AS_PARTS 1
#endif
AS_INLINE VEC AS_T(exp2_lanes)(VEC x)
{
#if defined(AS_DOUBLE) && AS_PARTS > 1
    static const double terms[] = {0.69314718055994530942,   0.24022650695910932816,
                                   0.055504108664822243509,  0.0096181290899833007826,
                                   0.0013333558132838855753, 0.0001540443381934758133,
                                   1.5253429586496909374e-5};
    /* bits of 2^(k / 8), without those that adding k to the exponent brings */
    const IVEC table = {0x3ff0000000000000, 0x3fef72b83c7d517b, 0x3fef06fe0a31b715,
                        0x3feebfdad5362a27, 0x3feea09e667f3bcd, 0x3feeace5422aa0db,
                        0x3feee89f995ad3ad, 0x3fef5818dcfba487};
#elif defined(AS_DOUBLE)
    static const double terms[] = {
        0.69314718055994530942,   0.2402265069591009822,    0.055504108664821594339,
        0.0096181291076068885273, 0.001333355814641693531,  0.00015403530441736050155,
        1.5252733829836118394e-5, 1.3215442587921689653e-6, 1.0178062445845773521e-7,
        7.0725859492692236999e-9, 4.4549605981865183938e-10};
#elif AS_PARTS > 1
    static const float terms[] = {0.6931471805599453f, 0.24023355156988721f, 0.05550508525196963f};
    const IVEC table = {0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532,
                        0x3f75fed7, 0x3f75583f, 0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c,
                        0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};
#else
    static const float terms[] = {0.6931472067028326f,    0.24022650922288758f,
                                  0.05550327226670302f,   0.009618056678524638f,
                                  0.0013400428178215838f, 0.00015461444698569129f};
#endif
    enum { LAST = sizeof(terms) / sizeof(terms[0]) - 1 };
    const REAL rounder = (REAL)AS_ROUNDER / AS_PARTS;
    const VEC inside = AS_T(at_most)(AS_T(all_lanes)(AS_BIAS + 1),
                                     AS_T(at_least)(AS_T(all_lanes)(1 - AS_BIAS), x));
    const VEC k = inside + rounder, r = inside - (k - rounder);
    VEC sum = AS_T(all_lanes)(terms[LAST]);
    AS_UNROLL for (int i = LAST - 1; i >= 0; --i) sum = sum * r + terms[i];
    sum = sum * r + (REAL)1;
#if AS_PARTS > 1
    const IVEC power = __builtin_shuffle(table, (IVEC)k) + ((IVEC)k << AS_PART_SHIFT);
#else
    const IVEC power = ((IVEC)k + AS_BIAS) << AS_MANTISSA;
#endif
    return sum * (VEC)power; /* a product, for NaN to stay */
}
#undef AS_PARTS
#undef AS_PART_SHIFT

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
