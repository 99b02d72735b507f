// 64-bit x86 with SSSE3: all since 2006 that have no AVX2; small Celerons and Atoms had none until 2023.
//
// As kernels_avx2.c, with vectors of half the size: one half block each.
#include "sky_kernels.h"

#if defined(__x86_64__)
#include <tmmintrin.h>

#pragma clang attribute push(__attribute__((target("ssse3"))), apply_to = function)

#include "half.h"
#define HALF(bits) half_to_float(bits)
#define TO_HALF(f) float_to_half(f)

/// Four halves, in the lower parts of 32 bits each, to floats; as half_to_float does.
static inline __m128 four_floats(__m128i h) {
  __m128i bits = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x7FFF)), 13);
  __m128 v = _mm_mul_ps(_mm_castsi128_ps(bits), _mm_set1_ps(0x1p112f));
  __m128i infinite = _mm_cmpgt_epi32(bits, _mm_set1_epi32((0x7C00 << 13) - 1));
  __m128i rest = _mm_or_si128(_mm_and_si128(infinite, _mm_set1_epi32(0x7F800000)),
                              _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x8000)), 16));
  return _mm_or_ps(v, _mm_castsi128_ps(rest));
}
static inline void halves16(const uint16_t *p, float *out) {
  for (int i = 0; i < 2; i++) {
    __m128i h = _mm_loadu_si128((const __m128i *)p + i), zero = _mm_setzero_si128();
    _mm_storeu_ps(out + 8 * i, four_floats(_mm_unpacklo_epi16(h, zero)));
    _mm_storeu_ps(out + 8 * i + 4, four_floats(_mm_unpackhi_epi16(h, zero)));
  }
}

#include "kernels_common.h"

#define MANY 4
#define WHOLE_MULTIPLE 0

/// 128 weights, as the activations lie (sky_q8): the first halves of four blocks, then the second ones. For each block
/// its scale and its minimum, one after the other.
typedef struct {
  __m128i q[8];
  __m128 dm[2];
} group4;

static inline __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline __m128i upper(__m128i v) { return _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(15)); }
static inline __m128i lower(__m128i v) { return _mm_and_si128(v, _mm_set1_epi8(15)); }

/// The scales of four blocks, each with its own multiple as minimum.
static inline void scales(group4 *g, const uint8_t *const p[4], float multiple) {
  __m128 d = four_floats(_mm_setr_epi32(load16(p[0]), load16(p[1]), load16(p[2]), load16(p[3])));
  __m128 m = _mm_mul_ps(d, _mm_set1_ps(multiple));
  g->dm[0] = _mm_unpacklo_ps(d, m);
  g->dm[1] = _mm_unpackhi_ps(d, m);
}
static inline void nibbles(group4 *g, const uint8_t *const p[4], int offset) {
  for (int b = 0; b < 4; b++) {
    __m128i v = load(p[b] + offset);
    g->q[b] = lower(v);
    g->q[4 + b] = upper(v);
  }
}

static inline void minima(group4 *g, const uint8_t *const p[4]) {
  __m128i dm = _mm_setr_epi32((int)load32(p[0]), (int)load32(p[1]), (int)load32(p[2]), (int)load32(p[3]));
  g->dm[0] = four_floats(_mm_unpacklo_epi16(dm, _mm_setzero_si128()));
  g->dm[1] = four_floats(_mm_unpackhi_epi16(dm, _mm_setzero_si128()));
}

static inline __m128i with_fifth(__m128i q, __m128i bits, int half) {
  // Each byte is spread over eight, of which each looks at a bit of its own.
  const __m128i bit = _mm_set1_epi64x((long long)0x8040201008040201);
  __m128i place = _mm_add_epi8(_mm_set_epi64x(0x0101010101010101, 0), _mm_set1_epi8((char)(2 * half)));
  __m128i v = _mm_cmpeq_epi8(_mm_and_si128(_mm_shuffle_epi8(bits, place), bit), bit);
  return _mm_or_si128(q, _mm_and_si128(v, _mm_set1_epi8(16)));
}
static inline void fifths(group4 *g, const uint8_t *const p[4]) {
  for (int b = 0; b < 4; b++) {
    __m128i bits = _mm_cvtsi32_si128((int)load32(p[b] + 2));
    g->q[b] = with_fifth(g->q[b], bits, 0);
    g->q[4 + b] = with_fifth(g->q[4 + b], bits, 1);
  }
}

static inline void whole(group4 *g, const uint8_t *const p[4]) {
  for (int i = 0; i < 8; i++) g->q[i] = load(p[i & 3] + 2 + 16 * (i >> 2));
}

// Four of a superblock's eight: blocks 0 and 1 are the nibbles of the same bytes, and so are 2 and 3.
static inline group4 load_q4_k(const uint8_t *p, size_t half) {
  group4 g;
  float d[4], m[4];
  scales_q4_k(p, (int)half, d, m);
  for (int i = 0; i < 2; i++) {
    g.dm[i] = _mm_setr_ps(d[2 * i], m[2 * i], d[2 * i + 1], m[2 * i + 1]);
    for (int second = 0; second < 2; second++) {
      __m128i v = load(p + 16 + 64 * half + 32 * (size_t)i + 16 * (size_t)second);
      g.q[2 * i + 4 * second] = lower(v);
      g.q[2 * i + 1 + 4 * second] = upper(v);
    }
  }
  return g;
}

