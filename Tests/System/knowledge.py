"""Teaches a daemon the first question of each pair, asks it the second, and prints how often it answered, by kind.
knowledge.py SOCKET PAIRS"""
import itertools
import socket
import sys
from collections import Counter

client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
lines = client.makefile("rb")
assert lines.readline().startswith(b"SKYNOD 1 ")


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def said(request):
    """The fields of the reply; `ERR` has the number of an error."""
    client.sendall(request.encode() + b"\n")
    fields = {}
    while (line := lines.readline().decode().rstrip("\n")) != "OK":
        assert line, "the daemon hung up"
        if line.startswith("ERR "):
            fields["ERR"] = line.split()[1]
            break
        key, _, value = line.partition("=")
        fields[key] = value
    return fields


pairs = [line.rstrip("\n").split("\t") for line in open(sys.argv[2])]
total, hits, false = Counter(), Counter(), []
for question, group in itertools.groupby(sorted(pairs, key=lambda p: p[2]), key=lambda p: p[2]):
    taught = said(f"learn plain 0 {quoted(question)} yes")
    assert taught.get("result") == "learnt", (question, taught)
    for label, kind, _, other in group:
        told = said(f"ask grounded {quoted(other)}")
        # No store entry: 29, or 91, for there is no worker who could make something of what is near.
        assert told.get("level") == "L0" or told.get("ERR") in ("29", "91"), (question, other, told)
        total[label, kind] += 1
        if "ERR" not in told:
            hits[label, kind] += 1
            if label == "other":
                false.append(f"false, {kind}, {told['match']}: {question} / {other}")
    assert "ERR" not in said(f"forget {quoted(question)}"), question
for label, kind in sorted(total):
    share = 100 * hits[label, kind] / total[label, kind]
    print(f"{label:6} {kind:16} {hits[label, kind]:5} of {total[label, kind]:5} {share:6.1f} %")
traps = sum(count for (label, _), count in total.items() if label == "other")
print(f"{len(pairs)} pairs: {traps} that are not the same, {len(pairs) - traps} that are")
print("\n".join(false + [f"{len(false)} false hits"]))
