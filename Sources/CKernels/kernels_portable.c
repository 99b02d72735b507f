// For every processor; also the plain statement of what the other sets compute.
#include "sky_kernels.h"

#include "half.h"

#define HALF(bits) half_to_float(bits)
#define TO_HALF(f) float_to_half(f)

static inline void halves16(const uint16_t *p, float *out) {
  for (int i = 0; i < 16; i++) out[i] = HALF(p[i]);
}
#include "kernels_common.h"

/// 128 weights of a row: value = d * q + m, with a d and an m for each half block.
typedef struct {
  int8_t q[GROUP];
  float d[8];
  float m[8];
} weights;

static inline void both(weights *w, int block, float d, float m) {
  w->d[block] = w->d[block + 4] = d;
  w->m[block] = w->m[block + 4] = m;
}

// Behind a row's last block a group has the last block again: activations there are zero.
static inline const uint8_t *block_at(const uint8_t *row, size_t index, size_t count, size_t size) {
  return row + (index < count ? index : count - 1) * size;
}

static inline void unpack_q4_0(const uint8_t *row, size_t group, size_t blocks, weights *w) {
  for (int b = 0; b < 4; b++) {
    const uint8_t *p = block_at(row, 4 * group + b, blocks, 18);
    float d = HALF(load16(p));
    both(w, b, d, -8 * d);
    for (int i = 0; i < 16; i++) {
      w->q[16 * b + i] = p[2 + i] & 15;
      w->q[64 + 16 * b + i] = p[2 + i] >> 4;
    }
  }
}

static inline void unpack_q4_1(const uint8_t *row, size_t group, size_t blocks, weights *w) {
  for (int b = 0; b < 4; b++) {
    const uint8_t *p = block_at(row, 4 * group + b, blocks, 20);
    both(w, b, HALF(load16(p)), HALF(load16(p + 2)));
    for (int i = 0; i < 16; i++) {
      w->q[16 * b + i] = p[4 + i] & 15;
      w->q[64 + 16 * b + i] = p[4 + i] >> 4;
    }
  }
}

static inline void unpack_q5_0(const uint8_t *row, size_t group, size_t blocks, weights *w) {
  for (int b = 0; b < 4; b++) {
    const uint8_t *p = block_at(row, 4 * group + b, blocks, 22);
    float d = HALF(load16(p));
    uint32_t high = load32(p + 2);
    both(w, b, d, -16 * d);
    for (int i = 0; i < 16; i++) {
      w->q[16 * b + i] = (int8_t)((p[6 + i] & 15) | (high >> i & 1) << 4);
      w->q[64 + 16 * b + i] = (int8_t)(p[6 + i] >> 4 | (high >> (16 + i) & 1) << 4);
    }
  }
}

static inline void unpack_q8_0(const uint8_t *row, size_t group, size_t blocks, weights *w) {
  for (int b = 0; b < 4; b++) {
    const uint8_t *p = block_at(row, 4 * group + b, blocks, 34);
    both(w, b, HALF(load16(p)), 0);
    memcpy(w->q + 16 * b, p + 2, 16);
    memcpy(w->q + 64 + 16 * b, p + 18, 16);
  }
}

static inline void unpack_q4_k(const uint8_t *row, size_t group, size_t blocks, weights *w) {
  (void)blocks;
  const uint8_t *p = row + group / 2 * 144;
  const uint8_t *q = p + 16 + 64 * (group & 1);
  float d[4], m[4];
  scales_q4_k(p, (int)(group & 1), d, m);
  for (int b = 0; b < 4; b++) {
    both(w, b, d[b], m[b]);
    int shift = 4 * (b & 1);
    const uint8_t *from = q + 32 * (b >> 1);
    for (int i = 0; i < 16; i++) {
      w->q[16 * b + i] = from[i] >> shift & 15;
      w->q[64 + 16 * b + i] = from[16 + i] >> shift & 15;
    }
  }
}

static inline void unpack_q6_k(const uint8_t *row, size_t group, size_t blocks, weights *w) {
  (void)blocks;
  const uint8_t *p = row + group / 2 * 210;
  int half = (int)(group & 1);
  const uint8_t *low = p + 64 * half, *high = p + 128 + 32 * half;
  scales_q6_k(p, half, w->d);
  for (int i = 0; i < 8; i++) w->m[i] = -32 * w->d[i];
  for (int b = 0; b < 4; b++) {
    const uint8_t *from = low + 32 * (b & 1);
    int shift = 4 * (b >> 1);
    for (int i = 0; i < 16; i++) {
      w->q[16 * b + i] = (int8_t)((from[i] >> shift & 15) | (high[i] >> 2 * b & 3) << 4);
      w->q[64 + 16 * b + i] = (int8_t)((from[16 + i] >> shift & 15) | (high[16 + i] >> 2 * b & 3) << 4);
    }
  }
}

static inline float group_dot(const weights *w, const sky_q8 *a) {
  int32_t s[8];
  for (int b = 0; b < 8; b++) {
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) sum += w->q[16 * b + i] * a->q[16 * b + i];
    s[b] = sum;
  }
  float sum = 0;
  for (int b = 0; b < 4; b++) {
    sum += a->ds[2 * b] * (w->d[b] * (float)s[b] + w->d[4 + b] * (float)s[4 + b]);
    sum += w->m[b] * a->low[b] + w->m[4 + b] * (a->ds[2 * b + 1] - a->low[b]);
  }
  return sum;
}

// Several tokens for each time that weights are unpacked.
#define TILE 8
#define ROWS(TYPE, BLOCK)                                                                       \
  static void rows_##TYPE(const sky_matmul *job, size_t first, size_t count) {                  \
    size_t blocks = job->columns / BLOCK, groups = (job->columns + GROUP - 1) / GROUP;          \
    for (size_t r = first; r < first + count; r++) {                                            \
      const uint8_t *row = (const uint8_t *)job->weights + r * job->row_bytes;                  \
      for (size_t t = 0; t < job->tokens; t += TILE) {                                          \
        size_t n = job->tokens - t < TILE ? job->tokens - t : TILE;                             \
        const uint8_t *a = (const uint8_t *)job->activations + t * job->activation_stride;      \
        float sums[TILE] = {0};                                                                 \
        weights w;                                                                              \
        for (size_t g = 0; g < groups; g++) {                                                   \
          unpack_##TYPE(row, g, blocks, &w);                                                    \
          for (size_t k = 0; k < n; k++)                                                        \
            sums[k] += group_dot(&w, (const sky_q8 *)(a + k * job->activation_stride) + g);     \
        }                                                                                       \
        for (size_t k = 0; k < n; k++) job->out[(t + k) * job->out_stride + r] = sums[k];       \
      }                                                                                         \
    }                                                                                           \
  }
ROWS(q4_0, 32)
ROWS(q4_1, 32)
ROWS(q5_0, 32)
ROWS(q8_0, 32)
ROWS(q4_k, 32)
ROWS(q6_k, 32)

const sky_kernels sky_kernels_portable = KERNELS("portable");
