// What every set of kernels has: written once in plain C, compiled for each instruction set, which makes
// vector code of the loops. Included by kernels_*.c, which define:
//
//   HALF(bits), TO_HALF(f)   half precision to float and back
//   halves16(p, out)         16 of them to floats
//   WIDE                     where a vector register holds 16 floats
//   rows_q4_0, …             products with quantised weights, after this file

#include <math.h>
#include <string.h>

#pragma clang fp reassociate(on) contract(fast)

#define GROUP 128

static void rows_q4_0(const sky_matmul *job, size_t first, size_t count);
static void rows_q4_1(const sky_matmul *job, size_t first, size_t count);
static void rows_q5_0(const sky_matmul *job, size_t first, size_t count);
static void rows_q8_0(const sky_matmul *job, size_t first, size_t count);
static void rows_q4_k(const sky_matmul *job, size_t first, size_t count);
static void rows_q6_k(const sky_matmul *job, size_t first, size_t count);

static inline uint16_t load16(const uint8_t *p) {
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}
static inline uint32_t load32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

// Scale and minimum of one of eight blocks, 6 bits each in 12 bytes.
static inline void scale_min_k4(const uint8_t *s, int j, int *scale, int *minimum) {
  if (j < 4) {
    *scale = s[j] & 63;
    *minimum = s[j + 4] & 63;
  } else {
    *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    *minimum = s[j + 4] >> 4 | (s[j] >> 6) << 4;
  }
}

static inline void scales_q4_k(const uint8_t *p, int half, float *d, float *m) {
  float whole = HALF(load16(p)), least = HALF(load16(p + 2));
  for (int b = 0; b < 4; b++) {
    int scale, minimum;
    scale_min_k4(p + 4, 4 * half + b, &scale, &minimum);
    d[b] = whole * (float)scale;
    m[b] = -least * (float)minimum;
  }
}

static inline void scales_q6_k(const uint8_t *p, int half, float *d) {
  float whole = HALF(load16(p + 208));
  const int8_t *scales = (const int8_t *)p + 192 + 8 * half;
  for (int b = 0; b < 4; b++) {
    d[b] = whole * scales[2 * b];
    d[4 + b] = whole * scales[2 * b + 1];
  }
}

static void rows_f32(const sky_matmul *job, size_t first, size_t count) {
  for (size_t r = first; r < first + count; r++) {
    const float *row = (const float *)((const uint8_t *)job->weights + r * job->row_bytes);
    for (size_t t = 0; t < job->tokens; t++) {
      const float *a = (const float *)((const uint8_t *)job->activations + t * job->activation_stride);
      float sum = 0;
      for (size_t i = 0; i < job->columns; i++) sum += row[i] * a[i];
      job->out[t * job->out_stride + r] = sum;
    }
  }
}

static void rows_f16(const sky_matmul *job, size_t first, size_t count) {
  for (size_t r = first; r < first + count; r++) {
    const uint16_t *row = (const uint16_t *)((const uint8_t *)job->weights + r * job->row_bytes);
    for (size_t t = 0; t < job->tokens; t++) {
      const float *a = (const float *)((const uint8_t *)job->activations + t * job->activation_stride);
      float sum = 0;
      for (size_t i = 0; i < job->columns; i++) sum += HALF(row[i]) * a[i];
      job->out[t * job->out_stride + r] = sum;
    }
  }
}

static void quantise(const float *x, size_t n, sky_q8 *out) {
  size_t blocks = n / 32, groups = (n + GROUP - 1) / GROUP;
  for (size_t g = 0; g < groups; g++) {
    sky_q8 *o = out + g;
    for (int b = 0; b < 4; b++) {
      if (4 * g + b >= blocks) {
        memset(o->q + 16 * b, 0, 16);
        memset(o->q + 64 + 16 * b, 0, 16);
        o->ds[2 * b] = o->ds[2 * b + 1] = o->low[b] = 0;
        continue;
      }
      const float *from = x + 32 * (4 * g + b);
      float most = 0;
      for (int i = 0; i < 32; i++) {
        float magnitude = fabsf(from[i]);
        most = magnitude > most ? magnitude : most;
      }
      float d = most / 127, inverse = most > 0 ? 127 / most : 0;
      int low = 0, high = 0;
      for (int i = 0; i < 16; i++) {
        int q = (int)rintf(from[i] * inverse);
        o->q[16 * b + i] = (int8_t)q;
        low += q;
      }
      for (int i = 0; i < 16; i++) {
        int q = (int)rintf(from[16 + i] * inverse);
        o->q[64 + 16 * b + i] = (int8_t)q;
        high += q;
      }
      o->ds[2 * b] = d;
      o->ds[2 * b + 1] = d * (float)(low + high);
      o->low[b] = d * (float)low;
    }
  }
}

