import ArgumentParser
import Foundation
import Hub
import Wire

struct JobCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "job", abstract: "Have nodes with the compute duty work, and see what came of it.",
    discussion: """
      Kinds: score (z-scores of a list of numbers), compress (1536 numbers to 384), embed (the vector of a text) and infer \
      (the answer of a node's model to a text). Jobs go to nodes while the hub runs; they survive its restarts.
      """,
    subcommands: [JobSubmit.self, JobStatus.self, JobList.self, JobResultCommand.self, JobCancelCommand.self])
}

extension JobKind: ExpressibleByArgument {
  public init?(argument: String) {
    guard let kind = JobKind.allCases.first(where: { "\($0.token)" == argument }) else { return nil }
    self = kind
  }
  public static var allValueStrings: [String] { allCases.map { "\($0.token)" } }
}

private func find(_ id: UInt64, in registry: Registry) throws -> Job {
  guard let job = try registry.job(id) else {
    throw HubError(.notFound, "there is no job \(id)", hint: "skyhub job list shows those that are kept")
  }
  return job
}

struct JobSubmit: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "submit", abstract: "Submit a job; prints its id.",
    discussion: """
      Numbers are text, separated by blanks, commas or lines; with --raw 32-bit floats, the highest byte first.
      """)

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Argument(help: ArgumentHelp("What to do: score, compress, embed or infer.", valueName: "kind"))
  var kind: JobKind
  @Option(help: ArgumentHelp("What to do it with; - is standard input.", valueName: "file"), completion: .file())
  var input: String
  @Flag(help: "The numbers are 32-bit floats, not text.")
  var raw = false
  @Option(help: ArgumentHelp("The only node that may do it.", valueName: "node"))
  var node: String?
  @Option(help: ArgumentHelp("How long a node may take, its waiting included.", valueName: "time"))
  var budget = DurationText(ms: 60_000)
  @Option(help: ArgumentHelp("How much memory of the node it may take.", valueName: "bytes"))
  var memory = Limits.jobBudgetBytes
  @Option(help: ArgumentHelp("compress: chooses the projection.", valueName: "n"))
  var seed: UInt64 = 0
  @Option(help: ArgumentHelp("infer: the most tokens of the answer.", valueName: "n"))
  var tokens: UInt64 = 0
  @Flag(help: "Wait for its end and print what came of it.")
  var wait = false

  func run() throws {
    guard budget.ms > 0, budget.ms <= UInt64(Limits.jobBudgetMs) else {
      throw HubError(.badArgument, "--budget is at most \(Limits.jobBudgetMs / 60_000)m")
    }
    guard memory <= Limits.jobBudgetBytes else {
      throw HubError(.badArgument, "--memory is at most \(Limits.jobBudgetBytes)")
    }
    guard tokens <= UInt64(Limits.jobTokens), tokens == 0 || kind == .infer, seed == 0 || kind == .compress else {
      throw HubError(.badArgument, "--tokens is for infer, at most \(Limits.jobTokens); --seed is for compress")
    }
    let bytes = try JobText.input(try read(), kind, isRaw: raw)
    let directory = try data.open()
    let registry = try directory.openRegistry()
    let only = try node.map { try registry.node(named: NodeName($0)).id }
    let job = try registry.submit(
      kind, argument: kind == .infer ? tokens : seed, budgetMs: UInt32(budget.ms), budgetBytes: memory, input: bytes,
      node: only, at: wallClockNow())
    let isHeard = try AdminClient(directory).refresh() != nil
    guard wait else {
      if output.json { return try printJson(job) }
      if !isHeard { printError("no hub is running: it begins with the next skyhub serve") }
      return print("\(job.id)")
    }
    guard isHeard else { throw HubError(.daemonUnavailable, "no hub is running: nobody to wait for") }
    while true {
      let now = try find(job.id, in: registry)
      if now.isFinished { return try JobResultCommand.show(now, registry, json: output.json, to: nil) }
      usleep(50_000)
    }
  }

  /// Text of numbers is longer than the numbers, but not without end.
  private func read() throws -> Data {
    let most = 256 * 1_024
    let handle: FileHandle
    if input == "-" {
      handle = .standardInput
    } else {
      guard let opened = FileHandle(forReadingAtPath: input) else {
        throw HubError(.notFound, "\(input) cannot be read")
      }
      handle = opened
    }
    let bytes = try handle.read(upToCount: most + 1) ?? Data()
    guard bytes.count <= most else { throw HubError(.tooLong, "the input is longer than \(most) bytes") }
    return bytes
  }
}

