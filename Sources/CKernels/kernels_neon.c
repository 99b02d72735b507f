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
#else
#define HALF(bits) half_to_float(bits)
#define TO_HALF(f) float_to_half(f)
#endif

/// Four halves to floats.
static inline float32x4_t four_floats(uint16x4_t h) {
#ifdef __aarch64__
  return vcvt_f32_f16(vreinterpret_f16_u16(h));
#else
  // As half_to_float does, but without subnormal numbers on the way: NEON takes them for zero here.
  uint32x4_t wide = vmovl_u16(h), bits = vshlq_n_u32(vandq_u32(wide, vdupq_n_u32(0x7FFF)), 13);
  uint32x4_t whole = vaddq_u32(bits, vdupq_n_u32(112u << 23));
  whole = vorrq_u32(whole, vandq_u32(vcgeq_u32(bits, vdupq_n_u32(0x7C00u << 13)), vdupq_n_u32(0x7F800000)));
  float32x4_t least = vreinterpretq_f32_u32(vdupq_n_u32(113u << 23));
  float32x4_t part = vsubq_f32(vreinterpretq_f32_u32(vaddq_u32(bits, vdupq_n_u32(113u << 23))), least);
  uint32x4_t v = vbslq_u32(vcltq_u32(bits, vdupq_n_u32(0x400u << 13)), vreinterpretq_u32_f32(part), whole);
  return vreinterpretq_f32_u32(vorrq_u32(v, vshlq_n_u32(vandq_u32(wide, vdupq_n_u32(0x8000)), 16)));
#endif
}
static inline void halves16(const uint16_t *p, float *out) {
  for (int i = 0; i < 4; i++) vst1q_f32(out + 4 * i, four_floats(vld1_u16(p + 4 * i)));
}
#include "kernels_common.h"

#ifdef __aarch64__
#define MANY 8
#else
#define MANY 4
#endif
#define WHOLE_MULTIPLE 0

/// 128 weights, as the activations lie (sky_q8): the first halves of four blocks, then the second ones. For each block
/// its scale and its minimum, one after the other.
typedef struct {
  int8x16_t q[8];
  float32x4_t dm[2];
} group4;

static inline uint16x4_t four_halves(uint32_t a, uint32_t b) { return vcreate_u16(a | (uint64_t)b << 32); }

/// The scales of four blocks, each with its own multiple as minimum.
static inline void scales(group4 *g, const uint8_t *const p[4], float multiple) {
  float32x4_t d = four_floats(four_halves(load16(p[0]) | (uint32_t)load16(p[1]) << 16, load16(p[2]) | (uint32_t)load16(p[3]) << 16));
  float32x4x2_t both = vzipq_f32(d, vmulq_n_f32(d, multiple));
  g->dm[0] = both.val[0];
  g->dm[1] = both.val[1];
}
static inline void nibbles(group4 *g, const uint8_t *const p[4], int offset) {
  for (int b = 0; b < 4; b++) {
    uint8x16_t v = vld1q_u8(p[b] + offset);
    g->q[b] = vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15)));
    g->q[4 + b] = vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
  }
}

static inline void minima(group4 *g, const uint8_t *const p[4]) {
  for (int i = 0; i < 2; i++) g->dm[i] = four_floats(four_halves(load32(p[2 * i]), load32(p[2 * i + 1])));
}

static inline int8x16_t with_fifth(int8x16_t q, const uint8_t *bits) {
  // Each byte is spread over eight, of which each looks at a bit of its own.
  uint8x16_t bit = vcombine_u8(vcreate_u8(0x8040201008040201), vcreate_u8(0x8040201008040201));
  uint8x16_t v = vtstq_u8(vcombine_u8(vdup_n_u8(bits[0]), vdup_n_u8(bits[1])), bit);
  return vorrq_s8(q, vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(16))));
}
static inline void fifths(group4 *g, const uint8_t *const p[4]) {
  for (int b = 0; b < 4; b++) {
    g->q[b] = with_fifth(g->q[b], p[b] + 2);
    g->q[4 + b] = with_fifth(g->q[4 + b], p[b] + 4);
  }
}

static inline void whole(group4 *g, const uint8_t *const p[4]) {
  for (int i = 0; i < 8; i++) g->q[i] = vld1q_s8((const int8_t *)p[i & 3] + 2 + 16 * (i >> 2));
}

// Four of a superblock's eight: blocks 0 and 1 are the nibbles of the same bytes, and so are 2 and 3.
static inline group4 load_q4_k(const uint8_t *p, size_t half) {
  group4 g;
  float d[4], m[4];
  scales_q4_k(p, (int)half, d, m);
  for (int i = 0; i < 2; i++) {
    float both[4] = {d[2 * i], m[2 * i], d[2 * i + 1], m[2 * i + 1]};
    g.dm[i] = vld1q_f32(both);
    for (int second = 0; second < 2; second++) {
      uint8x16_t v = vld1q_u8(p + 16 + 64 * half + 32 * (size_t)i + 16 * (size_t)second);
      g.q[2 * i + 4 * second] = vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15)));
      g.q[2 * i + 1 + 4 * second] = vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
    }
  }
  return g;
}

