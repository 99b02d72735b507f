import ArgumentParser
import Bounded
import Foundation
import Hub
import Wire

struct KnowledgeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "knowledge", abstract: "What this hub answers nodes' questions with, and what became of them.",
    discussion: """
      A question of a node is answered with what was taught for the same question (L1). With skyhub serve --upstream a \
      model is asked otherwise, with what is near before it (L3, L4). Nodes ask only when their owners allow it.
      """,
    subcommands: [
      KnowledgeImport.self, KnowledgeList.self, KnowledgeForget.self, KnowledgeAsk.self, KnowledgeStats.self,
    ])
}

struct KnowledgeImport: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Teach what a file holds: a JSON object a line.",
    discussion: """
      As skynodctl knowledge import: question, answer and, if it is there, ttl in seconds. An entry takes the place of one \
      with the same question. The first line that is wrong ends the import, and nothing of the file is taken then.
      """)

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The file; - is standard input.", valueName: "file"), completion: .file())
  var file: String

  /// Of the largest import: every entry at its longest line would be far more than is ever kept.
  private static let fileBytes = 128 << 20

  func run() throws {
    let registry = try data.registry()
    guard let handle = file == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: file) else {
      throw HubError(.notFound, "\(file) cannot be read")
    }
    let bytes = try handle.read(upToCount: Self.fileBytes + 1) ?? Data()
    guard bytes.count <= Self.fileBytes else { throw HubError(.tooLong, "the file is longer than 128 MiB") }
    let now = wallClockNow()
    let result = try registry.learn(try Self.entries(bytes, now: now), now: now)
    print("\(result.added) entries added, \(result.replaced) replaced")
  }

  static func entries(_ bytes: Data, now: Int64) throws -> [KnownAnswer] {
    var taught = TaughtLine()
    var entries: [KnownAnswer] = []
    for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated()
    where line.contains(where: { $0 > 0x20 }) {
      let line = [UInt8](line)
      do throws(ErrorCode) {
        guard line.count <= Limits.taughtLineBytes else { throw .tooLong }
        try taught.read(line.span.bytes)
        guard ControlText.isClean(taught.question.bytes), ControlText.isClean(taught.answer.bytes) else {
          throw .badArgument
        }
      } catch {
        throw HubError(
          error,
          "line \(index + 1): "
            + (error == .tooLong
              ? "\(error.sentence)"
              : "no JSON object with question and answer as import takes it; nothing was imported"))
      }
      let limit = taught.timeToLiveS
      guard limit <= UInt64(UInt32.max) else { throw HubError(.badArgument, "line \(index + 1): ttl is too long") }
      entries.append(
        KnownAnswer(
          question: text(taught.question), answer: text(taught.answer), learntAt: now,
          expiresAt: limit == 0 ? 0 : now + Int64(limit)))
      guard entries.count <= Registry.knowledgeMaximum else {
        throw HubError(.full, "more than \(Registry.knowledgeMaximum) entries; nothing was imported")
      }
    }
    return entries
  }

  private static func text(_ buffer: borrowing TextBuffer) -> String {
    buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
  }
}

struct KnowledgeList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List what was taught, the oldest first.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Option(help: ArgumentHelp("Only so many of the newest.", valueName: "n"))
  var limit = 50

  func run() throws {
    let entries = try data.registry().knowledge(limit: max(1, limit))
    if output.json { return try printJson(entries) }
    guard !entries.isEmpty else { return print("Nothing was taught: skyhub knowledge import FILE does it.") }
    var table = Table("TAUGHT", "EXPIRES", "QUESTION", "ANSWER")
    for entry in entries {
      table.add(
        timestamp(entry.learntAt), entry.expiresAt == 0 ? "-" : timestamp(entry.expiresAt),
        Self.short(entry.question), Self.short(entry.answer))
    }
    table.print()
  }

  private static func short(_ text: String) -> String {
    let line = printable(text)
    return line.count <= 60 ? line : line.prefix(59) + "…"
  }
}

