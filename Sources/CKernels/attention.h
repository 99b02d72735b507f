// Attention, for every set of kernels. Included by kernels_common.h.
//
// Keys lie in blocks of 16 positions, number by number, so that the scores of 16 positions come out as one vector and
// nothing has to be added across its lanes. Up to four queries that see the same keys are worked on at once: each key and
// value is then turned into floats once for all of them.

typedef float lanes16 __attribute__((ext_vector_type(16), aligned(4)));

static inline size_t window_start(const sky_attention *job, size_t end) {
  return end > job->window ? end - job->window : 0;
}

/// `scores`: a row for each query, `row` floats apart, of the positions from `begin` (a multiple of 16) on.
static inline __attribute__((always_inline)) void score(const sky_attention *job, const int n, size_t begin, size_t row) {
#ifdef WIDE
  const int parts = 2;
#else
  const int parts = n > 2 ? 1 : 2;
#endif
  for (size_t p = begin; p < row; p += 16) {
    const uint16_t *keys = job->keys + p * job->size;
    lanes16 sums[4][2];
    for (int k = 0; k < n; k++) sums[k][0] = sums[k][1] = 0;
    for (size_t i = 0; i < job->size; i += (size_t)parts) {
      for (int part = 0; part < parts; part++) {
        lanes16 key;
        halves16(keys + 16 * (i + (size_t)part), (float *)&key);
        for (int k = 0; k < n; k++) sums[k][part] += job->queries[(size_t)k * job->stride + i + (size_t)part] * key;
      }
    }
    for (int k = 0; k < n; k++) *(lanes16 *)(job->scores + (size_t)k * row + p) = (sums[k][0] + sums[k][1]) * job->scale;
  }
}

/// Scores become weights, which add up to one; those of positions that the query does not see become zero.
static inline void soften(float *scores, size_t first, size_t begin, size_t end, size_t last) {
  for (size_t p = first; p < begin; p++) scores[p] = 0;
  for (size_t p = end; p < last; p++) scores[p] = 0;
  float most = scores[begin], total = 0;
  for (size_t p = begin; p < end; p++) most = scores[p] > most ? scores[p] : most;
  for (size_t p = begin; p < end; p++) {
    scores[p] = quick_exp(scores[p] - most);
    total += scores[p];
  }
  float inverse = 1 / total;
  for (size_t p = begin; p < end; p++) scores[p] *= inverse;
}

/// 16 times `vectors` numbers of the result, from number `at` on.
static inline __attribute__((always_inline)) void mix(
  const sky_attention *job, const int n, const int vectors, size_t at, size_t begin, size_t end, size_t row) {
  lanes16 sums[4][4];
  for (int k = 0; k < n; k++)
    for (int v = 0; v < vectors; v++) sums[k][v] = 0;
  for (size_t p = begin; p < end; p++) {
    for (int v = 0; v < vectors; v++) {
      lanes16 value;
      halves16(job->values + p * job->size + at + 16 * (size_t)v, (float *)&value);
      for (int k = 0; k < n; k++) sums[k][v] += job->scores[(size_t)k * row + p] * value;
    }
  }
  for (int k = 0; k < n; k++)
    for (int v = 0; v < vectors; v++) *(lanes16 *)(job->out + (size_t)k * job->stride + at + 16 * (size_t)v) = sums[k][v];
}

/// The last eight, when the size is no multiple of 16.
static void mix_eight(const sky_attention *job, size_t at, size_t begin, size_t end, size_t row) {
  for (size_t k = 0; k < job->count; k++) {
    float sums[8] = {0};
    for (size_t p = begin; p < end; p++)
      for (size_t i = 0; i < 8; i++) sums[i] += job->scores[k * row + p] * HALF(job->values[p * job->size + at + i]);
    memcpy(job->out + k * job->stride + at, sums, sizeof sums);
  }
}

static inline __attribute__((always_inline)) void attend_together(const sky_attention *job, const int n) {
#ifdef WIDE
  const int vectors = n == 1 ? 4 : 2;
#else
  const int vectors = n == 1 ? 4 : n == 2 ? 2 : 1;
#endif
  size_t begin = window_start(job, job->end), end = job->end + (size_t)(n - 1) * job->step;
  size_t row = (end + 15) & ~(size_t)15;
  score(job, n, begin & ~(size_t)15, row);
  for (int k = 0; k < n; k++) {
    size_t own = job->end + (size_t)k * job->step;
    soften(job->scores + (size_t)k * row, begin, window_start(job, own), own, end);
  }
  size_t at = 0, width = 16 * (size_t)vectors;
  for (; at + width <= job->size; at += width) mix(job, n, vectors, at, begin, end, row);
  for (; at + 16 <= job->size; at += 16) mix(job, n, 1, at, begin, end, row);
  if (at < job->size) mix_eight(job, at, begin, end, row);
}

static void attend(const sky_attention *job) {
  switch (job->count) {
    case 1: attend_together(job, 1); break;
    case 2: attend_together(job, 2); break;
    case 3: attend_together(job, 3); break;
    case 4: attend_together(job, 4); break;
    default: break;
  }
}

static void store_key(const float *x, size_t n, uint16_t *keys, size_t position) {
  uint16_t *block = keys + position / 16 * 16 * n + position % 16;
  for (size_t i = 0; i < n; i++) block[16 * i] = TO_HALF(x[i]);
}
