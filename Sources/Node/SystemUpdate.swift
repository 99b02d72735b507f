import Bounded
import SkyCrypto
import Update
import Wire

/// Bringing a bundle from the hub to the updater of the board, which alone knows what it needs and whether it is
/// genuine: a manifest and one piece are all that is ever kept here.
///
/// It talks to nobody: `errand` says what to hand to the updater, `appendErrand` writes it, `answered` and `lost` take what
/// came of it; `request` says what to ask the hub for, `arrived` takes what came.
///
/// Invariant: at most one errand is at the updater; `want` is there exactly in the phases `fetching` and `placing`.
public final class SystemUpdate {
  public enum Phase: UInt8, Sendable {
    case idle
    /// The manifest goes to the updater.
    case starting
    /// The updater wants bytes that the hub has.
    case fetching
    /// The bytes go to the updater.
    case placing

    public var token: StaticString {
      switch self {
      case .idle: "idle"
      case .starting: "starting"
      case .fetching, .placing: "fetching"
      }
    }
  }

  public enum Outcome: Equatable, Sendable {
    case none
    /// This release is in the other slot, whole; a restart tries it.
    case ready(UInt64)
    case failed(UpdateError)
    /// The updater has gone in the middle of something.
    case lost

    public var token: StaticString {
      switch self {
      case .none: "none"
      case .ready: "ready"
      case .failed(let error): error.token
      case .lost: "lost"
      }
    }
  }

  /// What the hub has published for this board.
  public struct Offer: Sendable {
    public let release: UInt64
    public let name: InlineText<48>
    public let digest: Bytes32
    /// It is this node's turn in a roll-out.
    public let isDue: Bool
  }

  enum Errand: UInt8 {
    case status, rollBack, apply, piece, restart
  }

  /// Nil until the updater has told, and on a board that has none.
  public private(set) var standing: Standing? { didSet { hasStanding = standing != nil } }
  /// The same question without the 264 bytes that an answer takes: it is asked several times a turn.
  private(set) var hasStanding = false
  /// The board has no updater: it does not run from an image, or from one that takes no updates.
  public private(set) var isAbsent = false
  public private(set) var offer: Offer?
  public private(set) var phase = Phase.idle
  public private(set) var outcome = Outcome.none
  public private(set) var failedRelease: UInt64 = 0
  /// Of the update under way, or of the last one.
  public private(set) var blocksDone: UInt16 = 0
  public private(set) var blocks: UInt16 = 0
  /// Bytes that came from the hub for it.
  public private(set) var fetchedBytes: UInt64 = 0
  /// Rises when what is at the updater is given up: its stream is to be closed.
  public private(set) var epoch: UInt32 = 0
  /// Somebody here has asked for the update: it goes on after a break of the link.
  private(set) var isAskedFor = false
  private(set) var want: BundleWant?
  private var asked: Errand?
  private var wantsStatus = true
  private var wantsRollBack = false
  private var wantsRestart = false
  /// Of `rollBack` and `restart`: how many were asked for, and what became of the last one that ended.
  private(set) var wordsAsked: UInt64 = 0
  private(set) var wordsEnded: UInt64 = 0
  private(set) var wordResult: UpdateError?
  private var manifest = ByteQueue(capacity: Limits.updateSectorBytes)
  private var content = ByteQueue(capacity: Limits.bundlePieceBytes)

  init() {}

  public var failure: UpdateError? {
    if case .failed(let error) = outcome { error } else { nil }
  }

  /// The updater is needed, or is at work.
  public var needsUpdater: Bool { asked != nil || errand != nil || phase != .idle }
  public var isAwaiting: Bool { asked != nil }

  // MARK: For the updater

  var errand: Errand? {
    guard asked == nil else { return nil }
    if wantsStatus { return .status }
    if wantsRollBack { return .rollBack }
    switch phase {
    case .starting: return .apply
    case .placing: return .piece
    case .idle where wantsRestart: return .restart
    case .idle, .fetching: return nil
    }
  }
  public var hasErrand: Bool { errand != nil }

  /// Appends the next errand's record; its answer is awaited from then on.
  public func appendErrand(to queue: inout ByteQueue) {
    guard let errand else { return }
    asked = errand
    switch errand {
    case .status:
      wantsStatus = false
      UpdaterRecord.append(.status, length: 0, to: &queue)
    case .rollBack:
      wantsRollBack = false
      UpdaterRecord.append(.rollBack, length: 0, to: &queue)
    case .restart:
      wantsRestart = false
      UpdaterRecord.append(.restart, length: 0, to: &queue)
    case .apply:
      UpdaterRecord.append(.apply, length: manifest.count, to: &queue)
      Self.append(manifest, to: &queue)
    case .piece:
      UpdaterRecord.append(.piece, length: 4 + content.count, to: &queue)
      queue.append(bigEndian: want!.offset)
      Self.append(content, to: &queue)
    }
  }

