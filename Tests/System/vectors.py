"""A second implementation of the link's handshake and records, written from docs/protocol.md.

    vectors.py FILE     derives every value of docs/vectors/handshake.txt from the inputs in it and compares;
                        prints the names that differ, exit status 1 when any does

It uses nothing of the project: Python's hashlib and hmac, Ed25519, X25519 and ChaCha20-Poly1305 of the
package python3-cryptography, ML-KEM-768 as written in mlkem.py and AEGIS-256 as written in aegis.py.
"""
import base64
import hmac
import struct
import sys
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import aegis
import mlkem

HELLO, WELCOME, CONFIRM, READY, REFUSAL, SEALED = 1, 2, 3, 4, 5, 16
CONFIGURE, HEARTBEAT, HEARTBEAT_ACK, MESSAGE = 1, 2, 3, 4
REKEY_INIT, REKEY_REPLY, CLOSE, REKEY_DONE = 6, 7, 10, 11

# What the file gives; everything else is derived.
INPUTS = """node_identity_seed hub_identity_seed hub_host hub_port pin token_id token_secret hardware instance agent
    node_nonce exporter node_xwing_seed hub_nonce hub_xwing_seed node_id hub_id
    rekey_xwing_seed rekey_encapsulation_seed""".split()


def load(path):
    values = {}
    for line in open(path, encoding="utf-8"):
        if line.startswith("#") or not line.strip():
            continue
        name, value = (part.strip() for part in line.split("=", 1))
        if name in values:
            raise SystemExit(f"{name} is there twice")
        values[name] = value[1:-1] if value.startswith('"') else bytes.fromhex(value)
    return values


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), sha256).digest()


def expand(prk, label):  # RFC 5869, one block
    return mac(prk, label.encode(), b"\x01")


def record(kind, payload, epoch=0):
    return struct.pack(">BBH", kind, epoch, len(payload)) + payload


def frame(kind, source=0, destination=0, sequence=0, body=b""):
    return struct.pack(">BBBBIIQI", kind, 0, 0, 0, source, destination, sequence, 0) + body


def signed(label, exporter, digest):
    return label.encode().ljust(16, b"\0") + exporter + digest


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_of(seed):
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(seed, message):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


class Direction:
    """One link key: seals with a counter that begins at 0."""

    def __init__(self, key, epoch):
        self.key, self.epoch, self.counter = key, epoch, 0

    def seal(self, plain):
        length = 8 + len(plain) + 16
        front = struct.pack(">BBHQ", SEALED, self.epoch, length, self.counter)
        nonce = b"\0\0\0\0" + struct.pack(">Q", self.counter)
        self.counter += 1
        return front + ChaCha20Poly1305(self.key).encrypt(nonce, plain, front)

    def record_2(self, plain, counter):
        """The same as in version 2 of the protocol."""
        front = struct.pack(">BBHQ", SEALED, self.epoch, 8 + len(plain) + 32, counter)
        return front + aegis.encrypt(self.key, 24 * b"\0" + struct.pack(">Q", counter), plain, front)

    def open(self, data):
        nonce = b"\0\0\0\0" + data[4:12]
        return ChaCha20Poly1305(self.key).decrypt(nonce, data[12:], data[:12])


def keys(out, prk, epoch):
    out[f"chain_{epoch}"] = expand(prk, "skynod 1 chain")
    out[f"node_to_hub_{epoch}"] = expand(prk, "skynod 1 node to hub")
    out[f"hub_to_node_{epoch}"] = expand(prk, "skynod 1 hub to node")
    return Direction(out[f"node_to_hub_{epoch}"], epoch), Direction(out[f"hub_to_node_{epoch}"], epoch)


def identities(given, out):
    out["node_identity"] = public_of(given["node_identity_seed"])
    out["hub_identity"] = public_of(given["hub_identity_seed"])
    out["node_address"] = "SKC-" + sha256(out["node_identity"]).hexdigest()
    out["ticket"] = ".".join([
        "skynod1", base64url(given["hub_host"].encode()), given["hub_port"], base64url(given["pin"]),
        base64url(out["hub_identity"]), base64url(given["token_id"] + given["token_secret"])])
    out["token_verifier"] = sha256(b"skynod token" + given["token_secret"]).digest()
    out["fingerprint"] = sha256(b"skynod fingerprint" + given["hardware"] + out["hub_identity"]).digest()


def handshake(given, out):
    exporter, transcript = given["exporter"], b""
    out["node_xwing_public"] = mlkem.xwing_public(given["node_xwing_seed"])
    front = (bytes([1, 1, ord("M"), 1 | 2]) + given["instance"] + out["fingerprint"] + out["node_identity"]
             + given["node_nonce"] + out["node_xwing_public"] + given["agent"].encode().ljust(32, b"\0")
             + given["token_id"])
    out["hello_digest"] = sha256(struct.pack(">BBH", HELLO, 0, len(front) + 32) + front).digest()
    out["token_mac"] = mac(out["token_verifier"], b"skynod1 join", exporter, out["hello_digest"])
    out["hello"] = record(HELLO, front + out["token_mac"])
    transcript += out["hello"]
    out["transcript_hello"] = sha256(transcript).digest()

    ciphertext, shared = mlkem.xwing_encapsulate(out["node_xwing_public"], given["hub_xwing_seed"])
    front = (bytes([1, 0, 0, 0]) + struct.pack(">II", int(given["node_id"]), int(given["hub_id"]))
             + out["hub_identity"] + given["hub_nonce"] + ciphertext)
    transcript += struct.pack(">BBH", WELCOME, 0, len(front) + 64) + front
    signature = sign(given["hub_identity_seed"], signed("skynod1 welcome", exporter, sha256(transcript).digest()))
    out["welcome"] = record(WELCOME, front + signature)
    transcript += signature
    out["xwing_shared"] = mlkem.xwing_decapsulate(given["node_xwing_seed"], ciphertext)
    if out["xwing_shared"] != shared:
        raise SystemExit("the two halves of this script's X-Wing disagree")
    out["transcript_welcome"] = sha256(transcript).digest()
    prk = out["extracted_0"] = mac(out["transcript_welcome"], exporter, shared)
    out["confirm_key_node"] = expand(prk, "skynod 1 confirm node")
    out["confirm_key_hub"] = expand(prk, "skynod 1 confirm hub")
    directions = keys(out, prk, 0)

    signature = sign(
        given["node_identity_seed"], signed("skynod1 confirm", exporter, out["transcript_welcome"]))
    transcript += struct.pack(">BBH", CONFIRM, 0, 64 + 32) + signature
    tag = mac(out["confirm_key_node"], sha256(transcript).digest())
    out["confirm"] = record(CONFIRM, signature + tag)
    transcript += tag
    out["transcript_confirm"] = sha256(transcript).digest()
    out["ready"] = record(READY, mac(out["confirm_key_hub"], out["transcript_confirm"]))
    return directions


