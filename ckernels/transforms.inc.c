/* Augmented paths and their adjoint (layouts in path.h), in parallel over the batch. */

int AS_ENTRY_NAME(transform_path)(const REAL *path, REAL *out, i64 batch, i64 length, i64 dimension,
                                  i64 time_aug, i64 lead_lag, double end_time, int threads,
                                  i64 *control)
{
    const i64 points = AS_T(as_points)(length, lead_lag != 0);
    const i64 channels = AS_T(as_channels)(dimension, time_aug != 0, lead_lag != 0);
    if (batch * points * channels < 1 << 16)
        threads = 1; /* waking a team costs more */
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
    for (i64 b = 0; b < batch; ++b) {
        if (as_cancelled(control))
            continue;
        const REAL *x = path + b * length * dimension;
        REAL *o = out + b * points * channels;
        for (i64 i = 0; i < points; ++i, o += channels) {
            memcpy(o, x + (lead_lag ? i / 2 : i) * dimension, sizeof(REAL) * (size_t)dimension);
            if (lead_lag)
                memcpy(o + dimension, x + (i + 1) / 2 * dimension,
                       sizeof(REAL) * (size_t)dimension);
            if (time_aug)
                o[channels - 1] = AS_T(as_time)(i, points, (REAL)end_time);
        }
        as_count(control, 1);
    }
    return as_cancelled(control) ? AS_CANCELLED : AS_OK;
}

int AS_ENTRY_NAME(transform_path_vjp)(const REAL *grad, REAL *out, i64 batch, i64 length,
                                      i64 dimension, i64 time_aug, i64 lead_lag, int threads,
                                      i64 *control)
{
    const i64 points = AS_T(as_points)(length, lead_lag != 0);
    const i64 channels = AS_T(as_channels)(dimension, time_aug != 0, lead_lag != 0);
    if (batch * points * channels < 1 << 16)
        threads = 1;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
    for (i64 b = 0; b < batch; ++b) {
        if (as_cancelled(control))
            continue;
        for (i64 i = 0; i < length; ++i)
            for (i64 c = 0; c < dimension; ++c)
                out[(b * length + i) * dimension + c] = AS_T(as_point_adjoint)(
                    grad + b * points * channels, i, c, points, channels, dimension, lead_lag != 0);
        as_count(control, 1);
    }
    return as_cancelled(control) ? AS_CANCELLED : AS_OK;
}
