/* Every function that Python can call, once: AS_ENTRY(name, parameters, arguments).
 * build.py makes two cffi declarations of each (f32, f64), arraysig.h a row of the table,
 * kernels.c prototypes and the row's value, dispatch.c the exported wrapper. No include guard. */
/* clang-format off */
AS_ENTRY(sig,
    (const REAL *path, REAL *out, i64 batch, i64 length, i64 dimension, i64 degree, i64 time_aug,
     i64 lead_lag, double end_time, i64 scalar_term, i64 lyndon, int threads, i64 *control),
    (path, out, batch, length, dimension, degree, time_aug, lead_lag, end_time, scalar_term,
     lyndon, threads, control))
AS_ENTRY(sig_vjp,
    (const REAL *grad, const REAL *path, REAL *out, i64 batch, i64 length, i64 dimension,
     i64 degree, i64 time_aug, i64 lead_lag, double end_time, i64 scalar_term, i64 lyndon,
     int threads, i64 *control),
    (grad, path, out, batch, length, dimension, degree, time_aug, lead_lag, end_time, scalar_term,
     lyndon, threads, control))
AS_ENTRY(transform_path,
    (const REAL *path, REAL *out, i64 batch, i64 length, i64 dimension, i64 time_aug, i64 lead_lag,
     double end_time, int threads, i64 *control),
    (path, out, batch, length, dimension, time_aug, lead_lag, end_time, threads, control))
AS_ENTRY(transform_path_vjp,
    (const REAL *grad, REAL *out, i64 batch, i64 length, i64 dimension, i64 time_aug, i64 lead_lag,
     int threads, i64 *control),
    (grad, out, batch, length, dimension, time_aug, lead_lag, threads, control))
AS_ENTRY(tensor_product,
    (const REAL *left, const REAL *right, REAL *out, i64 batch, i64 dimension, i64 degree, i64 s,
     i64 t, i64 scalar_term, int threads, i64 *control),
    (left, right, out, batch, dimension, degree, s, t, scalar_term, threads, control))
AS_ENTRY(sig_join,
    (const REAL *sig, const REAL *displacement, REAL *out, i64 batch, i64 dimension, i64 degree,
     i64 prepend, i64 scalar_term, int threads, i64 *control),
    (sig, displacement, out, batch, dimension, degree, prepend, scalar_term, threads, control))
AS_ENTRY(sig_join_vjp_sig,
    (const REAL *grad, const REAL *displacement, REAL *out, i64 batch, i64 dimension, i64 degree,
     i64 prepend, i64 scalar_term, int threads, i64 *control),
    (grad, displacement, out, batch, dimension, degree, prepend, scalar_term, threads, control))
AS_ENTRY(sig_join_vjp_segment,
    (const REAL *grad, const REAL *sig, const REAL *displacement, REAL *out, i64 batch,
     i64 dimension, i64 degree, i64 prepend, i64 scalar_term, int threads, i64 *control),
    (grad, sig, displacement, out, batch, dimension, degree, prepend, scalar_term, threads,
     control))
AS_ENTRY(tensor_contract_right,
    (const REAL *grad, const REAL *right, REAL *out, i64 batch, i64 dimension, i64 degree, i64 t,
     i64 scalar_term, int threads, i64 *control),
    (grad, right, out, batch, dimension, degree, t, scalar_term, threads, control))
AS_ENTRY(tensor_contract_left,
    (const REAL *grad, const REAL *left, REAL *out, i64 batch, i64 dimension, i64 degree, i64 s,
     i64 scalar_term, int threads, i64 *control),
    (grad, left, out, batch, dimension, degree, s, scalar_term, threads, control))
AS_ENTRY(tensor_inverse,
    (const REAL *tensor, REAL *out, i64 batch, i64 dimension, i64 degree, i64 scalar_term,
     int threads, i64 *control),
    (tensor, out, batch, dimension, degree, scalar_term, threads, control))
