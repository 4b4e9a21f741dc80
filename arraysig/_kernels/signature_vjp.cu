/* Gradient of truncated signatures of small alphabets, words in registers (tile.cuh).
 *
 * LANES threads go backwards along one stretch, from S and A = dF/dS at its end (levels below
 * DEGREE; signature_scan.cu), one step t at a time, every thread with the words of its tile:
 *
 *   S <- S (x) exp(-z), which is S before the step; stretches are short, so that rounding is, too
 *   for K = 1 ... DEGREE, the reverse of Horner's rule for level K: with b the values of the rule,
 *       c(u) = sum_a z_a A_K(ua),  dz_a += b(u) A_K(ua)                          |ua| = K
 *       c(u) = sum_a z_a / m c(ua),  dz_a += b(u) c(ua) / m,  A(ua) += c(ua)     m = K - |u| > 1
 *   which leaves in A what it was before the step.
 *
 * At the top level A is the gradient itself: in registers, or in shared memory (TOP_SHARED). A
 * thread adds up dz over its words; over threads it is added BUFFER steps at a time, through shared
 * memory, in a fixed order. A of the prefix (PREFIX = 1) matters to dz of its letter alone: it is
 * carried by that sum, to which threads give c(prefix), so that they exchange nothing else.
 *
 *   vjp_tile  path (batch, length, DIM); grad = dF/dS, rows of `row` numbers that begin with words
 *             of length 1; prefix (batch, per_path, WORDS) and adjoint (batch, per_path,
 *             adjoint_row), S and A at the ends of stretches
 *             -> dpath (batch, length, DIM) but for the points where stretches meet, for which the
 *             derivatives of the first and the last raw increment go to edges (batch, per_path, 2,
 *             DIM). Grid (ceil(per_path / STRETCHES) * batch) if TOP_SHARED, where a block has
 *             stretches of one path, otherwise ceil(batch * per_path / STRETCHES);
 *             block STRETCHES * LANES; dynamic shared memory 16 bytes per stretch, then numbers:
 *             see the pointers below.
 *
 * Macros: DEGREE; those of tile.cuh with LEVELS = DEGREE - 1, PREFIX 0 or 1, all LANES in a block;
 *   BUFFER      steps between sums over threads; divides the steps of a chunk
 *   COLUMNS     numbers that a thread gives to a sum, rounded up for vector stores
 *   TOP_SHARED, TOP_ROW   numbers that a thread's part of the top level takes in shared memory
 */
#include "real.h"
#include "words.h"
#define LEVELS (DEGREE - 1)
#include "tile.cuh"

constexpr i64 WORDS = as_level(CHANNELS, LEVELS + 1);
constexpr int BEHIND = (int)as_power(CHANNELS, DEGREE - PREFIX - 1), TOP = TILE * BEHIND;
constexpr bool WHOLE = TILE == CHANNELS; /* tile letters are all letters, at constant positions */
/* Columns of the sum over threads: all letters, letters of the tile, then of the prefix. */
constexpr int OF_TILE = CHANNELS, OF_PREFIX = OF_TILE + (WHOLE ? 0 : TILE);
static_assert(COLUMNS >= OF_PREFIX + 2 * PREFIX && COLUMNS % READ == 0, "columns");
static_assert(LANES == TILES && STEPS % BUFFER == 0 && PREFIX <= 1, "lanes");

/* dz, as a thread sees it: of all letters, of those of the tile, of the prefix; and c(prefix). */
struct Sums {
    REAL all[CHANNELS];
    REAL tile[TILE];
    REAL prefix, adjoint;
};
struct Adjoint {
    REAL own[OWN];
#if !TOP_SHARED
    REAL top[TOP];
#endif
};

/* A of the top level, the words behind word `w` of the tile, for the letters c, c + 1, ... */
AS_FN REAL top_of(const Adjoint &a, const REAL *top, int i)
{
#if TOP_SHARED
    return top[i];
#else
    return a.top[i];
#endif
}

