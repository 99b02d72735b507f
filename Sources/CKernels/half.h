// Half precision (IEEE 754 binary16) by integer arithmetic, for processors without an instruction for it.
#ifndef SKY_HALF_H
#define SKY_HALF_H
#include <stdint.h>
#include <string.h>

static inline float half_to_float(uint16_t h) {
  uint32_t bits = (uint32_t)(h & 0x7FFF) << 13;
  float f;
  memcpy(&f, &bits, 4);
  f *= 0x1p112f;  // exact, for subnormal numbers too
  memcpy(&bits, &f, 4);
  bits |= (h & 0x7C00) == 0x7C00 ? 0x7F800000u : 0;
  bits |= (uint32_t)(h & 0x8000) << 16;
  memcpy(&f, &bits, 4);
  return f;
}

/// Rounds to nearest, ties to even.
static inline uint16_t float_to_half(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  uint32_t sign = bits >> 16 & 0x8000;
  bits &= 0x7FFFFFFF;
  if (bits > 0x7F800000) return (uint16_t)(sign | 0x7E00);
  if (bits >= 0x477FF000) return (uint16_t)(sign | 0x7C00);
  if (bits < 0x38800000) {
    // Subnormal: adding 0.5 puts the last bit that a half has where a float has its own.
    float magnitude;
    memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    memcpy(&bits, &magnitude, 4);
    return (uint16_t)(sign | (bits - 0x3F000000));
  }
  bits += 0xFFF + (bits >> 13 & 1);
  return (uint16_t)(sign | ((bits - 0x38000000) >> 13));
}

#if defined(__x86_64__) || defined(__aarch64__)
/// The same where the processor has an instruction for it.
static inline float half_by_instruction(uint16_t bits) {
  _Float16 h;
  memcpy(&h, &bits, 2);
  return (float)h;
}
static inline uint16_t half_of(float f) {
  _Float16 h = (_Float16)f;
  uint16_t bits;
  memcpy(&bits, &h, 2);
  return bits;
}
#endif

#endif
