#!/usr/bin/env python3
"""Converts all-MiniLM-L6-v2 from its package to GGUF: minilm.py FOLDER FILE. Matrices become Q8_0."""
import json, struct, sys

import gguf
import numpy as np

NAMES = {
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}


def safetensors(path):
    """Name to array; the format is a length, a JSON header with offsets, and the numbers."""
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, about in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__" or about["dtype"] != "F32":
            continue
        start, end = about["data_offsets"]
        out[name] = np.frombuffer(data[8 + size + start : 8 + size + end], "<f4").reshape(about["shape"])
    return out


def main(folder, path):
    config, tensors = json.load(open(folder + "/config.json")), safetensors(folder + "/model.safetensors")
    w = gguf.GGUFWriter(path, "bert")
    w.add_name("all-MiniLM-L6-v2")
    w.add_block_count(config["num_hidden_layers"])
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(config["num_attention_heads"])
    w.add_layer_norm_eps(config["layer_norm_eps"])
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.MEAN)
    w.add_file_type(7)
    w.add_quantization_version(2)
    words = [line.rstrip("\n") for line in open(folder + "/vocab.txt", encoding="utf-8")]
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    tokens = [t if t in special else t[2:] if t.startswith("##") else "\u2581" + t for t in words]
    w.add_token_type_count(2)
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list(tokens)
    w.add_token_types([3 if t in special else 1 for t in words])
    w.add_bos_token_id(words.index("[CLS]"))
    w.add_eos_token_id(words.index("[SEP]"))
    w.add_unk_token_id(words.index("[UNK]"))
    w.add_sep_token_id(words.index("[SEP]"))
    w.add_pad_token_id(words.index("[PAD]"))
    w.add_mask_token_id(words.index("[MASK]"))

    def put(name, source, is_matrix=False):
        data = np.ascontiguousarray(tensors[source], np.float32)
        if is_matrix:
            kind = gguf.GGMLQuantizationType.Q8_0
            w.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            w.add_tensor(name, data)

    put("token_embd.weight", "embeddings.word_embeddings.weight", True)
    put("position_embd.weight", "embeddings.position_embeddings.weight")
    put("token_types.weight", "embeddings.token_type_embeddings.weight")
    for part in ("weight", "bias"):
        put("token_embd_norm." + part, "embeddings.LayerNorm." + part)
    for i in range(config["num_hidden_layers"]):
        for source, name in NAMES.items():
            for part in ("weight", "bias"):
                put(f"blk.{i}.{name}.{part}", f"encoder.layer.{i}.{source}.{part}", part == "weight" and "LayerNorm" not in source)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