/* c(u) of level K for word `w` of level I - 1 of the tile, where Horner's value is b. */
template <int K, int I>
AS_FN REAL reverse(const State &s, Adjoint &a, const REAL *top, const Step &z, Sums &sums, int w,
                   REAL b)
{
    REAL sum = 0;
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) {
        const int at = w * CHANNELS + c;
        if constexpr (I == K) {
            REAL g;
            if constexpr (K == DEGREE)
                g = top_of(a, top, at);
            else
                g = a.own[tile_level(K) + at];
            sums.all[c] += b * g;
            sum += z.all[c] * g;
        } else {
            const REAL scaled = z.all[c] * (REAL(1) / (K - I + 1));
            const REAL g =
                reverse<K, I + 1>(s, a, top, z, sums, at, b * scaled + s.own[tile_level(I) + at]);
            a.own[tile_level(I) + at] += g;
            sums.all[c] += b * (REAL(1) / (K - I + 1)) * g;
            sum += scaled * g;
        }
    }
    return sum;
}

AS_FN REAL &of_tile(Sums &sums, int c)
{
    if constexpr (WHOLE)
        return sums.all[c];
    else
        return sums.tile[c];
}

/* Levels K, K + 1, ..., DEGREE, in this order: A_K is used before longer words change it. */
template <int K>
AS_FN void reverse_step(const State &s, Adjoint &a, const REAL *top, const Step &z, Sums &sums)
{
    if constexpr (K > PREFIX) {
        REAL b = 1;
        if constexpr (PREFIX == 1)
            b = z.prefix[0] * (REAL(1) / K) + s.prefix[0];
        REAL sum = 0;
#pragma unroll
        for (int c = 0; c < TILE; c++) {
            if constexpr (K == PREFIX + 1) {
                REAL g;
                if constexpr (K == DEGREE)
                    g = top_of(a, top, c);
                else
                    g = a.own[c];
                of_tile(sums, c) += b * g;
                sum += z.tile[c] * g;
            } else {
                const REAL scaled = z.tile[c] * (REAL(1) / (K - PREFIX));
                const REAL g = reverse<K, PREFIX + 2>(s, a, top, z, sums, c, b * scaled + s.own[c]);
                a.own[c] += g;
                of_tile(sums, c) += b * (REAL(1) / (K - PREFIX)) * g;
                sum += scaled * g;
            }
        }
        if constexpr (PREFIX == 1) {
            sums.prefix += sum * (REAL(1) / K);
            sums.adjoint += sum;
        }
    }
    if constexpr (K < DEGREE)
        reverse_step<K + 1>(s, a, top, z, sums);
}

/* Levels K and up of the tile from S or A of a stretch. */
template <int K> AS_FN void read_tile(REAL *own, const REAL *from, i64 first, int letters)
{
    constexpr int behind = (int)as_power(CHANNELS, K - PREFIX - 1);
#pragma unroll
    for (int w = 0; w < TILE * behind; w++)
        own[tile_level(K) + w] =
            w < letters * behind ? from[as_level(CHANNELS, K) + first * behind + w] : REAL(0);
    if constexpr (K < LEVELS)
        read_tile<K + 1>(own, from, first, letters);
}

/* dF of raw increment i of a chunk. */
AS_FN REAL raw_adjoint(const REAL *dz, int i, int c)
{
    if constexpr (LEAD_LAG)
        return dz[2 * i * WIDTH + DIM + c] + dz[(2 * i + 1) * WIDTH + c];
    else
        return dz[i * WIDTH + c];
}

/* dz of `count` steps, from step `from` of the chunk on, of one stretch: sums of the columns of its
 * threads in `buffer` (BUFFER, LANES, COLUMNS). */
AS_FN void sum_lanes(const REAL *buffer, REAL *dz)
{
    for (int i = threadIdx.x; i < STRETCHES * BUFFER * CHANNELS; i += THREADS) {
        const int c = i % CHANNELS, q = i / CHANNELS, r = q / BUFFER, t = q % BUFFER;
        const REAL *at = buffer + (r * BUFFER + t) * LANES * COLUMNS;
        REAL sum = 0;
#pragma unroll 8
        for (int lane = 0; lane < LANES; lane++)
            sum += at[lane * COLUMNS + c];
        if constexpr (!WHOLE)
            for (int lane = c / TILE; lane < LANES; lane += LETTER_TILES)
                sum += at[lane * COLUMNS + OF_TILE + c % TILE];
        if constexpr (PREFIX == 1)
            for (int k = 0; k < LETTER_TILES; k++)
                sum += at[(c * LETTER_TILES + k) * COLUMNS + OF_PREFIX];
        dz[r * ROW + t * WIDTH + c] = sum;
    }
}

