/* What a kernel built for the host, its runtime and Python share.
 *
 * C without preprocessor conditionals: cffi reads the declarations too (device.py), less the lines
 * that start with '#'.
 */
#pragma once
#include <stdint.h>

/* An unordered pair of accesses. Places are offsets into the shared object, 0 for none. */
struct emu_race {
    int32_t kind; /* 0 write after write, 1 read after write, 2 write after read, 3 unset read */
    uint32_t block, thread;
    uint32_t other_block, other_thread;
    uint64_t place, other_place;
};

/* Memory for the stacks of threads, which every launch leaves to the next one; at first none. */
struct emu_stacks {
    void *memory;
    uint64_t size;
};

/* One launch: what Python asks for, and what it gets back. */
struct emu_launch {
    uint32_t grid[3], block[3];
    uint64_t dynamic_shared, shared_limit; /* bytes; the limit is for static and dynamic together */
    int32_t order;                         /* of threads and blocks: 0 up, 1 down, 2 random */
    uint32_t seed;                         /* of the random order */
    int32_t flush;                         /* flush denormals to zero */
    struct emu_stacks *stacks;
    char error[512];    /* empty where the kernel ran to its end */
    int32_t race_count; /* different races; the first 16 are kept */
    struct emu_race races[16];
};

/* A parameter: its dtype in NumPy's words, or that of what it points to; "?" for no such dtype. */
struct emu_parameter {
    const char *dtype;
    int32_t pointer;
};

/* A kernel; those of one shared object are a list. */
struct emu_kernel {
    const char *name;
    int32_t count;
    const struct emu_parameter *parameters;
    void (*call)(void **arguments);
    struct emu_kernel *next;
};

struct emu_kernel *emu_kernels(void);
void emu_run(const struct emu_kernel *kernel, void **arguments, struct emu_launch *launch);
