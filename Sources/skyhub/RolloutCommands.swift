import ArgumentParser
import Foundation
import Hub
import Wire

struct RolloutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollout", abstract: "Bring a published bundle to the boards, in steps.",
    discussion: """
      A step gives the bundle to a share of the board's nodes, those with updates = auto, on the link or not. The next \
      step begins only when enough of them have confirmed it and stayed on their links; when too many fail, or a step \
      takes too long, the roll-out pauses by itself and says why. It goes on while the hub runs.
      """,
    subcommands: [RolloutStart.self, RolloutStatus.self, RolloutPause.self, RolloutResume.self, RolloutAbort.self])
}

/// The changes of a board's roll-out that a running hub has to hear of.
private func tellHub(_ directory: DataDirectory) throws {
  if try AdminClient(directory).refresh() == nil { print("no hub is running: it begins with the next skyhub serve") }
}

private func change(
  _ data: DataOption, _ board: String, _ what: String, _ allowed: [Rollout.State], _ body: (inout Rollout) -> Void
) throws {
  let directory = try data.open()
  let changed = try directory.openRegistry().changeRollout(of: board, at: wallClockNow()) { rollout in
    guard allowed.contains(rollout.state) else {
      throw HubError(.badArgument, "the roll-out of release \(rollout.release) is \(rollout.state)")
    }
    body(&rollout)
  }
  guard changed != nil else { throw RolloutStatus.none(board) }
  try tellHub(directory)
  print("\(board): \(what)")
}

struct RolloutStart: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "start", abstract: "Start bringing the bundle published for a board to its nodes.")

  @OptionGroup var data: DataOption
  @Option(help: ArgumentHelp("The steps, in percent of the board's nodes; the last is 100.", valueName: "list"))
  var steps = "10,50,100"
  @Option(help: ArgumentHelp("The share of a step's nodes that must be well, in percent.", valueName: "percent"))
  var share = 90
  @Option(help: ArgumentHelp("How long each of them must have been on its link.", valueName: "time"))
  var settle = DurationText(ms: 600_000)
  @Option(help: ArgumentHelp("Nodes that may fail before it pauses.", valueName: "n"))
  var failures = 0
  @Option(help: ArgumentHelp("How long a step may take before it pauses.", valueName: "time"))
  var patience = DurationText(ms: 86_400_000)
  @Argument(help: ArgumentHelp("The board, as its bundle names it.", valueName: "board"))
  var board: String

  func run() throws {
    let percents = steps.split(separator: ",").compactMap { Int($0) }
    guard percents.last == 100, percents == percents.sorted(), percents.first! > 0,
      Set(percents).count == percents.count,
      percents.count == steps.split(separator: ",", omittingEmptySubsequences: false).count
    else {
      throw HubError(.badArgument, "--steps \(steps): rising percents that end with 100 are wanted, like 10,50,100")
    }
    guard (1...100).contains(share), failures >= 0 else {
      throw HubError(.badArgument, "--share is from 1 to 100, --failures at least 0")
    }
    let directory = try data.open()
    let registry = try directory.openRegistry()
    guard let bundle = try registry.bundles().first(where: { $0.board == board }) else {
      throw HubError(
        .notFound, "nothing is published for \(board)", hint: "skyhub bundle publish FILE does that; skyhub bundle list"
      )
    }
    var gate = Rollout.Gate()
    gate.share = share
    gate.settleSeconds = settle.seconds
    gate.failures = failures
    gate.patienceSeconds = patience.seconds
    try registry.start(
      Rollout(
        board: board, release: bundle.release, digest: bundle.digest, percents: percents, gate: gate, at: wallClockNow()
      ))
    try tellHub(directory)
    print("\(board): release \(bundle.release), \(bundle.name), first to \(percents[0]) % of the nodes")
  }
}

struct RolloutStatus: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show the roll-outs, how far they are, and what stands in their way.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption
  @Argument(help: ArgumentHelp("Only this board, with its nodes.", valueName: "board"))
  var board: String?

  static func none(_ board: String) -> HubError {
    HubError(.notFound, "there is no roll-out to \(board)", hint: "skyhub rollout start \(board) begins one")
  }

  func run() throws {
    let all = try data.open().openRegistry().rollouts()
    let chosen = all.filter { board == nil || $0.board == board }
    if let board, chosen.isEmpty { throw Self.none(board) }
    if output.json { return try printJson(chosen) }
    guard !chosen.isEmpty else { return print("No roll-outs: skyhub rollout start BOARD begins one.") }
    var table = Table("BOARD", "RELEASE", "STATE", "STEP", "NODES", "WELL", "FAILED", "SINCE", "WHY")
    for rollout in chosen {
      table.add(
        rollout.board, "\(rollout.release)", "\(rollout.state)",
        "\(rollout.step + 1) of \(rollout.percents.count), \(rollout.percents[rollout.step]) %",
        "\(rollout.members.count)",
        "\(rollout.members.filter { $0.progress == .healthy }.count)",
        "\(rollout.members.filter { $0.progress == .failed }.count)", timestamp(rollout.stepSince),
        rollout.reason.isEmpty ? "-" : rollout.reason)
    }
    table.print()
    guard board != nil, let rollout = chosen.first, !rollout.members.isEmpty else { return }
    var nodes = Table("NODE", "STEP", "PROGRESS", "WHY")
    for member in rollout.members {
      nodes.add(
        NodeName.text(member.id), "\(member.step + 1)", "\(member.progress)" + (member.isForgiven ? ", left out" : ""),
        member.reason.isEmpty ? "-" : member.reason)
    }
    print("")
    nodes.print()
  }
}

struct RolloutPause: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pause", abstract: "Let no further node begin; who has restarted already goes on.")

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The board.", valueName: "board"))
  var board: String

  func run() throws { try change(data, board, "paused", [.running]) { $0.pause("paused by hand") } }
}

struct RolloutResume: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume", abstract: "Go on with a paused roll-out, without the nodes that have failed.")

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The board.", valueName: "board"))
  var board: String

  func run() throws { try change(data, board, "goes on", [.paused]) { $0.resume(at: wallClockNow()) } }
}

struct RolloutAbort: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "abort", abstract: "End a roll-out. What nodes have confirmed they keep.")

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The board.", valueName: "board"))
  var board: String

  func run() throws { try change(data, board, "aborted", [.running, .paused]) { $0.abort("aborted by hand") } }
}
