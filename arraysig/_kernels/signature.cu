/* Truncated signatures of small alphabets, words in registers (tile.cuh).
 *
 * A block multiplies (Chen) what neighbouring stretches of one path gave, in shared memory, before
 * it writes; sig_fold multiplies what several blocks wrote. Where a block has too few threads for
 * the words of a stretch, more blocks share it.
 *
 *   sig_tile  path (batch, length, DIM) -> out (batch * per_path / run, row), `run` neighbouring
 *             stretches each; grid ceil(batch * per_path / STRETCHES) * ceil(TILES / LANES),
 *             block STRETCHES * LANES, dynamic shared memory 16 bytes per stretch and
 *             max(STRETCHES * ROW, run > 1: (STRETCHES + STRETCHES / FOLD) * WORDS) numbers
 *   sig_fold  parts (batch, count, WORDS) -> out (batch * groups, row), `radix` neighbours each;
 *             grid ceil(batch * groups * CHANNELS^DEGREE / 128), block 128
 *
 * A row of `out` has `row` numbers: 1 if `scalar`, then the WORDS coefficients.
 *
 * Macros: REAL, DIM, TIME_AUG, LEAD_LAG, DEGREE. With TILE, and what else tile.cuh wants of the
 * plan, the source is that of sig_tile, without it that of sig_fold.
 */
#include "real.h"
#include "words.h"
#ifdef TILE
#define LEVELS DEGREE
#include "tile.cuh"
#else
constexpr int CHANNELS = DIM * (LEAD_LAG ? 2 : 1) + (TIME_AUG ? 1 : 0);
#endif

constexpr i64 WORDS = as_level(CHANNELS, DEGREE + 1), TOP = as_power(CHANNELS, DEGREE);
constexpr int FOLD = 8;

#ifdef TILE
constexpr int LANE_BLOCKS = (int)((TILES + LANES - 1) / LANES);

/* Level K and up of a thread's tile; `first` is the number of its first word of PREFIX + 1. */
template <int K> AS_FN void write_tile(const State &s, REAL *to, i64 first, int letters)
{
    constexpr int behind = (int)as_power(CHANNELS, K - PREFIX - 1);
#pragma unroll
    for (int w = 0; w < TILE * behind; w++)
        if (w < letters * behind)
            to[as_level(CHANNELS, K) + first * behind + w] = s.own[tile_level(K) + w];
    if constexpr (K < DEGREE)
        write_tile<K + 1>(s, to, first, letters);
}
#endif

/* Level K of a <- a * b for the prefixes of the word `w` of DEGREE letters, then K - 1, ... */
template <int K> AS_FN void multiply_word(REAL (&a)[DEGREE], const REAL *b, i64 w)
{
    const i64 word = w / as_power(CHANNELS, DEGREE - K);
    REAL sum = a[K - 1] + b[as_level(CHANNELS, K) + word];
#pragma unroll
    for (int i = 1; i < K; i++)
        sum += a[i - 1] * b[as_level(CHANNELS, K - i) + word % as_power(CHANNELS, K - i)];
    a[K - 1] = sum;
    if constexpr (K > 1)
        multiply_word<K - 1>(a, b, w);
}

/* Word `w` of DEGREE letters, and those of its prefixes that no other word writes, of the product
 * of `count` signatures that follow one another at `parts`. */
AS_FN void fold_word(const REAL *parts, i64 count, i64 w, REAL *to)
{
    REAL a[DEGREE];
#pragma unroll
    for (int k = 1; k <= DEGREE; k++)
        a[k - 1] = parts[as_level(CHANNELS, k) + w / as_power(CHANNELS, DEGREE - k)];
#pragma unroll 1
    for (i64 i = 1; i < count; i++)
        multiply_word<DEGREE>(a, parts + i * WORDS, w);
#pragma unroll
    for (int k = 1; k <= DEGREE; k++)
        if (w % as_power(CHANNELS, DEGREE - k) == 0)
            to[as_level(CHANNELS, k) + w / as_power(CHANNELS, DEGREE - k)] = a[k - 1];
}

