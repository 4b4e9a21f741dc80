/* Powers of 2, logarithms and powers of vectors, a few units in the last place off. NaN stays NaN.
 * Adding and subtracting 1.5 * 2^mantissa rounds to an integer, which then stands in the lowest
 * bits.
 */

#ifndef AS_LN2
#define AS_LN2 0.69314718055994530942
#endif
#define IVEC AS_T(ivec)
#ifdef AS_DOUBLE
typedef i64 IVEC __attribute__((vector_size(AS_VECTOR_BYTES)));
#define AS_MANTISSA 52
#define AS_BIAS 1023
#define AS_ROUNDER 6755399441055744.0 /* 1.5 * 2^52 */
#define AS_LOG_TERMS 11
#else
typedef int32_t IVEC __attribute__((vector_size(AS_VECTOR_BYTES)));
#define AS_MANTISSA 23
#define AS_BIAS 127
#define AS_ROUNDER 12582912.0f /* 1.5 * 2^23 */
#define AS_LOG_TERMS 5
#endif

/* Lane by lane, a where `mask` (of a comparison) is true, else b. */
AS_INLINE VEC AS_T(choose)(IVEC mask, VEC a, VEC b)
{
    return (VEC)(((IVEC)a & mask) | ((IVEC)b & ~mask));
}

/* 2^(x - less) of one vector or two side by side. With n parts x = k / n + r, |r| <= 1 / (2 n); of
 * 2^r there is a polynomial with 1 in front that is good to 0.06 units of rounding (interpolation
 * at Chebyshev's nodes), and registers have 2^(k / n) for each fraction of k, where there is room.
 *
 * Beyond the normal numbers results are infinity, or subnormal or 0: not the least normal number,
 * which with sums of large powers may be anything. Where there are parts the last instruction sees
 * to that, also for infinite x. From |x| of 2^18 (float) or 2^47 on r may be greater; the
 * polynomial is positive for any if its degree is even, and has its sign taken off if it is not. */
#if AS_VECTOR_BYTES == 64 && !defined(__clang__) /* which has no shuffle by a variable */
#define AS_PARTS 16
#else
#define AS_PARTS 1
#endif
AS_INLINE void AS_T(exp2_many)(const VEC *x, VEC *out, const int count, const int less)
{
#if AS_PARTS > 1
    static const REAL parts[AS_PARTS] = {
        (REAL)1,
        (REAL)1.0442737824274138403,
        (REAL)1.0905077326652576592,
        (REAL)1.1387886347566916537,
        (REAL)1.1892071150027210667,
        (REAL)1.2418578120734840486,
        (REAL)1.2968395546510096659,
        (REAL)1.3542555469368927283,
        (REAL)1.4142135623730950488,
        (REAL)1.4768261459394993114,
        (REAL)1.5422108254079408236,
        (REAL)1.6104903319492543082,
        (REAL)1.6817928305074290861,
        (REAL)1.7562521603732994831,
        (REAL)1.8340080864093424635,
        (REAL)1.9152065613971472939,
    };
    const REAL scale = (REAL)1 / (REAL)(1 << less);
    const VEC low = AS_T(load)(parts) * scale, high = AS_T(load)(parts + 16 - AS_LANES) * scale;
#endif
#if defined(AS_DOUBLE) && AS_PARTS > 1
    static const double terms[] = {0.69314718055994575333,  0.2402265069591007508,
                                   0.055504108656639298913, 0.0096181291069195378674,
                                   0.001333378157678426869, 0.00015403723980749256422};
#elif defined(AS_DOUBLE)
    static const double terms[] = {
        0.69314718055994530942,   0.2402265069591009822,    0.055504108664821594339,
        0.0096181291076068885273, 0.001333355814641693531,  0.00015403530441736050155,
        1.5252733829836118394e-5, 1.3215442587921689653e-6, 1.0178062445845773521e-7,
        7.0725859492692236999e-9, 4.4549605981865183938e-10};
#elif AS_PARTS > 1
    static const float terms[] = {0.6931471805599453f, 0.24023355156988721f, 0.05550508525196963f};
#else
    static const float terms[] = {0.6931472067028326f,    0.24022650922288758f,
                                  0.05550327226670302f,   0.009618056678524638f,
                                  0.0013400428178215838f, 0.00015461444698569129f};
#endif
    enum { LAST = sizeof(terms) / sizeof(terms[0]) - 1 };
    const REAL rounder = (REAL)AS_ROUNDER / AS_PARTS;
    VEC k[2], whole[2], r[2], sum[2];
    AS_UNROLL for (int i = 0; i < count; ++i)
    {
        r[i] = x[i];
        if (AS_PARTS == 1)
            r[i] = AS_T(at_most)(AS_T(all_lanes)(AS_BIAS + 1 + less),
                                 AS_T(at_least)(AS_T(all_lanes)(less - AS_BIAS), r[i]));
        k[i] = r[i] + rounder;
        AS_IN_REGISTER(k[i]); /* in this order */
    }
    AS_UNROLL for (int i = 0; i < count; ++i)
    {
        whole[i] = k[i] - rounder;
        AS_IN_REGISTER(whole[i]);
    }
    AS_UNROLL for (int i = 0; i < count; ++i)
    {
        r[i] -= whole[i];
        sum[i] = AS_T(all_lanes)(terms[LAST]);
        AS_IN_REGISTER(r[i]);
    }
    AS_UNROLL for (int t = LAST - 1; t >= -1; --t) AS_UNROLL for (int i = 0; i < count; ++i)
    {
        sum[i] = sum[i] * r[i] + (t < 0 ? (REAL)1 : terms[t]);
        AS_IN_REGISTER(sum[i]);
    }
    AS_UNROLL for (int i = 0; i < count; ++i)
    {
#if AS_PARTS > 1
        if (LAST % 2 == 0)
            sum[i] = (VEC)((IVEC)sum[i] & ~(IVEC)AS_T(all_lanes)(-(REAL)0));
        sum[i] *= __builtin_shuffle(low, high, (IVEC)k[i]); /* all of them, of 16 or of 2 x 8 */
        __asm__("vscalef" AS_PACKED " %2, %1, %0" : "=v"(out[i]) : "v"(sum[i]), "v"(whole[i]));
#else
        out[i] = sum[i] * (VEC)(((IVEC)k[i] + (AS_BIAS - less)) << AS_MANTISSA); /* for NaN too */
#endif
    }
}
#undef AS_PARTS

