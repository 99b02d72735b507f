"""A worker in the middle of an answer. ask.py SOCKET PID interrupted|slow

interrupted: it is stopped, then killed: the error's name, and how soon.
slow: it gets on for a moment twice a second only, and is not called hung."""
import os
import signal
import socket
import sys
import threading
import time

path, worker, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
QUESTION = b"ask free " + b"tell me all about it " * 8 + b"\n"


def ask():
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    lines = client.makefile("rb")
    assert lines.readline().startswith(b"SKYNOD 1 ")
    client.sendall(QUESTION)
    return client, lines


def interrupted(sig):
    # A small model may be done before the signal is there; one that was told to leave an answer is busy for a moment.
    for _ in range(20):
        time.sleep(0.1)
        client, lines = ask()
        for _ in range(4):
            line = lines.readline()
            assert line.startswith(b"piece="), line
        os.kill(worker, sig)
        begun = time.monotonic()
        while line.startswith(b"piece="):
            line = lines.readline()
        took = time.monotonic() - begun
        if line.startswith(b"ERR "):
            break
        assert sig == signal.SIGSTOP, line
        os.kill(worker, signal.SIGCONT)
    print(line, f"{took * 1000:.0f} ms")
    # The goal is a second; this machine may be doing other things.
    assert took <= 3, took
    # The connection is good for more.
    client.sendall(b"version\n")
    assert lines.readline().startswith(b"version=")
    return line


def pulse(ended):
    while not ended.wait(0.1):
        os.kill(worker, signal.SIGSTOP)
        ended.wait(0.4)
        os.kill(worker, signal.SIGCONT)


if what == "interrupted":
    line = interrupted(signal.SIGSTOP)
    assert line.startswith(b"ERR 93 model_hung "), line
    os.kill(worker, signal.SIGCONT)
    line = interrupted(signal.SIGKILL)
    assert line.startswith(b"ERR 92 model_failed "), line
else:
    ended = threading.Event()
    pulsing = threading.Thread(target=pulse, args=(ended,))
    pulsing.start()
    try:
        begun = time.monotonic()
        client, lines = ask()
        line = lines.readline()
        while not line.startswith((b"OK", b"ERR")):
            line = lines.readline()
    finally:
        ended.set()
        pulsing.join()
    took = time.monotonic() - begun
    print(line, f"{took * 1000:.0f} ms")
    assert line == b"OK\n" and took >= 0.5, (line, took)
