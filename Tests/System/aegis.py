"""AEGIS-256 with a tag of 256 bits, from draft-irtf-cfrg-aegis-aead, in plain Python: for the test vectors, not for use.

Checked against the draft's first test vector (A.3) whenever it is loaded.
"""


def _make_sbox():
    sbox, p, q = [0] * 256, 1, 1
    while True:
        p ^= (p << 1) ^ (0x11B if p & 0x80 else 0)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        rotated = [((q << n) | (q >> (8 - n))) & 0xFF for n in range(5)]
        sbox[p] = rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ rotated[4] ^ 0x63
        if p == 1:
            break
    sbox[0] = 0x63
    return sbox


SBOX = _make_sbox()


def _twice(x):
    return (x << 1) ^ (0x11B if x & 0x80 else 0)


def _aes_round(state, key):  # FIPS 197: SubBytes, ShiftRows, MixColumns, AddRoundKey
    out = bytearray(16)
    for column in range(4):
        a = [SBOX[state[4 * ((column + row) % 4) + row]] for row in range(4)]
        every = a[0] ^ a[1] ^ a[2] ^ a[3]
        for row in range(4):
            out[4 * column + row] = a[row] ^ every ^ _twice(a[row] ^ a[(row + 1) % 4]) ^ key[4 * column + row]
    return bytes(out)


def _xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def _and(a, b):
    return bytes(x & y for x, y in zip(a, b))


C0 = bytes.fromhex("000101020305080d1522375990e97962")
C1 = bytes.fromhex("db3d18556dc22ff12011314273b528dd")


class _State:
    def __init__(self, key, nonce):
        k, n = (key[:16], key[16:]), (nonce[:16], nonce[16:])
        self.s = [_xor(k[0], n[0]), _xor(k[1], n[1]), C1, C0, _xor(k[0], C0), _xor(k[1], C1)]
        for _ in range(4):
            for m in (k[0], k[1], _xor(k[0], n[0]), _xor(k[1], n[1])):
                self.update(m)

    def update(self, m):
        s = self.s
        self.s = [_aes_round(s[5], _xor(s[0], m))] + [_aes_round(s[i], s[i + 1]) for i in range(5)]

    def stream(self):
        s = self.s
        return _xor(_xor(_xor(s[1], s[4]), s[5]), _and(s[2], s[3]))

    def finish(self, ad, text):
        t = _xor(self.s[3], (8 * ad).to_bytes(8, "little") + (8 * text).to_bytes(8, "little"))
        for _ in range(7):
            self.update(t)
        s = self.s
        return _xor(_xor(s[0], s[1]), s[2]) + _xor(_xor(s[3], s[4]), s[5])


def _blocks(data):
    for i in range(0, len(data), 16):
        yield data[i:i + 16]


def _absorb(state, ad):
    for block in _blocks(ad):
        state.update(block.ljust(16, b"\0"))


def encrypt(key, nonce, text, ad):
    state, out = _State(key, nonce), b""
    _absorb(state, ad)
    for block in _blocks(text):
        out += _xor(block, state.stream())
        state.update(block.ljust(16, b"\0"))
    return out + state.finish(len(ad), len(text))


def decrypt(key, nonce, data, ad):
    """None when the tag is wrong."""
    state, out = _State(key, nonce), b""
    _absorb(state, ad)
    for block in _blocks(data[:-32]):
        plain = _xor(block, state.stream())
        out += plain
        state.update(plain.ljust(16, b"\0"))
    return out if state.finish(len(ad), len(out)) == data[-32:] else None


assert encrypt(bytes.fromhex("1001" + 30 * "00"), bytes.fromhex("100002" + 29 * "00"), bytes(16), b"").hex() == (
    "754fc3d8c973246dcc6d741412a4b236" "1181a1d18091082bf0266f66297d167d2e68b845f61a3b0527d31fc7b7b89f13")
