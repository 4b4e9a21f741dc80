/* Augmented paths, point by point: lead-lag first, then the time channel.
 *
 *   x      (length, dimension), one path
 *   lead-lag: 2 length - 1 points (x[i/2], x[(i+1)/2]), channels lag then lead
 *   time:     one last channel, end_time * i / (points - 1), and 0 for a single point
 *
 * as_point is linear in x but for the time channel; as_point_adjoint is its transpose.
 */

/* Points and channels after augmentation. */
AS_FN i64 AS_T(as_points)(i64 length, int lead_lag) { return lead_lag ? 2 * length - 1 : length; }
AS_FN i64 AS_T(as_channels)(i64 dimension, int time_aug, int lead_lag)
{
    return (lead_lag ? 2 * dimension : dimension) + (time_aug ? 1 : 0);
}

/* Time at point i of `points`. */
AS_FN REAL AS_T(as_time)(i64 i, i64 points, REAL end_time)
{
    return points > 1 ? end_time * ((REAL)i / (REAL)(points - 1)) : (REAL)0;
}

/* Channel c of point i of the augmented path. */
AS_FN REAL AS_T(as_point)(const REAL *x, i64 i, i64 c, i64 points, i64 dimension, int lead_lag,
                          REAL end_time)
{
    if (!lead_lag)
        return c < dimension ? x[i * dimension + c] : AS_T(as_time)(i, points, end_time);
    if (c < dimension)
        return x[i / 2 * dimension + c];
    if (c < 2 * dimension)
        return x[(i + 1) / 2 * dimension + c - dimension];
    return AS_T(as_time)(i, points, end_time);
}

/* Transpose: what channel c of point i of x receives from g (points, channels). */
AS_FN REAL AS_T(as_point_adjoint)(const REAL *g, i64 i, i64 c, i64 points, i64 channels,
                                  i64 dimension, int lead_lag)
{
    if (!lead_lag)
        return g[i * channels + c];
    /* lag: points 2i and 2i + 1; lead: points 2i - 1 and 2i */
    const REAL *at = g + 2 * i * channels + c;
    REAL sum = at[0] + at[dimension];
    if (2 * i + 1 < points)
        sum += at[channels];
    if (i > 0)
        sum += at[dimension - channels];
    return sum;
}
