// The arithmetic of inference: products of quantised matrices with 8-bit activations, attention over a
// half-precision cache, and the element-wise functions. Pure computation: no memory is allocated, nothing
// is checked. Callers check shapes once, when a model is loaded.
//
// One of several sets of functions is chosen at start, by what the processor can do. Their integer parts
// agree exactly; sums of floats may differ in the last bits, because they are added in another order.
#ifndef SKY_KERNELS_H
#define SKY_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Numbers of tensor types as they stand in a GGUF file.
enum {
  SKY_TYPE_F32 = 0,
  SKY_TYPE_F16 = 1,
  SKY_TYPE_Q4_0 = 2,
  SKY_TYPE_Q4_1 = 3,
  SKY_TYPE_Q5_0 = 6,
  SKY_TYPE_Q8_0 = 8,
  SKY_TYPE_Q4_K = 12,
  SKY_TYPE_Q6_K = 14,
};

/// 128 activations as 8-bit numbers, in four blocks of 32. The first halves of the blocks come first, then
/// the second halves: so lie the weights once their nibbles are apart.
typedef struct {
  int8_t q[128];   ///< 16 of block 0, 16 of block 1, …; from 64 on the second halves
  float ds[8];     ///< for each block: its scale, and scale times the sum of its numbers
  float low[4];    ///< for each block: scale times the sum of its first half
  float unused[4]; ///< whole cache lines
} sky_q8;

/// One product: `tokens` vectors of activations with rows of a matrix.
typedef struct {
  uint32_t type;
  const void *weights;
  size_t row_bytes;
  size_t columns;            ///< a multiple of 32, or of 256 for the K types; any number for F32 and F16
  const void *activations;   ///< sky_q8 for quantised types, else float
  size_t activation_stride;  ///< bytes from one token's activations to the next one's
  size_t tokens;
  float *out;                ///< one float a row
  size_t out_stride;         ///< floats from one token's results to the next one's
} sky_matmul;

/// Attention of up to four queries that look at the same keys: for each softmax(scale * q·K) V. They are heads that share
/// a key, or tokens that follow each other.
typedef struct {
  const float *queries;
  size_t stride;           ///< floats from one query to the next, and from one result to the next
  size_t count;            ///< of queries, 1 to 4
  const uint16_t *keys;    ///< half precision: blocks of 16 positions, in each `size` times the numbers of 16 positions
  const uint16_t *values;  ///< half precision, one position after the other
  size_t end;              ///< how many positions the first query sees
  size_t step;             ///< how many more each further one sees, 0 or 1
  size_t window;           ///< of those only so many of the last
  size_t size;             ///< of a head, a multiple of 8
  float scale;
  float *scores;           ///< room for `count` times the positions, rounded up to 16
  float *out;
} sky_attention;

typedef struct {
  const char *name;
  /// Rows `first` to `first + count`.
  void (*matmul)(const sky_matmul *job, size_t first, size_t count);
  /// `n` is a multiple of 32; blocks up to the next multiple of 128 become zero.
  void (*quantise)(const float *x, size_t n, sky_q8 *out);
  void (*attend)(const sky_attention *job);
  void (*store_half)(const float *x, size_t n, uint16_t *out);
  /// A position's key of `n` numbers into the blocks of `sky_attention`.
  void (*store_key)(const float *x, size_t n, uint16_t *keys, size_t position);
  /// x / sqrt(mean(x²) + epsilon) * weight
  void (*rms_norm)(const float *x, const float *weight, size_t n, float epsilon, float *out);
  /// (x - mean) / sqrt(variance + epsilon) * weight + bias, in place
  void (*layer_norm)(float *x, const float *weight, const float *bias, size_t n, float epsilon);
  /// gate = silu(gate) * up
  void (*silu_multiply)(float *gate, const float *up, size_t n);
  /// gate = gelu(gate) * up, by the tanh formula
  void (*gelu_multiply)(float *gate, const float *up, size_t n);
  /// gelu by the error function, in place
  void (*gelu_erf)(float *x, size_t n);
  void (*add)(float *x, const float *y, size_t n);
  void (*scale)(float *x, float factor, size_t n);
} sky_kernels;

/// The set with this name ("portable", "ssse3", "avx2", "avx512", "neon", "dotprod"), or the best one for NULL. NULL
/// when the processor cannot run it.
const sky_kernels *sky_kernels_choose(const char *name);

/// cos and sin of position / base^(2 i / size) for i below size / 2, each divided by `factors[i]` unless NULL.
void sky_rope_angles(float *cosines, float *sines, size_t size, double base, double position, const float *factors);
/// exp of one number, as the C library computes it.
float sky_exp(float x);

#endif