def frames(given, out, up, down):
    node, host = int(given["node_id"]), given["hub_host"].encode()
    entry = (struct.pack(">IH", int(given["hub_id"]), int(given["hub_port"])) + given["pin"] + out["hub_identity"]
             + bytes([len(host)]) + host)
    out["configure_frame"] = frame(CONFIGURE, destination=node, body=struct.pack(
        ">QIIIBB", 1_767_225_600_000, 30_000, 120_000, 0, 7, 1) + entry)
    out["heartbeat_frame"] = frame(HEARTBEAT, source=node, sequence=1, body=struct.pack(
        ">IIIIHiBBHHHHIB", 86_400, 250, 524_288, 262_144, 65_535, -5_500, 2, 87, 2, 32, 1, 16, 0, 3))
    out["heartbeat_ack_frame"] = frame(
        HEARTBEAT_ACK, destination=node, sequence=1, body=struct.pack(">Q", 1_767_225_600_250))
    out["message_frame"] = frame(
        MESSAGE, source=node, destination=node + 1, sequence=1, body="Grüße".encode())
    for name, direction in (("configure", down), ("heartbeat", up), ("heartbeat_ack", down), ("message", up)):
        out[f"{name}_record"] = direction.seal(out[f"{name}_frame"])
    out["message_record_2"] = up.record_2(out["message_frame"], up.counter - 1)


def renewal(given, out, up, down):
    public = out["rekey_xwing_public"] = mlkem.xwing_public(given["rekey_xwing_seed"])
    out["rekey_init"] = up.seal(frame(REKEY_INIT, body=public))
    ciphertext, shared = mlkem.xwing_encapsulate(public, given["rekey_encapsulation_seed"])
    out["rekey_reply"] = down.seal(frame(REKEY_REPLY, body=ciphertext))
    out["rekey_shared"] = mlkem.xwing_decapsulate(given["rekey_xwing_seed"], ciphertext)
    out["rekey_transcript"] = sha256(public + ciphertext).digest()
    prk = out["extracted_1"] = mac(out["rekey_transcript"], out["chain_0"], shared)
    up, down = keys(out, prk, 1)
    out["rekey_done"] = up.seal(frame(REKEY_DONE))
    out["close"] = down.seal(frame(CLOSE, body=struct.pack(">H", 20)))
    out["refusal"] = record(REFUSAL, struct.pack(">H", 82))


def verify(given, out):
    """What a receiver checks, on the values of the file itself."""
    file = given
    Ed25519PublicKey.from_public_bytes(file["hub_identity"]).verify(
        file["welcome"][-64:], signed("skynod1 welcome", file["exporter"],
                                      sha256(file["hello"] + file["welcome"][:-64]).digest()))
    Ed25519PublicKey.from_public_bytes(file["node_identity"]).verify(
        file["confirm"][4:68], signed("skynod1 confirm", file["exporter"],
                                      sha256(file["hello"] + file["welcome"]).digest()))
    for name, key in (("configure", "hub_to_node_0"), ("heartbeat", "node_to_hub_0"),
                      ("heartbeat_ack", "hub_to_node_0"), ("message", "node_to_hub_0")):
        if Direction(file[key], 0).open(file[f"{name}_record"]) != file[f"{name}_frame"]:
            raise InvalidTag
    Direction(file["hub_to_node_1"], 1).open(file["close"])
    sealed = file["message_record_2"]
    if aegis.decrypt(file["node_to_hub_0"], 24 * b"\0" + sealed[4:12], sealed[12:], sealed[:12]) != file["message_frame"]:
        raise InvalidTag


def main(path):
    given = load(path)
    missing = [name for name in INPUTS if name not in given]
    if missing:
        raise SystemExit(f"inputs missing: {missing}")
    out = {}
    identities(given, out)
    up, down = handshake(given, out)
    frames(given, out, up, down)
    renewal(given, out, up, down)
    wrong = [name for name in out if given.get(name) != out[name]]
    unknown = [name for name in given if name not in out and name not in INPUTS]
    for name in wrong:
        print(f"differs: {name}")
    for name in unknown:
        print(f"not derived: {name}")
    try:
        verify(given, out)
    except (InvalidSignature, InvalidTag, ValueError) as error:
        raise SystemExit(f"a signature or tag of the file does not verify: {error!r}")
    if wrong or unknown:
        raise SystemExit(1)
    print(f"{len(out)} values derived from {len(INPUTS)} inputs, all equal")


if __name__ == "__main__":
    main(sys.argv[1])
