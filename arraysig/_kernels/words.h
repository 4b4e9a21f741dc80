/* Where words lie in a truncated signature, for constants; CUDA only.
 *
 * Levels 1, 2, ... follow one another; within a level words are in lexicographic order, that is, a
 * word is a number with CHANNELS as its base.
 */
static __device__ constexpr i64 as_power(i64 base, int exponent)
{
    i64 result = 1;
    for (int i = 0; i < exponent; i++)
        result *= base;
    return result;
}

/* Words over `base` letters that are shorter than `level`, the empty one excluded. */
static __device__ constexpr i64 as_level(i64 base, int level)
{
    i64 result = 0;
    for (int i = 1; i < level; i++)
        result += as_power(base, i);
    return result;
}
