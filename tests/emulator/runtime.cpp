/* Runtime of the emulator, linked into every kernel's shared object; one launch at a time.
 *
 * Each CUDA thread is a fiber on one OS thread. A fiber runs until it waits at a barrier or in a
 * warp collective, and then switches straight to the next fiber that is ready. Blocks run one after
 * another. Whatever a GPU would answer with garbage or a hang ends the launch with a message.
 *
 * Built with EMU_RACE, it is also a race detector: kernels are then compiled with
 * -fsanitize=thread, and this file provides the hooks that the compiler calls at each access to
 * memory. Two accesses to one 4-byte word, of which one writes, are a race unless a barrier orders
 * them: __syncthreads within a block, __syncwarp among the lanes of its mask, nothing between
 * blocks. Shuffles order nothing; atomics do not race with atomics. Every write is kept until the
 * next, and four readers of each word: the last, the last other one, the last of another warp and
 * the last of another block. Reading shared memory that the block has not written is reported too.
 *
 * Built with EMU_ASAN, it tells the address sanitizer about the stacks. EMU_UCONTEXT selects the
 * portable way to switch fibers, which costs ten times as much.
 */
#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <sys/mman.h>
#include <vector>

extern "C" {
#include "abi.h"
}

#ifdef __x86_64__
#include <xmmintrin.h>
#else
#define EMU_UCONTEXT
#endif
#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif
#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

struct Index {
    unsigned x, y, z;
};
/* cuda_emu.h's threadIdx, blockIdx, blockDim and gridDim */
extern "C" {
struct emu_position {
    Index thread, block, block_size, grid_size;
} emu_here;
}

enum BlockOp { BARRIER, COUNT, AND, OR };
enum WarpOp { SYNCWARP, SHFL, SHFL_UP, SHFL_DOWN, SHFL_XOR, BALLOT, ALL, ANY, ADD };
enum State { READY, AT_BARRIER, IN_WARP, EXITED };

namespace
{

constexpr size_t STACK = 256 << 10, PAGE = 4096;
constexpr size_t STATIC_LIMIT = 48 << 10;
constexpr int MAX_THREADS = 1024;

struct Fiber {
#ifdef EMU_UCONTEXT
    ucontext_t context;
#else
    void *sp;
#endif
#ifdef EMU_ASAN
    void *fake_stack;
#endif
    char *stack; /* its lowest byte; null for the launching thread */
    Index index;
    State state;
};

/* The collective that each lane of a warp waits in. */
struct Warp {
    unsigned arrived; /* lanes */
    struct Call {
        int op;
        unsigned mask, site;
        int lane, width;
        uint64_t value, result;
    } calls[32];
};

struct SharedVariable {
    const void *key; /* null for the dynamic block */
    char *data;
    size_t size;
};

emu_kernel *kernels;
emu_launch *launch;
const emu_kernel *kernel;
void **arguments;

Fiber launcher;
std::array<Fiber, MAX_THREADS> fibers;
char *stacks, *stacks_end;
int threads, alive, current = -1; /* of the running block; -1 outside of fibers */
bool failed;
uint32_t random_state;
unsigned block_number;

struct { /* fibers that can run, a ring */
    std::array<int, MAX_THREADS> items;
    int head, count;
} ready;

struct { /* the barrier that fibers of the block wait at */
    int waiting, op, sum, result;
    unsigned site, epoch; /* the epoch counts barriers passed, over all blocks */
} barrier;

std::array<Warp, MAX_THREADS / 32> warps;
struct { /* those of the block */
    std::array<SharedVariable, 64> items;
    int count;
    SharedVariable *begin() { return items.data(); }
    SharedVariable *end() { return begin() + count; }
} shared_variables;
size_t static_shared;

int line(unsigned site) { return site & 0xffff; }

/* ---- switching ---- */

#ifndef EMU_UCONTEXT
extern "C" void emu_switch(void **save, void *to);
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch,@function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch,.-emu_switch
)");
#endif

#ifdef EMU_ASAN
const void *launcher_stack;
size_t launcher_stack_size;
#endif

