// Products of rows of quantised weights with 8-bit activations, for the sets that have vector code for them. Included
// after kernels_common.h by kernels_*.c, which define:
//
//   row_sums                      what is added up for one token along a row
//   no_sums(), finish(&sums)      at a row's start, and the number at its end
//   load_TYPE(first, left)        128 weights of a row from block `first` on, of which `left` blocks are the row's:
//                                 behind its last block the same again, for activations there are zero
//   load_TYPE(superblock, half)   the same for K types
//   a STEP(&weights, &activations, &sums)
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