  private static func append(_ bytes: borrowing ByteQueue, to queue: inout ByteQueue) { queue.append(bytes.bytes) }

  /// Takes the updater's answer. False when it is none: the stream is to be closed.
  func answered(_ kind: UpdaterRecord.Kind, _ body: RawSpan) -> Bool {
    guard let errand = asked else { return false }
    isAbsent = false
    switch (errand, kind) {
    case (.status, .standing):
      var reader = ByteReader(body)
      guard let standing = try? Standing(from: &reader) else { return false }
      self.standing = standing
    case (.status, .result):
      standing = nil
      isAbsent = true
    case (.apply, .want), (.piece, .want):
      guard let want = try? BundleWant(decoding: body) else { return false }
      self.want = want
      (blocksDone, blocks) = (want.block, want.blocks)
      phase = .fetching
    case (.apply, .result), (.piece, .result):
      want = nil
      phase = .idle
      isAskedFor = false
      end(body[0])
    case (.rollBack, .result), (.restart, .result):
      wordsEnded = wordsAsked
      wordResult = UpdateError(rawValue: body[0])
    default: return false
    }
    asked = nil
    if errand != .status, kind == .result { wantsStatus = true }
    return true
  }

  private func end(_ code: UInt8) {
    if code == 0 {
      blocksDone = blocks
      outcome = .ready(offer?.release ?? 0)
      failedRelease = 0
    } else {
      outcome = .failed(UpdateError(rawValue: code) ?? .ioFailed)
      failedRelease = offer?.release ?? 0
    }
  }

  /// The updater cannot be reached, or has gone. `isAbsent`: there was nobody from the start.
  func lost(isAbsent: Bool) {
    let wasAtWork = phase != .idle
    if isAbsent {
      self.isAbsent = true
      standing = nil
    }
    if asked == .rollBack || asked == .restart || wantsRollBack || wantsRestart {
      wordsEnded = wordsAsked
      wordResult = .noState
    }
    (asked, want, phase) = (nil, nil, .idle)
    (wantsStatus, wantsRollBack, wantsRestart) = (false, false, false)
    if wasAtWork { outcome = .lost }
  }

  // MARK: Requests

  func look() { wantsStatus = true }

  func start(isAskedFor: Bool) {
    if isAskedFor { self.isAskedFor = true }
    guard phase == .idle, offer != nil else { return }
    phase = .starting
    outcome = .none
    (blocksDone, blocks, fetchedBytes) = (0, 0, 0)
  }

  /// What was fetched stays in the slot.
  func stop() {
    guard phase != .idle else { return }
    epoch &+= 1
    if asked == .status { wantsStatus = true }
    if asked == .rollBack {
      wordsEnded = wordsAsked
      wordResult = .inUse
    }
    (asked, want, phase) = (nil, nil, .idle)
  }

  func rollBack() {
    wantsRollBack = true
    wordsAsked += 1
  }

  func restart(isAskedFor: Bool) {
    wantsRestart = true
    if isAskedFor { wordsAsked += 1 }
  }

  // MARK: From the hub

  /// Takes the body of a BUNDLE OFFER.
  func takeOffer(_ body: RawSpan) throws(ErrorCode) {
    let fresh = try BundleOffer(decoding: body)
    guard let head = fresh.manifest else {
      offer = nil
      return stop()
    }
    if let offer, phase != .idle, !equal(offer.digest, head.digest) { stop() }
    if failedRelease != head.release { failedRelease = 0 }
    offer = Offer(release: head.release, name: head.name, digest: head.digest, isDue: fresh.isDue)
    // While it is at the updater the same bytes are written over themselves.
    manifest.clear()
    manifest.append(body.extracting(1..<body.byteCount))
  }

  /// What to ask the hub for; nil when nothing is wanted of it.
  var request: BundleRequest? {
    guard phase == .fetching, let want, let offer else { return nil }
    return BundleRequest(digest: offer.digest, offset: want.offset, count: want.count)
  }

  /// Takes the body of a BUNDLE PIECE. False when nobody waits for it.
  func arrived(_ body: RawSpan) throws(ErrorCode) -> Bool {
    let head = try BundleRequest(decoding: body)
    guard let wanted = request, equal(head.digest, wanted.digest) else { return false }
    guard head.count > 0 else {
      // Published no more. The next offer says what is.
      offer = nil
      stop()
      return true
    }
    guard head == wanted else { return false }
    let bytes = body.extracting(BundleRequest.byteCount..<body.byteCount)
    guard bytes.byteCount == Int(head.count) else { throw .malformedFrame }
    content.clear()
    content.append(bytes)
    fetchedBytes += UInt64(bytes.byteCount)
    phase = .placing
    return true
  }
}
