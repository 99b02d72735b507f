"""inference.py SOCKET: a second client is told that the worker is busy, and `cancel` works within 50 ms."""
import socket, sys, time


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(sys.argv[1])
    f = s.makefile("rb")
    assert f.readline().startswith(b"SKYINFER 1 ")
    return s, f


def reply(f):
    out = []
    while True:
        line = f.readline()
        assert line, "the worker closed the connection"
        out.append(line.decode().rstrip("\n"))
        if out[-1] == "OK" or out[-1].startswith("ERR "):
            return out


worst = 0.0
for turn in range(10):
    a, af = connect()
    b, bf = connect()
    # Long enough to be under way when it is cancelled.
    a.sendall(b"generate raw=true temperature=3 top_k=200 tokens=4000 " + b"the rain " * 20 + b"\n")
    assert af.readline().startswith(b"piece=")
    b.sendall(b"generate raw=true x\ninfo\n")
    busy = reply(bf)
    assert busy == ["ERR 17 busy the model makes a text for another client; try again"], busy
    assert "busy=true" in reply(bf)
    start = time.monotonic()
    a.sendall(b"cancel\n")
    end = reply(af)
    took = time.monotonic() - start
    if "end=cancelled" in end:
        worst = max(worst, took)
    else:
        assert any(line in end for line in ("end=stop", "end=context", "end=length")), end
    b.sendall(b"generate raw=true tokens=1 x\n")
    assert reply(bf)[-1] == "OK"
    for s in (a, b):
        s.close()
assert worst > 0, "nothing could be cancelled"
print(f"cancelled within {worst * 1000:.1f} ms")
# Ten times the goal of 50 ms, for machines that do other things; docs/inference.md has the measured figure.
sys.exit(0 if worst < 0.5 else 1)
