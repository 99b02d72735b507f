"""Kills hub, relay, sender and receiver at random under load, and counts what arrived. Run by tools/torture.

Every message is posted once, durably, under a number of its own; what the sending node answered OK to is
acknowledged. The receiving side lists its inbox, notes what it sees, acknowledges, and notes what the receiving
node answered OK to. At the end:
  lost        acknowledged to the sender and never seen by the receiver
  twice       one number under two names (stream, sequence), or seen again after its acknowledgement was answered
  unsealed    not sealed from end to end
  mistaken    urgent and not posted so, or the other way round; one in eight is
"""
import argparse
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time


class Line:
    """A control socket, asked one request at a time. OSError when the daemon goes away."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(15)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")
        self.read()

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise OSError("the daemon has gone")
        return line.decode().rstrip("\n")

    def ask(self, request):
        self.socket.sendall(request.encode() + b"\n")
        rows = []
        while True:
            line = self.read()
            if line == "OK":
                return rows
            if line.startswith("ERR "):
                raise ValueError(line)
            rows.append(line)

    def close(self):
        self.socket.close()


class Daemon:
    """A process that is started again and again."""

    def __init__(self, name, command, log):
        self.name, self.command, self.log = name, command, open(log, "ab")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.next = 0
        self.acknowledged = set()
        self.refused = 0
        self.names = {}      # number -> {(stream, sequence)}
        self.done = set()    # names whose acknowledgement the receiver answered
        self.again = []
        self.unsealed = set()
        self.mistaken = set()

    def number(self):
        with self.lock:
            self.next += 1
            return self.next

    def missing(self):
        with self.lock:
            return self.acknowledged - self.names.keys()


def is_urgent(number):
    return number % 8 == 0


def send(ledger, path, destination, rate, stop):
    """Posts at `rate` a second."""
    line = None
    due = time.monotonic()
    while not stop.is_set():
        due = max(due + 1 / rate, time.monotonic() - 0.1)
        time.sleep(max(0, due - time.monotonic()))
        number = ledger.number()
        try:
            line = line or Line(path)
            terms = "0,urgent" if is_urgent(number) else "0"
            line.ask(f"post {destination} {terms} message {number} {'x' * (number % 200)}")
            with ledger.lock:
                ledger.acknowledged.add(number)
        except ValueError:
            with ledger.lock:
                ledger.refused += 1
        except OSError:
            if line:
                line.close()
            line = None
            time.sleep(0.05)


ROW = re.compile(r'seq=(\d+) from=\S+ time=\S+ stream=(\w+) sequence=(\d+) sealed=(\w+) urgent=(\w+) text="?message (\d+) ')


def receive(ledger, path, stop):
    line = None
    while not stop.is_set():
        try:
            line = line or Line(path)
            rows = [ROW.match(row) for row in line.ask("inbox")]
            rows = [row for row in rows if row]
            ledger.unsealed.update(int(row[6]) for row in rows if row[4] != "true")
            ledger.mistaken.update(int(row[6]) for row in rows if (row[5] == "true") != is_urgent(int(row[6])))
            if not rows:
                time.sleep(0.01)
                continue
            names = [(row[2], row[3]) for row in rows]
            with ledger.lock:
                for row, name in zip(rows, names):
                    ledger.names.setdefault(int(row[6]), set()).add(name)
                    if name in ledger.done:
                        ledger.again.append(int(row[6]))
            line.ask(f"inbox ack {rows[-1][1]}")
            with ledger.lock:
                ledger.done.update(names)
        except ValueError as error:
            print(f"the receiver answered {error}", file=sys.stderr)
            time.sleep(0.1)
        except OSError:
            if line:
                line.close()
            line = None
            time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(prog="tools/torture")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--data", required=True)
    parser.add_argument("--destination", required=True)
    parser.add_argument("--daemon", action="append", required=True, help="NAME=COMMAND, words apart by |")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}, {arguments.kills} kills, {arguments.rate:g} messages a second", flush=True)

    daemons = {}
    for daemon in arguments.daemon:
        name, command = daemon.split("=", 1)
        daemons[name] = Daemon(name, command.split("|"), f"{arguments.data}/{name}.log")
    ledger = Ledger()
    no_more, stop = threading.Event(), threading.Event()
    senders = 4
    threads = [
        threading.Thread(
            target=send,
            args=(ledger, f"{arguments.data}/sender/control.sock", arguments.destination, arguments.rate / senders,
                  no_more))
        for _ in range(senders)
    ]
    threads.append(threading.Thread(target=receive, args=(ledger, f"{arguments.data}/receiver/control.sock", stop)))
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    told = begun
    killed = dict.fromkeys(daemons, 0)
    for kill in range(arguments.kills):
        time.sleep(chance.uniform(0.1, 1.2))
        daemon = daemons[chance.choice(sorted(daemons))]
        daemon.kill()
        killed[daemon.name] += 1
        time.sleep(chance.choice([0, 0, chance.uniform(0, 1)]))
        daemon.start()
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{kill + 1} kills, {len(ledger.acknowledged)} acknowledged, {len(ledger.names)} arrived", flush=True)
    no_more.set()
    for thread in threads[:-1]:
        thread.join()
    until = time.monotonic() + 120
    while ledger.missing() and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(1)
    stop.set()
    threads[-1].join()
    for name in sorted(daemons, reverse=True):
        daemons[name].stop()

    lost = sorted(ledger.missing())
    twice = sorted(set(ledger.again) | {n for n, names in ledger.names.items() if len(names) > 1})
    seconds = time.monotonic() - begun
    print(f"{seconds:.0f} s, kills: " + ", ".join(f"{name} {count}" for name, count in sorted(killed.items())))
    print(f"{ledger.next} posted, {len(ledger.acknowledged)} acknowledged, {ledger.refused} refused, "
          f"{len(ledger.names)} arrived, of these {len(ledger.names.keys() - ledger.acknowledged)} without a word")
    unsealed = sorted(ledger.unsealed)
    mistaken = sorted(ledger.mistaken)
    print(f"{len(lost)} lost, {len(twice)} twice, {len(unsealed)} unsealed, {len(mistaken)} mistaken")
    for what, numbers in (("lost", lost), ("twice", twice), ("unsealed", unsealed), ("mistaken", mistaken)):
        if numbers:
            print(f"{what}: {numbers[:20]}")
    enough = len(ledger.acknowledged) >= arguments.kills
    if not enough:
        print("hardly anything was acknowledged: this run proves nothing")
    sys.exit(0 if enough and not lost and not twice and not unsealed and not mistaken else 1)


if __name__ == "__main__":
    main()
