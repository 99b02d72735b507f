"""The three architectures in numpy, written from their papers, over weights that the gguf package reads: what
tools/inference/verify.py compares skynod-infer with, beside llama.cpp."""
import numpy as np
import gguf

ERF = np.vectorize(__import__("math").erf)


class Model:
    def __init__(self, path, half_cache=True):
        # skynod-infer keeps keys and values in half precision; so does llama.cpp unless told otherwise.
        self.half_cache = half_cache
        reader = gguf.GGUFReader(path)
        self.keys = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("tokenizer")}
        self.arch = self.keys["general.architecture"]
        self.tensors = {t.name: t for t in reader.tensors}
        self.cache = {}
        self.layers, self.width = self["block_count"], self["embedding_length"]
        self.heads = self["attention.head_count"]
        self.key_heads = self.get("attention.head_count_kv", self.heads)
        self.size = self.get("attention.key_length", self.width // self.heads)

    def __getitem__(self, key):
        return self.keys[f"{self.arch}.{key}"]

    def get(self, key, otherwise):
        return self.keys.get(f"{self.arch}.{key}", otherwise)

    def w(self, name):
        if name not in self.cache:
            t = self.tensors[name]
            flat = gguf.dequantize(t.data, t.tensor_type)
            self.cache[name] = flat.reshape([int(n) for n in t.shape][::-1]).astype(np.float32)
        return self.cache[name]

    def rms(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self["attention.layer_norm_rms_epsilon"]) * self.w(name)

    def layer_norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self["attention.layer_norm_epsilon"])
        return x * self.w(name + ".weight") + self.w(name + ".bias")

    @staticmethod
    def turn(x, base, halves):
        count, _, size = x.shape
        angle = np.arange(count)[:, None] * base ** (-np.arange(0, size, 2) / size)
        c, s = np.cos(angle)[:, None].astype(np.float32), np.sin(angle)[:, None].astype(np.float32)
        out = np.empty_like(x)
        a = (slice(None, size // 2), slice(size // 2, None)) if halves else (slice(0, None, 2), slice(1, None, 2))
        u, v = x[..., a[0]], x[..., a[1]]
        out[..., a[0]], out[..., a[1]] = u * c - v * s, u * s + v * c
        return out

    def attention(self, q, k, v, hidden):
        group = self.heads // self.key_heads
        scores = np.einsum("thd,shd->hts", q, k.repeat(group, 1)) / np.sqrt(self.size)
        scores[:, hidden] = -np.inf
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        return np.einsum("hts,shd->thd", scores, v.repeat(group, 1)).reshape(len(q), -1)

    def logits(self, ids):
        gemma, count = self.arch == "gemma3", len(ids)
        x = self.w("token_embd.weight")[ids] * (np.float32(np.sqrt(self.width)) if gemma else 1)
        place = np.arange(count)
        for layer in range(self.layers):
            p = f"blk.{layer}."
            local = gemma and (layer + 1) % 6 != 0
            h = self.rms(x, p + "attn_norm.weight")
            q = (h @ self.w(p + "attn_q.weight").T).reshape(count, self.heads, self.size)
            k = (h @ self.w(p + "attn_k.weight").T).reshape(count, self.key_heads, self.size)
            v = (h @ self.w(p + "attn_v.weight").T).reshape(count, self.key_heads, self.size)
            if gemma:
                q, k = self.rms(q, p + "attn_q_norm.weight"), self.rms(k, p + "attn_k_norm.weight")
            base = 1e4 if local else self["rope.freq_base"]
            q, k = self.turn(q, base, gemma), self.turn(k, base, gemma)
            if self.half_cache:
                k, v = k.astype(np.float16).astype(np.float32), v.astype(np.float16).astype(np.float32)
            hidden = place[None] > place[:, None]
            if local:
                hidden = hidden | (place[:, None] - place[None] >= self["attention.sliding_window"])
            o = self.attention(q, k, v, hidden) @ self.w(p + "attn_output.weight").T
            x = x + (self.rms(o, p + "post_attention_norm.weight") if gemma else o)
            h = self.rms(x, p + "ffn_norm.weight")
            g, u = h @ self.w(p + "ffn_gate.weight").T, h @ self.w(p + "ffn_up.weight").T
            if gemma:
                g = 0.5 * g * (1 + np.tanh(np.sqrt(2 / np.pi) * (g + 0.044715 * g**3)))
            else:
                g = g / (1 + np.exp(-g))
            o = (g * u) @ self.w(p + "ffn_down.weight").T
            x = x + (self.rms(o, p + "post_ffw_norm.weight") if gemma else o)
        x = self.rms(x, "output_norm.weight")
        return x @ self.w("output.weight" if "output.weight" in self.tensors else "token_embd.weight").T

    def embedding(self, ids):
        count = len(ids)
        x = self.w("token_embd.weight")[ids] + self.w("position_embd.weight")[:count] + self.w("token_types.weight")[0]
        x = self.layer_norm(x, "token_embd_norm")
        for layer in range(self.layers):
            p = f"blk.{layer}."
            line = lambda x, name: x @ self.w(p + name + ".weight").T + self.w(p + name + ".bias")
            q, k, v = (line(x, n).reshape(count, self.heads, self.size) for n in ("attn_q", "attn_k", "attn_v"))
            o = self.attention(q, k, v, np.zeros((count, count), bool))
            x = self.layer_norm(x + line(o, "attn_output"), p + "attn_output_norm")
            h = line(x, "ffn_up")
            h = h * 0.5 * (1 + ERF(h / np.sqrt(2))).astype(np.float32)
            x = self.layer_norm(x + line(h, "ffn_down"), p + "layer_output_norm")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)
