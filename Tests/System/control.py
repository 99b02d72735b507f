#!/usr/bin/python3
"""The control socket as docs/control.md promises it, asked over the raw socket of a running daemon.

    control.py --list                   the tests: name, blank, what each claims
    control.py NAME                     one of them; exit status 0 when the claim holds

The daemon under test is online and has `operate_group = 54321`. The environment says where it is:
SOCKET its control socket, PEER the control socket of another node of its swarm, PEER_ID that node's id.
Runs as root. Nothing is timed: every wait ends after PATIENCE seconds, with a failure.
"""

import json
import os
import random
import re
import select
import socket
import sys
import time

from control_client import PATIENCE, Line, expect

OPERATE_GROUP = 54321
NOBODY = 65534
KINDS = "state link key heartbeat message delivery duty clock configuration".split()
DOCUMENT = os.path.join(os.path.dirname(__file__), "../../docs/control.md")


def bare(value):
    """The text of a value as it stands in a reply."""
    if not value.startswith('"'):
        return value
    # \xHH is a byte, \n \r \t \" \\ are what they are in C; other UTF-8 stands for itself.
    return re.sub(
        rb"\\(x[0-9a-fA-F]{2}|.)",
        lambda m: bytes([int(m[1][1:], 16)]) if len(m[1]) == 3 else {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(m[1], m[1]),
        value[1:-1].encode(),
    ).decode()


def table(heading, column=1):
    """The back-quoted words in the first column of a table of docs/control.md."""
    text = open(DOCUMENT, encoding="utf-8").read()
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [row.split("|") for row in section.splitlines() if row.startswith("| ") or row.startswith("|`")]
    return [word for row in rows for word in re.findall(r"`(\w+)", row[column])]


def as_somebody(uid, gid, body):
    """Runs `body` in a child of that user, in the socket's folder; its exception is ours."""
    path = os.environ["SOCKET"]
    mode = os.stat(path).st_mode & 0o777
    os.chmod(path, 0o666)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            # The way there may be closed to that user: the folder is entered first.
            os.chdir(os.path.dirname(path))
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            body(os.path.basename(path))
            status = 0
        except BaseException as error:
            print(f"as user {uid}, group {gid}: {error!r}", flush=True)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    os.chmod(path, mode)
    expect(status == 0, "the child's claims", "above")


# --- The tests: the first line of each says what it claims -----------------------------------------


def greeting():
    "the greeting comes first and names protocol 1 and the version"
    line = Line()
    expect(line.greeting.split()[2] == line.fields("version")["version"], "versions differ", line.greeting)


def verbs():
    "every documented verb answers, and status has every documented field"
    line = Line()
    documented = set(table("Requests"))
    offered = {text.split()[0] for text in line.good("help")}
    expect(documented == offered, "help and docs/control.md differ", documented ^ offered)
    status = line.fields("status")
    missing = set(table("Status")) - set(status)
    expect(not missing, "status lacks", missing)
    expect(status["state"] == "online" and status["reason"] == "" and status["links"] == "1", "status", status)
    expect(set(line.fields("id")) >= {"id", "class", "instance", "fingerprint", "public_key"}, "id")
    expect(status["id"] == line.fields("id")["id"], "two ids", status)
    expect(line.fields("version").keys() >= {"version", "protocol"}, "version")
    expect(set(line.fields("mode")) >= {"heartbeat", "relay", "compute"}, "mode")
    peers = line.good("peers")
    expect(peers and re.match(r"kind=hub id=NOD\d+ address=\S+ state=online pinned=true", peers[0]), "peers", peers)
    expect(line.good("reload") == [], "reload")
    expect(line.fields("watch")["next"].isdigit() and line.fields("watch off")["next"].isdigit(), "watch")
    expect(Line().ask("quit") == ["OK"], "quit")


def closing():
    "quit closes after its answer; what follows it is not carried out"
    line = Line()
    line.send("quit\nstatus\n")
    expect(line.reply() == ["OK"] and line.ended(), "quit")


def metrics():
    "metrics is OpenMetrics text: types before samples, # EOF at the end"
    lines = Line().good("metrics")
    expect(lines[-1] == "# EOF", "last line", lines[-1])
    families = set()
    for text in lines[:-1]:
        if text.startswith("# "):
            expect(re.fullmatch(r"# (TYPE|HELP|UNIT) [a-z_][a-z0-9_]* .+", text), "comment", text)
            families.add(text.split()[2])
        else:
            sample = re.fullmatch(r"([a-z_][a-z0-9_]*)(\{.*\})? [-+0-9.eE]+", text)
            expect(sample, "sample", text)
            name = sample[1]
            known = any(name == f or name in (f + "_total", f + "_info") for f in families)
            expect(known, "sample of an unknown family", text)
    expect(len(families) >= 5, "families", families)


def errors():
    "errors have their documented numbers and tokens"
    line = Line()
    line.fails("bogus", 10, "unknown_command")
    line.fails("STATUS", 10, "unknown_command")
    for request in [
        "status now", "join", "join nonsense", "send", "send HUB", "send Nobody hello", 'send HUB "open',
        f"send {line.fields('id')['id']} hello", "inbox before 3", "inbox ack many", "watch everything",
        "mode relay", "mode relay maybe", "mode sleep on", "json perhaps",
    ]:
        line.fails(request, 11, "bad_argument")
    line.fails("send HUB " + "x" * 3073, 12, "too_long")
    line.send(b"status\x01\n")
    expect(line.reply()[-1].startswith("ERR 11 "), "a control character")
    line.send(b"send HUB \xff\xfe\n")
    expect(line.reply()[-1].startswith("ERR 11 "), "broken UTF-8")
    line.send("\n \t\r\nversion\r\n")
    expect(line.reply()[-1] == "OK", "blank lines are ignored, and a carriage return")


def messages():
    "text goes to another node and comes from it, byte for byte, with receipts and events"
    text = 'Grüße, 你好 👋, a "quoted" \\ and a\ttab, a=b'
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    mine, other = Line(), Line(os.environ["PEER"])
    own_id, other_id = mine.fields("id")["id"], os.environ["PEER_ID"]
    for sender, receiver, sender_id, receiver_id in [(mine, other, own_id, other_id), (other, mine, other_id, own_id)]:
        receiver.good("inbox ack all")
        receiver.good("watch message")
        sender.good("watch delivery")
        sequence = dict([sender.good(f"send {receiver_id} {quoted}")[0].split("=")])["sequence"]
        told = receiver.event("message")
        expect(told["from"] == sender_id, "message from", told)
        result = sender.event("delivery", lambda f: f["sequence"] == sequence)
        expect(result["result"] == "ok", "delivery", result)
        rows = receiver.good("inbox")
        expect(len(rows) == 1, "rows of the inbox", rows)
        row = re.fullmatch(r"seq=(\d+) from=(NOD\d+) time=(\S+) sealed=true urgent=false text=(.*)", rows[0])
        expect(row and row[1] == told["seq"] and row[2] == sender_id, "row", rows)
        expect(bare(row[4]) == text, "text", row[4])
        expect(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row[3]), "time", row[3])
        expect(receiver.good(f"inbox after {row[1]}") == [], "inbox after")
        expect(receiver.fields(f"inbox ack {row[1]}")["acknowledged"] == "1", "inbox ack")
        expect(receiver.good("inbox") == [], "an inbox that was acknowledged")
    mine.good("watch delivery")
    sequence = mine.fields("send NOD9999999 hello")["sequence"]
    result = mine.event("delivery", lambda f: f["sequence"] == sequence)
    expect(result["result"] == "unreachable", "delivery to nobody", result)
    line = Line()
    line.good("watch delivery")
    sequence = line.fields("send HUB " + "x" * 3072)["sequence"]
    expect(line.event("delivery", lambda f: f["sequence"] == sequence)["result"] == "ok", "the longest message")


