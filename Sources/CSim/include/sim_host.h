// What the simulator needs from the machine: the truth about a crash, how long it has run, how much of the heap is
// in use. None of it goes into a simulation.
#ifndef SIM_HOST_H
#define SIM_HOST_H
#include <stdbool.h>
#include <stdint.h>

/// From here on a trap in the code under test ends the program with status 1 and a line that says where the
/// simulation was.
void sim_watch_traps(void);
/// Where it is. Called with every step.
void sim_note(uint64_t seed, uint64_t step, uint64_t now_ms);

uint64_t sim_elapsed_ms(void);
/// Bytes that the program's allocations take now, exactly (in the regular flavour without those of Swift's runtime).
uint64_t sim_heap_bytes(void);

/// False, as at the start: the primitives of sky_crypto.h are replaced by cheap ones (sim_crypto.c).
void sim_use_real_crypto(bool is_real);
/// A defect planted on purpose: opening a sealed record no longer compares the tag.
void sim_plant_unchecked_tags(void);

#endif
