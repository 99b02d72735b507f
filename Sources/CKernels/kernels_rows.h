// Products of rows of quantised weights with 8-bit activations, for the sets that have vector code for them. Included by
// kernels_*.c behind these of their own:
//
//   group4                        128 weights, a scale and a minimum for each of their blocks
//   nibbles, scales, minima,      what its parts are of the four blocks at `p`: 4-bit weights from byte `offset` on; scales
//   fifths, whole                 and `multiple` times each as its minimum; scales and minima as they are stored; the fifth
//                                 bits of Q5_0, from byte 2 on; 8-bit weights, from byte 2 on
//   WHOLE_MULTIPLE                of a scale of Q8_0, as the minimum that its weights want
//   load_q4_k(superblock, half)   128 weights of a superblock
//   row_sums                      what is added up for one token along a row
//   no_sums(), finish(&sums)      at a row's start, and the number at its end
//   step, step_signed             (&weights, &activations, &sums); the other one where weights are signed
//   MANY                          for how many tokens at once weights are unpacked

#define STEP_OF(TOKENS, GROUP_TYPE, STEP, LOADED)                                                  \
  {                                                                                                \
    GROUP_TYPE w = LOADED;                                                                         \
    for (size_t k = 0; k < TOKENS; k++) STEP(&w, (const sky_q8 *)(a + k * job->activation_stride) + g, &sums[k]); \
  }
#define GROUPS_OF_BLOCKS(TOKENS, TYPE, SIZE, GROUP_TYPE, STEP)                                     \
  for (; g < groups; g++) STEP_OF(TOKENS, GROUP_TYPE, STEP, load_##TYPE(row + g * (4 * SIZE), 4))  \
  if (rest) STEP_OF(TOKENS, GROUP_TYPE, STEP, load_##TYPE(row + g * (4 * SIZE), rest))
#define GROUPS_OF_SUPERBLOCKS(TOKENS, TYPE, SIZE, GROUP_TYPE, STEP)                                \
  for (; g < groups; g++) STEP_OF(TOKENS, GROUP_TYPE, STEP, load_##TYPE(row + g / 2 * SIZE, g & 1))
#define TOKENS_OF_ROW(TOKENS, GROUPS_OF, TYPE, SIZE, GROUP_TYPE, STEP)                             \
  for (; t + TOKENS <= job->tokens; t += TOKENS) {                                                 \
    const uint8_t *a = (const uint8_t *)job->activations + t * job->activation_stride;             \
    row_sums sums[TOKENS];                                                                         \
    for (size_t k = 0; k < TOKENS; k++) sums[k] = no_sums();                                       \
    size_t g = 0;                                                                                  \
    GROUPS_OF(TOKENS, TYPE, SIZE, GROUP_TYPE, STEP)                                                \
    for (size_t k = 0; k < TOKENS; k++) job->out[(t + k) * job->out_stride + r] = finish(&sums[k]); \
  }
#define ROWS(GROUPS_OF, TYPE, SIZE, GROUP_TYPE, STEP)                                              \
  static void rows_##TYPE(const sky_matmul *job, size_t first, size_t count) {                     \
    size_t groups = job->columns / GROUP, rest = job->columns % GROUP / 32;                        \
    (void)rest;                                                                                    \
    for (size_t r = first; r < first + count; r++) {                                               \
      const uint8_t *row = (const uint8_t *)job->weights + r * job->row_bytes;                     \
      size_t t = 0;                                                                                \
      TOKENS_OF_ROW(MANY, GROUPS_OF, TYPE, SIZE, GROUP_TYPE, STEP)                                 \
      TOKENS_OF_ROW(1, GROUPS_OF, TYPE, SIZE, GROUP_TYPE, STEP)                                    \
    }                                                                                              \
  }

/// Where the four blocks of a group are.
static inline void places(const uint8_t *first, size_t left, size_t size, const uint8_t *p[4]) {
  for (size_t b = 0; b < 4; b++) p[b] = first + (b < left ? b : left - 1) * size;
}

// Behind a row's last block the same again: activations there are zero.
#define LOAD(TYPE, SIZE, PARTS)                                                                    \
  static inline group4 load_##TYPE(const uint8_t *first, size_t left) {                            \
    const uint8_t *p[4];                                                                           \
    group4 g;                                                                                      \
    places(first, left, SIZE, p);                                                                  \
    PARTS                                                                                          \
    return g;                                                                                      \
  }
LOAD(q4_0, 18, nibbles(&g, p, 2); scales(&g, p, -8);)
LOAD(q4_1, 20, nibbles(&g, p, 4); minima(&g, p);)
LOAD(q5_0, 22, nibbles(&g, p, 6); fifths(&g, p); scales(&g, p, -16);)
LOAD(q8_0, 34, whole(&g, p); scales(&g, p, WHOLE_MULTIPLE);)
ROWS(GROUPS_OF_BLOCKS, q4_0, 18, group4, step)
ROWS(GROUPS_OF_BLOCKS, q4_1, 20, group4, step)
ROWS(GROUPS_OF_BLOCKS, q5_0, 22, group4, step)
ROWS(GROUPS_OF_BLOCKS, q8_0, 34, group4, step_signed)
ROWS(GROUPS_OF_SUPERBLOCKS, q4_k, 144, group4, step)
