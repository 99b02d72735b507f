// 64-bit x86 with AVX2, FMA and F16C: most processors since 2013.
//
// Four blocks of weights become four vectors: first halves of two blocks, first halves of the others, then second halves;
// so lie the activations (sky_q8). Products of bytes are added in pairs to 16 bits: no weight is above 63 there, and
// signed ones go in as magnitude, their sign with the activation.
#include "sky_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "half.h"
// Not the intrinsics: of these the compiler makes vector code.
#define HALF(bits) half_by_instruction(bits)
#define TO_HALF(f) half_of(f)

static inline void halves16(const uint16_t *p, float *out) {
  for (int i = 0; i < 2; i++) _mm256_storeu_ps(out + 8 * i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p + i)));
}
#include "kernels_common.h"

#define MANY 4
#define WHOLE_MULTIPLE 0

/// 128 weights; for each block its scale and its minimum, one after the other.
typedef struct {
  __m256i q[4];
  __m256 dm;
} group4;

static inline __m256i two(const uint8_t *low, const uint8_t *high) {
  return _mm256_set_m128i(_mm_loadu_si128((const __m128i *)high), _mm_loadu_si128((const __m128i *)low));
}
static inline void nibbles(group4 *g, const uint8_t *const p[4], int offset) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (int i = 0; i < 2; i++) {
    __m256i v = two(p[2 * i] + offset, p[2 * i + 1] + offset);
    g->q[i] = _mm256_and_si256(v, mask);
    g->q[2 + i] = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
  }
}
/// The scales of four blocks, each with its own multiple as minimum.
static inline void scales(group4 *g, const uint8_t *const p[4], float multiple) {
  uint64_t both[2] = {load16(p[0]) * 0x10001ull | (uint64_t)load16(p[1]) * 0x10001 << 32,
                      load16(p[2]) * 0x10001ull | (uint64_t)load16(p[3]) * 0x10001 << 32};
  __m256 d = _mm256_cvtph_ps(_mm_set_epi64x((long long)both[1], (long long)both[0]));
  g->dm = _mm256_mul_ps(d, _mm256_setr_ps(1, multiple, 1, multiple, 1, multiple, 1, multiple));
}

static inline void minima(group4 *g, const uint8_t *const p[4]) {
  __m128i dm = _mm_setr_epi32((int)load32(p[0]), (int)load32(p[1]), (int)load32(p[2]), (int)load32(p[3]));
  g->dm = _mm256_cvtph_ps(dm);
}

static inline void fifths(group4 *g, const uint8_t *const p[4]) {
  // The fifth bits: each byte is spread over eight, of which each looks at a bit of its own.
  const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201), sixteen = _mm256_set1_epi8(16);
  const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0, 0x0101010101010101);
  for (int i = 0; i < 2; i++) {
    __m256i fifth = _mm256_set_m128i(_mm_cvtsi32_si128((int)load32(p[2 * i + 1] + 2)), _mm_cvtsi32_si128((int)load32(p[2 * i] + 2)));
    for (int half = 0; half < 2; half++) {
      __m256i v = _mm256_shuffle_epi8(fifth, _mm256_add_epi8(spread, _mm256_set1_epi8((char)(2 * half))));
      v = _mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit);
      g->q[2 * half + i] = _mm256_or_si256(g->q[2 * half + i], _mm256_and_si256(v, sixteen));
    }
  }
}

static inline void whole(group4 *g, const uint8_t *const p[4]) {
  for (int i = 0; i < 4; i++) g->q[i] = two(p[2 * (i & 1)] + 2 + 16 * (i >> 1), p[2 * (i & 1) + 1] + 2 + 16 * (i >> 1));
}

// Four of a superblock's eight: blocks 0 and 1 are the nibbles of the same bytes, and so are 2 and 3.
static inline group4 load_q4_k(const uint8_t *p, size_t half) {
  group4 g;
  float d[4], m[4];
  scales_q4_k(p, (int)half, d, m);
  g.dm = _mm256_setr_ps(d[0], m[0], d[1], m[1], d[2], m[2], d[3], m[3]);
  const __m256i shift = _mm256_setr_epi64x(0, 0, 0x400000004, 0x400000004), mask = _mm256_set1_epi8(15);
  const uint8_t *q = p + 16 + 64 * half;
  for (int i = 0; i < 4; i++) {
    __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(q + 32 * (i & 1) + 16 * (i >> 1))));
    g.q[i] = _mm256_and_si256(_mm256_srlv_epi32(v, shift), mask);
  }
  return g;
}