#ifdef TILE
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    sig_tile(const REAL *__restrict__ path, REAL *__restrict__ out, i64 batch, i64 length,
             i64 per_path, i64 steps, i64 run, i64 row, i64 scalar, REAL dt)
{
    extern __shared__ __align__(16) unsigned char memory[];
    i64 *source = (i64 *)memory;         /* where the raw points of a stretch start */
    i64 *available = source + STRETCHES; /* its raw increments */
    REAL *shared = (REAL *)(available + STRETCHES);
    const int tid = threadIdx.x, mine = tid / LANES;
    const i64 first_stretch = (i64)(blockIdx.x / LANE_BLOCKS) * STRETCHES;
    const i64 tile = (i64)(blockIdx.x % LANE_BLOCKS) * LANES + tid % LANES;
    const bool on = tile < TILES && first_stretch + mine < batch * per_path;
    const i64 word = tile < TILES ? tile / LETTER_TILES : 0; /* the prefix */
    const int letter = (int)(tile % LETTER_TILES) * TILE;

    find_stretches(source, available, first_stretch, batch * per_path, length, per_path, steps);
    prepare_steps(shared, dt);
    int digit[PREFIX + 1];
#pragma unroll
    for (int i = 0; i < PREFIX; i++)
        digit[i] = (int)(word / as_power(CHANNELS, PREFIX - 1 - i) % CHANNELS);
    State s;
#pragma unroll
    for (int i = 0; i < OWN; i++)
        s.own[i] = 0;
#pragma unroll
    for (int i = 0; i < PREFIX; i++)
        s.prefix[i] = 0;

    __syncthreads();
    const i64 my_steps = available[mine];
    for (i64 done = 0; done < steps; done += CHUNK) {
        load_steps(path, source, available, done, shared);
        __syncthreads();
        const i64 left = my_steps - done;
        const int here = (left < CHUNK ? (int)left : CHUNK) * (LEAD_LAG ? 2 : 1);
        const REAL *z = shared + mine * ROW;
#pragma unroll 1
        for (int t = 0; t < here; t++, z += WIDTH) {
            Step step;
            read_letters<WIDTH>(step.all, z);
#pragma unroll
            for (int i = 0; i < PREFIX; i++)
                step.prefix[i] = z[digit[i]];
            read_letters<TILE>(step.tile, z + letter);
            multiply_step<DEGREE>(s, step);
        }
        __syncthreads();
    }

    const int letters = CHANNELS - letter < TILE ? CHANNELS - letter : TILE;
    const bool direct = STRETCHES == 1 || run == 1;
    REAL *to = direct ? out + (first_stretch + mine) * row + scalar : shared + mine * WORDS;
    if (on) {
#pragma unroll
        for (int i = 1; i <= PREFIX; i++)
            if (letter == 0 && word % as_power(CHANNELS, PREFIX - i) == 0)
                to[as_level(CHANNELS, i) + word / as_power(CHANNELS, PREFIX - i)] = s.prefix[i - 1];
        write_tile<PREFIX + 1>(s, to, word * CHANNELS + letter, letters);
        if (direct && scalar && tile == 0)
            to[-1] = 1;
    }
    if constexpr (STRETCHES > 1) {
        if (direct)
            return;
        /* Two rounds of products, so that few words still occupy the block. */
        REAL *parts = shared, *folded = shared + STRETCHES * WORDS;
        int count = (int)run;
        __syncthreads();
        if (run > 2 * FOLD) {
            for (int i = tid; i < STRETCHES / FOLD * (int)TOP; i += THREADS)
                fold_word(parts + i / TOP * FOLD * WORDS, FOLD, i % TOP, folded + i / TOP * WORDS);
            parts = folded;
            count /= FOLD;
            __syncthreads();
        }
        const i64 products = batch * per_path / run, first = first_stretch / run;
        for (int i = tid; i < STRETCHES / (int)run * (int)TOP; i += THREADS) {
            const i64 product = i / TOP;
            if (first + product >= products)
                break;
            REAL *row_out = out + (first + product) * row + scalar;
            fold_word(parts + product * count * WORDS, count, i % TOP, row_out);
            if (scalar && i % TOP == 0)
                row_out[-1] = 1;
        }
    }
}
#else
extern "C" __global__ void __launch_bounds__(128, 1)
    sig_fold(const REAL *__restrict__ parts, REAL *__restrict__ out, i64 batch, i64 count,
             i64 radix, i64 groups, i64 row, i64 scalar)
{
    const i64 i = (i64)blockIdx.x * 128 + threadIdx.x;
    const i64 product = i / TOP, b = product / groups, from = (product - b * groups) * radix;
    if (b >= batch)
        return;
    REAL *to = out + product * row + scalar;
    fold_word(parts + (b * count + from) * WORDS, min(radix, count - from), i % TOP, to);
    if (scalar && i % TOP == 0)
        to[-1] = 1;
}
#endif
