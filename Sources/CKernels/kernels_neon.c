// ARM with NEON, which every supported board has; and with the dot-product instructions of ARMv8.2 (this file is
// compiled a second time by kernels_dotprod.c).
#include "sky_kernels.h"

#if defined(__ARM_NEON)
#include <arm_neon.h>

#include "half.h"

#ifdef KERNELS_DOTPROD
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#endif

#ifdef __aarch64__
#define HALF(bits) half_by_instruction(bits)
#define TO_HALF(f) half_of(f)
#define HALVES
#else
#define HALF(bits) half_to_float(bits)
#define TO_HALF(f) float_to_half(f)
#endif

static inline int32_t lanes(int32x4_t v) {
#ifdef __aarch64__
  return vaddvq_s32(v);
#else
  int32x2_t pair = vadd_s32(vget_low_s32(v), vget_high_s32(v));
  return vget_lane_s32(vpadd_s32(pair, pair), 0);
#endif
}

static inline void block_sums(const int8_t *q, const int8_t *a, bool is_signed, int32_t *s) {
  (void)is_signed;
  for (int b = 0; b < 8; b++) {
    int8x16_t x = vld1q_s8(q + 16 * b), y = vld1q_s8(a + 16 * b);
#ifdef KERNELS_DOTPROD
    s[b] = lanes(vdotq_s32(vdupq_n_s32(0), x, y));
#else
    int32x4_t sum = vpaddlq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(y)));
    s[b] = lanes(vpadalq_s16(sum, vmull_s8(vget_high_s8(x), vget_high_s8(y))));
#endif
  }
}

#include "kernels_common.h"

#ifdef KERNELS_DOTPROD
const sky_kernels sky_kernels_dotprod = KERNELS("dotprod");
#pragma clang attribute pop
#else
const sky_kernels sky_kernels_neon = KERNELS("neon");
#endif
#endif
