/* Words in registers: how the words of a truncated signature are spread over threads, and a step.
 *
 * Cuts every path into `per_path` stretches of `steps` raw increments. LANES threads of a block
 * walk along one stretch, STRETCHES stretches side by side. A thread owns TILE letters at position
 * PREFIX + 1 behind a prefix of PREFIX letters, and every word that extends them, to level LEVELS.
 * A coordinate depends on prefixes of its word alone, so that a thread which also keeps the PREFIX
 * prefixes of its prefix never needs another thread. A step z multiplies by exp(z), Horner's rule
 * per level k, longest first:
 *
 *   S_k += (... ((z/k + S_1) z/(k-1) + S_2) z/(k-2) + ... + S_{k-1}) z
 *
 * Macros: REAL, DIM, TIME_AUG, LEAD_LAG, LEVELS, and of the plan (_ops/signature_cuda.py):
 *   PREFIX, TILE, LANES, STRETCHES
 *   CHUNK   raw increments of a stretch in shared memory at a time
 *   WIDTH   numbers that a step takes there, ROW numbers that a stretch takes (bank conflicts)
 *   VECTOR  numbers per global load; divides DIM, and the path is aligned to it
 */
constexpr int CHANNELS = DIM * (LEAD_LAG ? 2 : 1) + (TIME_AUG ? 1 : 0);
constexpr int THREADS = STRETCHES * LANES;
constexpr int LETTER_TILES = (CHANNELS + TILE - 1) / TILE;
constexpr i64 TILES = as_power(CHANNELS, PREFIX) * LETTER_TILES;
constexpr int READ = WIDTH % 4 == 0 && sizeof(REAL) == 4 ? 4 : 2; /* numbers per shared load */
constexpr int STEPS = CHUNK * (LEAD_LAG ? 2 : 1);                 /* of a chunk */
constexpr int PACKS_OF_STEP = DIM / VECTOR, PACKS = CHUNK * PACKS_OF_STEP;
/* Threads that load a stretch together, and the stretches that are loaded at a time. */
constexpr int LOADERS =
    PACKS < 32 ? (PACKS < THREADS ? PACKS : THREADS) : (32 < THREADS ? 32 : THREADS);
constexpr int LOADED = THREADS / LOADERS;
static_assert(WIDTH % READ == 0 && ROW % READ == 0 && DIM % VECTOR == 0, "vectors");
static_assert(WIDTH >= LETTER_TILES * TILE && ROW >= STEPS * WIDTH, "room");
static_assert(PREFIX < LEVELS && (STRETCHES == 1 || LANES == TILES), "tile");

/* First number of level k in a tile, whose levels start at PREFIX + 1. */
static __device__ constexpr int tile_level(int k)
{
    int result = 0;
    for (int i = PREFIX + 1; i < k; i++)
        result += TILE * (int)as_power(CHANNELS, i - PREFIX - 1);
    return result;
}
constexpr int OWN = tile_level(LEVELS + 1);

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
                extend<K, PREFIX + 2>(s, z, c,
                                      b * (z.tile[c] * (REAL(1) / (K - PREFIX))) + s.own[c]);
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

/* The stretches of a block: where their raw points start, and how many increments they have. Those
 * from `end` on are not the block's. */
AS_FN void find_stretches(i64 *source, i64 *available, i64 first_stretch, i64 end, i64 length,
                          i64 per_path, i64 steps)
{
    for (int r = threadIdx.x; r < STRETCHES; r += THREADS) {
        const i64 stretch = first_stretch + r, b = stretch / per_path;
        const i64 from = (stretch - b * per_path) * steps;
        source[r] = (b * length + from) * DIM;
        available[r] = stretch < end ? max((i64)0, min(steps, length - 1 - from)) : (i64)0;
    }
}

/* What load_steps never writes: padding, channels that rest in a step of lead-lag, time. */
AS_FN void prepare_steps(REAL *z, REAL dt)
{
    if constexpr (WIDTH > CHANNELS || LEAD_LAG) {
        for (int i = threadIdx.x; i < STRETCHES * ROW; i += THREADS)
            z[i] = 0;
        __syncthreads();
    }
    if constexpr (TIME_AUG)
        for (int i = threadIdx.x; i < STRETCHES * STEPS; i += THREADS)
            z[i / STEPS * ROW + i % STEPS * WIDTH + CHANNELS - 1] = dt;
}

/* The steps of a chunk that begins `done` increments behind the start of every stretch. */
AS_FN void load_steps(const REAL *path, const i64 *source, const i64 *available, i64 done, REAL *z)
{
    const int loader = threadIdx.x % LOADERS, first = threadIdx.x / LOADERS;
    if (first >= LOADED)
        return;
    for (int r = first; r < STRETCHES; r += LOADED) {
        const Pack *x = (const Pack *)(path + source[r] + done * DIM);
        const i64 left = available[r] - done;
        REAL *to = z + r * ROW;
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
}
