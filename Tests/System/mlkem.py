"""ML-KEM-768 (FIPS 203) and X-Wing (draft-connolly-cfrg-xwing-kem), written from the standards.

For checking test vectors only: it is slow and takes no care of side channels.
Numbers in comments are the algorithms of FIPS 203.
"""
from hashlib import sha3_256, sha3_512, shake_128, shake_256

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Q, N, K, ETA, DU, DV = 3329, 256, 3, 2, 10, 4


def bit_reverse(i):
    return int(f"{i:07b}"[::-1], 2)


ZETAS = [pow(17, bit_reverse(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * bit_reverse(i) + 1, Q) for i in range(128)]


def encode(values, bits):  # 5
    number = sum(v << (bits * i) for i, v in enumerate(values))
    return number.to_bytes(N * bits // 8, "little")


def decode(data, bits):  # 6
    number = int.from_bytes(data, "little")
    return [(number >> (bits * i)) & ((1 << bits) - 1) for i in range(N)]


def compress(values, bits):
    return [((v << bits) + Q // 2) // Q % (1 << bits) for v in values]


def decompress(values, bits):
    return [(v * Q + (1 << (bits - 1))) >> bits for v in values]


def sample_uniform(seed):  # 7
    stream, out = shake_128(seed).digest(3 * 1024), []
    for i in range(0, len(stream), 3):
        a, b, c = stream[i:i + 3]
        out += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
        if len(out) >= N:
            return out[:N]
    raise ValueError("the stream is too short for this seed")


def sample_binomial(seed, counter):  # 8, with the PRF of section 4.1
    number = int.from_bytes(shake_256(seed + bytes([counter])).digest(64 * ETA), "little")
    pair = [number >> (4 * i) & 15 for i in range(N)]
    return [((p & 1) + (p >> 1 & 1) - (p >> 2 & 1) - (p >> 3 & 1)) % Q for p in pair]


def ntt(f):  # 9
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = ZETAS[i] * f[j + length]
                f[j], f[j + length] = (f[j] + t) % Q, (f[j] - t) % Q
            i += 1
        length //= 2
    return f


def inverse_ntt(f):  # 10
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, ZETAS[i] * (f[j + length] - t) % Q
            i -= 1
        length *= 2
    return [v * 3303 % Q for v in f]


def multiply(f, g):  # 11, 12
    out = []
    for i in range(128):
        a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        out += [(a * c + b * d * GAMMAS[i]) % Q, (a * d + b * c) % Q]
    return out


def add(f, g):
    return [(a + b) % Q for a, b in zip(f, g)]


def dot(fs, gs):
    total = [0] * N
    for f, g in zip(fs, gs):
        total = add(total, multiply(f, g))
    return total


def matrix(rho):
    return [[sample_uniform(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def key_pair(d, z):  # 13, 16
    seeds = sha3_512(d + bytes([K])).digest()
    rho, sigma = seeds[:32], seeds[32:]
    a = matrix(rho)
    s = [ntt(sample_binomial(sigma, i)) for i in range(K)]
    e = [ntt(sample_binomial(sigma, K + i)) for i in range(K)]
    t = [add(dot(a[i], s), e[i]) for i in range(K)]
    public = b"".join(encode(p, 12) for p in t) + rho
    return public, b"".join(encode(p, 12) for p in s) + public + sha3_256(public).digest() + z


def encrypt(public, message, r):  # 14
    t = [decode(public[384 * i:384 * (i + 1)], 12) for i in range(K)]
    if b"".join(encode([v % Q for v in p], 12) for p in t) != public[:384 * K]:
        raise ValueError("the public key is no encoding")  # section 7.2
    a = matrix(public[384 * K:])
    y = [ntt(sample_binomial(r, i)) for i in range(K)]
    u = [add(inverse_ntt(dot([a[j][i] for j in range(K)], y)), sample_binomial(r, K + i)) for i in range(K)]
    v = add(add(inverse_ntt(dot(t, y)), sample_binomial(r, 2 * K)), decompress(decode(message, 1), 1))
    return b"".join(encode(compress(p, DU), DU) for p in u) + encode(compress(v, DV), DV)


def decrypt(secret, ciphertext):  # 15
    split = 32 * DU * K
    u = [decompress(decode(ciphertext[32 * DU * i:32 * DU * (i + 1)], DU), DU) for i in range(K)]
    v = decompress(decode(ciphertext[split:], DV), DV)
    s = [decode(secret[384 * i:384 * (i + 1)], 12) for i in range(K)]
    w = [(a - b) % Q for a, b in zip(v, inverse_ntt(dot(s, [ntt(p) for p in u])))]
    return encode(compress(w, 1), 1)


def encapsulate(public, m):  # 17
    seeds = sha3_512(m + sha3_256(public).digest()).digest()
    return encrypt(public, m, seeds[32:]), seeds[:32]


def decapsulate(secret, ciphertext):  # 18
    pke, public = secret[:384 * K], secret[384 * K:768 * K + 32]
    h, z = secret[768 * K + 32:768 * K + 64], secret[768 * K + 64:]
    seeds = sha3_512(decrypt(pke, ciphertext) + h).digest()
    if encrypt(public, decrypt(pke, ciphertext), seeds[32:]) != ciphertext:
        return shake_256(z + ciphertext).digest(32)
    return seeds[:32]


# --- X-Wing -----------------------------------------------------------------------------------

def x25519_public(secret):
    key = X25519PrivateKey.from_private_bytes(secret).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def x25519(secret, public):
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


def combine(mlkem_shared, x_shared, x_ciphertext, x_public):
    return sha3_256(mlkem_shared + x_shared + x_ciphertext + x_public + rb"\.//^" + b"\\").digest()


def expand(seed):
    stream = shake_256(seed).digest(96)
    public, secret = key_pair(stream[:32], stream[32:64])
    return public, secret, stream[64:]


def xwing_public(seed):
    public, _, x_secret = expand(seed)
    return public + x25519_public(x_secret)


def xwing_encapsulate(public, seed):
    ciphertext, shared = encapsulate(public[:1184], seed[:32])
    x_ciphertext, x_public = x25519_public(seed[32:]), public[1184:]
    x_shared = x25519(seed[32:], x_public)
    return ciphertext + x_ciphertext, combine(shared, x_shared, x_ciphertext, x_public)


def xwing_decapsulate(seed, ciphertext):
    _, secret, x_secret = expand(seed)
    shared, x_ciphertext = decapsulate(secret, ciphertext[:1088]), ciphertext[1088:]
    return combine(shared, x25519(x_secret, x_ciphertext), x_ciphertext, x25519_public(x_secret))
