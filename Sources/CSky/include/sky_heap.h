// The heap of a board program: one fixed arena behind malloc, counted, never growing.
#ifndef SKY_HEAP_H
#define SKY_HEAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint64_t allocations;  ///< calls that returned memory since start
  uint64_t frees;        ///< blocks given back since start
  uint64_t refusals;     ///< calls that found no room
  size_t used_bytes;     ///< in use now, headers included
  size_t peak_bytes;     ///< most ever in use
  size_t arena_bytes;    ///< the fixed size; 0 where the host's own malloc serves (regular flavour)
} sky_heap_counts;

/// Counts since the program started. All zero in the regular flavour, which keeps the host's malloc.
sky_heap_counts sky_heap_read(void);
/// The calling thread may not use the heap from now on: the arena has no lock. A board program that
/// breaks this stops at once; in the regular flavour nothing is checked.
void sky_heap_forbid(void);

/// Lets go of the program's own code and constants: they leave this process's page tables and come back from
/// the page cache, or the card, where they are needed again. For the moment after a link has come up, when
/// most of what was mapped served the start and the handshake. Nothing in the regular flavour.
void sky_code_release(void);
/// Gives back to the kernel what the main thread's stack and the arena hold and nobody can see any more: pages below
/// this frame, of free blocks, and those of blocks in use that are all zero. For the loop, between two events, while no
/// other thread writes into the arena. Nothing in the regular flavour.
void sky_memory_release(void);

#endif