/// What is added up along a row: products, and in every other lane minima.
typedef struct {
  float32x4_t products, minima;
} row_sums;
static inline row_sums no_sums(void) { return (row_sums){vdupq_n_f32(0), vdupq_n_f32(0)}; }
static inline float finish(const row_sums *sums) {
  float p[4], m[4];
  vst1q_f32(p, sums->products);
  vst1q_f32(m, sums->minima);
  return (p[0] + p[1]) + (p[2] + p[3]) + (m[1] + m[3]);
}

// Four sums of four products each, on top of others.
static inline int32x4_t products(int32x4_t sum, int8x16_t q, int8x16_t a) {
#ifdef KERNELS_DOTPROD
  return vdotq_s32(sum, q, a);
#else
  return vpadalq_s16(sum, vmlal_s8(vmull_s8(vget_low_s8(q), vget_low_s8(a)), vget_high_s8(q), vget_high_s8(a)));
#endif
}
static inline void add_products(row_sums *sums, int32x4_t products, float32x2_t scales) {
#ifdef __aarch64__
  sums->products = vfmaq_lane_f32(sums->products, vcvtq_f32_s32(products), scales, 0);
#else
  sums->products = vmlaq_lane_f32(sums->products, vcvtq_f32_s32(products), scales, 0);
#endif
}

static inline void step(const group4 *w, const sky_q8 *x, row_sums *sums) {
  for (int i = 0; i < 2; i++) {
    float32x4_t both = vmulq_f32(w->dm[i], vld1q_f32(x->ds + 4 * i));
    for (int b = 2 * i; b < 2 * i + 2; b++) {
      int32x4_t s = products(vdupq_n_s32(0), w->q[b], vld1q_s8(x->q + 16 * b));
      s = products(s, w->q[4 + b], vld1q_s8(x->q + 64 + 16 * b));
      add_products(sums, s, b & 1 ? vget_high_f32(both) : vget_low_f32(both));
    }
    sums->minima = vaddq_f32(sums->minima, both);
  }
}
#define step_signed step
#include "kernels_rows.h"

/// Half blocks have scales of their own here: those of the first halves and of the second ones.
typedef struct {
  int8x16_t q[8];
  float first[4], second[4];
} group6;

static inline group6 load_q6_k(const uint8_t *p, size_t half) {
  group6 g;
  float d[8];
  scales_q6_k(p, (int)half, d);
  memcpy(g.first, d, sizeof g.first);
  memcpy(g.second, d + 4, sizeof g.second);
  const uint8_t *low = p + 64 * half, *high = p + 128 + 32 * half;
  const uint8x16_t nibble = vdupq_n_u8(15), three = vdupq_n_u8(0x30);
  // Blocks 0 and 1 are the lower nibbles, 2 and 3 the upper ones; two bits more for each block.
  for (int second = 0; second < 2; second++) {
    uint8x16_t even = vld1q_u8(low + 16 * second), odd = vld1q_u8(low + 32 + 16 * second);
    uint8x16_t bits = vld1q_u8(high + 16 * second);
    int8x16_t *q = g.q + 4 * second;
    q[0] = vreinterpretq_s8_u8(vorrq_u8(vandq_u8(even, nibble), vandq_u8(vshlq_n_u8(bits, 4), three)));
    q[1] = vreinterpretq_s8_u8(vorrq_u8(vandq_u8(odd, nibble), vandq_u8(vshlq_n_u8(bits, 2), three)));
    q[2] = vreinterpretq_s8_u8(vorrq_u8(vshrq_n_u8(even, 4), vandq_u8(bits, three)));
    q[3] = vreinterpretq_s8_u8(vorrq_u8(vshrq_n_u8(odd, 4), vandq_u8(vshrq_n_u8(bits, 2), three)));
  }
  return g;
}

static inline void step_q6_k(const group6 *w, const sky_q8 *x, row_sums *sums) {
  float32x4x2_t ds = vld2q_f32(x->ds);
  float32x4_t low = vld1q_f32(x->low), first = vld1q_f32(w->first), second = vld1q_f32(w->second);
  float32x4_t scales[2] = {vmulq_f32(first, ds.val[0]), vmulq_f32(second, ds.val[0])};
  for (int half = 0; half < 2; half++) {
    for (int b = 0; b < 4; b++) {
      int32x4_t s = products(vdupq_n_s32(0), w->q[4 * half + b], vld1q_s8(x->q + 64 * half + 16 * b));
      float32x2_t pair = b < 2 ? vget_low_f32(scales[half]) : vget_high_f32(scales[half]);
      add_products(sums, s, b & 1 ? vrev64_f32(pair) : pair);
    }
  }
  // 32 is taken from every weight: of the first halves' sums, then of the rest.
  float32x4_t sum = vmlaq_f32(vmulq_f32(first, low), second, vsubq_f32(ds.val[1], low));
  sums->products = vmlsq_f32(sums->products, sum, vdupq_n_f32(32));
}
ROWS(GROUPS_OF_SUPERBLOCKS, q6_k, 210, group6, step_q6_k)

#ifdef KERNELS_DOTPROD
const sky_kernels sky_kernels_dotprod = KERNELS("dotprod");
#pragma clang attribute pop
#else
const sky_kernels sky_kernels_neon = KERNELS("neon");
#endif
#endif
