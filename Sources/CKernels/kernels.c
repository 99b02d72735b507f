#include "sky_kernels.h"

#include <math.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

extern const sky_kernels sky_kernels_portable;
#if defined(__x86_64__)
extern const sky_kernels sky_kernels_ssse3, sky_kernels_avx2, sky_kernels_avx512;
#elif defined(__ARM_NEON)
extern const sky_kernels sky_kernels_neon, sky_kernels_dotprod;
#endif

// Whether the processor, and the system, which must keep the wider registers, can run a set.
static bool can_run(const sky_kernels *kernels) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (kernels == &sky_kernels_ssse3) return __builtin_cpu_supports("ssse3");
  if (kernels == &sky_kernels_avx2) return has_avx2;
  if (kernels == &sky_kernels_avx512) {
    return has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
  }
#elif defined(__aarch64__)
  if (kernels == &sky_kernels_dotprod) return getauxval(AT_HWCAP) & (1ul << 20);  // HWCAP_ASIMDDP
#endif
  (void)kernels;
  return true;
}

const sky_kernels *sky_kernels_choose(const char *name) {
  static const sky_kernels *const best_first[] = {
#if defined(__x86_64__)
      &sky_kernels_avx512, &sky_kernels_avx2, &sky_kernels_ssse3,
#elif defined(__aarch64__)
      &sky_kernels_dotprod, &sky_kernels_neon,
#elif defined(__ARM_NEON)
      &sky_kernels_neon,
#endif
      &sky_kernels_portable,
  };
  for (size_t i = 0; i < sizeof best_first / sizeof *best_first; i++) {
    const sky_kernels *kernels = best_first[i];
    if ((!name || strcmp(name, kernels->name) == 0) && can_run(kernels)) return kernels;
  }
  return NULL;
}

void sky_rope_angles(float *cosines, float *sines, size_t size, double base, double position, const float *factors) {
  for (size_t i = 0; i < size / 2; i++) {
    double angle = position * pow(base, -2.0 * (double)i / (double)size);
    if (factors) angle /= (double)factors[i];
    cosines[i] = (float)cos(angle);
    sines[i] = (float)sin(angle);
  }
}

float sky_exp(float x) { return expf(x); }
