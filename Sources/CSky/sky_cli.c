#define _POSIX_C_SOURCE 200809L
#include "sky_cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int argument_count;
static char **arguments;

// glibc hands main's arguments to initialisers as well, in static programs too: Embedded Swift has
// no CommandLine on every target.
__attribute__((constructor)) static void keep_arguments(int argc, char **argv, char **envp) {
  (void)envp;
  argument_count = argc;
  arguments = argv;
}

void sky_cli_begin(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

int sky_cli_argument_count(void) { return argument_count; }

const char *sky_cli_argument(int index) {
  return index >= 0 && index < argument_count ? arguments[index] : "";
}

static int write_all(int fd, const char *at, size_t n, bool is_socket) {
  while (n > 0) {
    ptrdiff_t put = is_socket ? send(fd, at, n, MSG_NOSIGNAL) : write(fd, at, n);
    if (put > 0) {
      at += put;
      n -= (size_t)put;
    } else if (put < 0 && errno == EAGAIN) {
      struct pollfd wait = {.fd = fd, .events = POLLOUT};
      poll(&wait, 1, -1);
    } else if (put < 0 && errno != EINTR) {
      return -errno;
    }
  }
  return 0;
}

int sky_cli_write(int fd, const void *from, size_t n) { return write_all(fd, from, n, false); }

int sky_cli_send(int fd, const void *from, size_t n) { return write_all(fd, from, n, true); }

int sky_cli_wait(int first, int second, int timeout_ms) {
  struct pollfd waits[2] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
  int ready = poll(waits, 2, timeout_ms);
  if (ready < 0) return -errno;
  return (waits[0].revents ? 1 : 0) | (waits[1].revents ? 2 : 0);
}

void sky_cli_sleep_ms(int ms) {
  struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  nanosleep(&time, NULL);
}

bool sky_cli_is_terminal(int fd) { return isatty(fd) == 1; }

bool sky_cli_terminal_size(int *columns, int *rows) {
  struct winsize size;
  if (ioctl(1, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0) return false;
  *columns = size.ws_col;
  *rows = size.ws_row;
  return true;
}

static struct termios before;
static bool in_view;
static volatile sig_atomic_t interrupted;

static void note_signal(int number) {
  (void)number;
  interrupted = 1;
}

void sky_cli_note_interrupts(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = note_signal;  // no SA_RESTART: waiting ends
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGHUP, &action, NULL);
}

int sky_cli_view_begin(void) {
  if (tcgetattr(0, &before) < 0) return -errno;
  sky_cli_note_interrupts();
  struct termios raw = before;
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  if (tcsetattr(0, TCSANOW, &raw) < 0) return -errno;
  in_view = true;
  // Other screen, no cursor, no wrapping of long lines.
  static const char enter[] = "\033[?1049h\033[?25l\033[?7l\033[H\033[2J";
  return sky_cli_write(1, enter, sizeof enter - 1);
}

void sky_cli_view_end(void) {
  if (!in_view) return;
  in_view = false;
  static const char leave[] = "\033[?7h\033[?25h\033[?1049l";
  sky_cli_write(1, leave, sizeof leave - 1);
  tcsetattr(0, TCSANOW, &before);
}

bool sky_cli_interrupted(void) { return interrupted != 0; }
