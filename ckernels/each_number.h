/* Includes AS_FILE twice: for AS_LANES rows of the user's memory at once, each number of theirs in
 * a lane of a VEC, and for one row. The file names its functions with NAMED and its numbers NUMBER;
 * rows of `stride` numbers from the first one on, of which `count` count, are read by LOAD (`words`
 * of each) and GATHER (one of each), and written by STORE. No include guard. */
#define NUMBER VEC
#define NAMED(name) AS_T(name##_lanes)
#define LOAD AS_T(load_rows)
#define GATHER AS_T(gather_rows)
#define STORE(from, words, stride, first, count, out)                                              \
    AS_T(store_lanes)(from, words, (int)(count), stride, (out) + (first) * (stride))
#include AS_FILE
#undef NUMBER
#undef NAMED
#undef LOAD
#undef GATHER
#undef STORE
#define NUMBER REAL
#define NAMED(name) AS_T(name##_rows)
#define LOAD(rows, stride, first, count, words, to)                                                \
    memcpy(to, (rows) + (first) * (stride), sizeof(REAL) * (size_t)(words))
#define GATHER(rows, stride, first, count, to) (*(to) = (rows)[(first) * (stride)])
#define STORE(from, words, stride, first, count, out)                                              \
    ((void)(count), memcpy((out) + (first) * (stride), from, sizeof(REAL) * (size_t)(words)))
#include AS_FILE
#undef NUMBER
#undef NAMED
#undef LOAD
#undef GATHER
#undef STORE
#undef AS_FILE
