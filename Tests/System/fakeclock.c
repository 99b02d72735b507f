// Runs a program that sees another wall clock; every other clock stays as it is.
//
//   fakeclock FILE PROGRAM [ARGUMENT]...
//
// FILE holds a whole number of seconds, read anew at every look at the clock: by so much the program's
// CLOCK_REALTIME differs from the machine's. Works on static programs and on emulators, where preloaded
// libraries do not: a second process traces the program, hides the kernel's vDSO from it, so that it has to
// make system calls to learn the time, and changes what they answer. The program keeps the process id that
// was started here, its signals and its exit status.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// The C library's own header for this cannot be had together with the kernel's, which names more.
static long ptrace(long request, pid_t pid, uint64_t address, const void *data) {
  return syscall(SYS_ptrace, request, pid, address, data);
}

static const char *offset_file;

static int64_t offset_s(void) {
  char text[32] = "0";
  int fd = open(offset_file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  return n > 0 ? strtoll(text, NULL, 10) : 0;
}

static ssize_t peek(pid_t pid, uint64_t at, void *out, size_t n) {
  struct iovec here = {out, n}, there = {(void *)(uintptr_t)at, n};
  return process_vm_readv(pid, &here, 1, &there, 1, 0);
}

static ssize_t poke(pid_t pid, uint64_t at, void *from, size_t n) {
  struct iovec here = {from, n}, there = {(void *)(uintptr_t)at, n};
  return process_vm_writev(pid, &here, 1, &there, 1, 0);
}

static struct ptrace_syscall_info call_info(pid_t pid) {
  struct ptrace_syscall_info info = {0};
  ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
  return info;
}

// At exec the stack holds argc, arguments, a null, the environment, a null, and the auxiliary vector.
static void hide_vdso(pid_t pid) {
  uint64_t at = call_info(pid).stack_pointer + 8, word = 1;
  for (int nulls = 0; nulls < 2; at += 8) {
    if (peek(pid, at, &word, 8) != 8) _exit(99);
    if (word == 0) nulls++;
  }
  Elf64_auxv_t entry = {.a_type = 1};
  for (; entry.a_type != AT_NULL; at += sizeof entry) {
    if (peek(pid, at, &entry, sizeof entry) != sizeof entry) _exit(99);
    if (entry.a_type != AT_SYSINFO_EHDR) continue;
    entry.a_type = AT_IGNORE;
    poke(pid, at, &entry, sizeof entry);
  }
}

static void shift(pid_t pid, uint64_t at) {
  int64_t seconds;
  if (at == 0 || peek(pid, at, &seconds, 8) != 8) return;
  seconds += offset_s();
  poke(pid, at, &seconds, 8);
}

// What each thread is inside of; there are two or three.
static struct {
  pid_t thread;
  struct ptrace_syscall_info entry;
} calls[64];

static void system_call(pid_t thread) {
  int i = 0;
  while (i < 63 && calls[i].thread != 0 && calls[i].thread != thread) i++;
  struct ptrace_syscall_info info = call_info(thread);
  if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
    calls[i].thread = thread;
    calls[i].entry = info;
    return;
  }
  if (info.op != PTRACE_SYSCALL_INFO_EXIT || info.exit.is_error || calls[i].thread != thread) return;
  const uint64_t *argument = (const uint64_t *)calls[i].entry.entry.args;
  switch (calls[i].entry.entry.nr) {
    case SYS_clock_gettime:
      if (argument[0] == CLOCK_REALTIME || argument[0] == CLOCK_REALTIME_COARSE) shift(thread, argument[1]);
      break;
    case SYS_gettimeofday: shift(thread, argument[0]); break;
#ifdef SYS_time
    // Only x86-64 has this one; the answer is in a register, and in memory too if asked for.
    case SYS_time:
      ptrace(PTRACE_POKEUSR, thread, offsetof(struct user_regs_struct, rax),
             (const void *)(intptr_t)(info.exit.rval + offset_s()));
      shift(thread, argument[0]);
      break;
#endif
  }
}

static void trace(pid_t program) {
  int status;
  pid_t thread;
  while ((thread = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
    if (thread <= 0 || !WIFSTOPPED(status)) continue;
    int number = WSTOPSIG(status), event = status >> 16;
    intptr_t deliver = 0;
    if (number == (SIGTRAP | 0x80))
      system_call(thread);
    else if (event == PTRACE_EVENT_EXEC)
      hide_vdso(program);
    else if (event == PTRACE_EVENT_STOP && (number == SIGSTOP || number == SIGTSTP)) {
      ptrace(PTRACE_LISTEN, thread, 0, 0);  // stays stopped, as it was told to
      continue;
    } else if (event == 0)
      deliver = number;
    ptrace(PTRACE_SYSCALL, thread, 0, (const void *)deliver);
  }
}

int main(int count, char **arguments) {
  if (count < 3) return 64;
  offset_file = arguments[1];
  int go[2];
  if (pipe2(go, O_CLOEXEC) != 0) return 99;
  pid_t program = getpid(), child = fork();
  if (child < 0) return 99;
  if (child == 0) {
    // A child of nobody here: the program must not find one that it did not start.
    if (fork() != 0) _exit(0);
    char ready;
    close(go[1]);
    if (read(go[0], &ready, 1) != 1) _exit(99);
    intptr_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, program, 0, (const void *)options) != 0) {
      perror("fakeclock: ptrace");
      kill(program, SIGKILL);
      _exit(99);
    }
    kill(program, SIGCONT);
    trace(program);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  if (write(go[1], "x", 1) != 1) return 99;
  // Execution must not begin before it is traced.
  char line[64], *tracer = NULL;
  for (;;) {
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) return 99;
    while (!tracer && fgets(line, sizeof line, file))
      if (strncmp(line, "TracerPid:", 10) == 0) tracer = strtol(line + 10, NULL, 10) != 0 ? line : NULL;
    fclose(file);
    if (tracer) break;
    usleep(1000);
  }
  execvp(arguments[2], arguments + 2);
  perror("fakeclock");
  return 99;
}