inline void switch_fiber(Fiber &from, Fiber &to)
{
#ifdef EMU_ASAN
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack ? to.stack : launcher_stack,
                                   to.stack ? STACK : launcher_stack_size);
#endif
#ifdef EMU_UCONTEXT
    swapcontext(&from.context, &to.context);
#else
    emu_switch(&from.sp, to.sp);
#endif
#ifdef EMU_ASAN
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

uint32_t next_random()
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

inline void make_ready(int fiber)
{
    int at = ready.head + ready.count++;
    ready.items[at < threads ? at : at - threads] = fiber;
    fibers[fiber].state = READY;
}

/* Make ready those of `count` fibers from `first` that `wanted` accepts, in the launch's order. */
template <class F> void make_all_ready(int first, int count, F wanted)
{
    for (int i = 0; i < count; i++) {
        int fiber = first + (launch->order == 1 ? count - 1 - i : i);
        if (wanted(fiber))
            make_ready(fiber);
    }
}

int next_ready()
{
    if (launch->order == 2 && ready.count > 1) {
        int at = ready.head + next_random() % ready.count;
        std::swap(ready.items[at < threads ? at : at - threads], ready.items[ready.head]);
    }
    int fiber = ready.items[ready.head];
    if (++ready.head == threads)
        ready.head = 0;
    ready.count--;
    return fiber;
}

void run_next(Fiber &from)
{
    int next = next_ready();
    if (next == current)
        return;
    current = next;
    emu_here.thread = fibers[next].index;
    switch_fiber(from, fibers[next]);
}

[[noreturn]] void leave_block()
{
    Fiber &from = fibers[current];
    current = -1;
    switch_fiber(from, launcher);
    __builtin_trap();
}

/* End the launch with a message; the other fibers are abandoned. */
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int n = snprintf(launch->error, sizeof launch->error, "block (%u,%u,%u): ", emu_here.block.x,
                     emu_here.block.y, emu_here.block.z);
    vsnprintf(launch->error + n, sizeof launch->error - n, format, values);
    va_end(values);
    failed = true;
    leave_block();
}

/* The current fiber waits or has exited: run another one. */
void wait()
{
    if (!ready.count) {
        int in_barrier = 0, in_warp = 0;
        for (int i = 0; i < threads; i++) {
            in_barrier += fibers[i].state == AT_BARRIER;
            in_warp += fibers[i].state == IN_WARP;
        }
        fail("deadlock: %d threads at __syncthreads (line %d), %d in warp collectives, %d exited",
             in_barrier, in_barrier ? line(barrier.site) : 0, in_warp, threads - alive);
    }
    run_next(fibers[current]);
}

void release_barrier()
{
    barrier.result = barrier.sum;
    barrier.waiting = 0;
    barrier.epoch++;
    make_all_ready(0, threads, [](int i) { return fibers[i].state == AT_BARRIER; });
}

void fiber_main()
{
#ifdef EMU_ASAN
    const void *stack;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &stack, &size);
    if ((const char *)stack < stacks || (const char *)stack >= stacks_end) {
        launcher_stack = stack;
        launcher_stack_size = size;
    }
#endif
    kernel->call(arguments);
    fibers[current].state = EXITED;
    alive--;
    if (!alive)
        leave_block();
    if (barrier.waiting == alive) /* a GPU does not wait for threads that have exited either */
        release_barrier();
    wait();
    __builtin_trap();
}

/* ---- shared memory ---- */

char *new_shared(const void *key, size_t size)
{
    if (shared_variables.end() == shared_variables.items.end())
        fail("more than %d shared variables", shared_variables.count);
    char *data = (char *)malloc(size ? size : 1);
    memset(data, 0xff, size); /* NaN */
    shared_variables.items[shared_variables.count++] = {key, data, size};
    return data;
}

void outside_of_kernels(const char *what)
{
    if (current < 0) {
        fprintf(stderr, "emulator: %s is declared outside of a function\n", what);
        abort();
    }
}

/* ---- warps ---- */

