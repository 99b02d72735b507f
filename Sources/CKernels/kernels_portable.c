// For every processor; also the plain statement of what the other sets compute.
#include "sky_kernels.h"

#include "half.h"

#define HALF(bits) half_to_float(bits)
#define TO_HALF(f) float_to_half(f)

static inline void block_sums(const int8_t *q, const int8_t *a, bool is_signed, int32_t *s) {
  (void)is_signed;
  for (int b = 0; b < 8; b++) {
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) sum += q[16 * b + i] * a[16 * b + i];
    s[b] = sum;
  }
}

#include "kernels_common.h"

const sky_kernels sky_kernels_portable = KERNELS("portable");
