#!/usr/bin/env python3
"""Writes a tiny model with random weights as GGUF: tiny.py llama|gemma3|bert TYPE FILE. Needs nothing but Python.

TYPE is one of F32 F16 Q8_0 Q4_0 Q4_1 Q5_0 Q4_K Q6_K, or "mixed", a different one for each matrix. The same arguments
always give the same file. The models say nothing sensible: they are for comparing programs with each other.
"""
import array, random, struct, sys

TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q8_0": 8, "Q4_K": 12, "Q6_K": 14}
U32, F32, BOOL, STR, ARR, I32 = 4, 6, 7, 8, 9, 5


def half(x):
    return struct.pack("<e", x)


def rows(r, name, count):
    """`count` numbers with a standard deviation of about 1/16."""
    if name == "F32":
        return array.array("f", (r.gauss(0, 1 / 16) for _ in range(count))).tobytes()
    if name == "F16":
        return b"".join(half(r.gauss(0, 1 / 16)) for _ in range(count))
    scale = lambda: r.uniform(0.7, 1.4)
    out = bytearray()
    if name in ("Q4_0", "Q4_1", "Q5_0", "Q8_0"):
        for _ in range(count // 32):
            s = scale()
            if name == "Q4_0":
                out += half(0.0136 * s) + r.randbytes(16)
            elif name == "Q4_1":
                out += half(0.0136 * s) + half(-7.5 * 0.0136 * s) + r.randbytes(16)
            elif name == "Q5_0":
                out += half(0.0068 * s) + r.randbytes(20)
            else:
                out += half(0.00085 * s) + r.randbytes(32)
        return bytes(out)
    for _ in range(count // 256):
        s = scale()
        if name == "Q4_K":
            out += half(0.0136 / 32 * s) + half(7.5 * 0.0136 / 32 * s) + r.randbytes(12 + 128)
        else:
            out += r.randbytes(192 + 16) + half(0.0625 / 18.5 / 73 * s)
    return bytes(out)


class Writer:
    def __init__(self):
        self.keys, self.tensors = [], []

    @staticmethod
    def text(s):
        b = s.encode()
        return struct.pack("<Q", len(b)) + b

    def key(self, name, kind, value):
        self.keys.append(self.text(name) + struct.pack("<I", kind) + self.value(kind, value))

    def value(self, kind, v):
        if kind == STR:
            return self.text(v)
        return struct.pack({U32: "<I", F32: "<f", BOOL: "<?", I32: "<i"}[kind], v)

    def array(self, name, kind, values):
        data = b"".join(self.value(kind, v) for v in values)
        self.keys.append(self.text(name) + struct.pack("<IIQ", ARR, kind, len(values)) + data)

    def tensor(self, name, shape, kind, data):
        self.tensors.append((name, shape, kind, data))

    def save(self, path):
        out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys)) + b"".join(self.keys))
        offset = 0
        for name, shape, kind, data in self.tensors:
            out += self.text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape)
            out += struct.pack("<IQ", TYPES[kind], offset)
            offset += len(data) + -len(data) % 32
        out += bytes(-len(out) % 32)
        for *_, data in self.tensors:
            out += data + bytes(-len(data) % 32)
        open(path, "wb").write(out)


def byte_letters():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def tokenizer(w, arch):
    key = "tokenizer.ggml."
    if arch == "llama":
        letters = byte_letters()
        tokens = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"] + [letters[b] for b in range(256)]
        merges = ["t h", "e r", "i n", "a n", "Ġ t", "Ġ a", "Ġt h", "th e", "Ġth e", "o n"]
        tokens += [m.replace(" ", "") for m in merges]
        types = [2, 3, 3, 3, 3] + [1] * (len(tokens) - 5)
        w.key(key + "model", STR, "gpt2")
        w.key(key + "pre", STR, "smollm")
        w.array(key + "merges", STR, merges)
        w.key("tokenizer.chat_template", STR,
              "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
              "{{ '<|im_start|>system\nBe brief<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
              "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
              "{{ '<|im_start|>assistant\n' }}{% endif %}")
        bos, eos, unk = 1, 4, 0
    elif arch == "gemma3":
        tokens = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)]
        words = ["▁", "t", "h", "e", "th", "the", "▁the", "▁t", "a", "n", "an", "▁a", "▁an", "i", "in", "o", "r", "s"]
        types = [3, 3, 3, 2] + [6] * 256 + [1] * len(words)
        tokens += words
        w.key(key + "model", STR, "llama")
        w.key(key + "add_space_prefix", BOOL, False)
        w.key(key + "add_bos_token", BOOL, True)
        bos, eos, unk = 2, 1, 3
    else:
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + ["▁" + chr(c) for c in range(33, 127)]
        tokens += [chr(c) for c in range(97, 123)] + ["▁the", "▁hello", "▁wor", "ld", "ing"]
        types = [3] * 4 + [1] * (len(tokens) - 4)
        w.key(key + "model", STR, "bert")
        bos, eos, unk = 2, 3, 1
        w.key(key + "seperator_token_id", U32, 3)
    while len(tokens) % 32:
        tokens.append(f"<pad{len(tokens)}>")
        types.append(1)
    if arch == "gemma3":
        w.array(key + "scores", F32, [0.0] * 260 + [-float(i) for i in range(len(tokens) - 260)])
    w.array(key + "tokens", STR, tokens)
    w.array(key + "token_type", I32, types)
    for name, value in (("bos", bos), ("eos", eos), ("unknown", unk)):
        w.key(f"{key}{name}_token_id", U32, value)
    return len(tokens)


