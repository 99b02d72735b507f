import Foundation
import SkyCrypto

// skybench NAME [--json] [--minutes N] [--seconds N] [--nodes N] [--quick] [--pairs FILE]; started by tools/bench, which
// builds what is measured and installs the peers. docs/benchmarks.md says what each benchmark means.

struct BenchOptions {
  var isJson = false
  var minutes: Double?
  var seconds: Double?
  var nodes: Int?
  /// One short round, to see that it runs.
  var isQuick = false
  /// For l0: pairs of questions (tools/knowledge) to match, instead of times.
  var pairs: String?
}

struct Benchmark {
  let name: String
  let summary: String
  let run: (BenchOptions, Lab) throws -> Report
}

let benchmarks = [
  Benchmark(
    name: "footprint", summary: "memory, growth, start-up and binaries of the node, beside Mosquitto (11 min)",
    run: Footprint.run),
  Benchmark(name: "wakeups", summary: "how often the idle node wakes the processor (4 min)", run: Wakeups.run),
  Benchmark(name: "handshake", summary: "processor time of one handshake on the node (1 min)", run: Handshake.run),
  Benchmark(name: "hub", summary: "1,000 nodes on one hub: time, memory, processor (3 min)", run: HubLoad.run),
  Benchmark(
    name: "relay", summary: "messages through a relay, beside Mosquitto and NATS: speed, processor, latency (12 min)",
    run: RelayBench.run),
  Benchmark(
    name: "beside", summary: "a relay's latency while the language model's worker makes a text (3 min)",
    run: RelayBeside.run),
  Benchmark(
    name: "ring", summary: "the ring file, beside SQLite: messages, wear, recovery, stalls (1 min)", run: RingBench.run),
  Benchmark(
    name: "lexicon", summary: "the dictionary beside five others: size, hits, misses, pages (3 min)",
    run: LexiconSpeed.run),
  Benchmark(
    name: "encode", summary: "encoding and decoding text beside sentencepiece and tiktoken (3 min)",
    run: EncodeSpeed.run),
  Benchmark(
    name: "l0", summary: "look-ups in a store of 100,000 questions, beside SQLite; --pairs FILE: the match (2 min)",
    run: KnowledgeSpeed.run),
]

func usage() -> Never {
  FileHandle.standardError.write(
    Data(
      "usage: tools/bench list | NAME [--json] [--minutes N] [--seconds N] [--nodes N] [--quick] [--pairs FILE]\n".utf8)
  )
  exit(64)
}

var words = Array(CommandLine.arguments.dropFirst())
guard !words.isEmpty else { usage() }
let name = words.removeFirst()
if name == "list" {
  for benchmark in benchmarks {
    print(benchmark.name + String(repeating: " ", count: 12 - benchmark.name.count) + benchmark.summary)
  }
  // Not in this program: its peer speaks Python.
  print("l2          models beside llama.cpp: speed and memory; with --verify whether results are right (5 min)")
  exit(0)
}
guard let benchmark = benchmarks.first(where: { $0.name == name }) else { usage() }
var options = BenchOptions()
while !words.isEmpty {
  let word = words.removeFirst()
  if word == "--json" || word == "--quick" {
    if word == "--json" { options.isJson = true } else { options.isQuick = true }
    continue
  }
  if word == "--pairs", !words.isEmpty {
    options.pairs = words.removeFirst()
    continue
  }
  guard !words.isEmpty, let value = Double(words.removeFirst()), value > 0 else { usage() }
  switch word {
  case "--minutes": options.minutes = value
  case "--seconds": options.seconds = value
  case "--nodes": options.nodes = Int(value)
  default: usage()
  }
}

guard startCrypto() else {
  FileHandle.standardError.write(Data("skybench: the cryptography library does not start\n".utf8))
  exit(70)
}
let lab = try Lab()
do {
  let report = try benchmark.run(options, lab)
  lab.close()
  try report.print(json: options.isJson)
  exit(report.isMet ? 0 : 1)
} catch {
  lab.close()
  FileHandle.standardError.write(Data("skybench \(name): \(error)\n".utf8))
  exit(70)
}
