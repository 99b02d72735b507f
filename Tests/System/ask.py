"""A worker that is stopped, then one that is killed, in the middle of an answer: the error's name, and how soon."""
import os
import signal
import socket
import sys
import time

path, worker = sys.argv[1], int(sys.argv[2])


def interrupted(sig):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    lines = client.makefile("rb")
    assert lines.readline().startswith(b"SKYNOD 1 ")
    client.sendall(b"ask free tell me all about it\n")
    # By then the daemon knows how long a step takes.
    for _ in range(8):
        line = lines.readline()
        assert line.startswith(b"piece="), line
    os.kill(worker, sig)
    begun = time.monotonic()
    while line.startswith(b"piece="):
        line = lines.readline()
    took = time.monotonic() - begun
    print(line, f"{took * 1000:.0f} ms")
    assert took <= 1.2, took
    # The connection is good for more.
    client.sendall(b"version\n")
    assert lines.readline().startswith(b"version=")
    return line


line = interrupted(signal.SIGSTOP)
assert line.startswith(b"ERR 93 model_hung "), line
os.kill(worker, signal.SIGCONT)
line = interrupted(signal.SIGKILL)
assert line.startswith(b"ERR 92 model_failed "), line