def make(arch, kind, path):
    r = random.Random(f"{arch} {kind}")
    w, D, F, L, H, K, S = Writer(), 256, 512, 7 if arch == "gemma3" else 2, 4, 2, 64
    w.key("general.architecture", STR, arch)
    w.key("general.name", STR, f"tiny {arch} {kind}")
    a = arch + "."
    for name, value in (("block_count", L), ("context_length", 256), ("embedding_length", D),
                        ("feed_forward_length", F), ("attention.head_count", H)):
        w.key(a + name, U32, value)
    if arch == "bert":
        w.key(a + "attention.layer_norm_epsilon", F32, 1e-12)
        w.key(a + "attention.causal", BOOL, False)
        w.key(a + "pooling_type", U32, 1)
    else:
        w.key(a + "attention.head_count_kv", U32, K)
        w.key(a + "attention.layer_norm_rms_epsilon", F32, 1e-6)
        w.key(a + "rope.freq_base", F32, 1e6 if arch == "gemma3" else 1e4)
        if arch == "gemma3":
            for name, value in (("attention.key_length", S), ("attention.value_length", S), ("attention.sliding_window", 16)):
                w.key(a + name, U32, value)
        else:
            w.key(a + "rope.dimension_count", U32, S)
    V = tokenizer(w, arch)
    kinds = list(TYPES)
    count = [0]

    def matrix(name, n, columns):
        own = kinds[count[0] % len(kinds)] if kind == "mixed" else kind
        count[0] += 1
        w.tensor(name + ".weight", (columns, n), own, rows(r, own, n * columns))

    def vector(name, n, middle=1.0):
        w.tensor(name, (n,), "F32", array.array("f", (middle + r.gauss(0, 0.1) for _ in range(n))).tobytes())

    matrix("token_embd", V, D)
    if arch == "bert":
        w.tensor("position_embd.weight", (D, 256), "F32", rows(r, "F32", 256 * D))
        w.tensor("token_types.weight", (D, 2), "F32", rows(r, "F32", 2 * D))
        vector("token_embd_norm.weight", D)
        vector("token_embd_norm.bias", D, 0)
    else:
        vector("output_norm.weight", D)
    for i in range(L):
        p = f"blk.{i}."
        if arch == "bert":
            for name, n, columns in (("attn_q", D, D), ("attn_k", D, D), ("attn_v", D, D), ("attn_output", D, D),
                                     ("ffn_up", F, D), ("ffn_down", D, F)):
                matrix(p + name, n, columns)
                vector(p + name + ".bias", n, 0)
            for name in ("attn_output_norm", "layer_output_norm"):
                vector(p + name + ".weight", D)
                vector(p + name + ".bias", D, 0)
            continue
        vector(p + "attn_norm.weight", D)
        vector(p + "ffn_norm.weight", D)
        for name, n, columns in (("attn_q", H * S, D), ("attn_k", K * S, D), ("attn_v", K * S, D),
                                 ("attn_output", D, H * S), ("ffn_gate", F, D), ("ffn_up", F, D), ("ffn_down", D, F)):
            matrix(p + name, n, columns)
        if arch == "gemma3":
            vector(p + "attn_q_norm.weight", S)
            vector(p + "attn_k_norm.weight", S)
            vector(p + "post_attention_norm.weight", D)
            vector(p + "post_ffw_norm.weight", D)
    w.save(path)


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("llama", "gemma3", "bert") or sys.argv[2] not in [*TYPES, "mixed"]:
        sys.exit(__doc__)
    make(*sys.argv[1:])
