// 64-bit x86 with AVX-512 and its dot-product instructions (VNNI): servers since 2019, some laptops since.
//
// Four blocks of weights become two vectors, first halves and second halves, and meet the activations, which lie
// the same way (sky_q8). The dot-product instruction wants one side unsigned: signed weights are moved up by 128,
// and what that adds is taken away with the minimum.
#include "sky_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), \
                             apply_to = function)

#include "half.h"
// Not the intrinsics: of these the compiler makes vector code.
#define HALF(bits) half_by_instruction(bits)
#define TO_HALF(f) half_of(f)
#define WIDE

static inline void halves16(const uint16_t *p, float *out) {
  _mm512_storeu_ps(out, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)));
}

#include "kernels_common.h"

#define MANY 8
// Weights are moved up by 128.
#define WHOLE_MULTIPLE -128

/// 128 weights as unsigned numbers; for each block its scale and its minimum, one after the other.
typedef struct {
  __m512i low, high;
  __m256 dm;
} group4;

static inline __m512i four(const uint8_t *const p[4], int offset) {
  __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(p[0] + offset)));
  v = _mm512_inserti64x2(v, _mm_loadu_si128((const __m128i *)(p[1] + offset)), 1);
  v = _mm512_inserti64x2(v, _mm_loadu_si128((const __m128i *)(p[2] + offset)), 2);
  return _mm512_inserti64x2(v, _mm_loadu_si128((const __m128i *)(p[3] + offset)), 3);
}
static inline void nibbles(group4 *g, const uint8_t *const p[4], int offset) {
  __m512i v = four(p, offset), mask = _mm512_set1_epi8(15);
  g->low = _mm512_and_si512(v, mask);
  g->high = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
}
/// The scales of four blocks, each with its own multiple as minimum.
static inline void scales(group4 *g, const uint8_t *const p[4], float multiple) {
  uint64_t both[2] = {load16(p[0]) * 0x10001ull | (uint64_t)load16(p[1]) * 0x10001 << 32,
                      load16(p[2]) * 0x10001ull | (uint64_t)load16(p[3]) * 0x10001 << 32};
  __m256 d = _mm256_cvtph_ps(_mm_set_epi64x((long long)both[1], (long long)both[0]));
  g->dm = _mm256_mul_ps(d, _mm256_setr_ps(1, multiple, 1, multiple, 1, multiple, 1, multiple));
}
static inline void minima(group4 *g, const uint8_t *const p[4]) {
  __m128i dm = _mm_cvtsi32_si128((int)load32(p[0]));
  dm = _mm_insert_epi32(dm, (int)load32(p[1]), 1);
  dm = _mm_insert_epi32(dm, (int)load32(p[2]), 2);
  dm = _mm_insert_epi32(dm, (int)load32(p[3]), 3);
  g->dm = _mm256_cvtph_ps(dm);
}

static inline void fifths(group4 *g, const uint8_t *const p[4]) {
  uint64_t low = 0, high = 0;
  for (int b = 0; b < 4; b++) {
    uint32_t fifth = load32(p[b] + 2);
    low |= (uint64_t)(fifth & 0xFFFF) << 16 * b;
    high |= (uint64_t)(fifth >> 16) << 16 * b;
  }
  __m512i sixteen = _mm512_set1_epi8(16);
  g->low = _mm512_mask_add_epi8(g->low, low, g->low, sixteen);
  g->high = _mm512_mask_add_epi8(g->high, high, g->high, sixteen);
}

static inline void whole(group4 *g, const uint8_t *const p[4]) {
  __m512i up = _mm512_set1_epi8((char)0x80);
  g->low = _mm512_xor_si512(four(p, 2), up);
  g->high = _mm512_xor_si512(four(p, 18), up);
}

// Four of a superblock's eight.
static inline group4 load_q4_k(const uint8_t *p, size_t half) {
  group4 g;
  float d[4], m[4];
  scales_q4_k(p, (int)half, d, m);
  g.dm = _mm256_setr_ps(d[0], m[0], d[1], m[1], d[2], m[2], d[3], m[3]);
  __m512i v = _mm512_loadu_si512(p + 16 + 64 * half);
  // Blocks 0 and 1 are the nibbles of the same bytes, and so are 2 and 3.
  __m512i shift = _mm512_setr_epi64(0, 0, 0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004,
                                    0x0004000400040004);
  __m512i mask = _mm512_set1_epi8(15);
  g.low = _mm512_and_si512(_mm512_srlv_epi16(_mm512_shuffle_i64x2(v, v, 0xA0), shift), mask);
  g.high = _mm512_and_si512(_mm512_srlv_epi16(_mm512_shuffle_i64x2(v, v, 0xF5), shift), mask);
  return g;
}

