/* Increments of augmented paths (path.h), from the raw path; CUDA only.
 *
 * Step t leads from augmented point t to t + 1. With lead-lag the raw increment x[i+1] - x[i] is
 * made twice: step 2i moves the lead channels, step 2i + 1 the lag channels. The time channel rises
 * by `dt` at every step.
 */

/* Channel c of step t. */
AS_FN REAL as_step(const REAL *x, i64 t, i64 c, i64 dimension, bool lead_lag, REAL dt)
{
    const i64 moving = lead_lag ? 2 * dimension : dimension;
    if (c >= moving)
        return dt;
    i64 i = t;
    if (lead_lag) {
        const bool lead = c >= dimension;
        if (lead == (t % 2 == 1))
            return 0;
        c -= lead ? dimension : 0;
        i = t / 2;
    }
    const REAL *at = x + i * dimension + c;
    return at[dimension] - at[0];
}

/* Transpose: what channel c of raw increment i receives from dz (steps, channels). */
AS_FN REAL as_step_adjoint(const REAL *dz, i64 i, i64 c, i64 channels, i64 dimension, bool lead_lag)
{
    return lead_lag ? dz[2 * i * channels + dimension + c] + dz[(2 * i + 1) * channels + c]
                    : dz[i * channels + c];
}
