/* Vectors of REAL by the vector extensions of GCC and Clang. No intrinsics here or elsewhere.
 * Included once per REAL; this instantiation follows the prototype until the kernels land. */
