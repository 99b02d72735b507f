"""inputs.py DICTIONARY SAMPLE FOLDER: what tools/lexicon-roundtrip gives to lexprobe. Every SAMPLEth of each kind.

  FOLDER/documents      paths: everything under /usr/share/doc and /usr/share/man, unpacked where it is compressed
  FOLDER/strings        records: random bytes, invalid UTF-8 and broken words, 100,000 in all
  FOLDER/characters     records: every assigned character of Unicode, alone and in words
  FOLDER/damaged-*      dictionaries with damage behind a header that is right
"""
import gzip
import os
import random
import struct
import sys
import unicodedata

dictionary, sample, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
generator = random.Random(1)


def documents():
    paths = sorted(os.path.join(place, name) for top in ('/usr/share/doc', '/usr/share/man')
                   for place, _, names in os.walk(top) for name in names)
    for number, path in enumerate(paths):
        if number % sample or not os.path.isfile(path) or '\n' in path:
            continue
        if path.endswith('.gz'):
            with gzip.open(path) as packed, open(f'{folder}/{number}', 'wb') as out:
                out.write(packed.read())
            path = f'{folder}/{number}'
        yield path + '\n'


# Each of these is not UTF-8, or begins what the next byte must not go on with.
BROKEN = [b'\xc3', b'\xc3\x28', b'\xed\xa0\x80', b'\xf4\x90\x80\x80', b'\xe2\x82', b'\xff\xfe', b'\x80', b'\xc0\xaf', b'\xf8\x88\x80\x80\x80']
PIECES = BROKEN + [b'the', b'Hello', b'WORLD', b' ', b'  ', b'42', b"'", b'\n', b'\0', 'ü'.encode(), 'Straße'.encode(), '世界'.encode()]


def strings():
    for number in range(0, 100_000, sample):
        count = generator.randrange(60)
        if number % 2:
            yield generator.randbytes(count)
        else:
            yield b''.join(generator.choices(PIECES, k=count // 3)) + generator.choice(BROKEN)


def characters():
    for point in range(0, 0x110000, sample):
        character = chr(point)
        if unicodedata.category(character) not in ('Cn', 'Cs'):
            yield character.encode()
            yield f'{character} a{character}{character}B {character}'.encode()


def write_records(name, records):
    with open(f'{folder}/{name}', 'wb') as out:
        for record in records:
            out.write(struct.pack('<H', len(record)) + record)


def checksum(data):
    """CRC-32C."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def damaged():
    """All blocks at the edges of their section or far behind it, and bytes anywhere behind the header."""
    with open(dictionary, 'rb') as file:
        good = file.read()
    (offset, size), (_, strings_size) = (struct.unpack_from('<II', good, 64 + 16 * i) for i in (2, 3))
    for entry in (0xFFFFFFFF, 0x7FFFFFFF, 0x07FFFFFF, 0, 7, strings_size - 9, strings_size - 8, strings_size):
        for numbers in (0, 0x8888888888888888, 0xFFFFFFFFFFFFFFFF):
            file = bytearray(good)
            file[offset:offset + size] = struct.pack('<IQ', entry, numbers) * (size // 12)
            yield file
    for _ in range(max(4, 40 // sample)):
        file = bytearray(good)
        for _ in range(len(file) // 50):
            file[generator.randrange(256, len(file))] = generator.randrange(256)
        yield file


with open(f'{folder}/documents', 'w', encoding='utf-8', errors='surrogateescape') as out:
    out.writelines(documents())
write_records('strings', strings())
write_records('characters', characters())
for number, file in enumerate(damaged()):
    with open(f'{folder}/damaged-{number}', 'wb') as out:
        file[60:64] = struct.pack('<I', checksum(file[:60] + file[64:256]))
        out.write(file)
