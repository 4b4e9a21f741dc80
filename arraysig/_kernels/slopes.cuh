/* Cells whose edges are polynomials by their slopes: those of polynomial.cuh with FOLD.
 *
 * The slope of an edge is sum_{j < ORDER} (2j + 1) g[j] P_j(2s - 1), P_j the Legendre polynomials;
 * its integral from 0 has the coefficients
 *
 *     (I g)[j] = (g[j-1] - g[j+1]) / (2 (2j + 1)),   g[-1] = g[0],   g[ORDER] = 0
 *
 * but for what lies above. A is the value u where the edge begins, then g; of B the first number is
 * not used, and the others are called h. With Y[n] = u + n! (I^n h)[0] and L = ORDER + FOLD
 *
 *     w[L] = g,   w[n] = g + p / (n+1) (I w[n+1] + Y[n+1]),   u' = u + h[0],   g' = w[0]
 *
 * and h' with g and h swapped, where coefficients j of w[n] with n + j > L are those of g, and
 * those of I h have no part in Y[n + 1]. K in the node at the end of a cell is u' + g'[0].
 *
 * Macros: see polynomial.cuh; and, separated by commas,
 *   RATES    1 / (2 (2j + 1)), j < ORDER, and then 1 / (n + 1), n < L
 *   MOMENTS  L rows of ORDER numbers, of n = 1 ...: 2 Y[n] is 2 u and their sum times
 *            g[j-1] - g[j+1]
 */
constexpr int POWERS = ORDER + FOLD;

__constant__ const REAL rates[] = {RATES};
__constant__ const REAL moments[] = {MOMENTS};

/* Coefficients that step n changes. */
AS_FN constexpr int changed(int n) { return POWERS - n < ORDER ? POWERS - n + 1 : ORDER; }

/* Those of I h that Y[n + 1] is made of. */
AS_FN constexpr int summed(int n) { return n < changed(n) ? n + 1 : changed(n); }

/* Turns of a loop over the first `count` coefficients: the compiler unrolls to a constant only. */
AS_FN constexpr int turns(int count) { return IN_REGISTERS ? ORDER : count; }

/* g[j-1] - g[j+1] of what stands from number 1 on. */
AS_FN REAL difference(Numbers<TERMS> &edge, int j)
{
    const REAL next = j + 1 < ORDER ? edge[j + 1 < ORDER ? j + 2 : 0] : REAL(0);
    return edge[j ? j : 1] - next;
}

/* 2 Y[n + 1] */
AS_FN REAL twice_moment(REAL twice, Numbers<TERMS> &edge, int n)
{
    REAL sum = twice;
    INNER_LOOP
    for (int j = 0; j < turns(summed(n)); j++)
        if (j < summed(n))
            sum += moments[n * ORDER + j] * difference(edge, j);
    return sum;
}

/* From the edges at the start of a cell to those at its end. */
AS_FN void pass_cell(Numbers<TERMS> &a, Numbers<TERMS> &b, REAL p, REAL *room)
{
    Numbers<TERMS> x, y; /* w of both edges */
    x.place(room, AT_X);
    y.place(room, AT_Y);
    const REAL twice = a[0] + a[0];
    INNER_LOOP
    for (int j = 0; j < ORDER; j++) {
        x[j] = a[j + 1];
        y[j] = b[j + 1];
    }
    OUTER_LOOP
    for (int n = POWERS - 1; n >= 0; n--) {
        REAL of_x = twice_moment(twice, b, n), of_y = twice_moment(twice, a, n);
        REAL before_x = x[0], before_y = y[0];
        const REAL factor = p * rates[ORDER + n];
        INNER_LOOP
        for (int j = 0; j < turns(changed(n)); j++) {
            if (j >= changed(n))
                continue;
            const REAL rate = factor * rates[j];
            const REAL here_x = x[j], here_y = y[j];
            of_x += before_x - (j + 1 < ORDER ? x[j + 1] : REAL(0));
            of_y += before_y - (j + 1 < ORDER ? y[j + 1] : REAL(0));
            x[j] = a[j + 1] + rate * of_x;
            y[j] = b[j + 1] + rate * of_y;
            before_x = here_x;
            before_y = here_y;
            of_x = of_y = 0;
        }
    }
    a[0] += b[1];
    INNER_LOOP
    for (int j = 0; j < ORDER; j++) {
        a[j + 1] = x[j];
        b[j + 1] = y[j];
    }
}
