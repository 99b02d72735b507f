import Foundation

@testable import Inference

/// Writes GGUF files for tests: keys, tensors, bytes.
struct GgufBuilder {
  var version: UInt32 = 3
  var alignment = 32
  private var keys: [[UInt8]] = []
  private var tensors: [(name: String, shape: [Int], type: UInt32, data: [UInt8])] = []

  static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
  static func string(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + Array(text.utf8) }

  mutating func raw(_ key: String, _ type: UInt32, _ value: [UInt8]) {
    keys.append(Self.string(key) + Self.little(type) + value)
  }
  mutating func set(_ key: String, _ value: String) { raw(key, 8, Self.string(value)) }
  mutating func set(_ key: String, _ value: Int) { raw(key, 4, Self.little(UInt32(value))) }
  mutating func set(_ key: String, _ value: Float) { raw(key, 6, Self.little(value.bitPattern)) }
  mutating func set(_ key: String, _ value: Bool) { raw(key, 7, [value ? 1 : 0]) }
  mutating func set(_ key: String, _ values: [String]) {
    raw(key, 9, Self.little(UInt32(8)) + Self.little(UInt64(values.count)) + values.flatMap(Self.string))
  }
  mutating func set(_ key: String, _ values: [Int32]) {
    raw(key, 9, Self.little(UInt32(5)) + Self.little(UInt64(values.count)) + values.flatMap { Self.little($0) })
  }
  mutating func set(_ key: String, _ values: [Float]) {
    raw(
      key, 9, Self.little(UInt32(6)) + Self.little(UInt64(values.count)) + values.flatMap { Self.little($0.bitPattern) }
    )
  }

  mutating func tensor(_ name: String, _ shape: [Int], type: UInt32 = 0, _ data: [UInt8]) {
    tensors.append((name, shape, type, data))
  }
  mutating func tensor(_ name: String, _ shape: [Int], _ numbers: [Float]) {
    tensor(name, shape, numbers.flatMap { Self.little($0.bitPattern) })
  }

  var bytes: [UInt8] {
    var out = Array("GGUF".utf8) + Self.little(version)
    out += Self.little(UInt64(tensors.count)) + Self.little(UInt64(keys.count)) + keys.flatMap { $0 }
    var offset = 0
    for tensor in tensors {
      out += Self.string(tensor.name) + Self.little(UInt32(tensor.shape.count))
      out += tensor.shape.flatMap { Self.little(UInt64($0)) } + Self.little(tensor.type) + Self.little(UInt64(offset))
      offset += (tensor.data.count + alignment - 1) / alignment * alignment
    }
    while out.count % alignment != 0 { out.append(0) }
    for tensor in tensors {
      out += tensor.data
      while out.count % alignment != 0 { out.append(0) }
    }
    return out
  }
}

/// Bytes at a fixed place, as a mapped file's are.
final class Mapped {
  let bytes: UnsafeRawBufferPointer
  init(_ array: [UInt8]) {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, array.count), alignment: 64)
    room.copyBytes(from: array)
    bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(room)[0..<array.count])
  }
  deinit { bytes.deallocate() }
}

/// An arena of so many bytes, with its memory.
final class Memory {
  let room: UnsafeMutableRawBufferPointer
  init(_ count: Int) {
    room = .allocate(byteCount: max(64, count), alignment: 64)
    room.initializeMemory(as: UInt8.self, repeating: 0)
  }
  deinit { room.deallocate() }
  var arena: Arena { Arena(room) }
}

/// A generator of numbers that is the same everywhere.
struct Numbers {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state >> 33
  }
  mutating func float(_ scale: Float) -> Float { (Float(next() % 20_001) / 10_000 - 1) * scale }
  mutating func floats(_ count: Int, _ scale: Float) -> [Float] { (0..<count).map { _ in float(scale) } }
}

/// A llama model of 2 layers with random weights and a tokenizer of bytes.
enum TinyModel {
  static let template =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    + "{{ '<|im_start|>system\nBe brief<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
    + "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    + "{{ '<|im_start|>assistant\n' }}{% endif %}"
  static let merges = ["t h", "e r", "i n", "a n", "Ġ t", "Ġ a", "Ġt h", "th e", "Ġth e", "o n"]

  static func letters() -> [String] {
    var other = 256
    return (0..<256).map { byte in
      let isPlain = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
      if !isPlain { other += 1 }
      return String(UnicodeScalar(UInt32(isPlain ? byte : other - 1))!)
    }
  }

  static func tokenizer(_ builder: inout GgufBuilder, template: String? = TinyModel.template) -> [String] {
    let specials = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    let tokens = specials + letters() + merges.map { $0.replacing(" ", with: "") }
    builder.set("tokenizer.ggml.model", "gpt2")
    builder.set("tokenizer.ggml.pre", "smollm")
    builder.set("tokenizer.ggml.tokens", tokens)
    builder.set("tokenizer.ggml.merges", merges)
    builder.set("tokenizer.ggml.token_type", [2, 3, 3, 3, 3] + [Int32](repeating: 1, count: tokens.count - 5))
    builder.set("tokenizer.ggml.bos_token_id", 1)
    builder.set("tokenizer.ggml.eos_token_id", 4)
    if let template { builder.set("tokenizer.chat_template", template) }
    return tokens
  }

  static func builder(template: String? = TinyModel.template, width: Int = 64, wide: Int = 96) -> GgufBuilder {
    var out = GgufBuilder()
    var numbers = Numbers(state: 7)
    out.set("general.architecture", "llama")
    for (key, value) in [
      ("block_count", 2), ("context_length", 128), ("embedding_length", width), ("feed_forward_length", wide),
      ("attention.head_count", 4), ("attention.head_count_kv", 2),
    ] { out.set("llama." + key, value) }
    out.set("llama.attention.layer_norm_rms_epsilon", Float(1e-5))
    let vocabulary = tokenizer(&out, template: template).count
    func matrix(_ name: String, _ columns: Int, _ rows: Int) {
      out.tensor(name + ".weight", [columns, rows], numbers.floats(columns * rows, 0.3))
    }
    matrix("token_embd", width, vocabulary)
    out.tensor("output_norm.weight", [width], numbers.floats(width, 1))
    for i in 0..<2 {
      let p = "blk.\(i)."
      out.tensor(p + "attn_norm.weight", [width], numbers.floats(width, 1))
      out.tensor(p + "ffn_norm.weight", [width], numbers.floats(width, 1))
      matrix(p + "attn_q", width, width)
      matrix(p + "attn_k", width, width / 2)
      matrix(p + "attn_v", width, width / 2)
      matrix(p + "attn_output", width, width)
      matrix(p + "ffn_gate", width, wide)
      matrix(p + "ffn_up", width, wide)
      matrix(p + "ffn_down", wide, width)
    }
    return out
  }
}
