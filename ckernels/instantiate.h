/* All kernels for one REAL. */
#include "real.h"
#include "path.h"
#include "simd.h"
#include "transforms.inc.c"
#include "signature_lanes.inc.c"
#include "tensors.inc.c"
#include "signature_walk.inc.c"
#include "signature_lyndon.inc.c"
#include "signature_degree2.inc.c"
#include "signature.inc.c"
#include "signature_gradient.inc.c"
#include "coefficients.inc.c"
#include "simd_math.inc.c"
#include "pde.inc.c"
#include "pde_differences.inc.c"
#define AS_SLOPES AS_T
#define AS_EACH AS_UNROLL
#include "pde_slopes.inc.c"
#undef AS_SLOPES
#undef AS_EACH
#define AS_SLOPES(NAME) AS_T(NAME##_of_any)
#define AS_EACH
#include "pde_slopes.inc.c"
#undef AS_SLOPES
#undef AS_EACH
#include "pde_polynomial.inc.c"
#include "pde_branched.inc.c"
#include "sig_kernel.inc.c"
#include "rows.inc.c"
#include "sparse.inc.c"
#include "lie.inc.c"