/* 2^x, and 0 below the least normal number. */
AS_INLINE VEC AS_T(exp2_or_zero)(VEC x)
{
    VEC power;
    AS_T(exp2_many)(&x, &power, 1, 0);
    return AS_T(choose)(x < AS_T(all_lanes)(1 - AS_BIAS), (VEC){0}, power);
}

/* log2(x + rest) of normal numbers x > 0 and what their rounding took off, which counts where the
 * logarithm is near 0: x = 2^e m, m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)). */
AS_INLINE VEC AS_T(log2_lanes)(VEC x, VEC rest)
{
    const IVEC bits = (IVEC)x;
    const IVEC rounder = (IVEC)AS_T(all_lanes)(AS_ROUNDER);
    /* exponent of x / sqrt(1/2), so that m is in [sqrt(1/2), sqrt(2)) */
    const IVEC half = (IVEC)AS_T(all_lanes)((REAL)0.70710678118654752);
    const IVEC exponent = (bits - half) >> AS_MANTISSA;
    const VEC m = (VEC)(bits - (exponent << AS_MANTISSA));
    const VEC e = (VEC)(rounder + exponent) - (REAL)AS_ROUNDER;
    const VEC above_1 = m - (REAL)1 + AS_T(choose)(exponent == 0, rest, (VEC){0});
    const VEC f = above_1 / (m + (REAL)1), s = f * f;
    VEC sum = AS_T(all_lanes)((REAL)(2.0 / (2 * AS_LOG_TERMS + 1)));
    AS_UNROLL for (int i = AS_LOG_TERMS - 1; i >= 1; --i) sum = sum * s + (REAL)(2.0 / (2 * i + 1));
    const VEC log_m = f * (REAL)2 + (f * s) * sum;
    return AS_T(choose)(x == x, e + log_m * (REAL)(1 / AS_LN2), x);
}

/* sqrt(x), x >= 0: the compiler makes one instruction of the loop. */
AS_INLINE VEC AS_T(sqrt_lanes)(VEC x)
{
    for (int l = 0; l < AS_LANES; ++l)
#ifdef AS_DOUBLE
        x[l] = __builtin_sqrt(x[l]);
#else
        x[l] = __builtin_sqrtf(x[l]);
#endif
    return x;
}

/* (x + rest)^exponent, as above, and 0 for x <= 0. */
AS_INLINE VEC AS_T(pow_lanes)(VEC x, VEC rest, REAL exponent)
{
    const VEC log2 = AS_T(log2_lanes)(x, rest) * exponent;
    VEC power;
    AS_T(exp2_many)(&log2, &power, 1, 0);
    return AS_T(choose)(x <= (VEC){0}, (VEC){0}, power);
}

#undef AS_MANTISSA
#undef AS_BIAS
#undef AS_ROUNDER
#undef AS_LOG_TERMS