// exp with an error of about 1e-7 of the result, in a form that becomes vector code. From -87 to 88; below and
// above it stays at the ends.
static inline float quick_exp(float x) {
  x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
  float n = rintf(x * 1.44269504f);
  float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  int32_t bits = ((int32_t)n + 127) << 23;
  float power;
  memcpy(&power, &bits, 4);
  return p * power;
}

#include "attention.h"

static void store_half(const float *x, size_t n, uint16_t *out) {
  for (size_t i = 0; i < n; i++) out[i] = TO_HALF(x[i]);
}

static void rms_norm(const float *x, const float *weight, size_t n, float epsilon, float *out) {
  float sum = 0;
  for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
  float factor = 1 / sqrtf(sum / (float)n + epsilon);
  for (size_t i = 0; i < n; i++) out[i] = x[i] * factor * weight[i];
}

static void layer_norm(float *x, const float *weight, const float *bias, size_t n, float epsilon) {
  float sum = 0, squares = 0;
  for (size_t i = 0; i < n; i++) sum += x[i];
  float mean = sum / (float)n;
  for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
  float factor = 1 / sqrtf(squares / (float)n + epsilon);
  for (size_t i = 0; i < n; i++) x[i] = (x[i] - mean) * factor * weight[i] + bias[i];
}

static void silu_multiply(float *gate, const float *up, size_t n) {
  for (size_t i = 0; i < n; i++) gate[i] = gate[i] / (1 + quick_exp(-gate[i])) * up[i];
}

static void gelu_multiply(float *gate, const float *up, size_t n) {
  for (size_t i = 0; i < n; i++) {
    float x = gate[i];
    float inner = 0.7978845608f * (x + 0.044715f * x * x * x);
    // (1 + tanh(inner)) / 2
    gate[i] = x * (1 - 1 / (1 + quick_exp(2 * inner))) * up[i];
  }
}

// The error function by Abramowitz and Stegun 7.1.26, error at most 1.5e-7.
static void gelu_erf(float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    float z = x[i] * 0.70710678f, magnitude = fabsf(z);
    float t = 1 / (1 + 0.3275911f * magnitude);
    float p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    float rest = p * quick_exp(-magnitude * magnitude);
    x[i] *= 0.5f * (z < 0 ? rest : 2 - rest);
  }
}

static void add(float *x, const float *y, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] += y[i];
}

static void scale(float *x, float factor, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] *= factor;
}

static void matmul(const sky_matmul *job, size_t first, size_t count) {
  switch (job->type) {
    case SKY_TYPE_F32: rows_f32(job, first, count); break;
    case SKY_TYPE_F16: rows_f16(job, first, count); break;
    case SKY_TYPE_Q4_0: rows_q4_0(job, first, count); break;
    case SKY_TYPE_Q4_1: rows_q4_1(job, first, count); break;
    case SKY_TYPE_Q5_0: rows_q5_0(job, first, count); break;
    case SKY_TYPE_Q8_0: rows_q8_0(job, first, count); break;
    case SKY_TYPE_Q4_K: rows_q4_k(job, first, count); break;
    case SKY_TYPE_Q6_K: rows_q6_k(job, first, count); break;
    default: break;
  }
}

#define KERNELS(NAME)                                                                          \
  {                                                                                            \
    .name = NAME, .matmul = matmul, .quantise = quantise, .attend = attend, .store_half = store_half, \
    .store_key = store_key, .rms_norm = rms_norm, .layer_norm = layer_norm, .silu_multiply = silu_multiply,            \
    .gelu_multiply = gelu_multiply, .gelu_erf = gelu_erf, .add = add, .scale = scale           \
  }
