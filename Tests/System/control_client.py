"""A client of the control socket, for control.py: one line at a time, with patience and no timing."""

import json
import os
import re
import socket
import time

PATIENCE = 30


class Line:
    """One client, line by line. Events are kept apart from replies."""

    def __init__(self, path=None, greet=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path or os.environ["SOCKET"])
        self.pending = b""
        self.lines = []
        self.events = []
        if greet:
            self.greeting = self.line()
            expect(re.fullmatch(r"SKYNOD 1 \d+\.\d+\.\d+", self.greeting), "greeting", self.greeting)

    def line(self):
        """The next line without its line feed; None at the end of the stream."""
        while not self.lines:
            got = self.socket.recv(65536)
            if not got:
                expect(self.pending == b"", "the stream ended inside a line", self.pending)
                return None
            *whole, self.pending = (self.pending + got).split(b"\n")
            self.lines = whole[::-1]
        return self.lines.pop().decode()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """Lines up to OK or ERR, that one included, without the events between replies."""
        lines = []
        while True:
            line = self.line()
            expect(line is not None, "the stream ended instead of a reply", lines)
            if re.match(r"(EVENT|LOST) \d+", line):
                self.events.append(line)
                continue
            lines.append(line)
            if line == "OK" or line.startswith("ERR "):
                return lines

    def ask(self, request):
        self.send(request + "\n")
        return self.reply()

    def good(self, request):
        lines = self.ask(request)
        expect(lines[-1] == "OK", request, lines)
        return lines[:-1]

    def fields(self, request):
        return dict(line.split("=", 1) for line in self.good(request))

    def fails(self, request, number, token):
        lines = self.ask(request)
        expect(re.fullmatch(rf"ERR {number} {token} \S.*", lines[-1]) and len(lines) == 1, request, lines)

    def json(self, request):
        """The one object that answers; events are kept apart here too."""
        self.send(request + "\n")
        while True:
            line = self.line()
            value = json.loads(line)
            if "event" not in value and "lost" not in value:
                return value

    def event(self, kind, holds=lambda fields: True):
        """The next event of this kind that holds, from those kept first."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            line = self.events.pop(0) if self.events else self.line()
            expect(line is not None, "the stream ended instead of an event", kind)
            words = line.split(" ")
            if words[0] == "EVENT" and words[2] == kind:
                fields = dict(word.split("=", 1) for word in words[3:])
                if holds(fields):
                    return fields
        raise AssertionError(f"no such event: {kind}")

    def ended(self):
        return self.line() is None


def expect(holds, what, seen=""):
    if not holds:
        text = "\n".join(seen) if isinstance(seen, list) else str(seen)
        raise AssertionError(f"{what}: {text[:2000]}")
