/* Kernels with one mistake each, and their correct twins: what the emulator must and must not find.
 *
 * Every kernel takes (float *x, i64 n). A comment "bug: name" marks the line that a report about
 * the kernel `name` must mention.
 */
typedef long long i64;

/* ---- values depend on a barrier ---- */

/* Inclusive prefix sums of x by doubling, up to 64 threads. */
template <bool barrier> static __device__ void scan(float *x)
{
    __shared__ float sums[2][64];
    const int t = threadIdx.x;
    int now = 0;
    sums[0][t] = x[t];
    for (int reach = 1; reach < (int)blockDim.x; reach *= 2, now = 1 - now) {
        if constexpr (barrier)
            __syncthreads();
        sums[1 - now][t] =
            sums[now][t] + (t >= reach ? sums[now][t - reach] : 0); /* bug: scan_without_barrier */
    }
    x[t] = sums[now][t];
}
extern "C" __global__ void scan_right(float *x, i64 n) { scan<true>(x); }
extern "C" __global__ void scan_without_barrier(float *x, i64 n) { scan<false>(x); }

/* Numbers of lattice paths to (t, n - 1) by anti-diagonals, a thread per row, up to 32 rows. */
template <bool barrier> static __device__ void wavefront(float *x, i64 n)
{
    extern __shared__ float diagonals[];
    const int t = threadIdx.x, rows = blockDim.x;
    for (int d = 0; d < rows + (int)n - 1; d++) {
        const float *last = diagonals + (d + 2) % 3 * rows;
        const int column = d - t;
        if (column >= 0 && column < n) {
            const float above = t ? last[t - 1] : 1; /* bug: wavefront_without_barrier */
            const float left = column ? last[t] : 1;
            diagonals[d % 3 * rows + t] = x[t] = t && column ? above + left : 1;
        }
        if (barrier)
            __syncthreads();
    }
}
extern "C" __global__ void wavefront_right(float *x, i64 n) { wavefront<true>(x, n); }
extern "C" __global__ void wavefront_without_barrier(float *x, i64 n) { wavefront<false>(x, n); }

/* A row handed from lane to lane; between write and read there is a shuffle, which orders nothing.
 */
template <bool barrier> static __device__ void hand_over(float *x)
{
    __shared__ float row[32];
    const int lane = threadIdx.x;
    row[lane] = x[lane];
    const float sum = __shfl_xor_sync(~0u, x[lane], 1);
    if (barrier)
        __syncwarp();
    x[lane] = row[31 - lane] + 0 * sum; /* bug: hand_over_without_syncwarp */
}
extern "C" __global__ void hand_over_right(float *x, i64 n) { hand_over<true>(x); }
extern "C" __global__ void hand_over_without_syncwarp(float *x, i64 n) { hand_over<false>(x); }

/* Half of a warp waits for itself only. */
extern "C" __global__ void syncwarp_of_half(float *x, i64 n)
{
    __shared__ float row[32];
    const unsigned lane = threadIdx.x;
    row[lane] = x[lane];
    __syncwarp(lane < 16 ? 0xffffu : 0xffff0000u);
    x[lane] = row[31 - lane]; /* bug: syncwarp_of_half */
}

/* A buffer is used again while others may still read it. */
template <bool barrier> static __device__ void reuse(float *x)
{
    __shared__ float row[64];
    const int t = threadIdx.x, other = blockDim.x - 1 - t;
    row[t] = x[t];
    __syncthreads();
    float sum = row[other];
    if (barrier)
        __syncthreads();
    row[t] = 2 * x[t]; /* bug: reuse_without_barrier */
    __syncthreads();
    x[t] = sum + row[other];
}
extern "C" __global__ void reuse_right(float *x, i64 n) { reuse<true>(x); }
extern "C" __global__ void reuse_without_barrier(float *x, i64 n) { reuse<false>(x); }

/* ---- memory ---- */