AS_ENTRY(sig_coef,
    (const REAL *path, REAL *out, i64 batch, i64 length, i64 dimension, i64 count, i64 nodes,
     i64 longest, i64 h_size, i64 table, i64 stream, i64 time_aug, i64 lead_lag, double end_time,
     int threads, i64 *control),
    (path, out, batch, length, dimension, count, nodes, longest, h_size, table, stream, time_aug,
     lead_lag, end_time, threads, control))
AS_ENTRY(sig_coef_vjp,
    (const REAL *grad, const REAL *path, REAL *out, i64 batch, i64 length, i64 dimension, i64 count,
     i64 nodes, i64 longest, i64 h_size, i64 table, i64 stream, i64 time_aug, i64 lead_lag,
     double end_time, int threads, i64 *control),
    (grad, path, out, batch, length, dimension, count, nodes, longest, h_size, table, stream,
     time_aug, lead_lag, end_time, threads, control))
AS_ENTRY(sig_kernel,
    (const REAL *path1, const REAL *path2, REAL *out, i64 groups, i64 count1, i64 count2,
     i64 length1, i64 length2, i64 channels, i64 order1, i64 order2, i64 kind, double p0,
     double p1, double p2, i64 symmetric, i64 grid, int threads, i64 *control),
    (path1, path2, out, groups, count1, count2, length1, length2, channels, order1, order2, kind,
     p0, p1, p2, symmetric, grid, threads, control))
AS_ENTRY(sig_kernel_vjp,
    (const REAL *grad, const REAL *path1, const REAL *path2, REAL *dx, REAL *dy, i64 groups,
     i64 count1, i64 count2, i64 length1, i64 length2, i64 channels, i64 order1, i64 order2,
     i64 kind, double p0, double p1, double p2, i64 symmetric, i64 grid, int threads, i64 *control),
    (grad, path1, path2, dx, dy, groups, count1, count2, length1, length2, channels, order1,
     order2, kind, p0, p1, p2, symmetric, grid, threads, control))
AS_ENTRY(sig_kernel_polynomial,
    (const REAL *path1, const REAL *path2, REAL *out, i64 groups, i64 count1, i64 count2,
     i64 length1, i64 length2, i64 channels, i64 order, i64 fold, i64 kind, double p0,
     double p1, double p2, i64 symmetric, i64 grid, int threads, i64 *control),
    (path1, path2, out, groups, count1, count2, length1, length2, channels, order, fold, kind,
     p0, p1, p2, symmetric, grid, threads, control))
AS_ENTRY(sig_kernel_polynomial_vjp,
    (const REAL *grad, const REAL *path1, const REAL *path2, REAL *dx, REAL *dy, i64 groups,
     i64 count1, i64 count2, i64 length1, i64 length2, i64 channels, i64 order, i64 fold,
     i64 kind, double p0, double p1, double p2, i64 symmetric, i64 grid, int threads, i64 *control),
    (grad, path1, path2, dx, dy, groups, count1, count2, length1, length2, channels, order,
     fold, kind, p0, p1, p2, symmetric, grid, threads, control))
AS_ENTRY(sig_kernel_increments,
    (const REAL *increments, REAL *out, i64 pairs, i64 steps1, i64 steps2, i64 order1, i64 order2,
     i64 grid, int threads, i64 *control),
    (increments, out, pairs, steps1, steps2, order1, order2, grid, threads, control))
AS_ENTRY(sig_kernel_increments_vjp,
    (const REAL *grad, const REAL *increments, REAL *out, i64 pairs, i64 steps1, i64 steps2,
     i64 order1, i64 order2, i64 grid, int threads, i64 *control),
    (grad, increments, out, pairs, steps1, steps2, order1, order2, grid, threads, control))
AS_ENTRY(sig_kernel_polynomial_increments,
    (const REAL *increments, REAL *out, i64 pairs, i64 steps1, i64 steps2, i64 order, i64 fold,
     i64 grid, int threads, i64 *control),
    (increments, out, pairs, steps1, steps2, order, fold, grid, threads, control))
