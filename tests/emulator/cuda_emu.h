/* CUDA C for g++: the device side, included in front of an unchanged .cu text (build.py).
 *
 * One fiber per CUDA thread calls into runtime.cpp for whatever involves other threads. Not here,
 * hence compile errors: textures, clusters, cp.async and inline PTX (guard those with
 * `#ifndef __CUDA_EMU__`), __activemask. `__shared__` has no macro: build.py rewrites the
 * declarations, and one that it does not understand is a compile error as well. Blocks run one
 * after another, so a kernel that waits for another block hangs.
 *
 * More permissive than NVRTC (mixed types in min, say): kernels must be compiled with both.
 */
#pragma once
#define __CUDA_EMU__ 1
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>
#include <utility>

extern "C" {
#include "abi.h"
}

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __builtin_assume(condition) ((void)0)

/* ---- where a thread is ---- */
struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
extern "C" struct emu_position {
    uint3 thread, block, block_size, grid_size;
} emu_here;
#define threadIdx emu_here.thread
#define blockIdx emu_here.block
#define blockDim emu_here.block_size
#define gridDim emu_here.grid_size
static constexpr int warpSize = 32;

/* ---- what the runtime does ---- */
enum emu_block_op { EMU_BARRIER, EMU_COUNT, EMU_AND, EMU_OR };
enum emu_warp_op {
    EMU_SYNCWARP,
    EMU_SHFL,
    EMU_SHFL_UP,
    EMU_SHFL_DOWN,
    EMU_SHFL_XOR,
    EMU_BALLOT,
    EMU_ALL,
    EMU_ANY,
    EMU_ADD
};
extern "C" {
void *emu_dynamic_shared();
/* The variable of the running block that `key` stands for: one exact allocation. */
void *emu_static_shared(const void *key, size_t size);
/* `site` tells calls in the source apart; its low 16 bits are the line. */
int emu_block(int op, int predicate, unsigned site);
uint64_t emu_warp(int op, unsigned mask, uint64_t value, int lane, int width, unsigned site);
void emu_atomic_begin(const void *address, size_t size);
void emu_atomic_end();
void emu_trap(unsigned site);
}
#define EMU_SITE (__COUNTER__ << 16 | __LINE__)

#define __syncthreads() ((void)emu_block(EMU_BARRIER, 0, EMU_SITE))
#define __syncthreads_count(p) emu_block(EMU_COUNT, !!(p), EMU_SITE)
#define __syncthreads_and(p) emu_block(EMU_AND, !!(p), EMU_SITE)
#define __syncthreads_or(p) emu_block(EMU_OR, !!(p), EMU_SITE)
#define __trap() emu_trap(EMU_SITE)

