// What a command line program needs from the system: its arguments, its terminal, waiting.
#ifndef SKY_CLI_H
#define SKY_CLI_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Call first. A parent with threads of its own often starts programs with every signal blocked, SIGTERM
/// among them: this undoes it.
void sky_cli_begin(void);

/// The program's arguments, the program's name first. They live as long as the process.
int sky_cli_argument_count(void);
const char *sky_cli_argument(int index);

/// Writes all `n` bytes, waiting as long as it takes. 0, or negative errno.
int sky_cli_write(int fd, const void *from, size_t n);

/// The same to a socket: a peer that has gone is an error, and not the end of this program.
int sky_cli_send(int fd, const void *from, size_t n);

/// Waits until one of two descriptors can be read or has failed; -1 for a descriptor means none.
/// Bit 0 and bit 1 say which; 0 when `timeout_ms` passed (negative: no limit); -EINTR on a signal.
int sky_cli_wait(int first, int second, int timeout_ms);
void sky_cli_sleep_ms(int ms);

bool sky_cli_is_terminal(int fd);
/// Size in characters; false when it is not known.
bool sky_cli_terminal_size(int *columns, int *rows);
/// From here on signals that end the program are noted instead, and end what it waits for.
void sky_cli_note_interrupts(void);
/// Takes over the terminal for a redrawn view: other screen, no cursor, no line editing; signals that
/// end the program are noted instead. 0, or negative errno. `sky_cli_view_end` undoes it all.
int sky_cli_view_begin(void);
void sky_cli_view_end(void);
/// True once such a signal came.
bool sky_cli_interrupted(void);

#endif