def urgent():
    "post with ,urgent: the receiver sees it; no other word is taken there"
    mine, other = Line(), Line(os.environ["PEER"])
    other_id = os.environ["PEER_ID"]
    for terms in ["0,", "0,Urgent", "0,urgent,", "0,urgentx", ",urgent", "x,urgent", "0,urgent,urgent", "-1,urgent",
                  "4294967296,urgent", "urgent"]:
        mine.fails(f"post {other_id} {terms} hello", 11, "bad_argument")
        mine.fails(f"post64 {other_id} {terms} aGVsbG8=", 11, "bad_argument")
    other.good("inbox ack all")
    other.good("watch message")
    for verb, terms, text, is_urgent in [("post", "60,urgent", "hello", "true"), ("post64", "0,urgent", "aGVsbG8", "true"),
                                         ("post", "0", "hello", "false")]:
        sequence = int(mine.fields(f"{verb} {other_id} {terms} {text}")["sequence"])
        expect((sequence >> 62 & 1 == 1) == (is_urgent == "true"), "sequence", sequence)
        expect(other.event("message")["urgent"] == is_urgent, "event", terms)
        row = other.good("inbox")[-1]
        expect(f"sequence={sequence} sealed=true urgent={is_urgent} text=hello" in row, "row", row)


def json_form():
    "json on: one object a line with the same keys; json off: text again"
    line = Line()
    plain = line.fields("status")
    expect(line.json("json on") == {"ok": True}, "json on")
    status = line.json("status")
    expect(set(status) == set(plain) | {"ok"} and status["ok"] is True, "keys", set(status) ^ set(plain))
    expect(isinstance(status["uptime_s"], int) and status["state"] == "online", "values", status)
    for request in ("peers", "inbox", "help"):
        expect(isinstance(line.json(request)["rows"], list), request)
    expect(line.json("metrics")["text"].endswith("# EOF\n"), "metrics")
    error = line.json("bogus")
    expect(error["ok"] is False and error["error"]["number"] == 10, "error", error)
    expect(error["error"]["token"] == "unknown_command" and error["error"]["text"], "error", error)
    line.json("watch duty")
    line.send("mode\n")
    expect(json.loads(line.line())["ok"], "mode")
    expect(line.json("watch off")["ok"], "watch off")
    line.send("json off\n")
    expect(line.reply() == ["OK"], "json off")
    expect(line.fields("version")["protocol"] == "1", "text again")


