import Bounded
import Foundation
import Lexicon

/// Encoding and decoding of whole texts, one thread, beside tokenizers that run on the same texts.
enum EncodeSpeed {
  static let textBytes = 2_000_000

  static func run(_ options: BenchOptions, _ lab: Lab) throws -> Report {
    let environment = ProcessInfo.processInfo.environment
    let folder = environment["SKYBENCH_LEXICON"] ?? ".sdk/lexicon"
    let texts = environment["SKYBENCH_TEXTS"] ?? ".sdk/lexicon/texts"
    var report = Report("encode")
    report.notes = [
      Proc.machine(), "dictionary 64k.lex; texts of \(textBytes / 1_000) kB at most; MB/s of text, by thread time",
    ]
    let names = try FileManager.default.contentsOfDirectory(atPath: texts).filter { $0.hasSuffix(".txt") }.sorted()
    guard !names.isEmpty else { throw BenchError("no texts in \(texts)") }
    let map = try MappedFile(folder + "/64k.lex")
    let view = try LexiconView(RawSpan(_unsafeBytes: map.bytes))
    var encoded: [Double] = []
    var decoded: [Double] = []
    for name in names {
      let text = try Data(contentsOf: URL(filePath: texts + "/" + name)).prefix(textBytes)
      let result = try measure(Array(text), view, name)
      report.notes.append(
        name
          + String(
            format: ": encode %.0f MB/s, decode %.0f MB/s, encoded size %.3f of the text", result.encode, result.decode,
            result.ratio))
      encoded.append(result.encode)
      decoded.append(result.decode)
    }
    var best: Double?
    if let python = environment["SKYBENCH_PYTHON"] {
      let output = try lab.run([python, "tools/lexicon/tokenizers.py", texts, "\(textBytes)", lab.folder.path])
      for line in output.split(separator: "\n") {
        report.notes.append(String(line))
        if let speed = line.split(separator: " ").dropLast().last.flatMap({ Double($0) }) {
          best = max(best ?? 0, speed)
        }
      }
      report.peer = "the fastest of sentencepiece and tiktoken"
    }
    report.metrics = [
      Metric("encode, geometric mean", geometricMean(encoded), "MB/s", peer: best, goal: .atLeast(100)),
      Metric("decode, geometric mean", geometricMean(decoded), "MB/s", goal: .atLeast(400)),
      Metric("encode, slowest text", encoded.min() ?? 0, "MB/s"),
      Metric("decode, slowest text", decoded.min() ?? 0, "MB/s"),
    ]
    return report
  }

  private static func geometricMean(_ values: [Double]) -> Double {
    exp(values.reduce(0) { $0 + log($1) } / Double(values.count))
  }

  private static func measure(
    _ text: [UInt8], _ view: borrowing LexiconView, _ name: String
  ) throws -> (encode: Double, decode: Double, ratio: Double) {
    let encoder = Encoder(copy view)
    let decoder = Decoder(copy view)
    let stream = UnsafeMutableRawBufferPointer.allocate(byteCount: Encoder.bound(text.count), alignment: 16)
    let back = UnsafeMutableRawBufferPointer.allocate(byteCount: text.count + Decoder.outputMinimum, alignment: 16)
    defer {
      stream.deallocate()
      back.deallocate()
    }
    var times: (encode: Double, decode: Double) = (.infinity, .infinity)
    var written = 0
    for _ in 0..<25 {
      var start = threadNs()
      let step = encoder.encode(text.span.bytes, isLast: true, into: stream)
      times.encode = min(times.encode, threadNs() - start)
      written = step.written
      let bytes = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: stream[0..<written]))
      start = threadNs()
      let other = try decoder.decode(bytes, isLast: true, into: back)
      times.decode = min(times.decode, threadNs() - start)
      guard step.consumed == text.count, other.written == text.count, back.prefix(text.count).elementsEqual(text) else {
        throw BenchError("\(name) does not come back")
      }
    }
    let megabytes = Double(text.count) * 1e3
    return (megabytes / times.encode, megabytes / times.decode, Double(written) / Double(text.count))
  }
}