/* Adds A of the words of one letter to dz, and takes A back through the steps of the buffer. */
AS_FN void add_first_level(const REAL *buffer, REAL *dz, REAL *level)
{
    for (int i = threadIdx.x; i < STRETCHES * CHANNELS; i += THREADS) {
        const int c = i % CHANNELS, r = i / CHANNELS;
        REAL a = level[i];
        for (int t = BUFFER - 1; t >= 0; t--) {
            const REAL *at = buffer + (r * BUFFER + t) * LANES * COLUMNS + OF_PREFIX + 1;
            dz[r * ROW + t * WIDTH + c] += a;
            for (int k = 0; k < LETTER_TILES; k++)
                a += at[(c * LETTER_TILES + k) * COLUMNS];
        }
        level[i] = a;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    vjp_tile(const REAL *__restrict__ path, const REAL *__restrict__ grad,
             const REAL *__restrict__ prefix, const REAL *__restrict__ adjoint,
             REAL *__restrict__ dpath, REAL *__restrict__ edges, i64 batch, i64 length,
             i64 per_path, i64 steps, i64 row, i64 adjoint_row, REAL dt)
{
    extern __shared__ __align__(16) unsigned char memory[];
    i64 *source = (i64 *)memory;         /* where the raw points of a stretch start */
    i64 *available = source + STRETCHES; /* its raw increments */
    REAL *chunk_z = (REAL *)(available + STRETCHES);
    REAL *chunk_dz = chunk_z + STRETCHES * ROW;
    REAL *later = chunk_dz + STRETCHES * ROW;    /* dF of the increment behind the chunk, twice */
    REAL *level = later + 2 * STRETCHES * WIDTH; /* A of the words of one letter (PREFIX = 1) */
    REAL *buffer = level + PREFIX * STRETCHES * WIDTH;
    REAL *tops = buffer + (LANES > 1 ? THREADS * BUFFER * COLUMNS : 0);

    const int tid = threadIdx.x, mine = tid / LANES, lane = tid % LANES;
#if TOP_SHARED
    const i64 blocks = (per_path + STRETCHES - 1) / STRETCHES, my_path = blockIdx.x / blocks;
    const i64 in_path = (blockIdx.x - my_path * blocks) * STRETCHES;
    const i64 first_stretch = my_path * per_path + in_path;
    const i64 end = (my_path + 1) * per_path;
#else
    const i64 first_stretch = (i64)blockIdx.x * STRETCHES, end = batch * per_path;
#endif
    const i64 stretch = first_stretch + mine, b = stretch / per_path;
    const bool on = stretch < end;
    const int word = lane / LETTER_TILES, letter = lane % LETTER_TILES * TILE;
    const int letters = CHANNELS - letter < TILE ? CHANNELS - letter : TILE;

    find_stretches(source, available, first_stretch, end, length, per_path, steps);
    prepare_steps(chunk_z, dt);
    State s;
    Adjoint a;
    if (on) {
        const REAL *at = prefix + stretch * WORDS, *g = adjoint + stretch * adjoint_row;
        const i64 first = word * CHANNELS + letter;
        read_tile<PREFIX + 1>(s.own, at, first, letters);
        read_tile<PREFIX + 1>(a.own, g, first, letters);
        if constexpr (PREFIX == 1)
            s.prefix[0] = at[word];
#if !TOP_SHARED
        const REAL *top = grad + b * row + WORDS + first * BEHIND;
#pragma unroll
        for (int i = 0; i < TOP; i++)
            a.top[i] = i < letters * BEHIND ? top[i] : REAL(0);
#endif
    } else {
#pragma unroll
        for (int i = 0; i < OWN; i++)
            s.own[i] = a.own[i] = 0;
        s.prefix[0] = 0;
#if !TOP_SHARED
#pragma unroll
        for (int i = 0; i < TOP; i++)
            a.top[i] = 0;
#endif
    }
#if TOP_SHARED
    for (int i = tid; i < LANES * TOP; i += THREADS) {
        const int l = i / TOP, w = i % TOP, at = l % LETTER_TILES * TILE;
        const i64 first = l / LETTER_TILES * CHANNELS + at;
        tops[l * TOP_ROW + w] =
            at + w / BEHIND < CHANNELS ? grad[my_path * row + WORDS + first * BEHIND + w] : REAL(0);
    }
#endif
    if constexpr (PREFIX == 1)
        for (int i = tid; i < STRETCHES * CHANNELS; i += THREADS) {
            const i64 at = first_stretch + i / CHANNELS;
            level[i] = at < end ? adjoint[at * adjoint_row + i % CHANNELS] : REAL(0);
        }
    __syncthreads();
    const i64 my_steps = on ? available[mine] : 0;
    const REAL *my_top = tops + lane * TOP_ROW;

    for (i64 done = (steps - 1) / CHUNK * CHUNK; done >= 0; done -= CHUNK) {
        load_steps(path, source, available, done, chunk_z);
        __syncthreads();
        const i64 left = my_steps - done;
        const int here = left <= 0 ? 0 : (left < CHUNK ? (int)left : CHUNK) * (LEAD_LAG ? 2 : 1);
        for (int from = STEPS - BUFFER; from >= 0; from -= BUFFER) {
#pragma unroll 1
            for (int t = from + BUFFER - 1; t >= from; t--) {
                Sums sums;
#pragma unroll
                for (int c = 0; c < CHANNELS; c++)
                    sums.all[c] = 0;
#pragma unroll
                for (int c = 0; c < TILE; c++)
                    sums.tile[c] = 0;
                sums.prefix = sums.adjoint = 0;
                if (t < here) {
                    const REAL *z = chunk_z + mine * ROW + t * WIDTH;
                    Step step, back;
                    read_letters<WIDTH>(step.all, z);
                    read_letters<TILE>(step.tile, z + letter);
                    step.prefix[0] = z[word];
#pragma unroll
                    for (int c = 0; c < WIDTH; c++)
                        back.all[c] = -step.all[c];
#pragma unroll
                    for (int c = 0; c < TILE; c++)
                        back.tile[c] = -step.tile[c];
                    back.prefix[0] = -step.prefix[0];
                    multiply_step<LEVELS>(s, back);
                    reverse_step<1>(s, a, my_top, step, sums);
                }
                if constexpr (LANES == 1) {
                    REAL *to = chunk_dz + mine * ROW + t * WIDTH;
#pragma unroll
                    for (int c = 0; c < CHANNELS; c++)
                        to[c] = sums.all[c];
                } else {
                    REAL *to = buffer + ((mine * BUFFER + t - from) * LANES + lane) * COLUMNS;
#pragma unroll
                    for (int c = 0; c < CHANNELS; c++)
                        to[c] = sums.all[c];
                    if constexpr (!WHOLE) {
#pragma unroll
                        for (int c = 0; c < TILE; c++)
                            to[OF_TILE + c] = sums.tile[c];
                    }
                    if constexpr (PREFIX == 1) {
                        to[OF_PREFIX] = sums.prefix;
                        to[OF_PREFIX + 1] = sums.adjoint;
                    }
                }
            }
            if constexpr (LANES > 1) {
                __syncthreads();
                sum_lanes(buffer, chunk_dz + from * WIDTH);
                __syncthreads();
                if constexpr (PREFIX == 1) {
                    add_first_level(buffer, chunk_dz + from * WIDTH, level);
                    __syncthreads();
                }
            }
        }
        if constexpr (LANES == 1)
            __syncthreads();
        /* Point i + 1 of a stretch lies between increments i and i + 1. */
        const int now = (int)(done / CHUNK % 2);
        for (int i = tid; i < STRETCHES * CHUNK * DIM; i += THREADS) {
            const int c = i % DIM, q = i / DIM, k = q % CHUNK, r = q / CHUNK;
            const i64 t = done + k;
            if (t >= available[r])
                continue;
            const REAL *dz = chunk_dz + r * ROW;
            const REAL dx = raw_adjoint(dz, k, c);
            REAL *edge = edges + (first_stretch + r) * 2 * DIM + c;
            if (t == 0)
                edge[0] = dx;
            if (k == 0)
                later[(now * STRETCHES + r) * WIDTH + c] = dx;
            if (t == available[r] - 1)
                edge[DIM] = dx;
            else
                dpath[source[r] + (t + 1) * DIM + c] =
                    dx - (k + 1 < CHUNK ? raw_adjoint(dz, k + 1, c)
                                        : later[((1 - now) * STRETCHES + r) * WIDTH + c]);
        }
        /* The next chunk writes chunk_dz behind a barrier of its own. */
    }
}
