#!/usr/bin/env python3
"""Runs one command in a guest, through a shell on a serial line: guest.py SOCKET SECONDS COMMAND

SOCKET is the Unix socket that QEMU keeps for the line. Prints what the command printed and ends with its exit
status; 124 when there was no answer within SECONDS.
"""
import os
import re
import socket
import sys
import time


def main() -> int:
    path, seconds, command = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    end = time.monotonic() + seconds
    mark = os.urandom(4).hex()
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.connect(path)
    # The line may echo what is sent; the marks appear in it with %s in their place.
    begin, close = "<%s>" % mark, "</%s " % mark
    text = " stty -echo -onlcr 2>/dev/null; export TERM=dumb SYSTEMD_PAGER=cat SYSTEMD_COLORS=0; printf '<%%s>\\n' %s; { %s\n } 2>&1; printf '</%%s %%d>\\n' %s $?\n" % (
        mark, command, mark)
    received = ""
    sent = 0.0
    while time.monotonic() < end:
        # The shell may not be there yet; until it has begun, the command is sent again.
        if begin not in received and time.monotonic() - sent > 15:
            line.sendall(text.encode())
            sent = time.monotonic()
        line.settimeout(max(0.1, min(1, end - time.monotonic())))
        try:
            data = line.recv(65536)
        except (TimeoutError, socket.timeout):
            continue
        if not data:
            break
        received += data.decode(errors="replace")
        found = re.search(re.escape(close) + r"(\d+)>", received)
        if found:
            output = received[received.index(begin) + len(begin):found.start()]
            sys.stdout.write(re.sub(r"\r", "", output).lstrip("\n"))
            return int(found.group(1))
    sys.stderr.write("no answer from the guest within %g s; last: %r\n" % (seconds, received[-300:]))
    return 124


sys.exit(main())