/* The lane that `lane` reads in a shuffle. */
int shuffle_source(const Warp::Call &call, int lane)
{
    int first = lane & ~(call.width - 1), end = first + call.width, source = lane;
    switch (call.op) {
    case SHFL:
        return first + (call.lane & (call.width - 1));
    case SHFL_UP:
        source = lane - call.lane;
        return source < first ? lane : source;
    case SHFL_DOWN:
        source = lane + call.lane;
        break;
    case SHFL_XOR:
        source = lane ^ call.lane;
        break;
    }
    return source >= end ? lane : source;
}

uint64_t reduce(const Warp &warp, int op, unsigned mask)
{
    uint64_t result = op == ALL;
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1))
            continue;
        uint64_t value = warp.calls[lane].value;
        switch (op) {
        case BALLOT:
            result |= value << lane;
            break;
        case ALL:
            result &= value;
            break;
        case ANY:
            result |= value;
            break;
        case ADD:
            result += value;
            break;
        }
    }
    return result;
}

/* ---- race detector ---- */

#ifdef EMU_RACE
/* Lanes of a warp know of each other's past by vector clocks that __syncwarp joins. */
std::vector<std::array<unsigned, 32>> clocks;

void join_clocks(int first, unsigned mask)
{
    std::array<unsigned, 32> joined{};
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1))
            continue;
        clocks[first + lane][lane]++;
        for (int k = 0; k < 32; k++)
            joined[k] = std::max(joined[k], clocks[first + lane][k]);
    }
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1)
            clocks[first + lane] = joined;
}

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));

struct Access {
    int thread = -1; /* -1: none */
    unsigned block = 0, epoch = 0, clock = 0;
    bool atomic = false;
    const void *place = nullptr;
};
struct Word {
    uintptr_t key = 0; /* address / 4 */
    Access write, reader, other_reader, other_warp, other_block;
};
std::vector<Word> words; /* open hashing */
size_t words_used;
bool in_atomic;

size_t home(uintptr_t key) { return (key * 0x9E3779B97F4A7C15ull) >> 20 & (words.size() - 1); }

Word &find_word(uintptr_t key)
{
    for (size_t at = home(key);; at = (at + 1) & (words.size() - 1)) {
        if (words[at].key == key)
            return words[at];
        if (words[at].key)
            continue;
        if (2 * ++words_used <= words.size()) {
            words[at].key = key;
            return words[at];
        }
        std::vector<Word> old(2 * words.size());
        old.swap(words);
        for (const Word &word : old) {
            if (!word.key)
                continue;
            size_t to = home(word.key);
            while (words[to].key)
                to = (to + 1) & (words.size() - 1);
            words[to] = word;
        }
        return find_word(key);
    }
}

void report(int kind, const void *place, const Access &other)
{
    auto offset = [](const void *p) -> uint64_t { return p ? (const char *)p - __ehdr_start : 0; };
    emu_race race = {
        kind,          block_number,       (unsigned)current, other.block, (unsigned)other.thread,
        offset(place), offset(other.place)};
    int kept = std::min<int>(launch->race_count, std::size(launch->races));
    for (int i = 0; i < kept; i++) {
        const emu_race &r = launch->races[i];
        if (r.kind == kind && r.place == race.place && r.other_place == race.other_place)
            return;
    }
    if (kept < (int)std::size(launch->races))
        launch->races[kept] = race;
    launch->race_count++;
}

/* Does a barrier order `past` before what the current thread does now? */
bool ordered(const Access &past)
{
    if (past.thread < 0)
        return true;
    if (past.block != block_number)
        return false;
    if (past.thread == current || past.epoch != barrier.epoch)
        return true;
    return past.thread / 32 == current / 32 && clocks[current][past.thread % 32] > past.clock;
}

void note_read(Word &word, const Access &now)
{
    const Access last = word.reader;
    word.reader = now;
    if (last.thread < 0)
        return;
    if (last.block != now.block) {
        word.other_block = last;
        word.other_reader = word.other_warp = Access();
    } else if (last.thread != now.thread) {
        word.other_reader = last;
        if (last.thread / 32 != now.thread / 32)
            word.other_warp = last;
    }
}