/// What is added up along a row: products, and in every other lane minima.
typedef struct {
  __m256 products, minima;
} row_sums;
static inline row_sums no_sums(void) { return (row_sums){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
static inline float finish(const row_sums *sums) {
  __m256 all = _mm256_add_ps(sums->products, _mm256_blend_ps(_mm256_setzero_ps(), sums->minima, 0xAA));
  __m128 v = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
  v = _mm_add_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}

/// Numbers 0 and 2, or 4 and 6, four times each.
static inline __m256 spread(__m256 v, int from) {
  __m256i index = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2);
  return _mm256_permutevar8x32_ps(v, _mm256_add_epi32(index, _mm256_set1_epi32(from)));
}
static inline __m256i activations(const sky_q8 *x, int i) { return _mm256_loadu_si256((const __m256i *)x->q + i); }
static inline __m256i in_pairs(__m256i v) { return _mm256_madd_epi16(v, _mm256_set1_epi16(1)); }
static inline void add_products(row_sums *sums, __m256i products, __m256 scale) {
  sums->products = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), scale, sums->products);
}

static inline void step(const group4 *w, const sky_q8 *x, row_sums *sums) {
  __m256 both = _mm256_mul_ps(w->dm, _mm256_loadu_ps(x->ds));
  for (int i = 0; i < 2; i++) {
    __m256i s = _mm256_add_epi16(_mm256_maddubs_epi16(w->q[i], activations(x, i)),
                                 _mm256_maddubs_epi16(w->q[2 + i], activations(x, 2 + i)));
    add_products(sums, in_pairs(s), spread(both, 4 * i));
  }
  sums->minima = _mm256_add_ps(sums->minima, both);
}
static inline __m256i signed_products(__m256i q, __m256i a) {
  return in_pairs(_mm256_maddubs_epi16(_mm256_sign_epi8(q, q), _mm256_sign_epi8(a, q)));
}
static inline void step_signed(const group4 *w, const sky_q8 *x, row_sums *sums) {
  __m256 both = _mm256_mul_ps(w->dm, _mm256_loadu_ps(x->ds));
  for (int i = 0; i < 2; i++) {
    __m256i s = signed_products(w->q[i], activations(x, i));
    s = _mm256_add_epi32(s, signed_products(w->q[2 + i], activations(x, 2 + i)));
    add_products(sums, s, spread(both, 4 * i));
  }
}
#include "kernels_rows.h"

/// Half blocks have scales of their own here: those of the first halves and of the second ones, in the even lanes.
typedef struct {
  __m256i q[4];
  __m256 first, second;
} group6;

static inline group6 load_q6_k(const uint8_t *p, size_t half) {
  group6 g;
  float d[8];
  scales_q6_k(p, (int)half, d);
  g.first = _mm256_setr_ps(d[0], 0, d[1], 0, d[2], 0, d[3], 0);
  g.second = _mm256_setr_ps(d[4], 0, d[5], 0, d[6], 0, d[7], 0);
  const uint8_t *low = p + 64 * half, *high = p + 128 + 32 * half;
  const __m256i nibble = _mm256_set1_epi8(15), three = _mm256_set1_epi8(3);
  // Blocks 0 and 1 are the lower nibbles, 2 and 3 the upper ones; two bits more for each block.
  for (int i = 0; i < 4; i++) {
    int upper = i & 1, second = i >> 1;
    __m256i v = two(low + 16 * second, low + 32 + 16 * second);
    __m256i bits = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(high + 16 * second)));
    bits = _mm256_srlv_epi32(bits, upper ? _mm256_setr_epi64x(0x400000004, 0x400000004, 0x600000006, 0x600000006)
                                         : _mm256_setr_epi64x(0, 0, 0x200000002, 0x200000002));
    if (upper) v = _mm256_srli_epi16(v, 4);
    g.q[i] = _mm256_or_si256(_mm256_and_si256(v, nibble), _mm256_slli_epi16(_mm256_and_si256(bits, three), 4));
  }
  return g;
}

static inline void step_q6_k(const group6 *w, const sky_q8 *x, row_sums *sums) {
  __m256 ds = _mm256_loadu_ps(x->ds);
  __m256 firsts = _mm256_mul_ps(w->first, ds), seconds = _mm256_mul_ps(w->second, ds);
  for (int i = 0; i < 2; i++) {
    add_products(sums, in_pairs(_mm256_maddubs_epi16(w->q[i], activations(x, i))), spread(firsts, 4 * i));
    add_products(sums, in_pairs(_mm256_maddubs_epi16(w->q[2 + i], activations(x, 2 + i))), spread(seconds, 4 * i));
  }
  // 32 is taken from every weight: of the first halves' sums, then of the rest, into the odd lanes.
  __m256 low = _mm256_castsi256_ps(_mm256_slli_epi64(_mm256_cvtepu32_epi64(_mm_castps_si128(_mm_loadu_ps(x->low))), 32));
  __m256 first = _mm256_moveldup_ps(w->first), second = _mm256_moveldup_ps(w->second);
  __m256 sum = _mm256_fmadd_ps(_mm256_sub_ps(first, second), low, _mm256_mul_ps(second, ds));
  sums->minima = _mm256_fmadd_ps(_mm256_set1_ps(-32), sum, sums->minima);
}
ROWS(GROUPS_OF_SUPERBLOCKS, q6_k, 210, group6, step_q6_k)

const sky_kernels sky_kernels_avx2 = KERNELS("avx2");

#pragma clang attribute pop
#endif
