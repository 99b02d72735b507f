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
    manifest,
  ]

  nonisolated(unsafe) static var current = all[0]
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
