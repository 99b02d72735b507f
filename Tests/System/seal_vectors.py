"""A second implementation of sealed messages, written from docs/protocol.md.

    seal_vectors.py FILE     derives every value of docs/vectors/seal.txt from the inputs in it and compares;
                             prints the names that differ, exit status 1 when any does

It uses nothing of the project but mlkem.py and what vectors.py has of HKDF and signatures. XChaCha20 is written out here:
the package python3-cryptography has only the 96-bit nonce.
"""
import struct
import sys
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import mlkem
from vectors import expand, load, mac, public_of, sign

INPUTS = "sender_seed receiver_seed hub_seed sender_id receiver_id number salt text".split()
MESSAGE, DURABLE, SEALED = 4, 1, 2


def hchacha20(key, nonce):  # draft-irtf-cfrg-xchacha-03, 2.2
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            n = state[z] ^ state[x]
            state[z] = (n << turn | n >> (32 - turn)) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *state[:4], *state[12:])


def seal(key, nonce, text, additional):
    derived = hchacha20(key, nonce[:16])
    return ChaCha20Poly1305(derived).encrypt(b"\0\0\0\0" + nonce[16:], text, additional)


def padded(label, context, digest):
    return label.encode().ljust(16, b"\0") + context + digest


class Secrets:
    def __init__(self, seed):
        base = mac(sha256(b"skynod seal").digest(), seed)
        self.kem, self.draw = expand(base, "skynod 1 seal kem"), expand(base, "skynod 1 seal draw")


def vouched(given, label, asker, answer):
    hub = public_of(given["hub_seed"])
    digest = sha256(struct.pack(">I", asker) + answer).digest()
    return sign(given["hub_seed"], padded(label, hub, digest)) + answer


def derive(given):
    out = {}
    s, r, number = int(given["sender_id"]), int(given["receiver_id"]), int(given["number"])
    identity_s, identity_r = public_of(given["sender_seed"]), public_of(given["receiver_seed"])
    sender, receiver = Secrets(given["sender_seed"]), Secrets(given["receiver_seed"])
    ids = struct.pack(">II", s, r)

    public = out["receiver_public"] = mlkem.xwing_public(receiver.kem)
    digest = sha256(struct.pack(">I", r) + public).digest()
    out["card"] = public + sign(given["receiver_seed"], padded("skynod card", identity_r, digest))
    out["key_answer"] = vouched(
        given, "skynod key", s, struct.pack(">IQH", r, number, 0) + identity_r + out["card"])

    e = mac(sha256(b"skynod seal draw" + ids + public).digest(), sender.draw)
    seed = expand(e, "skynod 1 seal draw 0") + expand(e, "skynod 1 seal draw 1")
    ciphertext, shared = mlkem.xwing_encapsulate(public, seed)
    out["ciphertext"] = ciphertext
    if mlkem.xwing_decapsulate(receiver.kem, ciphertext) != shared:
        raise SystemExit("the two halves of this script's X-Wing disagree")
    card = sha256(public).digest()
    out["offer"] = card + ciphertext + sign(
        given["sender_seed"], padded("skynod offer", card, sha256(ids + ciphertext).digest()))
    out["offer_to_receiver"] = vouched(
        given, "skynod vouch", r, struct.pack(">IQH", s, 0, 0) + identity_s + out["offer"])

    name = sha256(ciphertext).digest()
    p = mac(sha256(b"skynod seal pair" + identity_s + identity_r + ids + card + name).digest(), shared)
    key, nonce_key = expand(p, "skynod 1 seal key"), expand(p, "skynod 1 seal nonce")
    text = given["text"].encode() + b"\0"
    for kind, flags, stream, salt in (("ordinary", SEALED, 0, given["salt"]),
                                      ("durable", SEALED | DURABLE, 0x1122334455667788, b"")):
        additional = struct.pack(">BIIQQ", flags, s, r, 77, stream) + name[:4]
        nonce = mac(nonce_key, additional, text, salt)[:24]
        header = struct.pack(">BBBBIIQI", MESSAGE, flags, 0, 0, s, r, 77, 0)
        out[f"{kind}_frame"] = (header + (struct.pack(">Q", stream) if flags & DURABLE else b"") + name[:4] + nonce
                                + seal(key, nonce, text, additional))
    return out


def check_hchacha20():
    """The example of the draft, 2.2.1."""
    key, nonce = bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927")
    expected = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    if hchacha20(key, nonce).hex() != expected:
        raise SystemExit("this script's HChaCha20 is not that of the draft")


def main(path):
    check_hchacha20()
    given = load(path)
    missing = [name for name in INPUTS if name not in given]
    if missing:
        raise SystemExit(f"inputs missing: {missing}")
    out = derive(given)
    wrong = [name for name in out if given.get(name) != out[name]]
    unknown = [name for name in given if name not in out and name not in INPUTS]
    for name in wrong:
        print(f"differs: {name}")
    for name in unknown:
        print(f"not derived: {name}")
    if wrong or unknown:
        raise SystemExit(1)
    print(f"{len(out)} values derived from {len(INPUTS)} inputs, all equal")


main(sys.argv[1])