// One number for each block from eight: spreads every other one over four lanes.
static inline __m512 spread(__m256 v) {
  const __m512i index = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6);
  return _mm512_permutexvar_ps(index, _mm512_castps256_ps512(v));
}
/// What is added up along a row: products, and in every other lane minima.
typedef struct {
  __m512 products;
  __m256 minima;
} row_sums;
static inline row_sums no_sums(void) { return (row_sums){_mm512_setzero_ps(), _mm256_setzero_ps()}; }
static inline float finish(const row_sums *sums) {
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(sums->products), _mm512_extractf32x8_ps(sums->products, 1));
  half = _mm256_add_ps(half, _mm256_blend_ps(_mm256_setzero_ps(), sums->minima, 0xAA));
  __m128 v = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  v = _mm_add_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}

static inline void step(const group4 *w, const sky_q8 *x, row_sums *sums) {
  __m512i s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w->low, _mm512_loadu_si512(x->q));
  s = _mm512_dpbusd_epi32(s, w->high, _mm512_loadu_si512(x->q + 64));
  __m256 both = _mm256_mul_ps(w->dm, _mm256_loadu_ps(x->ds));
  sums->products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s), spread(both), sums->products);
  sums->minima = _mm256_add_ps(sums->minima, both);
}
#define step_signed step
#include "kernels_rows.h"

/// Half blocks have scales of their own here: those of the first halves and of the second ones, each in the even lanes of a
/// block's pair.
typedef struct {
  __m512i low, high;
  __m256 first, second;
} group6;

static inline __m512i q6_half(__m512i low, __m128i high) {
  // Blocks 0 and 1 are the lower nibbles, 2 and 3 the upper ones; two bits more for each block.
  const long long four4 = 0x0004000400040004, two4 = 0x0002000200020002, six4 = 0x0006000600060006;
  __m512i nibble = _mm512_and_si512(_mm512_srlv_epi16(low, _mm512_setr_epi64(0, 0, 0, 0, four4, four4, four4, four4)),
                                    _mm512_set1_epi8(15));
  __m512i bits = _mm512_srlv_epi16(_mm512_broadcast_i64x2(high),
                                   _mm512_setr_epi64(0, 0, two4, two4, four4, four4, six4, six4));
  bits = _mm512_slli_epi16(_mm512_and_si512(bits, _mm512_set1_epi8(3)), 4);
  return _mm512_or_si512(nibble, bits);
}

static inline group6 load_q6_k(const uint8_t *p, size_t half) {
  group6 g;
  float d[8];
  scales_q6_k(p, (int)half, d);
  g.first = _mm256_setr_ps(d[0], 0, d[1], 0, d[2], 0, d[3], 0);
  g.second = _mm256_setr_ps(d[4], 0, d[5], 0, d[6], 0, d[7], 0);
  __m512i v = _mm512_loadu_si512(p + 64 * half);
  __m256i high = _mm256_loadu_si256((const __m256i *)(p + 128 + 32 * half));
  g.low = q6_half(_mm512_shuffle_i64x2(v, v, 0x88), _mm256_castsi256_si128(high));
  g.high = q6_half(_mm512_shuffle_i64x2(v, v, 0xDD), _mm256_extracti128_si256(high, 1));
  return g;
}

static inline void step_q6_k(const group6 *w, const sky_q8 *x, row_sums *sums) {
  __m256 ds = _mm256_loadu_ps(x->ds);
  __m512i s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w->low, _mm512_loadu_si512(x->q));
  sums->products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s), spread(_mm256_mul_ps(w->first, ds)), sums->products);
  s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w->high, _mm512_loadu_si512(x->q + 64));
  sums->products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s), spread(_mm256_mul_ps(w->second, ds)), sums->products);
  // 32 is taken from every weight: of the first halves' sums, then of the rest, into the odd lanes.
  __m256 low = _mm256_castsi256_ps(_mm256_slli_epi64(_mm256_cvtepu32_epi64(_mm_castps_si128(_mm_loadu_ps(x->low))), 32));
  __m256 first = _mm256_moveldup_ps(w->first), second = _mm256_moveldup_ps(w->second);
  __m256 sum = _mm256_fmadd_ps(_mm256_sub_ps(first, second), low, _mm256_mul_ps(second, ds));
  sums->minima = _mm256_fmadd_ps(_mm256_set1_ps(-32), sum, sums->minima);
}
ROWS(GROUPS_OF_SUPERBLOCKS, q6_k, 210, group6, step_q6_k)

const sky_kernels sky_kernels_avx512 = KERNELS("avx512");

#pragma clang attribute pop
#endif
