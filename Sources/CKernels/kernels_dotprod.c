// kernels_neon.c with the dot-product instructions.
#if defined(__aarch64__)
#define KERNELS_DOTPROD
#include "kernels_neon.c"
#endif
typedef int sky_kernels_dotprod_is_not_empty;