extern "C" __global__ void shared_index_plus_one(float *x, i64 n)
{
    __shared__ float row[32];
    row[threadIdx.x + 1] = x[threadIdx.x]; /* bug: shared_index_plus_one */
    __syncthreads();
    x[threadIdx.x] = row[threadIdx.x];
}
template <class T> static __device__ void through_dynamic(T *x)
{
    extern __shared__ __align__(16) unsigned char raw[];
    T *row = reinterpret_cast<T *>(raw);
    row[threadIdx.x] = x[threadIdx.x]; /* bug: dynamic_shared */
    __syncthreads();
    x[threadIdx.x] = row[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void dynamic_shared(float *x, i64 n) { through_dynamic(x); }
extern "C" __global__ void fill(float *x, i64 n) { x[threadIdx.x] = 1; /* bug: fill */ }
extern "C" __global__ void unset_shared(float *x, i64 n)
{
    __shared__ float row[64];
    if (threadIdx.x)
        row[threadIdx.x] = 1;
    __syncthreads();
    x[threadIdx.x] = row[threadIdx.x]; /* bug: unset_shared */
}
extern "C" __global__ void add_without_atomic(float *x, i64 n)
{
    if (threadIdx.x == 0)
        x[0] += 1; /* bug: add_without_atomic */
}
extern "C" __global__ void add_with_atomic(float *x, i64 n) { atomicAdd(x, 1.f); }
/* Reads what another block writes. */
extern "C" __global__ void neighbour_block(float *x, i64 n)
{
    if (threadIdx.x == 0)
        x[blockIdx.x] = x[blockIdx.x + 1] + 1; /* bug: neighbour_block */
}
/* All read what one thread then writes; a barrier keeps some of the readers away from it. */
extern "C" __global__ void update_while_read(float *x, i64 n)
{
    x[threadIdx.x] = x[0] + 1; /* bug: update_while_read */
}
extern "C" __global__ void update_after_syncwarp(float *x, i64 n)
{
    const float value = x[0];
    __syncwarp();
    if (threadIdx.x == 0)
        x[0] = value + 1; /* bug: update_after_syncwarp */
}
extern "C" __global__ void update_after_syncthreads(float *x, i64 n)
{
    const float value = x[0];
    __syncthreads();
    if (threadIdx.x == 0 && blockIdx.x == 1)
        x[0] = value + 1; /* bug: update_after_syncthreads */
}
extern "C" __global__ void int_overflow(float *x, i64 n)
{
    int i = (int)blockIdx.x * 1000000 * 1000; /* bug: int_overflow */
    if (i < n)
        x[threadIdx.x] = 1;
}
extern "C" __global__ void misaligned_vector(float *x, i64 n)
{
    const float4 v = *reinterpret_cast<float4 *>(x + threadIdx.x); /* bug: misaligned_vector */
    if (v.x > 0)
        x[0] = v.w;
}

/* ---- control flow ---- */

extern "C" __global__ void divergent_barrier(float *x, i64 n)
{
    if (threadIdx.x < 16)
        __syncthreads();
    else
        __syncthreads(); /* bug: divergent_barrier */
    x[threadIdx.x] = 1;
}
extern "C" __global__ void barrier_of_some(float *x, i64 n)
{
    if (threadIdx.x < 16)
        __syncthreads(); /* bug: barrier_of_some */
    __syncwarp();
}
extern "C" __global__ void shuffle_without_half(float *x, i64 n)
{
    if (threadIdx.x < 16)
        x[threadIdx.x] = __shfl_down_sync(~0u, x[threadIdx.x], 1); /* bug: shuffle_without_half */
}
extern "C" __global__ void shuffle_from_outside(float *x, i64 n)
{
    if (threadIdx.x < 16)
        x[threadIdx.x] =
            __shfl_down_sync(0xffffu, x[threadIdx.x], 1); /* bug: shuffle_from_outside */
}
extern "C" __global__ void shuffles_of_halves(float *x, i64 n)
{
    if (threadIdx.x < 16)
        x[threadIdx.x] = __shfl_sync(~0u, x[threadIdx.x], 0);
    else
        x[threadIdx.x] = __shfl_sync(~0u, x[threadIdx.x], 0); /* bug: shuffles_of_halves */
}
extern "C" __global__ void shuffle_in_small_block(float *x, i64 n)
{
    x[threadIdx.x] = __shfl_sync(~0u, x[threadIdx.x], 0); /* bug: shuffle_in_small_block */
}
extern "C" __global__ void shuffle_of_odd_width(float *x, i64 n)
{
    x[threadIdx.x] = __shfl_sync(~0u, x[threadIdx.x], 0, 3); /* bug: shuffle_of_odd_width */
}
extern "C" __global__ void lane_outside_of_mask(float *x, i64 n)
{
    x[threadIdx.x] = __shfl_sync(0xffffu, x[threadIdx.x], 0); /* bug: lane_outside_of_mask */
}
extern "C" __global__ void trap(float *x, i64 n) { __trap(); /* bug: trap */ }

/* ---- what the emulator provides ---- */

struct Pair {
    double a;
    int b;
};
template <int N> static __device__ float power(float v)
{
    if constexpr (N == 0)
        return 1;
    else
        return v * power<N - 1>(v);
}

/* One block of 64 threads in two dimensions; x[i] becomes what `features` in planted.py says. */
extern "C" __global__ void __launch_bounds__((64 + 0), 1)
    features(float *__restrict__ x /* (n), n = 64 */, i64 n)
{
    __shared__ Pair pairs[8][8];
    __shared__ int total;
    const unsigned t = threadIdx.y * blockDim.x + threadIdx.x;
    pairs[threadIdx.y][threadIdx.x] = Pair{0.5 * t, (int)t};
    if (t == 0)
        total = 0;
    const int few = __syncthreads_count(t < 5);
    const int all = __syncthreads_and(t < 64), none = __syncthreads_or(t == 64);
    float value = __ldg(x + t);
    for (int distance = 16; distance; distance /= 2)
        value += __shfl_xor_sync(~0u, value, distance);
    const unsigned odd = __ballot_sync(~0u, t & 1);
    const int seven = __shfl_up_sync(~0u, (int)t, 1, 8) + __shfl_sync(~0u, (int)t, 7, 8);
    atomicAdd(&total, 1);
    atomicMax(&total, 0);
    __syncthreads();
    const Pair mirrored = pairs[7 - threadIdx.y][7 - threadIdx.x];
    const double2 two = make_double2(mirrored.a, mirrored.b);
#pragma unroll
    for (int i = 0; i < 1; i++)
        x[t] = value + 100 * few + 1000 * all + 10000 * none + __popc(odd) + seven + total +
               (float)(two.x + two.y) + power<3>(2) + max(1, (int)warpSize) +
               __reduce_add_sync(~0u, t < 32 ? -1 : 1) + rsqrtf(4.0f);
}
/* Blocks get the same memory one after another: shared variables and stacks. */
static __device__ __noinline__ void put(float *at, float value) { *at = value; }
extern "C" __global__ void blocks_in_turn(float *x, i64 n)
{
    __shared__ float row[32];
    float local;
    put(&local, blockIdx.x);
    row[threadIdx.x] = local;
    __syncthreads();
    x[blockIdx.x * blockDim.x + threadIdx.x] = row[31 - threadIdx.x];
}
/* A barrier does not wait for threads that have exited. */
extern "C" __global__ void early_exit(float *x, i64 n)
{
    if (threadIdx.x >= 16)
        return;
    x[threadIdx.x] = 1;
    __syncthreads();
    const float other = x[15 - threadIdx.x];
    __syncthreads();
    x[threadIdx.x] += other;
}
/* Halves of the smallest normal number are flushed to zero in float, and kept in double. */
extern "C" __global__ void denormal(float *x, i64 n) { x[threadIdx.x] *= 0.5f; }
extern "C" __global__ void static_shared(float *x, i64 n)
{
    __shared__ float row[STATIC_FLOATS];
    row[threadIdx.x] = 1;
    x[threadIdx.x] = row[threadIdx.x];
}
/* x[i] becomes the position of block i in the order of blocks. */
extern "C" __global__ void block_order(float *x, i64 n) { x[blockIdx.x + 1] = atomicAdd(x, 1.f); }
extern "C" __global__ void thread_order(float *x, i64 n) { x[threadIdx.x + 1] = atomicAdd(x, 1.f); }
