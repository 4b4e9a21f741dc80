/* Vectors of REAL by the vector extensions of GCC and Clang: no intrinsics here or elsewhere.
 *
 * VEC             as many REALs as one register of the instruction set holds
 * AS_LANES        how many that is: 64 bytes with AVX-512, 32 with AVX2, 16 else (SSE2, NEON)
 * AS_MANY_VECTORS 1 where there are 32 vector registers, 0 where there are 16
 *
 * Memory that users own is only element-aligned: read and write it by load and store. Scratch
 * is aligned to AS_ALIGNMENT and may be accessed as arrays of VEC.
 * Included once per REAL; AS_DOUBLE is defined where REAL is double.
 */
#ifndef ARRAYSIG_SIMD_H
#define ARRAYSIG_SIMD_H

#define AS_ALIGNMENT 64
#if defined(__AVX512F__)
#define AS_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define AS_VECTOR_BYTES 32
#else
#define AS_VECTOR_BYTES 16
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
#define AS_MANY_VECTORS 1
#else
#define AS_MANY_VECTORS 0
#endif

#define AS_INLINE static inline __attribute__((always_inline))
#define AS_OUTLINE static __attribute__((noinline))
#ifdef __clang__
#define AS_UNROLL _Pragma("unroll")
#else
#define AS_UNROLL _Pragma("GCC unroll 32")
#endif

/* Keeps a value that several operations share in a register. Without it the compiler folds the
 * load into each of them, and the load ports become the limit. */
#if defined(__AVX512F__)
#define AS_IN_REGISTER(value) __asm__("" : "+v"(value))
#elif defined(__SSE2__)
#define AS_IN_REGISTER(value) __asm__("" : "+x"(value))
#elif defined(__aarch64__)
#define AS_IN_REGISTER(value) __asm__("" : "+w"(value))
#else
#define AS_IN_REGISTER(value) ((void)0)
#endif

/* Has what is in memory read from there again. */
#define AS_IN_MEMORY() __asm__ volatile("" ::: "memory")

/* Subnormal numbers count as 0 until the setting that is returned is restored: operations on them
 * take a hundred times as long, and powers of small numbers make many. */
#if defined(__SSE2__)
static inline unsigned as_flush_subnormals(void)
{
    const unsigned old = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(old | 0x8040);
    return old;
}
static inline void as_restore_subnormals(unsigned old) { __builtin_ia32_ldmxcsr(old); }
#elif defined(__aarch64__)
static inline unsigned as_flush_subnormals(void)
{
    unsigned long old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(old | 1UL << 24));
    return (unsigned)old;
}
static inline void as_restore_subnormals(unsigned old)
{
    __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long)old));
}
#else
static inline unsigned as_flush_subnormals(void) { return 0; }
static inline void as_restore_subnormals(unsigned old) { (void)old; }
#endif

/* Pairs of rows interleaved within blocks of 16 bytes, by units of 1 or 2 elements; and halves of
 * pairs of blocks of 16 bytes. These are single instructions on every instruction set. */
#define AS_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif

#undef AS_LANES
#undef VEC
#define VEC AS_T(vec)
#undef AS_PACKED /* the ending of instructions */
#ifdef AS_DOUBLE
#define AS_PACKED "pd"
#else
#define AS_PACKED "ps"
#endif

typedef REAL AS_T(vec) __attribute__((vector_size(AS_VECTOR_BYTES)));
typedef REAL AS_T(unaligned_vec)
    __attribute__((vector_size(AS_VECTOR_BYTES), aligned(__alignof__(REAL)), may_alias));

/* x - 0 is x; to x + 0, which makes 0 of -0, compilers give an addition. */
AS_INLINE VEC AS_T(all_lanes)(REAL value) { return value - (VEC){0}; }
AS_INLINE VEC AS_T(load)(const REAL *from) { return *(const AS_T(unaligned_vec) *)from; }
AS_INLINE void AS_T(store)(REAL *to, VEC value) { *(AS_T(unaligned_vec) *)to = value; }

