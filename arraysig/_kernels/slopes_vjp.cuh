/* The adjoint of cells of slopes.cuh. */

/* The numbers of an edge that a phase has kept, from number 1 on. */
AS_FN REAL kept_difference(const REAL *edge, int j)
{
    const REAL next = j + 1 < ORDER ? edge[(j + 1 < ORDER ? j + 2 : 0) * 32] : REAL(0);
    return edge[(j ? j : 1) * 32] - next;
}

/* dF/dp of the edge opposite to `edge`, where `other` is the other one and `of_out` from number 1
 * on the derivative of F in its slopes. x and y are room. */
AS_FN REAL slope_in_p(const REAL *edge, const REAL *other, REAL twice, REAL p,
                      Numbers<TERMS> &of_out, Numbers<TERMS> &x, Numbers<TERMS> &y)
{
    INNER_LOOP
    for (int j = 0; j < ORDER; j++) {
        x[j] = edge[(j + 1) * 32]; /* w, and its derivative in p */
        y[j] = 0;
    }
    OUTER_LOOP
    for (int n = POWERS - 1; n >= 0; n--) {
        REAL of_x = twice, of_y = 0, before_x = x[0], before_y = y[0];
        INNER_LOOP
        for (int j = 0; j < turns(summed(n)); j++)
            if (j < summed(n))
                of_x += moments[n * ORDER + j] * kept_difference(other, j);
        INNER_LOOP
        for (int j = 0; j < turns(changed(n)); j++) {
            if (j >= changed(n))
                continue;
            const REAL rate = rates[ORDER + n] * rates[j], here_x = x[j], here_y = y[j];
            of_x += before_x - (j + 1 < ORDER ? x[j + 1] : REAL(0));
            of_y += before_y - (j + 1 < ORDER ? y[j + 1] : REAL(0));
            x[j] = edge[(j + 1) * 32] + p * rate * of_x;
            y[j] = rate * (of_x + p * of_y);
            before_x = here_x;
            before_y = here_y;
            of_x = of_y = 0;
        }
    }
    REAL sum = 0;
    INNER_LOOP
    for (int j = 0; j < ORDER; j++)
        sum += of_out[j + 1] * y[j];
    return sum;
}

/* From `of_out`, which is lost, to dF/dg of that edge in x, and in y that of the differences of the
 * other one, by way of Y. Returns that of u. */
AS_FN REAL edge_back(REAL p, Numbers<TERMS> &of_out, Numbers<TERMS> &x, Numbers<TERMS> &y)
{
    REAL of_value = 0;
    INNER_LOOP
    for (int j = 0; j < ORDER; j++)
        x[j] = y[j] = 0;
    OUTER_LOOP
    for (int n = 0; n < POWERS; n++) {
        const REAL factor = p * rates[ORDER + n];
        REAL before = 0, here = factor * rates[0] * of_out[1];
        of_value += 2 * here;
        INNER_LOOP
        for (int j = 0; j < turns(summed(n)); j++)
            if (j < summed(n))
                y[j] += moments[n * ORDER + j] * here;
        INNER_LOOP
        for (int j = 0; j < ORDER; j++) {
            REAL next = 0;
            x[j] += of_out[j + 1];
            if (j + 1 < changed(n))
                next =
                    factor * rates[j + 1 < ORDER ? j + 1 : 0] * of_out[j + 1 < ORDER ? j + 2 : 0];
            of_out[j + 1] = next - before + (j ? REAL(0) : here);
            before = here;
            here = next;
        }
    }
    INNER_LOOP
    for (int j = 0; j < ORDER; j++)
        x[j] += of_out[j + 1];
    return of_value;
}

/* Number j of the adjoint of differences. */
AS_FN REAL difference_back(Numbers<TERMS> &of, int j)
{
    const REAL next = j + 1 < ORDER ? of[j + 1 < ORDER ? j + 1 : 0] : REAL(0);
    return next + (j ? -of[j ? j - 1 : 0] : of[0]);
}

/* From U and V at the end of a cell to those at its start, where the edges are a and b; dF/dp. V[0]
 * stays what it is. */
AS_FN REAL back_cell(Numbers<TERMS> &u, Numbers<TERMS> &v, const REAL *a, const REAL *b, REAL p,
                     REAL *room)
{
    Numbers<TERMS> x, y, z;
    x.place(room, AT_X);
    y.place(room, AT_Y);
    z.place(room, AT_POWERS);
    const REAL twice = a[0] + a[0], of_value = u[0];
    REAL sum = slope_in_p(a, b, twice, p, u, x, y) + slope_in_p(b, a, twice, p, v, x, y);
    u[0] += edge_back(p, u, x, y);
    INNER_LOOP
    for (int j = 0; j < ORDER; j++)
        u[j + 1] = x[j];
    u[0] += edge_back(p, v, x, z);
    INNER_LOOP
    for (int j = 0; j < ORDER; j++) {
        u[j + 1] += difference_back(z, j);
        v[j + 1] = x[j] + difference_back(y, j) + (j ? REAL(0) : of_value);
    }
    return sum;
}
