/* Static kernels of points x, y in R^d, as functions of z = |x - y|^2 (radial ones), z = <x, y>
 * (polynomial) or, for the linear one, of increments: z = p0 <dx, dy> is the increment itself.
 * Given increments are those of any other static kernel; there are no paths.
 *
 *   KIND  0  linear               p0 <x, y>
 *         1  RBF                  exp(-p0 z)
 *         2  Matern 1/2           exp(-p0 r)                         r = sqrt(z)
 *         3  Matern 3/2           (1 + a) exp(-a)                    a = p0 r
 *         4  Matern 5/2           (1 + a + a^2 / 3) exp(-a)
 *         5  rational quadratic   (1 + p0 z)^(-p1)
 *         6  polynomial           p0 (z + p1)^p2, where bases below 0 are 0 unless `power` >= 0
 *         7  given increments
 *
 * Gradients: s (x - y) in x and -s (x - y) in y for radial kernels, s y and s x for the polynomial
 * one, where s is the slope at z.
 */
#include "real.h"

#define LINEAR (KIND == 0)
#define RADIAL (1 <= KIND && KIND <= 5)
#define GIVEN (KIND == 7)
#define OF_POINTS (!LINEAR && !GIVEN) /* z is of points, not of increments */

/* `power` is p2 where that is an integer that is not negative, else -1. */
struct Static {
    REAL p0, p1, p2;
    i64 power;
};

#if KIND == 6
/* base^(p2 - less) */
AS_FN REAL power_of(const Static &k, REAL base, int less)
{
    if (k.power < 0)
        return base > 0 ? pow(base, k.p2 - (REAL)less) : REAL(0);
    REAL result = 1, square = base;
    for (i64 n = k.power - less; n > 0; n >>= 1) {
        if (n & 1)
            result *= square;
        square *= square;
    }
    return result;
}
#endif

#if KIND == 3 || KIND == 4
/* a, or a distance where kernels are 0: inf times 0 is no number. */
AS_FN REAL distance(const Static &k, REAL z)
{
    const REAL a = k.p0 * sqrt(z), far = 1000;
    return a > far ? far : a;
}
#endif

/* The value at z. */
AS_FN REAL static_value(const Static &k, REAL z)
{
#if KIND == 1
    return exp(-k.p0 * z);
#elif KIND == 2
    return exp(-k.p0 * sqrt(z));
#elif KIND == 3
    const REAL a = distance(k, z);
    return (1 + a) * exp(-a);
#elif KIND == 4
    const REAL a = distance(k, z);
    return (1 + a + a * a * REAL(1. / 3)) * exp(-a);
#elif KIND == 5
    return exp(-k.p1 * log1p(k.p0 * z));
#elif KIND == 6
    return k.p0 * power_of(k, z + k.p1, 0);
#else
    return z;
#endif
}

/* The slope at z. */
AS_FN REAL static_slope(const Static &k, REAL z)
{
#if KIND == 1
    return -2 * k.p0 * exp(-k.p0 * z);
#elif KIND == 2
    const REAL r = sqrt(z);
    return r > 0 ? -k.p0 * exp(-k.p0 * r) / r : REAL(0);
#elif KIND == 3
    return -k.p0 * k.p0 * exp(-k.p0 * sqrt(z));
#elif KIND == 4
    const REAL a = distance(k, z);
    return -k.p0 * k.p0 * REAL(1. / 3) * (1 + a) * exp(-a);
#elif KIND == 5
    return -2 * k.p0 * k.p1 * exp((-k.p1 - 1) * log1p(k.p0 * z));
#elif KIND == 6
    return k.power == 0 ? REAL(0) : k.p0 * k.p2 * power_of(k, z + k.p1, 1);
#else
    return z;
#endif
}
