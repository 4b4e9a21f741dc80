/* Truncated signatures of small alphabets, words in registers.
 *
 * Cuts every path into `per_path` stretches of `steps` raw increments. LANES threads of a block
 * walk along one stretch (more blocks share it where a block has too few), STRETCHES stretches side
 * by side; neighbours that belong to one path are multiplied (Chen) in shared memory before they
 * are written. sig_fold multiplies what several blocks wrote.
 *
 * A thread owns TILE letters at position PREFIX + 1 behind a prefix of PREFIX letters, and every
 * word that extends them. A coordinate depends on prefixes of its word alone, so that a thread which
 * also keeps the PREFIX prefixes of its prefix never needs another thread. A step z multiplies by
 * exp(z), Horner's rule per level k, longest first:
 *
 *   S_k += (... ((z/k + S_1) z/(k-1) + S_2) z/(k-2) + ... + S_{k-1}) z
 *
 *   sig_tile  path (batch, length, DIM) -> out (batch * per_path / run, row), run neighbouring
 *             stretches each; grid ceil(batch * per_path / STRETCHES) * ceil(TILES / LANES),
 *             block STRETCHES * LANES, dynamic shared memory 16 bytes per stretch and
 *             max(STRETCHES * ROW, run > 1: (STRETCHES + STRETCHES / FOLD) * WORDS) numbers
 *   sig_fold  parts (batch, count, WORDS) -> out (batch * groups, row), `radix` neighbours each;
 *             grid ceil(batch * groups * CHANNELS^DEGREE / 128), block 128
 *
 * A row of `out` has `row` numbers: 1 if `scalar`, then the WORDS coefficients.
 *
 * Macros: REAL, DIM, TIME_AUG, LEAD_LAG, DEGREE. With TILE the source is that of sig_tile, without
 * it that of sig_fold. sig_tile also takes from the plan (_ops/signature_cuda.py):
 *   PREFIX, TILE, LANES, STRETCHES
 *   CHUNK   raw increments of a stretch in shared memory at a time
 *   WIDTH   numbers that a step takes there, ROW numbers that a stretch takes (bank conflicts)
 *   VECTOR  numbers per global load; divides DIM, and the path is aligned to it
 */
#include "real.h"
#include "words.h"

constexpr int CHANNELS = DIM * (LEAD_LAG ? 2 : 1) + (TIME_AUG ? 1 : 0);
constexpr i64 WORDS = as_level(CHANNELS, DEGREE + 1), TOP = as_power(CHANNELS, DEGREE);
constexpr int FOLD = 8;

#ifdef TILE
constexpr int THREADS = STRETCHES * LANES;
constexpr int LETTER_TILES = (CHANNELS + TILE - 1) / TILE;
constexpr i64 TILES = as_power(CHANNELS, PREFIX) * LETTER_TILES;
constexpr int LANE_BLOCKS = (int)((TILES + LANES - 1) / LANES);
constexpr int READ = WIDTH % 4 == 0 && sizeof(REAL) == 4 ? 4 : 2; /* numbers per shared load */
constexpr int STEPS = CHUNK * (LEAD_LAG ? 2 : 1); /* of a chunk */
constexpr int PACKS_OF_STEP = DIM / VECTOR, PACKS = CHUNK * PACKS_OF_STEP;
/* Threads that load a stretch together, and the stretches that are loaded at a time. */
constexpr int LOADERS = PACKS < 32 ? (PACKS < THREADS ? PACKS : THREADS)
                                   : (32 < THREADS ? 32 : THREADS);
constexpr int LOADED = THREADS / LOADERS;
static_assert(WIDTH % READ == 0 && ROW % READ == 0 && DIM % VECTOR == 0, "vectors");
static_assert(WIDTH >= LETTER_TILES * TILE && ROW >= STEPS * WIDTH, "room");
static_assert(PREFIX < DEGREE && (STRETCHES == 1 || LANES == TILES), "tile");

/* First number of level k in a tile, whose levels start at PREFIX + 1. */
static __device__ constexpr int tile_level(int k)
{
    int result = 0;
    for (int i = PREFIX + 1; i < k; i++)
        result += TILE * (int)as_power(CHANNELS, i - PREFIX - 1);
    return result;
}
constexpr int OWN = tile_level(DEGREE + 1);

struct __align__(sizeof(REAL) * VECTOR) Pack {
    REAL value[VECTOR];
};
struct __align__(sizeof(REAL) * READ) Letters {
    REAL value[READ];
};

/* What a thread keeps: its tile, and the prefixes of its prefix. */
struct State {
    REAL own[OWN];
    REAL prefix[PREFIX + 1];
};
/* One step: all letters, those of the prefix, those of the tile. */
struct Step {
    REAL all[WIDTH];
    REAL prefix[PREFIX + 1];
    REAL tile[TILE];
};