def watching():
    "events are numbered one by one; a watcher of one kind sees only that kind"
    everything, duties = Line(), Line()
    first = int(everything.fields("watch")["next"])
    expect(duties.good("watch duty"), "watch duty")
    line = Line()
    for word in ["on", "off"] * 10:
        line.good(f"mode compute {word}")
    line.good("reload")  # one more of kind duty, so that the last one is known
    seen = []
    while sum(" duty " in text for text in seen) < 21:
        text = everything.line()
        if re.match(r"(EVENT|LOST) ", text):
            seen.append(text)
    numbers = [int(text.split()[1]) for text in seen]
    expect(numbers == list(range(first, first + len(numbers))), "numbers", seen)
    expect(all(text.split()[2] in KINDS for text in seen), "kinds", seen)
    for _ in range(21):
        expect(duties.line().split()[2] == "duty", "kind")


def slow_reader():
    "a watcher that does not read is told exactly how many events it lost, where it lost them"
    slow, busy = Line(), Line()
    first = int(slow.fields("watch")["next"])
    turns = 0
    # As many as it takes until the kernel's buffer and the daemon's are full.
    while turns < 40:
        turns += 1
        busy.send("mode compute on\nmode compute off\n" * 25)
        for _ in range(50):
            expect(busy.reply()[-1] == "OK", "a busy client's reply")
    last = int(busy.fields("watch")["next"]) - 1
    expect(last - first > 1900, "events", last - first)
    following, lost = first, 0
    until = time.monotonic() + PATIENCE
    while following <= last and time.monotonic() < until:
        words = slow.line().split()
        if words[0] == "LOST":
            lost += int(words[1])
            following += int(words[1])
        else:
            expect(words[0] == "EVENT" and int(words[1]) == following, f"expected event {following}", words)
            following += 1
    expect(following > last, "the end was not reached", following)
    expect(lost > 0, "nothing was lost: the test did not fill the buffers")
    expect(slow.good("version"), "it still answers")


def deaf_client():
    "a client that never reads delays nobody, and gets its replies when it does read"
    deaf = Line()
    deaf.socket.setblocking(False)
    sent = 0
    for _ in range(20_000):
        try:
            # One at a time: the kernel counts a small piece as a large one, and is full sooner.
            deaf.socket.send(b"status\n")
            sent += 1
        except BlockingIOError:
            # Full up to our own side: neither end moves any more.
            if not select.select([], [deaf.socket], [], 0.5)[1]:
                break
    else:
        raise AssertionError("the deaf client was never stopped")
    line = Line()
    for _ in range(50):
        expect(line.fields("status")["state"] == "online", "state")
    deaf.socket.settimeout(PATIENCE)
    for _ in range(sent):
        expect(deaf.reply()[-1] == "OK", "a late reply")


def oversized():
    "a line of 4,096 bytes is taken, a longer one is answered once and dropped to its end"
    line = Line()
    line.fails("x" * 4096, 10, "unknown_command")
    line.fails("x" * 4097, 12, "too_long")
    line.send(b"status " * 150_000 + b"\nversion\n")
    expect(line.reply()[-1].startswith("ERR 12 too_long "), "a megabyte")
    expect(line.reply()[-1] == "OK", "the request after it")


