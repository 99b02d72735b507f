#define _GNU_SOURCE
#include "sim_host.h"

#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t at_seed, at_step, at_ms;

void sim_note(uint64_t seed, uint64_t step, uint64_t now_ms) {
  at_seed = seed;
  at_step = step;
  at_ms = now_ms;
}

static char *put_text(char *to, const char *text) {
  while (*text) *to++ = *text++;
  return to;
}

static char *put_number(char *to, uint64_t n) {
  char digits[20];
  int count = 0;
  do digits[count++] = (char)('0' + n % 10);
  while (n /= 10);
  while (count > 0) *to++ = digits[--count];
  return to;
}

// Only what a signal handler may do.
static void trapped(int signal) {
  char line[200];
  char *to = put_text(line, "FAILED seed ");
  to = put_number(to, at_seed);
  to = put_text(to, " step ");
  to = put_number(to, at_step);
  to = put_text(to, " at ");
  to = put_number(to, at_ms);
  to = put_text(to, " ms: the code stopped itself, or crashed (signal ");
  to = put_number(to, (uint64_t)signal);
  to = put_text(to, ")\n");
  ssize_t ignored = write(1, line, (size_t)(to - line));
  (void)ignored;
  _exit(1);
}

void sim_watch_traps(void) {
  static char stack[65536] __attribute__((aligned(16)));
  stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&other, NULL);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = trapped;
  action.sa_flags = SA_ONSTACK;
  const int signals[] = {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
  for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &action, NULL);
}

uint64_t sim_elapsed_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// The linker leads every call here (--wrap in Package.swift): malloc's own statistics count what it keeps for later.
static uint64_t heap_bytes;
uint64_t sim_heap_bytes(void) { return heap_bytes; }

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *old, size_t n);
int __real_posix_memalign(void **out, size_t alignment, size_t n);
void __real_free(void *memory);

static void *counted(void *memory) {
  heap_bytes += malloc_usable_size(memory);
  return memory;
}

void *__wrap_malloc(size_t n) { return counted(__real_malloc(n)); }
void *__wrap_calloc(size_t count, size_t n) { return counted(__real_calloc(count, n)); }

void *__wrap_realloc(void *old, size_t n) {
  heap_bytes -= malloc_usable_size(old);
  void *memory = __real_realloc(old, n);
  return counted(memory ? memory : old);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t n) {
  int result = __real_posix_memalign(out, alignment, n);
  if (result == 0) counted(*out);
  return result;
}

void __wrap_free(void *memory) {
  heap_bytes -= malloc_usable_size(memory);
  __real_free(memory);
}
