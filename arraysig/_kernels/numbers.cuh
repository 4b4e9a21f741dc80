/* Numbers of a lane, in registers if they are few, else in memory, where every lane has its own
 * column of 32; and loops over them.
 *
 * Macros: REAL, IN_REGISTERS.
 */
#if IN_REGISTERS /* which takes all loops unrolled, early: a count would be heeded too late */
#define OUTER_LOOP _Pragma("unroll")
#define INNER_LOOP _Pragma("unroll")
#else
#define OUTER_LOOP _Pragma("unroll 1")
#define INNER_LOOP _Pragma("unroll 4")
#endif

/* `N` numbers of a lane. */
template <int N> struct Numbers {
#if IN_REGISTERS
    REAL values[N];
    __device__ __forceinline__ void place(REAL *, int) {}
    __device__ __forceinline__ REAL &operator[](int i) { return values[i]; }
#else
    REAL *values;
    __device__ __forceinline__ void place(REAL *room, int at) { values = room + at * 32; }
    __device__ __forceinline__ REAL &operator[](int i) { return values[i * 32]; }
#endif
};