def garbage():
    "binary garbage: one reply for each line that is not blank, and the daemon goes on"
    seed = random.randrange(1 << 32)
    source = random.Random(seed)
    line = Line()
    due = 0
    for _ in range(40):
        lines = [source.randbytes(source.randrange(1, 300)) for _ in range(10)]
        lines = [text.replace(b"\n", b"").replace(b"\0quit", b"") for text in lines]
        due += sum(text.strip(b" \t\r") != b"" for text in lines)
        line.send(b"\n".join(lines) + b"\n")
    for _ in range(due):
        answer = line.reply()
        expect(re.match(r"ERR 1[012] ", answer[-1]), f"seed {seed}", answer)
    expect(line.fields("version")["protocol"] == "1", f"seed {seed}")


def pipelined():
    "100 requests sent at once are answered in order"
    line = Line()
    requests = [("version", "version="), ("id", "id=NOD"), ("bogus", "ERR 10 "), ("peers", "kind=hub"), ("mode", "heartbeat=")]
    line.send("".join(requests[i % 5][0] + "\n" for i in range(100)))
    for i in range(100):
        answer = line.reply()
        expect(answer[0].startswith(requests[i % 5][1]), f"reply {i}", answer)


def half_closed():
    "a client that ended its sending side gets every reply, also when it reads late"
    line = Line()
    # More than the kernel keeps for it: the daemon has to wait with the rest.
    line.send("status\n" * 300)
    line.socket.shutdown(socket.SHUT_WR)
    time.sleep(0.3)
    for i in range(300):
        expect(line.reply()[-1] == "OK", f"reply {i}")
    expect(line.ended(), "then the daemon closes")


def half_closed_watcher():
    "a watcher that ended its sending side goes on getting events"
    watcher = Line()
    watcher.good("watch duty")
    watcher.socket.shutdown(socket.SHUT_WR)
    line = Line()
    for _ in range(3):
        line.good("mode compute on")
        watcher.event("duty")
        line.good("mode compute off")
        watcher.event("duty")


def unfinished():
    "a line without its line feed is not carried out when the client ends"
    before = Line().fields("mode")["compute"]
    expect(before == "off", "compute at the beginning", before)
    line = Line()
    line.send("mode compute on")
    line.socket.shutdown(socket.SHUT_WR)
    expect(line.ended(), "end")
    expect(Line().fields("mode")["compute"] == before, "the mode changed")


def places():
    "8 clients have a place, the next one is told busy; a place is free again at once"
    lines = [Line() for _ in range(8)]
    late = Line(greet=False)
    expect(re.match(r"ERR 17 busy ", late.line()) and late.ended(), "the ninth")
    expect(all(line.good("version") for line in lines), "the eight")
    lines.pop().socket.close()
    until = time.monotonic() + PATIENCE
    while True:
        # The daemon takes newcomers and the one that left in whichever order the kernel tells them.
        answer = Line(greet=False).line()
        if answer.startswith("SKYNOD 1 "):
            return
        expect(time.monotonic() < until, "no place", answer)


def roles():
    "the kernel's word on who connects decides: read, operate or admin"

    def reader(path):
        line = Line(path)
        line.good("status")
        line.good("watch")
        line.good("mode")
        for request in ["send HUB x", "inbox", "mode relay on", "reload", "drain", "join nonsense"]:
            line.fails(request, 13, "forbidden")

    def operator(path):
        line = Line(path)
        line.good("inbox")
        line.good("mode relay on")
        line.good("send HUB x")
        for request in ["reload", "drain", "join nonsense"]:
            line.fails(request, 13, "forbidden")

    def keeps_two_places(path):
        lines = [Line(path) for _ in range(6)]
        late = Line(path, greet=False)
        expect(late.line().startswith("ERR 17 busy "), "a seventh reader")
        expect(len(lines) == 6, "six readers")

    as_somebody(NOBODY, NOBODY, reader)
    as_somebody(NOBODY, OPERATE_GROUP, operator)
    as_somebody(NOBODY, NOBODY, keeps_two_places)
    Line().good("inbox")


TESTS = [
    greeting, verbs, closing, metrics, errors, messages, urgent, json_form, watching, slow_reader, deaf_client,
    oversized, garbage, pipelined, half_closed, half_closed_watcher, unfinished, places, roles,
]

if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        for test in TESTS:
            print(test.__name__, test.__doc__)
    else:
        {test.__name__: test for test in TESTS}[sys.argv[1]]()
