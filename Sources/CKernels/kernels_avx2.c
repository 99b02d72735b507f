// 64-bit x86 with AVX2, FMA and F16C: most processors since 2013.
#include "sky_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "half.h"
// Not the intrinsics: of these the compiler makes vector code.
#define HALF(bits) half_by_instruction(bits)
#define TO_HALF(f) half_of(f)
#define HALVES

// 32 products to 8 sums. Weights that are not signed are below 64, so sums of two products fit 16 bits; signed
// ones go in as magnitude, their sign with the activation.
static inline __m256i sums_of_four(__m256i q, __m256i a, bool is_signed) {
  if (is_signed) {
    a = _mm256_sign_epi8(a, q);
    q = _mm256_sign_epi8(q, q);
  }
  return _mm256_madd_epi16(_mm256_maddubs_epi16(q, a), _mm256_set1_epi16(1));
}

static inline void block_sums(const int8_t *q, const int8_t *a, bool is_signed, int32_t *s) {
  __m256i sums[4];
  for (int i = 0; i < 4; i++) {
    sums[i] = sums_of_four(_mm256_loadu_si256((const __m256i *)(q + 32 * i)),
                           _mm256_loadu_si256((const __m256i *)(a + 32 * i)), is_signed);
  }
  // Each half of a vector belongs to one half block: add its four lanes.
  __m256i low = _mm256_hadd_epi32(sums[0], sums[1]), high = _mm256_hadd_epi32(sums[2], sums[3]);
  __m256i all = _mm256_hadd_epi32(low, high);  // 0 2 4 6 | 1 3 5 7
  all = _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256((__m256i *)s, all);
}

#include "kernels_common.h"

const sky_kernels sky_kernels_avx2 = KERNELS("avx2");

#pragma clang attribute pop
#endif
