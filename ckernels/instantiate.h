/* All kernels for one REAL. Deliberately no include guard: kernels.c includes it once per type. */
#include "real.h"
#include "path.h"
#include "simd.h"
#include "transforms.inc.c"
#include "signature_lanes.inc.c"
#include "signature_walk.inc.c"
#include "signature.inc.c"
#include "signature_gradient.inc.c"
