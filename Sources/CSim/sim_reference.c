// Counting references for a program of one thread. The simulator is built with -assume-single-threaded and so calls
// these, which the Embedded runtime of Swift does not have; its own, with locked instructions, took a third of the
// simulator's time. What an object looks like is that runtime's (EmbeddedRuntime.swift of Swift 6.3): a pointer to what
// knows how to end it, then the count, whose highest bit is for those that are not on the heap. With any other
// layout no simulation would get beyond its first step.
#include <stdint.h>

typedef struct {
  const void *const *kind;
  uintptr_t count;
} object;

/// In the place of a count: never counted, never ended.
static const uintptr_t immortal = UINTPTR_MAX >> 1;

void swift_release(object *it);
void *swift_bridgeObjectRetain(void *it);
void swift_bridgeObjectRelease(void *it);

static int is_counted(const object *it) {
  if (it == 0) return 0;
#if UINTPTR_MAX > UINT32_MAX
  if ((intptr_t)it < 0) return 0;  // not an object's address
#endif
  return (it->count & immortal) != immortal;
}

object *swift_nonatomic_retain_n(object *it, uint32_t n) {
  if (is_counted(it)) it->count += n;
  return it;
}

object *swift_nonatomic_retain(object *it) { return swift_nonatomic_retain_n(it, 1); }

void swift_nonatomic_release(object *it) {
  if (!is_counted(it)) return;
  // The last one ends it, which is the runtime's business.
  if ((it->count & immortal) == 1) return swift_release(it);
  it->count--;
}

void swift_nonatomic_release_n(object *it, uint32_t n) {
  while (n-- > 0) swift_nonatomic_release(it);
}

void *swift_nonatomic_bridgeObjectRetain(void *it) { return swift_bridgeObjectRetain(it); }
void swift_nonatomic_bridgeObjectRelease(void *it) { swift_bridgeObjectRelease(it); }
