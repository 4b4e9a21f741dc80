/* What all C files share: the table of kernels of one instruction set, and status codes.
 *
 * Calling convention (arraysig/_core/cpu.py): inputs, outputs, sizes, attributes, then `threads`
 * and `control`, a pointer to two words or NULL: drivers poll control[0] once per unit of work and
 * return AS_CANCELLED when it is not 0, and count finished units in control[1].
 */
#pragma once
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t i64;

enum { AS_OK = 0, AS_OUT_OF_MEMORY = 1, AS_CANCELLED = 2 };

#define AS_CAT2_(a, b) a##_##b
#define AS_CAT2(a, b) AS_CAT2_(a, b)
#define AS_CAT3_(a, b, c) a##_##b##_##c
#define AS_CAT3(a, b, c) AS_CAT3_(a, b, c)
#define AS_STRING_(x) #x
#define AS_STRING(x) AS_STRING_(x)

/* sig -> sig_f64_avx2 */
#define AS_ENTRY_NAME(name) AS_CAT3(name, SUF, AS_ISA)

typedef struct {
    const char *isa;
#define AS_ENTRY(name, params, args) int(*AS_CAT2(name, SUF)) params;
#include "each_type.h"
#undef AS_ENTRY
} as_table;

static inline int as_cancelled(i64 *control)
{
    return control && __atomic_load_n(control, __ATOMIC_RELAXED);
}

static inline void as_count(i64 *control, i64 units)
{
    if (control)
        __atomic_fetch_add(control + 1, units, __ATOMIC_RELAXED);
}
