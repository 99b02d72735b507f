import Foundation
import Wire

/// How one job stands. What goes in and what came of it lie beside it in the registry.
///
/// Pure. A job is one node's at a time; `queued` means that it is nobody's.
public struct Job: Codable, Equatable, Sendable {
  public enum State: String, Codable, Sendable {
    case queued, sent, running, done, failed, cancelled
  }

  /// A node that lost it by a restart gets it once more.
  static let startsMaximum = 2
  /// Links that break each time are an end too.
  static let sendsMaximum = 16
  /// A thousand million compute units.
  static let operationsMaximum: UInt64 = 1_000_000_000_000_000
  /// Of the registry: the newest are kept; so many may be unfinished.
  public static let kept = 1_024
  public static let unfinishedMaximum = 256

  public let id: UInt64
  /// A `JobKind`'s token.
  public let kind: String
  public let argument: UInt64
  public let budgetMs: UInt32
  public let budgetBytes: UInt32
  public let inputBytes: Int
  /// The only node that may have it; nil for any with the compute duty.
  public let node: UInt32?
  /// Seconds since 1970.
  public let submittedAt: Int64
  public internal(set) var state = State.queued
  /// Who has it, or had it last.
  public internal(set) var worker: UInt32?
  /// How often a node has begun it, and how often it was sent.
  public internal(set) var starts = 0
  public internal(set) var sends = 0
  /// Thousandths, as the node told last.
  public internal(set) var permille = 0
  /// Millionths of a compute unit.
  public internal(set) var operations: UInt64 = 0
  /// On the node, from taking it to its end.
  public internal(set) var elapsedMs: UInt32 = 0
  /// The error's token when it failed.
  public internal(set) var reason = ""
  public internal(set) var finishedAt: Int64?

  public init(
    id: UInt64, kind: JobKind, argument: UInt64, budgetMs: UInt32, budgetBytes: UInt32, inputBytes: Int, node: UInt32?,
    at now: Int64
  ) {
    self.id = id
    self.kind = "\(kind.token)"
    self.argument = argument
    self.budgetMs = budgetMs
    self.budgetBytes = budgetBytes
    self.inputBytes = inputBytes
    self.node = node
    submittedAt = now
  }

  public var isFinished: Bool { state == .done || state == .failed || state == .cancelled }
  public var jobKind: JobKind? { JobKind.allCases.first { "\($0.token)" == kind } }

  mutating func finish(_ state: State, _ reason: String = "", at now: Int64) {
    self.state = state
    self.reason = reason
    finishedAt = now
    if state == .done { permille = 1_000 }
  }

  /// Nobody's again.
  mutating func putBack() {
    state = .queued
    worker = nil
    starts = 0
    permille = 0
  }
}