struct JobStatus: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "status", abstract: "Show how a job stands.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Argument(help: ArgumentHelp("The job's id.", valueName: "id"))
  var id: UInt64

  func run() throws {
    let job = try find(id, in: try data.registry())
    if output.json { return try printJson(job) }
    let rows: [(String, String)] = [
      ("id", "\(job.id)"),
      ("kind", job.kind),
      ("state", job.reason.isEmpty ? "\(job.state)" : "\(job.state): \(job.reason)"),
      ("progress", "\(job.permille / 10) %"),
      ("node", job.worker.map { NodeName.text($0) } ?? "-"),
      ("begun", "\(job.starts) times, sent \(job.sends) times"),
      ("compute units", JobText.units(job.operations)),
      ("time", "\(job.elapsedMs) ms of \(job.budgetMs)"),
      ("submitted", timestamp(job.submittedAt)),
      ("ended", job.finishedAt.map { timestamp($0) } ?? "-"),
    ]
    for (name, value) in rows { print("\(name.padding(toLength: 15, withPad: " ", startingAt: 0))\(value)") }
  }
}

struct JobList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List jobs, the oldest first.",
    discussion: "The newest \(Job.kept) are kept.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Option(help: ArgumentHelp("Only so many of the newest.", valueName: "n"))
  var limit = 50

  func run() throws {
    let jobs = try data.registry().jobs(limit: max(1, limit))
    if output.json { return try printJson(jobs) }
    guard !jobs.isEmpty else { return print("No jobs: skyhub job submit KIND --input FILE makes one.") }
    var table = Table("ID", "KIND", "STATE", "DONE", "NODE", "UNITS", "TIME", "WHY")
    for job in jobs {
      table.add(
        "\(job.id)", job.kind, "\(job.state)", "\(job.permille / 10) %", job.worker.map { NodeName.text($0) } ?? "-",
        JobText.units(job.operations), "\(job.elapsedMs) ms", job.reason.isEmpty ? "-" : job.reason)
    }
    table.print()
  }
}

struct JobResultCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "result", abstract: "Print what came of a job.",
    discussion: """
      Numbers are printed one a line, after lines with what else is known of them. Exit status: that of the error when the \
      job failed or was cancelled, 17 when it has not ended.
      """)

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Option(
    name: .customLong("output"), help: ArgumentHelp("Write the bytes as they came to this file.", valueName: "file"),
    completion: .file())
  var file: String?
  @Argument(help: ArgumentHelp("The job's id.", valueName: "id"))
  var id: UInt64

  func run() throws {
    let registry = try data.registry()
    try Self.show(try find(id, in: registry), registry, json: output.json, to: file)
  }

  static func show(_ job: Job, _ registry: Registry, json: Bool, to file: String?) throws {
    switch job.state {
    case .queued, .sent, .running: throw HubError(.busy, "job \(job.id) has not ended: \(job.state)")
    case .cancelled: throw HubError(.cancelled, "job \(job.id) was cancelled")
    case .failed:
      let code = ErrorCode.allCases.first { "\($0.token)" == job.reason } ?? .internalError
      throw HubError(code, "job \(job.id) failed: \(job.reason)")
    case .done: break
    }
    guard let kind = job.jobKind, let bytes = try registry.jobResult(job.id) else {
      throw HubError(.notFound, "what came of job \(job.id) is not kept")
    }
    if let file {
      do { try bytes.write(to: URL(filePath: file)) } catch {
        throw HubError(.ioFailed, "\(file) cannot be written: \(error.localizedDescription)")
      }
      return
    }
    let result = try JobText.Result(bytes, kind)
    if json { return try printJson(result) }
    if let mean = result.mean, let deviation = result.deviation { print("mean \(mean)\ndeviation \(deviation)") }
    if let error = result.relativeError { print("relative_error \(error)") }
    if let text = result.text {
      return print(printable(text.replacing("\n", with: "\u{2028}")).replacing("\u{2028}", with: "\n"))
    }
    for number in result.numbers ?? [] { print(number) }
  }
}