void access(void *address, size_t size, bool write, bool atomic, const void *place)
{
    const char *p = (const char *)address;
    auto inside = [p](const void *from, size_t n) {
        return p >= (const char *)from && p < (const char *)from + n;
    };
    if (current < 0 || inside(stacks, stacks_end - stacks) || inside(&emu_here, sizeof emu_here))
        return;
    bool is_shared = std::any_of(shared_variables.begin(), shared_variables.end(),
                                 [&](const SharedVariable &v) { return inside(v.data, v.size); });
    const Access now = {current, block_number, barrier.epoch, clocks[current][current % 32],
                        atomic,  place};
    uintptr_t last = ((uintptr_t)p + size - 1) / 4;
    for (uintptr_t key = (uintptr_t)p / 4; key <= last; key++) {
        Word &word = find_word(key);
        if (is_shared) { /* a former block's variable may have had this address */
            if (word.write.block != block_number)
                word.write = Access();
            if (word.reader.block != block_number)
                word.reader = word.other_reader = word.other_warp = Access();
            word.other_block = Access();
            if (word.write.thread < 0 && (!write || atomic))
                report(3, place, Access());
        }
        if (!(atomic && word.write.atomic) && !ordered(word.write))
            report(write ? 0 : 1, place, word.write);
        if (!write) {
            note_read(word, now);
            continue;
        }
        for (const Access *reader :
             {&word.reader, &word.other_reader, &word.other_warp, &word.other_block}) {
            if (!ordered(*reader)) {
                report(2, place, *reader);
                break;
            }
        }
        word.write = now;
    }
}
#endif

} /* namespace */

/* ---- what kernels call ---- */