struct KnowledgeForget: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forget", abstract: "Drop the answer to a question.",
    discussion: "The question as it was taught, but for case, spacing and punctuation.")

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The question.", valueName: "question"))
  var question: [String]

  func run() throws {
    guard try data.registry().forget(try questionText(question)) else {
      throw HubError(.notFound, "no such question was taught", hint: "skyhub knowledge list shows those that were")
    }
    print("forgotten")
  }
}

private func questionText(_ words: [String]) throws -> String {
  let text = words.joined(separator: " ")
  guard (1...Limits.questionBytes).contains(text.utf8.count),
    !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F })
  else { throw HubError(.badArgument, "a question has 1 to \(Limits.questionBytes) bytes, without control characters") }
  return text
}

struct KnowledgeAsk: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ask", abstract: "Ask the running hub, as a node would.",
    discussion: "May cost money, of the day's. Exit status: 29 without an answer; what is near is named all the same.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Argument(help: ArgumentHelp("The question.", valueName: "question"))
  var question: [String]

  func run() throws {
    let client = AdminClient(try data.open(), timeoutS: Int(Limits.questionWaitMs / 1_000))
    guard let answer = try client.ask(AdminRequest(.ask, text: try questionText(question))).answer else {
      throw HubError(.internalError, "the hub's answer is not understood")
    }
    if output.json {
      try printJson(answer)
    } else {
      if answer.failure == nil {
        print(printable(answer.text.replacing("\n", with: "\u{2028}")).replacing("\u{2028}", with: "\n"))
        print(
          "  level L\(answer.level)  brand \(answer.brand)  latency_ms \(answer.elapsedMs)  "
            + "cost \(amount(answer.cost))  grounded \(answer.isGrounded)")
      }
      for source in answer.sources { print("  source \(printable(source))") }
    }
    guard let token = answer.failure else { return }
    let code = ErrorCode.allCases.first { "\($0.token)" == token } ?? .internalError
    throw HubError(code, code == .noAnswer ? "nothing that this hub knows answers this" : "\(code.sentence)")
  }
}

/// Millionths as an amount.
private func amount(_ millionths: UInt64) -> String { JobText.units(millionths) }

struct KnowledgeStats: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Show what became of questions: levels, costs, latencies, votes.",
    discussion: """
      Of the newest \(Registry.requestRows) requests. Costs are in the currency that the upstream's prices are given in, as \
      it counted its tokens; what was sent and not answered counts with the most that it can have cost. Questions are not \
      written down.
      """)

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Option(help: ArgumentHelp("Also so many of the newest requests, one by one.", valueName: "n"))
  var requests = 0

  func run() throws {
    let stats = try data.registry().requestStats(newest: max(0, requests), now: wallClockNow())
    if output.json { return try printJson(stats) }
    print("entries      \(stats.entries)\nrequests     \(stats.requests)\ncost today   \(amount(stats.costToday))")
    guard stats.requests > 0 else { return }
    var levels = Table("LEVEL", "OUTCOME", "REQUESTS", "COST", "MEAN", "MAX", "GOOD", "BAD")
    for level in stats.levels {
      levels.add(
        Self.name(level.level), level.outcome, "\(level.requests)", amount(level.cost), "\(level.meanMs) ms",
        "\(level.maxMs) ms", "\(level.good)", "\(level.bad)")
    }
    levels.print()
    guard !stats.newest.isEmpty else { return }
    var table = Table("WHEN", "NODE", "QUESTION", "LEVEL", "OUTCOME", "COST", "TIME", "VOTE")
    for request in stats.newest {
      table.add(
        timestamp(request.at), request.node == 0 ? "-" : NodeName.text(request.node), "\(request.question)",
        Self.name(request.level), request.outcome, amount(request.cost), "\(request.elapsedMs) ms",
        request.vote == 1 ? "good" : request.vote == 2 ? "bad" : "-")
    }
    table.print()
  }

  private static func name(_ level: UInt8) -> String { level == 0 ? "-" : "L\(level)" }
}
