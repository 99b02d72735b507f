import Bounded

/// The smallest models of each kind, as files: what the fuzzer starts from.
enum TinyGguf {
  static let templates = [
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] | trim }}{% endfor %}",
    "{%- if messages[0]['role'] == 'system' -%}{%- set x = messages[1:] -%}{%- else -%}{%- set x = messages -%}{%- endif -%}"
      + "{% for m in x %}{{ (m.content if loop.first else '') ~ 'a' }}{% if not loop.last and loop.index0 % 2 != 1 %}b{% endif %}"
      + "{# c #}{% endfor %}{% if tools is defined or 'x' in 'y' %}{{ raise_exception('no') }}{% elif true %}z{% endif %}",
  ]

  private static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
  }
  private static func string(_ bytes: [UInt8]) -> [UInt8] { little(UInt64(bytes.count)) + bytes }
  private static func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }
  private static func key(_ name: String, _ value: Int) -> [UInt8] {
    string(name) + little(UInt32(4)) + little(UInt32(value))
  }
  private static func key(_ name: String, _ value: String) -> [UInt8] {
    string(name) + little(UInt32(8)) + string(value)
  }
  private static func key(_ name: String, _ value: Float) -> [UInt8] {
    string(name) + little(UInt32(6)) + little(value.bitPattern)
  }
  private static func list(_ name: String, _ type: UInt32, _ count: Int, _ values: [UInt8]) -> [UInt8] {
    string(name) + little(UInt32(9)) + little(type) + little(UInt64(count)) + values
  }

  private static func whole(_ keys: [[UInt8]], _ tensors: [(String, [Int], UInt32, Int)]) -> [UInt8] {
    var out = Array("GGUF".utf8) + little(UInt32(3)) + little(UInt64(tensors.count)) + little(UInt64(keys.count))
    out += keys.flatMap { $0 }
    var offset = 0
    for (name, shape, type, bytes) in tensors {
      out += string(name) + little(UInt32(shape.count)) + shape.flatMap { little(UInt64($0)) } + little(type)
      out += little(UInt64(offset))
      offset += (bytes + 31) / 32 * 32
    }
    while out.count % 32 != 0 { out.append(0) }
    return out + (0..<offset).map { UInt8(truncatingIfNeeded: $0 % 4 == 3 ? 0x3C : $0) }
  }

  /// One tensor of each type.
  static var types: [UInt8] {
    whole(
      [key("general.architecture", "llama")],
      [
        ("a", [8], 0, 32), ("b", [8], 1, 16), ("c", [32], 2, 18), ("d", [32], 3, 20), ("e", [32], 6, 22),
        ("f", [32], 8, 34),
        ("g", [256], 12, 144), ("h", [256], 14, 210),
      ])
  }

  static func file(_ architecture: String, template: [UInt8]? = nil, hasAllBytes: Bool = false) -> [UInt8] {
    let tokens: [String]
    var keys = [key("general.architecture", architecture)]
    switch architecture {
    case "llama":
      var other = 255
      let letters = (0..<256).map { byte -> String in
        let isPlain = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
        if !isPlain { other += 1 }
        return String(UnicodeScalar(UInt32(isPlain ? byte : other))!)
      }
      tokens = (hasAllBytes ? letters : ["t", "h", "e"]) + ["th", "the", "<|im_end|>"]
      keys += [key("tokenizer.ggml.model", "gpt2"), key("tokenizer.ggml.pre", "smollm")]
      keys.append(list("tokenizer.ggml.merges", 8, 2, string("t h") + string("th e")))
    case "gemma3":
      tokens = ["<unk>", "<0x41>", "▁", "t", "h", "e", "th", "▁the", "<|im_end|>"]
      keys.append(key("tokenizer.ggml.model", "llama"))
      keys.append(
        list("tokenizer.ggml.scores", 6, tokens.count, tokens.indices.flatMap { little((-Float($0)).bitPattern) }))
      keys.append(key("gemma3.attention.key_length", 8))
      keys.append(key("gemma3.attention.sliding_window", 4))
    default:
      tokens = ["[UNK]", "[CLS]", "▁t", "he", "▁a", "n", "[SEP]"]
      keys += [key("tokenizer.ggml.model", "bert"), key("bert.attention.layer_norm_epsilon", Float(1e-6))]
    }
    let last = Int32(tokens.count - 1)
    keys.append(list("tokenizer.ggml.tokens", 8, tokens.count, tokens.flatMap { string($0) }))
    keys.append(
      list("tokenizer.ggml.token_type", 5, tokens.count, (0...last).flatMap { little(Int32($0 == last ? 3 : 1)) }))
    keys += [
      key("tokenizer.ggml.eos_token_id", Int(last)), key("tokenizer.ggml.bos_token_id", 1),
      key("tokenizer.ggml.unknown_token_id", 0),
    ]
    if let template {
      keys.append(string("tokenizer.chat_template") + little(UInt32(8)) + string(template))
    }
    let p = architecture + "."
    for (name, value) in [
      ("block_count", 1), ("context_length", 16), ("embedding_length", 8), ("feed_forward_length", 8),
      ("attention.head_count", 1),
    ] { keys.append(key(p + name, value)) }
    keys.append(key(p + "attention.layer_norm_rms_epsilon", Float(1e-5)))
    return whole(keys, tensors(architecture, tokens.count))
  }

  private static func tensors(_ architecture: String, _ vocabulary: Int) -> [(String, [Int], UInt32, Int)] {
    func matrix(_ name: String, _ rows: Int = 8) -> (String, [Int], UInt32, Int) {
      (name + ".weight", [8, rows], 1, 16 * rows)
    }
    func vector(_ name: String) -> (String, [Int], UInt32, Int) { (name, [8], 0, 32) }
    var out = [matrix("token_embd", vocabulary)]
    let parts: [String]
    let vectors: [String]
    if architecture == "bert" {
      out += [matrix("position_embd", 16), matrix("token_types", 2)]
      out += [vector("token_embd_norm.weight"), vector("token_embd_norm.bias")]
      parts = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"]
      vectors =
        ["attn_output_norm.weight", "attn_output_norm.bias", "layer_output_norm.weight", "layer_output_norm.bias"]
        + parts.map { $0 + ".bias" }
    } else {
      out.append(vector("output_norm.weight"))
      parts = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
      vectors =
        ["attn_norm.weight", "ffn_norm.weight"]
        + (architecture == "gemma3"
          ? ["attn_q_norm.weight", "attn_k_norm.weight", "post_attention_norm.weight", "post_ffw_norm.weight"] : [])
    }
    return out + parts.map { matrix("blk.0." + $0) } + vectors.map { vector("blk.0." + $0) }
  }
}
