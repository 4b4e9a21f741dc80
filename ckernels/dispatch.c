/* Chooses the instruction set when Python loads the extension; exports as_<name>_<f32|f64>. */
#include "arraysig.h"

extern const as_table as_table_base;
#ifdef AS_AVX2
extern const as_table as_table_avx2;
#endif
#ifdef AS_AVX512
extern const as_table as_table_avx512;
#endif

static const as_table *active = &as_table_base;

/* The best supported table, or the one called `name`; NULL if that is not supported. Fills `list`
 * with the names of the supported ones. */
static const as_table *find(const char *name, char *list, size_t size)
{
    const as_table *tables[3] = {&as_table_base}, *found = NULL;
    int n = 1;
#if defined(AS_AVX2) || defined(AS_AVX512)
    __builtin_cpu_init();
    const int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#ifdef AS_AVX2
    if (has_avx2)
        tables[n++] = &as_table_avx2;
#endif
#ifdef AS_AVX512
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        tables[n++] = &as_table_avx512;
#endif
    if (list)
        list[0] = 0;
    for (int i = 0; i < n; ++i) {
        if (!name || !strcmp(name, tables[i]->isa))
            found = tables[i];
        if (list && strlen(list) + strlen(tables[i]->isa) + 2 <= size) {
            strcat(list, tables[i]->isa);
            strcat(list, " ");
        }
    }
    return found;
}

int as_select_isa(const char *name)
{
    const as_table *found = find(name, NULL, 0);
    if (!found)
        return -1;
    active = found;
    return 0;
}

const char *as_isa(void) { return active->isa; }

const char *as_supported_isas(void)
{
    static char list[64];
    find(NULL, list, sizeof list);
    return list;
}

int as_openmp(void)
{
#ifdef _OPENMP
    return _OPENMP;
#else
    return 0;
#endif
}

#define AS_ENTRY(name, params, args)                                                               \
    int AS_CAT3(as, name, SUF) params { return active->AS_CAT2(name, SUF) args; }
#include "each_type.h"
