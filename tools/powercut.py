#!/usr/bin/env python3
"""Cuts the power in the middle of a logged update: powercut.py IMAGE LOG BUNDLE SKYNOD-UPDATE COUNT

IMAGE is the disk before, LOG what QEMU's blklogwrites has recorded of the writes to it since. At COUNT places of the log, spread
evenly over all entries, the disk is made as it might be if the power went there: what was flushed is there, of what was
not a random part, and some of it torn. Then SKYNOD-UPDATE says which slot is started; that slot must hold
either the system that was there before or the bundle's, whole, the good slot must be the first one, and the
second is started only when the update had come to its end. SEED in the environment repeats a run.
"""
import json
import os
import random
import struct
import subprocess
import sys

FLUSH, FUA, DISCARD = 1, 2, 4
SECTOR = 512


def entries(path):
    with open(path, "rb") as log:
        magic, version, count, size = struct.unpack("<QQQI", log.read(28))
        if (magic, version, size) != (0x6A736677736872, 1, SECTOR):
            sys.exit("not a log of blklogwrites with sectors of 512 bytes")
        log.seek(SECTOR)
        while head := log.read(32):
            if len(head) < 32:
                return
            sector, length, flags, _ = struct.unpack("<QQQQ", head)
            log.seek(SECTOR - 32, 1)
            data = b"" if flags & DISCARD else log.read(length * SECTOR)
            if sector == 0 and length == 0 and flags == 0:
                return
            yield sector * SECTOR, data, flags, length * SECTOR


class Disk:
    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR)
        self.path = path

    def read(self, at, n):
        return os.pread(self.file, n, at)

    def write(self, at, data):
        os.pwrite(self.file, data, at)


def asked(program, disk, *words):
    done = subprocess.run([program, *words, "--disk", disk.path], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("%s: %s" % (" ".join(words), done.stderr))
    return done.stdout


def main():
    image, log, bundle, program, count = sys.argv[1:5] + [int(sys.argv[5])]
    seed = int(os.environ.get("SEED", "1"))
    dice = random.Random(seed)
    head = open(bundle, "rb").read(512)
    payload_bytes = struct.unpack_from(">Q", head, 104)[0]
    blocks = (payload_bytes + 65535) // 65536
    payload = open(bundle, "rb").read()[512 + 32 * blocks:]
    disk = Disk(image)
    state = json.loads(asked(program, disk, "status", "--json"))
    a, b, slot_bytes = state["a_offset"], state["b_offset"], state["slot_bytes"]
    places = [14 << 20, 15 << 20]
    total = sum(1 for _ in entries(log))
    cuts = sorted(dice.sample(range(1, total + 1), min(count, total)))
    if len(cuts) < count:
        cuts = sorted(cuts + [dice.randrange(1, total + 1) for _ in range(count - len(cuts))])
    pending, at_cut, started = [], 0, {"a": 0, "b": 0}

    def cut(number):
        saved = [(place, disk.read(place, SECTOR)) for place in places]
        kept = dice.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        for where, data in pending:
            if dice.random() >= kept:
                continue
            saved.append((where, disk.read(where, len(data))))
            # The sectors of a write that was under way may be there in part.
            if len(data) > SECTOR and dice.random() < 0.1:
                n = dice.randrange(1, len(data) // SECTOR) * SECTOR
                first, second = data[:n], data[n:]
                disk.write(*((where, first) if dice.random() < 0.5 else (where + n, second)))
            else:
                disk.write(where, data)
        for start in range(4):
            slot = asked(program, disk, "choose").strip()
            if start == 0:
                started[slot] += 1
            if slot == "b" and disk.read(b, payload_bytes) != payload:
                sys.exit("cut %d, seed %d: slot b is started and not whole" % (number, seed))
        if slot != "a":
            sys.exit("cut %d, seed %d: the system on trial never gives up" % (number, seed))
        if json.loads(asked(program, disk, "status", "--json"))["good"] != "a":
            sys.exit("cut %d, seed %d: the good slot was demoted" % (number, seed))
        for place, data in reversed(saved):
            disk.write(place, data)

    for number, (where, data, flags, length) in enumerate(entries(log), 1):
        if flags & FLUSH:
            for at, old in pending:
                disk.write(at, old)
            pending = []
        if data:
            if where < a + slot_bytes and where + len(data) > a:
                sys.exit("write %d goes to the slot in use" % number)
            if flags & FUA:
                disk.write(where, data)
            else:
                pending.append((where, data))
        while at_cut < len(cuts) and cuts[at_cut] == number:
            cut(number)
            at_cut += 1
    if started["b"] == 0 or started["a"] == 0:
        sys.exit("the cuts were all before or all after the update: %s" % started)
    print("%d cuts in %d writes, seed %d: slot a was started after %d, slot b after %d" % (
        at_cut, total, seed, started["a"], started["b"]))


main()
