/* Prologue of every kernel source, for C11 (ckernels/) and for CUDA C (NVRTC, emulator) alike.
 *
 * Before inclusion REAL is float or double, and in C also SUF is f32 or f64. Headers that hold
 * functions over REAL are included once per type in C, hence have no include guards of their own;
 * AS_T(name) gives their functions a name per type.
 */
#ifndef ARRAYSIG_REAL_H
#define ARRAYSIG_REAL_H
#if defined(__CUDACC_RTC__) || defined(__CUDA_EMU__)
typedef long long i64;
#define AS_FN static __device__ __forceinline__
#else
#include <stdint.h>
typedef int64_t i64;
#define AS_FN static inline
#endif
#define AS_CAT_(a, b) a##_##b
#define AS_CAT(a, b) AS_CAT_(a, b)
#endif

#undef AS_T
#if defined(__CUDACC_RTC__) || defined(__CUDA_EMU__)
#define AS_T(name) name
#else
#define AS_T(name) AS_CAT(name, SUF)
#endif