AS_ENTRY(sig_kernel_polynomial_increments_vjp,
    (const REAL *grad, const REAL *increments, REAL *out, i64 pairs, i64 steps1, i64 steps2,
     i64 order, i64 fold, i64 grid, int threads, i64 *control),
    (grad, increments, out, pairs, steps1, steps2, order, fold, grid, threads, control))
AS_ENTRY(branched_sig_kernel,
    (const REAL *path1, const REAL *path2, REAL *out, i64 groups, i64 count1, i64 count2,
     i64 length1, i64 length2, i64 channels, i64 depth, i64 order1, i64 order2, i64 kind, double p0,
     double p1, double p2, i64 symmetric, i64 grid, int threads, i64 *control),
    (path1, path2, out, groups, count1, count2, length1, length2, channels, depth, order1, order2, kind,
     p0, p1, p2, symmetric, grid, threads, control))
AS_ENTRY(branched_sig_kernel_vjp,
    (const REAL *grad, const REAL *path1, const REAL *path2, REAL *dx, REAL *dy, i64 groups,
     i64 count1, i64 count2, i64 length1, i64 length2, i64 channels, i64 depth, i64 order1, i64 order2,
     i64 kind, double p0, double p1, double p2, i64 symmetric, i64 grid, int threads, i64 *control),
    (grad, path1, path2, dx, dy, groups, count1, count2, length1, length2, channels, depth, order1,
     order2, kind, p0, p1, p2, symmetric, grid, threads, control))
AS_ENTRY(branched_sig_kernel_increments,
    (const REAL *increments, REAL *out, i64 pairs, i64 steps1, i64 steps2, i64 depth, i64 order1, i64 order2,
     i64 grid, int threads, i64 *control),
    (increments, out, pairs, steps1, steps2, depth, order1, order2, grid, threads, control))
AS_ENTRY(branched_sig_kernel_increments_vjp,
    (const REAL *grad, const REAL *increments, REAL *out, i64 pairs, i64 steps1, i64 steps2,
     i64 depth, i64 order1, i64 order2, i64 grid, int threads, i64 *control),
    (grad, increments, out, pairs, steps1, steps2, depth, order1, order2, grid, threads, control))
AS_ENTRY(sparse,
    (const REAL *in, REAL *out, i64 batch, i64 rows, i64 columns, i64 table, int threads,
     i64 *control),
    (in, out, batch, rows, columns, table, threads, control))
AS_ENTRY(bilinear,
    (const REAL *left, const REAL *right, REAL *out, i64 batch, i64 rows, i64 first, i64 second,
     i64 reach, i64 table, i64 s, i64 t, double scale, int threads, i64 *control),
    (left, right, out, batch, rows, first, second, reach, table, s, t, scale, threads, control))
AS_ENTRY(lie_log,
    (const REAL *tensor, REAL *out, i64 batch, i64 count, i64 words, i64 solve, i64 dimension,
     i64 degree, i64 method, int threads, i64 *control),
    (tensor, out, batch, count, words, solve, dimension, degree, method, threads, control))
AS_ENTRY(lie_log_vjp,
    (const REAL *grad, const REAL *tensor, REAL *out, i64 batch, i64 count, i64 words, i64 solve,
     i64 dimension, i64 degree, i64 method, int threads, i64 *control),
    (grad, tensor, out, batch, count, words, solve, dimension, degree, method, threads, control))
AS_ENTRY(lie_combine,
    (const REAL *left, const REAL *right, REAL *out, i64 batch, i64 count, i64 words, i64 solve,
     i64 expand, i64 right_row, i64 structure, i64 dimension, i64 degree, int threads,
     i64 *control),
    (left, right, out, batch, count, words, solve, expand, right_row, structure, dimension, degree,
     threads, control))
