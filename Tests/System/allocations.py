"""A client of two nodes' control sockets for Tests/System/allocations. Python's standard library only.

    allocations.py SOCKET_A SOCKET_B HEARTBEATS REQUESTS     the steady state: prints allocations of both nodes
    allocations.py --rekeys SOCKET N                         the same over N key renewals of one node

Everything that was asked for must be answered as docs/control.md says, or the exit status is 1.
"""
import json
import socket
import sys
import time

PATIENCE_S = 150


class Client:
    """One connection. Events that come between replies are counted apart."""

    def __init__(self, path, form="text"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        self.events = 0
        self.json = False
        greeting = self.lines.readline()
        if not greeting.startswith(b"SKYNOD 1 "):
            raise SystemExit(f"unexpected greeting: {greeting!r}")
        if form == "json":
            self.ask("json on")
            self.json = True

    def ask(self, request):
        """The reply's lines. An error reply ends with its ERR line, or is the object with ok false."""
        self.socket.sendall(request.encode() + b"\n")
        reply = []
        while True:
            line = self.lines.readline()
            if not line.endswith(b"\n"):
                raise SystemExit(f"{request!r}: the connection ended")
            if line.startswith((b"EVENT ", b"LOST ", b'{"event":', b'{"lost":')):
                self.events += 1
                continue
            reply.append(line.decode())
            if line.startswith((b"OK\n", b"ERR ")) or line.startswith(b'{"ok":'):
                return reply

    def fails(self, request):
        last = self.ask(request)[-1]
        return last.startswith("ERR ") or last.startswith('{"ok":false')

    def status(self):
        reply = self.ask("status")
        if self.json:
            return json.loads(reply[-1])
        return dict(line.rstrip("\n").split("=", 1) for line in reply[:-1])

    def close(self):
        self.lines.close()
        self.socket.close()


# What each connection asks in turn. `send` and `mode` change something, the rest reads; the last
# ones are refused: a refusal must not cost memory either.
WORK = [
    "status", "id", "peers", "version", "help", "mode", "metrics",
    "inbox", "inbox after 3", "inbox ack all", "mode relay off", "mode relay on",
    "send {peer} plain words", 'send {peer} "quoted \\x00 and grüße"', "send HUB to the hub",
    "post {peer} 0 kept words", "post HUB 60 kept by the hub",
    "watch state link", "watch off",
]
REFUSED = ["bogus", "send nowhere text", "mode relay perhaps", "inbox ack", "send {peer}"]


def allocations(client):
    return int(client.status()["heap_allocations_since_ready"])


def work(client, peer, turn):
    """One round of every verb; how many requests that was. A full outbox is an answer, not an error."""
    for request in WORK:
        text = request.format(peer=peer)
        if client.fails(text) and not text.startswith(("send ", "post ")):
            raise SystemExit(f"refused: {text}")
    for request in REFUSED:
        if not client.fails(request.format(peer=peer)):
            raise SystemExit(f"not refused: {request}")
    if turn % 2:
        client.ask("json on")
    else:
        client.ask("json off")
    client.json = bool(turn % 2)
    return len(WORK) + len(REFUSED) + 1


def steady(paths, heartbeats, requests):
    reading = [Client(path, "json") for path in paths]
    watching = [Client(path) for path in paths]
    for client in watching:
        client.ask("watch")
    working = [Client(path) for path in paths]
    ids = [client.status()["id"] for client in reading]
    before = [client.status() for client in reading]
    asked, turn, deadline = 0, 0, time.monotonic() + PATIENCE_S
    while True:
        turn += 1
        if asked < requests:
            asked += work(working[0], ids[1], turn) + work(working[1], ids[0], turn)
        else:
            time.sleep(0.05)
        # Each round one connection ends and another begins, and the watcher takes its events.
        if asked < requests:
            working[turn % 2].close()
            working[turn % 2] = Client(paths[turn % 2])
        for client in watching:
            client.ask("version")
        after = [client.status() for client in reading]
        beats = [b["heartbeats_acked"] - a["heartbeats_acked"] for a, b in zip(before, after)]
        if asked >= requests and min(beats) >= heartbeats:
            break
        if time.monotonic() > deadline:
            raise SystemExit(f"after {PATIENCE_S} s only {beats} heartbeats and {asked} requests")
    for index, (a, b) in enumerate(zip(before, after)):
        if b["links"] != a["links"] or b["link_errors"] != a["link_errors"]:
            raise SystemExit(f"node {index} lost its link; the figures are not those of the steady state")
        if b["received"] == a["received"]:
            raise SystemExit(f"node {index} received no message")
        if b["key_epoch"] != a["key_epoch"]:
            raise SystemExit(f"node {index} renewed its keys inside the window")
        print(f"node {index}: {beats[index]} heartbeats, {b['sent'] - a['sent']} messages sent, "
              f"{b['received'] - a['received']} received, {watching[index].events} events watched")
    print(f"{asked} requests")
    grown = [b["heap_allocations_since_ready"] - a["heap_allocations_since_ready"] for a, b in zip(before, after)]
    print("allocations:", *grown)
    if any(grown):
        raise SystemExit("the steady state allocates")


def rekeys(path, count):
    client = Client(path, "json")
    before, deadline = client.status(), time.monotonic() + PATIENCE_S
    epochs, last = 0, before["key_epoch"]
    while epochs < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"after {PATIENCE_S} s only {epochs} renewals")
        time.sleep(0.2)
        after = client.status()
        epochs += (after["key_epoch"] - last) % 256
        last = after["key_epoch"]
    if after["links"] != before["links"]:
        raise SystemExit("the link was lost")
    grown = after["heap_allocations_since_ready"] - before["heap_allocations_since_ready"]
    print(f"{epochs} renewals, allocations: {grown}")
    if grown:
        raise SystemExit("a key renewal allocates")


if sys.argv[1] == "--rekeys":
    rekeys(sys.argv[2], int(sys.argv[3]))
else:
    steady(sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]))