/// What is added up along a row: products, and in every other lane minima.
typedef struct {
  __m128 products, minima;
} row_sums;
static inline row_sums no_sums(void) { return (row_sums){_mm_setzero_ps(), _mm_setzero_ps()}; }
static inline float finish(const row_sums *sums) {
  __m128 minima = _mm_and_ps(sums->minima, _mm_castsi128_ps(_mm_setr_epi32(0, -1, 0, -1)));
  __m128 v = _mm_add_ps(sums->products, minima);
  v = _mm_add_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}

static inline __m128i activations(const sky_q8 *x, int i) { return _mm_loadu_si128((const __m128i *)x->q + i); }
static inline __m128i in_pairs(__m128i v) { return _mm_madd_epi16(v, _mm_set1_epi16(1)); }
static inline void add_products(row_sums *sums, __m128i products, __m128 scale) {
  sums->products = _mm_add_ps(sums->products, _mm_mul_ps(_mm_cvtepi32_ps(products), scale));
}

static inline void step(const group4 *w, const sky_q8 *x, row_sums *sums) {
  for (int i = 0; i < 2; i++) {
    __m128 both = _mm_mul_ps(w->dm[i], _mm_loadu_ps(x->ds + 4 * i));
    for (int b = 2 * i; b < 2 * i + 2; b++) {
      __m128i s = _mm_add_epi16(_mm_maddubs_epi16(w->q[b], activations(x, b)),
                                _mm_maddubs_epi16(w->q[4 + b], activations(x, 4 + b)));
      add_products(sums, in_pairs(s), b & 1 ? _mm_shuffle_ps(both, both, 0xAA) : _mm_shuffle_ps(both, both, 0));
    }
    sums->minima = _mm_add_ps(sums->minima, both);
  }
}
static inline __m128i signed_products(__m128i q, __m128i a) {
  return in_pairs(_mm_maddubs_epi16(_mm_sign_epi8(q, q), _mm_sign_epi8(a, q)));
}
static inline void step_signed(const group4 *w, const sky_q8 *x, row_sums *sums) {
  for (int i = 0; i < 2; i++) {
    __m128 both = _mm_mul_ps(w->dm[i], _mm_loadu_ps(x->ds + 4 * i));
    for (int b = 2 * i; b < 2 * i + 2; b++) {
      __m128i s = signed_products(w->q[b], activations(x, b));
      s = _mm_add_epi32(s, signed_products(w->q[4 + b], activations(x, 4 + b)));
      add_products(sums, s, b & 1 ? _mm_shuffle_ps(both, both, 0xAA) : _mm_shuffle_ps(both, both, 0));
    }
  }
}
#include "kernels_rows.h"

/// Half blocks have scales of their own here: those of the first halves and of the second ones.
typedef struct {
  __m128i q[8];
  __m128 first, second;
} group6;

static inline group6 load_q6_k(const uint8_t *p, size_t half) {
  group6 g;
  float d[8];
  scales_q6_k(p, (int)half, d);
  g.first = _mm_loadu_ps(d);
  g.second = _mm_loadu_ps(d + 4);
  const uint8_t *low = p + 64 * half, *high = p + 128 + 32 * half;
  const __m128i two = _mm_set1_epi8(0x30);
  // Blocks 0 and 1 are the lower nibbles, 2 and 3 the upper ones; two bits more for each block.
  for (int second = 0; second < 2; second++) {
    __m128i even = load(low + 16 * second), odd = load(low + 32 + 16 * second), bits = load(high + 16 * second);
    __m128i *q = g.q + 4 * second;
    q[0] = _mm_or_si128(lower(even), _mm_and_si128(_mm_slli_epi16(bits, 4), two));
    q[1] = _mm_or_si128(lower(odd), _mm_and_si128(_mm_slli_epi16(bits, 2), two));
    q[2] = _mm_or_si128(upper(even), _mm_and_si128(bits, two));
    q[3] = _mm_or_si128(upper(odd), _mm_and_si128(_mm_srli_epi16(bits, 2), two));
  }
  return g;
}

static inline void step_q6_k(const group6 *w, const sky_q8 *x, row_sums *sums) {
  __m128 a = _mm_loadu_ps(x->ds), b = _mm_loadu_ps(x->ds + 4), low = _mm_loadu_ps(x->low);
  __m128 ds = _mm_shuffle_ps(a, b, 0x88), all = _mm_shuffle_ps(a, b, 0xDD);
  __m128 scale[2] = {_mm_mul_ps(w->first, ds), _mm_mul_ps(w->second, ds)};
  for (int half = 0; half < 2; half++) {
    float each[4];
    _mm_storeu_ps(each, scale[half]);
    for (int i = 0; i < 4; i++) {
      __m128i s = _mm_maddubs_epi16(w->q[4 * half + i], activations(x, 4 * half + i));
      add_products(sums, in_pairs(s), _mm_set1_ps(each[i]));
    }
  }
  // 32 is taken from every weight: of the first halves' sums, then of the rest.
  __m128 sum = _mm_add_ps(_mm_mul_ps(w->first, low), _mm_mul_ps(w->second, _mm_sub_ps(all, low)));
  sums->products = _mm_sub_ps(sums->products, _mm_mul_ps(sum, _mm_set1_ps(32)));
}
ROWS(GROUPS_OF_SUPERBLOCKS, q6_k, 210, group6, step_q6_k)

const sky_kernels sky_kernels_ssse3 = KERNELS("ssse3");

#pragma clang attribute pop
#endif