extern "C" {

void emu_register(emu_kernel *k)
{
    k->next = kernels;
    kernels = k;
}

void *emu_dynamic_shared()
{
    outside_of_kernels("extern __shared__");
    return shared_variables.items[0].data;
}

void *emu_static_shared(const void *key, size_t size)
{
    outside_of_kernels("__shared__");
    for (const SharedVariable &v : shared_variables)
        if (v.key == key)
            return v.data;
    static_shared += size;
    if (static_shared > STATIC_LIMIT)
        fail("%zu bytes of static shared memory, more than %zu", static_shared, STATIC_LIMIT);
    if (static_shared + launch->dynamic_shared > launch->shared_limit)
        fail("%zu bytes of static and %zu of dynamic shared memory, more than %zu", static_shared,
             (size_t)launch->dynamic_shared, (size_t)launch->shared_limit);
    return new_shared(key, size);
}

int emu_block(int op, int predicate, unsigned site)
{
    if (!barrier.waiting) {
        barrier.site = site;
        barrier.op = op;
        barrier.sum = op == AND;
    } else if (barrier.site != site || barrier.op != op) {
        fail("divergent __syncthreads: thread %d at line %d, others at line %d", current,
             line(site), line(barrier.site));
    }
    if (op == COUNT)
        barrier.sum += predicate;
    else if (op == AND)
        barrier.sum &= predicate;
    else if (op == OR)
        barrier.sum |= predicate;
    fibers[current].state = AT_BARRIER;
    if (++barrier.waiting == alive)
        release_barrier();
    wait();
    return barrier.result;
}

uint64_t emu_warp(int op, unsigned mask, uint64_t value, int lane_argument, int width,
                  unsigned site)
{
    const int first = current & ~31, lane = current & 31, lanes = std::min(32, threads - first);
    const unsigned existing = lanes == 32 ? ~0u : (1u << lanes) - 1;
    Warp &warp = warps[current / 32];
    if (op == SYNCWARP)
        mask &= existing; /* the default mask is legal in a last, partial warp */
    if (!(mask >> lane & 1))
        fail("lane %d is not in the mask %08x of its own warp collective (line %d)", lane, mask,
             line(site));
    if (mask & ~existing)
        fail("mask %08x names lanes that do not exist in a block of %d threads (line %d)", mask,
             threads, line(site));
    if (width < 1 || width > 32 || (width & (width - 1)))
        fail("shuffle of width %d (line %d)", width, line(site));
    warp.arrived |= 1u << lane;
    warp.calls[lane] = {op, mask, site, lane_argument, width, value, 0};
    fibers[current].state = IN_WARP;
    bool complete = true;
    for (int k = 0; k < lanes; k++) {
        if (!(mask >> k & 1))
            continue;
        if (fibers[first + k].state == EXITED)
            fail("warp collective (line %d) waits for lane %d, which has exited", line(site), k);
        if (!(warp.arrived >> k & 1)) {
            complete = false;
            continue;
        }
        const Warp::Call &other = warp.calls[k];
        if (other.mask != mask || other.op != op || other.site != site)
            fail("divergent warp collective: lane %d at line %d with mask %08x, lane %d at line %d "
                 "with mask %08x",
                 lane, line(site), mask, k, line(other.site), other.mask);
    }
    if (complete) {
        const bool shuffle = op >= SHFL && op <= SHFL_XOR;
        const uint64_t reduced = shuffle ? 0 : reduce(warp, op, mask);
        for (int k = 0; k < lanes; k++) {
            if (!(mask >> k & 1))
                continue;
            int source = shuffle ? shuffle_source(warp.calls[k], k) : k;
            if (shuffle && !(mask >> source & 1))
                fail("shuffle (line %d): lane %d reads lane %d, which is not in the mask %08x",
                     line(site), k, source, mask);
            warp.calls[k].result = shuffle ? warp.calls[source].value : reduced;
        }
#ifdef EMU_RACE
        if (op == SYNCWARP)
            join_clocks(first, mask);
#endif
        warp.arrived &= ~mask;
        make_all_ready(first, lanes, [=](int i) { return mask >> (i - first) & 1; });
    }
    wait();
    return warp.calls[lane].result;
}

void emu_trap(unsigned site) { fail("__trap (line %d)", line(site)); }

#ifdef EMU_RACE
void emu_atomic_begin(const void *address, size_t size)
{
    access((void *)address, size, true, true, __builtin_return_address(0));
    in_atomic = true;
}
void emu_atomic_end() { in_atomic = false; }

/* called by code that is compiled with -fsanitize=thread */
#define HOOK(name, size, write)                                                                    \
    void __tsan_##name(void *p)                                                                    \
    {                                                                                              \
        if (!in_atomic)                                                                            \
            access(p, size, write, false, __builtin_return_address(0));                            \
    }
#define HOOKS(size)                                                                                \
    HOOK(read##size, size, false)                                                                  \
    HOOK(write##size, size, true)                                                                  \
    HOOK(unaligned_read##size, size, false)                                                        \
    HOOK(unaligned_write##size, size, true)                                                        \
    HOOK(volatile_read##size, size, false)                                                         \
    HOOK(volatile_write##size, size, true)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void *p, size_t n)
{
    access(p, n, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void *p, size_t n)
{
    access(p, n, true, false, __builtin_return_address(0));
}
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
#else
void emu_atomic_begin(const void *, size_t) {}
void emu_atomic_end() {}
#endif

/* ---- what Python calls ---- */

__attribute__((visibility("default"))) emu_kernel *emu_kernels() { return kernels; }
}

namespace
{

/* Kept for the next launch, of whatever kernel: each has a runtime of its own, and mappings are few
 * (max_map_count), and slow to make. */
void allocate_stacks(int count, emu_stacks &kept)
{
    const size_t each = STACK + PAGE; /* a guard page below each */
    if (kept.size < each * count) {
        if (kept.size)
            munmap(kept.memory, kept.size);
        kept.size = each * count;
        kept.memory = mmap(nullptr, kept.size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (kept.memory == MAP_FAILED) {
            perror("emulator: stacks");
            abort();
        }
        for (int i = 0; i < count; i++)
            mprotect((char *)kept.memory + each * i, PAGE, PROT_NONE);
    }
    stacks = (char *)kept.memory;
    stacks_end = stacks + each * count;
    for (int i = 0; i < count; i++)
        fibers[i].stack = stacks + each * i + PAGE;
}

void start_fiber(int i)
{
    Fiber &fiber = fibers[i];
    const Index size = emu_here.block_size;
    fiber.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
#ifdef EMU_ASAN
    fiber.fake_stack = nullptr;
#endif
#ifdef EMU_UCONTEXT
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, fiber_main, 0);
#else
    void **sp = (void **)(fiber.stack + STACK - 64);
    *--sp = nullptr; /* the stack is 16-byte aligned before a call pushes its return address */
    *--sp = (void *)fiber_main;
    for (int saved = 0; saved < 6; saved++)
        *--sp = nullptr;
    fiber.sp = sp;
#endif
}

void run_block(unsigned long number)
{
    const Index grid = emu_here.grid_size;
    block_number = (unsigned)number;
    emu_here.block = {(unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                      (unsigned)(number / grid.x / grid.y)};
    new_shared(nullptr, launch->dynamic_shared);
    static_shared = 0;
    alive = threads;
    ready.head = ready.count = 0;
    barrier.waiting = 0;
    barrier.epoch++;
    std::fill_n(warps.begin(), (threads + 31) / 32, Warp());
    for (int i = 0; i < threads; i++)
        start_fiber(i);
    make_all_ready(0, threads, [](int) { return true; });
    run_next(launcher);
    for (const SharedVariable &v : shared_variables)
        free(v.data);
    shared_variables.count = 0;
}

const char *refusal(unsigned long block, const emu_launch &l)
{
    if (!block || block > MAX_THREADS || l.block[2] > 64)
        return "a block needs 1 to 1024 threads, at most 64 in z";
    if (!l.grid[0] || !l.grid[1] || !l.grid[2] || l.grid[0] > 0x7fffffff || l.grid[1] > 65535 ||
        l.grid[2] > 65535)
        return "a grid needs 1 to 2147483647 x 65535 x 65535 blocks";
    if (l.dynamic_shared > l.shared_limit)
        return "more dynamic shared memory than the device has";
    return nullptr;
}

} /* namespace */

extern "C" __attribute__((visibility("default"))) void emu_run(const emu_kernel *k, void **args,
                                                               emu_launch *l)
{
    kernel = k;
    arguments = args;
    launch = l;
    failed = false;
    l->error[0] = 0;
    l->race_count = 0;
    const unsigned long block = (unsigned long)l->block[0] * l->block[1] * l->block[2];
    if (const char *reason = refusal(block, *l)) {
        snprintf(l->error, sizeof l->error, "%s", reason);
        return;
    }
    threads = (int)block;
    allocate_stacks(threads, *l->stacks);
    random_state = l->seed * 2654435761u | 1;
    emu_here.block_size = {l->block[0], l->block[1], l->block[2]};
    emu_here.grid_size = {l->grid[0], l->grid[1], l->grid[2]};
#ifdef EMU_RACE
    clocks.assign(threads, {});
    words.assign(1 << 12, Word());
    words_used = 0;
    in_atomic = false;
#endif
#ifdef EMU_ASAN
    __asan_unpoison_memory_region(stacks, stacks_end - stacks); /* frames of abandoned fibers */
#endif
#ifdef __x86_64__
    const unsigned mode = _mm_getcsr();
    if (l->flush)
        _mm_setcsr(mode | 0x8040);
#endif
    const unsigned long blocks = (unsigned long)l->grid[0] * l->grid[1] * l->grid[2];
    unsigned long number = 0, step = 1;
    if (l->order == 1) {
        number = blocks - 1;
        step = blocks - 1;
    } else if (l->order == 2) {
        number = next_random() % blocks;
        do
            step = 1 + next_random() % blocks;
        while (std::gcd(step, blocks) != 1);
    }
    for (unsigned long i = 0; i < blocks && !failed; i++) {
        run_block(number);
        number = (number + step) % blocks;
    }
#ifdef __x86_64__
    _mm_setcsr(mode);
#endif
}
