import Bounded

/// One thing to feed with hostile bytes. `run` must return for every input; a trap is a finding.
///
/// The bytes lie in an allocation of exactly their size, so that reading past them is seen by the
/// address sanitizer.
struct FuzzTarget: Sendable {
  struct Seed {
    let name: String
    let bytes: [UInt8]
  }

  let name: String
  let run: @Sendable (RawSpan) -> Void
  /// Valid inputs to start from.
  let seeds: @Sendable () -> [Seed]

  static let all: [FuzzTarget] = [
    configuration, control, ticket, frame, handshake, ring, window, dictionary, encoded,
    manifest, relay, reassembly, gguf, tokenizer, template, inference, bundle, slots,
    updater, knowledge, phrase, model, taught, job, question, seal, packed, fellows,
  ]

  nonisolated(unsafe) static var current = all[0]
}

/// Numbers read off the front of a script.
struct Script: ~Escapable {
  private var reader: ByteReader

  @_lifetime(copy bytes)
  init(_ bytes: RawSpan) { reader = ByteReader(bytes) }

  mutating func byte() -> UInt8? {
    do throws(DecodeError) { return try reader.integer() } catch { return nil }
  }

  /// Two bytes, or 0 when they are not there.
  mutating func number() -> Int {
    do throws(DecodeError) { return Int(try reader.integer(UInt16.self)) } catch { return 0 }
  }

  /// At most `count` bytes.
  mutating func literal(_ count: Int) -> [UInt8] {
    do throws(DecodeError) { return try reader.bytes(min(count, reader.remaining)).array } catch { return [] }
  }
}

extension RawSpan {
  var array: [UInt8] { (0..<byteCount).map { self[$0] } }
}

extension ByteQueue {
  var array: [UInt8] { bytes.array }
}

extension TextBuffer {
  var array: [UInt8] { bytes.array }
}