/* Transpose of a square block in registers: lane j of row i becomes lane i of row j. */
#ifdef AS_DOUBLE
#if AS_VECTOR_BYTES == 64
#define AS_LANES 8
AS_INLINE void AS_T(transpose)(VEC *r)
{
    VEC pair[8]; /* rows 2i and 2i + 1: block b of pair[2i + c] holds column 2b + c of both */
    AS_UNROLL for (int i = 0; i < 8; i += 2)
    {
        pair[i] = AS_SHUFFLE(r[i], r[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        pair[i + 1] = AS_SHUFFLE(r[i], r[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    AS_UNROLL for (int c = 0; c < 2; ++c)
    {
        VEC even01 = AS_SHUFFLE(pair[c], pair[2 + c], 0, 1, 4, 5, 8, 9, 12, 13);
        VEC odd01 = AS_SHUFFLE(pair[c], pair[2 + c], 2, 3, 6, 7, 10, 11, 14, 15);
        VEC even23 = AS_SHUFFLE(pair[4 + c], pair[6 + c], 0, 1, 4, 5, 8, 9, 12, 13);
        VEC odd23 = AS_SHUFFLE(pair[4 + c], pair[6 + c], 2, 3, 6, 7, 10, 11, 14, 15);
        r[c] = AS_SHUFFLE(even01, even23, 0, 1, 4, 5, 8, 9, 12, 13);
        r[4 + c] = AS_SHUFFLE(even01, even23, 2, 3, 6, 7, 10, 11, 14, 15);
        r[2 + c] = AS_SHUFFLE(odd01, odd23, 0, 1, 4, 5, 8, 9, 12, 13);
        r[6 + c] = AS_SHUFFLE(odd01, odd23, 2, 3, 6, 7, 10, 11, 14, 15);
    }
}
#elif AS_VECTOR_BYTES == 32
#define AS_LANES 4
AS_INLINE void AS_T(transpose)(VEC *r)
{
    VEC pair[4];
    AS_UNROLL for (int i = 0; i < 4; i += 2)
    {
        pair[i] = AS_SHUFFLE(r[i], r[i + 1], 0, 4, 2, 6);
        pair[i + 1] = AS_SHUFFLE(r[i], r[i + 1], 1, 5, 3, 7);
    }
    AS_UNROLL for (int c = 0; c < 2; ++c)
    {
        r[c] = AS_SHUFFLE(pair[c], pair[2 + c], 0, 1, 4, 5);
        r[2 + c] = AS_SHUFFLE(pair[c], pair[2 + c], 2, 3, 6, 7);
    }
}
#else
#define AS_LANES 2
AS_INLINE void AS_T(transpose)(VEC *r)
{
    VEC first = AS_SHUFFLE(r[0], r[1], 0, 2);
    r[1] = AS_SHUFFLE(r[0], r[1], 1, 3);
    r[0] = first;
}
#endif
#else
#if AS_VECTOR_BYTES == 64
#define AS_LANES 16
#define AS_LOW_1(a, b) AS_SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define AS_HIGH_1(a, b) AS_SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define AS_LOW_2(a, b) AS_SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define AS_HIGH_2(a, b) AS_SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define AS_EVEN_BLOCKS(a, b)                                                                       \
    AS_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define AS_ODD_BLOCKS(a, b)                                                                        \
    AS_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#elif AS_VECTOR_BYTES == 32
#define AS_LANES 8
#define AS_LOW_1(a, b) AS_SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define AS_HIGH_1(a, b) AS_SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define AS_LOW_2(a, b) AS_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define AS_HIGH_2(a, b) AS_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define AS_LANES 4
#define AS_LOW_1(a, b) AS_SHUFFLE(a, b, 0, 4, 1, 5)
#define AS_HIGH_1(a, b) AS_SHUFFLE(a, b, 2, 6, 3, 7)
#define AS_LOW_2(a, b) AS_SHUFFLE(a, b, 0, 1, 4, 5)
#define AS_HIGH_2(a, b) AS_SHUFFLE(a, b, 2, 3, 6, 7)
#endif

/* First 4 x 4 transposes inside blocks of 16 bytes: block b of row 4q + c then holds column
 * 4b + c of rows 4q .. 4q + 3. Then a transpose of the blocks. */
AS_INLINE void AS_T(transpose)(VEC *r)
{
    AS_UNROLL for (int i = 0; i < AS_LANES; i += 4)
    {
        VEC low01 = AS_LOW_1(r[i], r[i + 1]), low23 = AS_LOW_1(r[i + 2], r[i + 3]);
        VEC high01 = AS_HIGH_1(r[i], r[i + 1]), high23 = AS_HIGH_1(r[i + 2], r[i + 3]);
        r[i] = AS_LOW_2(low01, low23);
        r[i + 1] = AS_HIGH_2(low01, low23);
        r[i + 2] = AS_LOW_2(high01, high23);
        r[i + 3] = AS_HIGH_2(high01, high23);
    }
#if AS_VECTOR_BYTES == 64
    AS_UNROLL for (int c = 0; c < 4; ++c)
    {
        VEC even01 = AS_EVEN_BLOCKS(r[c], r[4 + c]), even23 = AS_EVEN_BLOCKS(r[8 + c], r[12 + c]);
        VEC odd01 = AS_ODD_BLOCKS(r[c], r[4 + c]), odd23 = AS_ODD_BLOCKS(r[8 + c], r[12 + c]);
        r[c] = AS_EVEN_BLOCKS(even01, even23);
        r[8 + c] = AS_ODD_BLOCKS(even01, even23);
        r[4 + c] = AS_EVEN_BLOCKS(odd01, odd23);
        r[12 + c] = AS_ODD_BLOCKS(odd01, odd23);
    }
#elif AS_VECTOR_BYTES == 32
    AS_UNROLL for (int c = 0; c < 4; ++c)
    {
        VEC low = AS_SHUFFLE(r[c], r[4 + c], 0, 1, 2, 3, 8, 9, 10, 11);
        r[4 + c] = AS_SHUFFLE(r[c], r[4 + c], 4, 5, 6, 7, 12, 13, 14, 15);
        r[c] = low;
    }
#endif
}
#undef AS_LOW_1
#undef AS_HIGH_1
#undef AS_LOW_2
#undef AS_HIGH_2
#undef AS_EVEN_BLOCKS
#undef AS_ODD_BLOCKS
#endif

/* Lane l of the result is lane l - 1 of `v`, and lane 0 is `first`. */
AS_INLINE VEC AS_T(shift_lanes)(VEC v, REAL first)
{
    const VEC other = AS_T(all_lanes)(first);
#if AS_LANES == 16
    return AS_SHUFFLE(v, other, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
#elif AS_LANES == 8
    return AS_SHUFFLE(v, other, 8, 0, 1, 2, 3, 4, 5, 6);
#elif AS_LANES == 4
    return AS_SHUFFLE(v, other, 4, 0, 1, 2);
#else
    return AS_SHUFFLE(v, other, 2, 0);
#endif
}

/* Lane by lane the greater, or the lesser, of both; NaN where `value` is. Compilers make two
 * operations of the comparison, for zeros and NaN; the instruction's choice is the one wanted. */
#if defined(__AVX__)
#define AS_OF_BOTH(name, bound, value, comparison)                                                 \
    VEC result;                                                                                    \
    __asm__("v" name AS_PACKED " %2, %1, %0" : "=v"(result) : "v"(bound), "v"(value));             \
    return result
#elif defined(__SSE2__)
#define AS_OF_BOTH(name, bound, value, comparison)                                                 \
    VEC result = bound;                                                                            \
    __asm__(name AS_PACKED " %1, %0" : "+x"(result) : "x"(value));                                 \
    return result
#else
#define AS_OF_BOTH(name, bound, value, comparison)                                                 \
    VEC result;                                                                                    \
    for (int l = 0; l < AS_LANES; ++l)                                                             \
        result[l] = bound[l] comparison value[l] ? bound[l] : value[l];                            \
    return result
#endif
AS_INLINE VEC AS_T(at_least)(VEC bound, VEC value) { AS_OF_BOTH("max", bound, value, >); }
AS_INLINE VEC AS_T(at_most)(VEC bound, VEC value) { AS_OF_BOTH("min", bound, value, <); }
#undef AS_OF_BOTH
