"""Takes a node out of a device tree, in place (fdt_nop_node of libfdt): fdt-nop.py FILE NODE-NAME"""
import struct
import sys

BEGIN, END, PROPERTY, NOP = 1, 2, 3, 4

path, wanted = sys.argv[1], sys.argv[2].encode()
tree = bytearray(open(path, "rb").read())
magic, _, at = struct.unpack_from(">3I", tree)
assert magic == 0xD00DFEED, f"{path} is no device tree"
depth, start, found = 0, None, None
while found is None:
    token = struct.unpack_from(">I", tree, at)[0]
    begun = at
    at += 4
    if token == BEGIN:
        end = tree.index(0, at)
        depth += 1
        if tree[at:end] == wanted:
            start = (begun, depth)
        at = (end + 4) & ~3
    elif token == END:
        if start and start[1] == depth:
            found = (start[0], at)
        depth -= 1
    elif token == PROPERTY:
        at = (at + 8 + struct.unpack_from(">I", tree, at)[0] + 3) & ~3
    else:
        assert token == NOP, f"{path} has no node {sys.argv[2]}"
for word in range(found[0], found[1], 4):
    struct.pack_into(">I", tree, word, NOP)
open(path, "wb").write(tree)