/* Level K behind word `w` of level I - 1 of the tile; `b` is Horner's value there. */
template <int K, int I> AS_FN void extend(State &s, const Step &z, int w, REAL b)
{
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) {
        if constexpr (I == K)
            s.own[tile_level(K) + w * CHANNELS + c] += b * z.all[c];
        else
            extend<K, I + 1>(s, z, w * CHANNELS + c,
                             b * (z.all[c] * (REAL(1) / (K - I + 1))) +
                                 s.own[tile_level(I) + w * CHANNELS + c]);
    }
}

/* Levels K, K - 1, ..., 1. Recursion, because register arrays need constant indices. */
template <int K> AS_FN void multiply_step(State &s, const Step &z)
{
    REAL b = 1;
#pragma unroll
    for (int i = 1; i <= PREFIX; i++)
        if (i < K)
            b = b * (z.prefix[i - 1] * (REAL(1) / (K - i + 1))) + s.prefix[i - 1];
    if constexpr (K <= PREFIX) {
        s.prefix[K - 1] += b * z.prefix[K - 1];
    } else {
#pragma unroll
        for (int c = 0; c < TILE; c++) {
            if constexpr (K == PREFIX + 1)
                s.own[c] += b * z.tile[c];
            else
                extend<K, PREFIX + 2>(
                    s, z, c, b * (z.tile[c] * (REAL(1) / (K - PREFIX))) + s.own[c]);
        }
    }
    if constexpr (K > 1)
        multiply_step<K - 1>(s, z);
}

template <int COUNT> AS_FN void read_letters(REAL *to, const REAL *from)
{
    if constexpr (COUNT % READ == 0) {
#pragma unroll
        for (int i = 0; i < COUNT / READ; i++) {
            const Letters letters = ((const Letters *)from)[i];
#pragma unroll
            for (int k = 0; k < READ; k++)
                to[i * READ + k] = letters.value[k];
        }
    } else {
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            to[i] = from[i];
    }
}

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
        sum += a[i - 1] *
               b[as_level(CHANNELS, K - i) + word % as_power(CHANNELS, K - i)];
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
    i64 *source = (i64 *)memory;           /* where the raw points of a stretch start */
    i64 *available = source + STRETCHES;   /* its raw increments */
    REAL *shared = (REAL *)(available + STRETCHES);
    const int tid = threadIdx.x, mine = tid / LANES;
    const i64 first_stretch = (i64)(blockIdx.x / LANE_BLOCKS) * STRETCHES;
    const i64 tile = (i64)(blockIdx.x % LANE_BLOCKS) * LANES + tid % LANES;
    const bool on = tile < TILES && first_stretch + mine < batch * per_path;
    const i64 word = tile < TILES ? tile / LETTER_TILES : 0; /* the prefix */
    const int letter = (int)(tile % LETTER_TILES) * TILE;

    for (int r = tid; r < STRETCHES; r += THREADS) {
        const i64 stretch = first_stretch + r, b = stretch / per_path;
        const i64 from = (stretch - b * per_path) * steps;
        source[r] = (b * length + from) * DIM;
        available[r] = b < batch ? max((i64)0, min(steps, length - 1 - from)) : (i64)0;
    }
    /* What loads never write: padding, channels that rest in a step of lead-lag, time. */
    if constexpr (WIDTH > CHANNELS || LEAD_LAG) {
        for (int i = tid; i < STRETCHES * ROW; i += THREADS)
            shared[i] = 0;
        __syncthreads();
    }
    if constexpr (TIME_AUG)
        for (int i = tid; i < STRETCHES * STEPS; i += THREADS)
            shared[i / STEPS * ROW + i % STEPS * WIDTH + CHANNELS - 1] = dt;

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

    const int loader = tid % LOADERS, load_first = tid / LOADERS;
    __syncthreads();
    const i64 my_steps = available[mine];
    for (i64 done = 0; done < steps; done += CHUNK) {
        if (load_first < LOADED)
            for (int r = load_first; r < STRETCHES; r += LOADED) {
                const Pack *x = (const Pack *)(path + source[r] + done * DIM);
                const i64 left = available[r] - done;
                REAL *to = shared + r * ROW;
#pragma unroll
                for (int p = loader; p < PACKS; p += LOADERS) {
                    const int step = p / PACKS_OF_STEP, c = p % PACKS_OF_STEP * VECTOR;
                    if (step >= left)
                        continue;
                    Pack here = x[p + PACKS_OF_STEP];
                    const Pack before = x[p];
#pragma unroll
                    for (int k = 0; k < VECTOR; k++)
                        here.value[k] -= before.value[k];
                    if constexpr (LEAD_LAG) {
#pragma unroll
                        for (int k = 0; k < VECTOR; k++) {
                            to[2 * step * WIDTH + DIM + c + k] = here.value[k];
                            to[(2 * step + 1) * WIDTH + c + k] = here.value[k];
                        }
                    } else {
                        *(Pack *)(to + step * WIDTH + c) = here;
                    }
                }
            }
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
                to[as_level(CHANNELS, i) + word / as_power(CHANNELS, PREFIX - i)] =
                    s.prefix[i - 1];
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