static inline void emu_syncwarp(unsigned site, unsigned mask = ~0u)
{
    emu_warp(EMU_SYNCWARP, mask, 0, 0, 32, site);
}
template <class T>
static inline T emu_shuffle(int op, unsigned site, unsigned mask, T value, int lane, int width = 32)
{
    static_assert(sizeof(T) <= 8, "shuffles move 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = emu_warp(op, mask, bits, lane, width, site);
    memcpy(&value, &bits, sizeof(T));
    return value;
}
template <class T> static inline T emu_warp_add(unsigned site, unsigned mask, T value)
{
    static_assert(std::is_integral_v<T> && sizeof(T) == 4, "int or unsigned");
    return (T)emu_warp(EMU_ADD, mask, (uint64_t)(int64_t)value, 0, 32, site);
}
#define __syncwarp(...) emu_syncwarp(EMU_SITE __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(...) emu_shuffle(EMU_SHFL, EMU_SITE, __VA_ARGS__)
#define __shfl_up_sync(...) emu_shuffle(EMU_SHFL_UP, EMU_SITE, __VA_ARGS__)
#define __shfl_down_sync(...) emu_shuffle(EMU_SHFL_DOWN, EMU_SITE, __VA_ARGS__)
#define __shfl_xor_sync(...) emu_shuffle(EMU_SHFL_XOR, EMU_SITE, __VA_ARGS__)
#define __ballot_sync(mask, p) ((unsigned)emu_warp(EMU_BALLOT, mask, !!(p), 0, 32, EMU_SITE))
#define __all_sync(mask, p) ((int)emu_warp(EMU_ALL, mask, !!(p), 0, 32, EMU_SITE))
#define __any_sync(mask, p) ((int)emu_warp(EMU_ANY, mask, !!(p), 0, 32, EMU_SITE))
#define __reduce_add_sync(mask, value) emu_warp_add(EMU_SITE, mask, value)

/* ---- memory ---- */
static inline void __threadfence_block() {}
static inline void __threadfence() {}

template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldca(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline void __stcg(T *p, std::common_type_t<T> v) { *p = v; }
template <class T> static inline void __stcs(T *p, std::common_type_t<T> v) { *p = v; }
template <class T> static inline void __stwb(T *p, std::common_type_t<T> v) { *p = v; }

template <class T, class F> static inline T emu_atomic(T *p, F update)
{
    emu_atomic_begin(p, sizeof(T));
    T old = *p;
    *p = update(old);
    emu_atomic_end();
    return old;
}
#define EMU_ATOMIC(name, expression)                                                               \
    template <class T> static inline T name(T *p, std::common_type_t<T> v)                         \
    {                                                                                              \
        return emu_atomic(p, [=](T old) -> T { return expression; });                              \
    }
EMU_ATOMIC(atomicAdd, old + v)
EMU_ATOMIC(atomicSub, old - v)
EMU_ATOMIC(atomicMax, old < v ? v : old)
EMU_ATOMIC(atomicMin, v < old ? v : old)
EMU_ATOMIC(atomicAnd, old &v)
EMU_ATOMIC(atomicOr, old | v)
EMU_ATOMIC(atomicXor, old ^ v)
EMU_ATOMIC(atomicExch, ((void)old, v))
template <class T>
static inline T atomicCAS(T *p, std::common_type_t<T> expected, std::common_type_t<T> desired)
{
    return emu_atomic(p, [=](T old) -> T { return old == expected ? desired : old; });
}

/* ---- types and arithmetic ---- */
#define EMU_VECTORS(T, V, align2, align4)                                                          \
    struct __align__(align2) V##2 { T x, y; };                                                     \
    struct V##3 { T x, y, z; };                                                                    \
    struct __align__(align4) V##4 { T x, y, z, w; };                                               \
    static inline V##2 make_##V##2(T x, T y) { return {x, y}; }                                    \
    static inline V##3 make_##V##3(T x, T y, T z) { return {x, y, z}; }                            \
    static inline V##4 make_##V##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTORS(float, float, 8, 16)
EMU_VECTORS(double, double, 16, 16)
EMU_VECTORS(int, int, 8, 16)
EMU_VECTORS(long long, longlong, 16, 16)

/* glibc declares functions with the names on the left */
#define __expf expf
#define __logf logf
#define __powf powf
#define __sinf sinf
#define __cosf cosf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
template <class To, class From> static inline To emu_bits(From x)
{
    static_assert(sizeof(To) == sizeof(From), "");
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline float __int_as_float(int x) { return emu_bits<float>(x); }
static inline int __float_as_int(float x) { return emu_bits<int>(x); }
static inline double __longlong_as_double(long long x) { return emu_bits<double>(x); }
static inline long long __double_as_longlong(double x) { return emu_bits<long long>(x); }
template <class A, class B> static inline constexpr std::common_type_t<A, B> min(A a, B b)
{
    using C = std::common_type_t<A, B>;
    return (C)b < (C)a ? (C)b : (C)a;
}
template <class A, class B> static inline constexpr std::common_type_t<A, B> max(A a, B b)
{
    using C = std::common_type_t<A, B>;
    return (C)a < (C)b ? (C)b : (C)a;
}

/* ---- export: the parameter list is deduced, so that the caller can check its arguments ---- */
template <class T, class... Options>
inline constexpr bool emu_any = (std::is_same_v<T, Options> || ...);
template <class Parameter> static constexpr const char *emu_dtype()
{
    using T = std::remove_cv_t<Parameter>;
    if constexpr (emu_any<T, float, float2, float3, float4>)
        return "float32";
    else if constexpr (emu_any<T, double, double2, double3, double4>)
        return "float64";
    else if constexpr (emu_any<T, int, int2, int3, int4>)
        return "int32";
    else if constexpr (emu_any<T, long, long long, longlong2, longlong3, longlong4>)
        return "int64";
    else if constexpr (emu_any<T, unsigned>)
        return "uint32";
    else if constexpr (emu_any<T, unsigned long, unsigned long long>)
        return "uint64";
    else if constexpr (emu_any<T, short>)
        return "int16";
    else if constexpr (emu_any<T, unsigned short>)
        return "uint16";
    else if constexpr (emu_any<T, signed char>)
        return "int8";
    else if constexpr (emu_any<T, unsigned char>)
        return "uint8";
    else if constexpr (emu_any<T, bool>)
        return "bool";
    else
        return "?";
}

extern "C" void emu_register(emu_kernel *kernel);

/* `call` runs the kernel with arguments given by address, as cuLaunchKernel takes them. */
template <auto kernel> struct emu_export;
template <class... P, void (*kernel)(P...)> struct emu_export<kernel> {
    static inline const emu_parameter parameters[] = {
        {emu_dtype<std::remove_pointer_t<P>>(), std::is_pointer_v<P>}..., {}};
    template <size_t... i> static void apply(void **arguments, std::index_sequence<i...>)
    {
        kernel(*(std::remove_cv_t<P> *)arguments[i]...);
    }
    static void call(void **arguments) { apply(arguments, std::index_sequence_for<P...>{}); }
    emu_kernel record;
    explicit emu_export(const char *name)
        : record{name, (int32_t)sizeof...(P), parameters, call, nullptr}
    {
        emu_register(&record);
    }
};
#define EMU_EXPORT(name) static emu_export<&name> emu_export_##name(#name);