struct JobCancelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "cancel", abstract: "End a job that has not ended.")

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The job's id.", valueName: "id"))
  var id: UInt64

  func run() throws {
    let directory = try data.open()
    guard let changed = try directory.openRegistry().cancelJob(id, at: wallClockNow()) else {
      throw HubError(.notFound, "there is no job \(id)", hint: "skyhub job list shows those that are kept")
    }
    guard changed else { throw HubError(.badArgument, "job \(id) has ended already") }
    if try AdminClient(directory).refresh() == nil { print("no hub is running: it ends with the next skyhub serve") }
    print("\(id): to be cancelled")
  }
}

/// Inputs and results of jobs as people write and read them.
enum JobText {
  struct Result: Encodable, Equatable {
    var mean: Float?
    var deviation: Float?
    var relativeError: Float?
    var numbers: [Float]?
    var text: String?

    init(_ bytes: Data, _ kind: JobKind) throws {
      guard kind != .infer else {
        text = String(decoding: bytes, as: UTF8.self)
        return
      }
      guard bytes.count.isMultiple(of: 4), bytes.count >= 8 else {
        throw HubError(.malformed, "what came of the job is not what its kind gives")
      }
      let all = JobText.floats(bytes)
      switch kind {
      case .score: (mean, deviation, numbers) = (all[0], all[1], Array(all.dropFirst(2)))
      case .compress: (relativeError, numbers) = (all[0], Array(all.dropFirst()))
      case .embed, .infer: numbers = all
      }
    }
  }

  static func floats(_ bytes: Data) -> [Float] {
    let bytes = [UInt8](bytes)
    return stride(from: 0, to: bytes.count, by: 4).map { i in
      Float(bitPattern: bytes[i..<(i + 4)].reduce(0) { $0 << 8 | UInt32($1) })
    }
  }

  /// Millionths, as units with six decimals.
  static func units(_ operations: UInt64) -> String {
    let digits = String(operations % 1_000_000)
    return "\(operations / 1_000_000)." + String(repeating: "0", count: 6 - digits.count) + digits
  }

  /// The bytes that go to the node. Throws when no node would take them.
  static func input(_ read: Data, _ kind: JobKind, isRaw: Bool) throws -> Data {
    guard !kind.needsModel else {
      guard !isRaw, let text = String(data: read, encoding: .utf8) else {
        throw HubError(.badArgument, "\(kind.token) takes a text in UTF-8")
      }
      let line = text.trimmingCharacters(in: .whitespacesAndNewlines)
      guard !line.isEmpty, line.utf8.count <= Limits.jobBytes else {
        throw HubError(.tooLong, "the text is empty or longer than \(Limits.jobBytes) bytes")
      }
      return Data(line.utf8)
    }
    let bytes = isRaw ? read : try numbers(String(decoding: read, as: UTF8.self))
    switch kind {
    case .compress:
      guard bytes.count == 4 * Limits.jobWideNumbers else {
        throw HubError(
          .badArgument, "compress takes \(Limits.jobWideNumbers) numbers; these are \(bytes.count) bytes of them")
      }
    default:
      guard bytes.count.isMultiple(of: 4), (2...Limits.jobNumbers).contains(bytes.count / 4) else {
        throw HubError(
          .badArgument, "score takes 2 to \(Limits.jobNumbers) numbers; these are \(bytes.count) bytes of them")
      }
    }
    return bytes
  }

  private static func numbers(_ text: String) throws -> Data {
    var bytes = Data()
    for word in text.split(whereSeparator: { $0.isWhitespace || $0 == "," }) {
      guard let number = Float(word) else { throw HubError(.badArgument, "“\(word.prefix(20))” is not a number") }
      withUnsafeBytes(of: number.bitPattern.bigEndian) { bytes.append(contentsOf: $0) }
    }
    return bytes
  }
}
