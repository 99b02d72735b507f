import Bounded
import Wire

/// The questions that the store could not answer: one is worked on, a few wait. A state machine without IO.
///
/// The one in front first goes to the hub (`.askHub`), if it may. When that has no answer its neighbours are looked up
/// (`.search`), then it goes to the model (`.ask`) with what they say as its reference. Without neighbours it ends in
/// `noAnswer`, unless its asker allows the model to answer out of nothing.
///
/// Order of calls: `add`; then, as often as `work` says something, that; `finish` once its asker has been told.
///
/// Invariant: `work` is about the question in front, `places[0]`.
public final class AskDesk {
  public enum Work: Equatable, Sendable {
    case nothing
    /// Put the question to the hub and call `askedHub` or `hubFailed`; then one of `hubAnswered` and `hubFailed`.
    case askHub
    /// Give pages to `look`, from `search.nextPage` on.
    case search
    /// Put the question to the model and call `began`.
    case ask
    /// The asker has gone: leave the model alone and call `dropped`.
    case hangUp
  }

  public enum State: Equatable, Sendable {
    case waiting, hubNext, hubAsked, searching, asking, answering, answered
    case failed(ErrorCode)
  }

  public struct Options: Equatable, Sendable {
    public var isFree = false
    public var explains = false
    /// The owner lets questions leave the board, and the asker does not object.
    public var mayAskHub = false
    /// The hub or nobody.
    public var onlyAsksHub = false

    public init() {}
  }

  private final class Place {
    var text = TextBuffer(capacity: Limits.questionBytes)
    var ticket: UInt64 = 0
    var options = Options()
    var askedAt = Instant(ms: 0)
  }

  private var places: InlineArray<4, Place>
  public private(set) var count = 0
  private var nextTicket: UInt64 = 1
  public private(set) var state = State.waiting
  public var search = NeighbourSearch()
  private var isAbandoned = false
  private var answer = TextBuffer(capacity: Limits.answerBytes)
  /// How much of the answer the asker has been given.
  private var toldBytes = 0
  public private(set) var isGrounded = false
  /// Why the hub did not answer the question in front; nil when it was not asked, or has answered.
  public private(set) var hubFailure: ErrorCode?
  /// The answer is the hub's: it lies where the hub's answers lie.
  public private(set) var isFromHub = false

  public init() { places = InlineArray { _ in Place() } }

  // MARK: Askers

  /// Takes a question; its ticket. Throws `full` when too many wait.
  public func add(_ question: RawSpan, _ options: Options, now: Instant) throws(ErrorCode) -> UInt64 {
    guard count < Limits.askQueue else { throw .full }
    let place = places[count]
    place.text.removeAll()
    place.text.append(question)
    place.ticket = nextTicket
    place.options = options
    place.askedAt = now
    nextTicket += 1
    count += 1
    if count == 1 { start() }
    return place.ticket
  }

  private func start() {
    state = .waiting
    isAbandoned = false
    isGrounded = false
    hubFailure = nil
    isFromHub = false
    answer.removeAll()
    toldBytes = 0
    guard count > 0 else { return }
    if places[0].options.mayAskHub { state = .hubNext } else { beginSearch() }
  }

  private func beginSearch() {
    state = .searching
    let front = places[0]
    front.text.withUnsafeBytes { search.begin(RawSpan(_unsafeBytes: $0)) }
  }

  public func ticket(_ index: Int) -> UInt64 { places[index].ticket }

  /// Nil for one that is not here.
  public func index(of ticket: UInt64) -> Int? {
    for i in 0..<count where places[i].ticket == ticket { return i }
    return nil
  }

  public func options(_ index: Int) -> Options { places[index].options }
  public func askedAt(_ index: Int) -> Instant { places[index].askedAt }

  public func withQuestion<R>(_ index: Int, _ body: (RawSpan) throws(ErrorCode) -> R) throws(ErrorCode) -> R {
    try Self.lend(places[index].text, body)
  }

  public func withQuestion<R>(_ index: Int, _ body: (RawSpan) -> R) -> R {
    places[index].text.withUnsafeBytes { body(RawSpan(_unsafeBytes: $0)) }
  }

  private static func lend<R>(
    _ text: borrowing TextBuffer, _ body: (RawSpan) throws(ErrorCode) -> R
  ) throws(ErrorCode) -> R { try body(text.bytes) }

  /// The asker has its answer, or has gone.
  public func finish(_ ticket: UInt64) {
    guard let index = index(of: ticket) else { return }
    if index == 0, state == .asking || state == .answering {
      isAbandoned = true
      return
    }
    remove(index)
  }

  private func remove(_ index: Int) {
    let gone = places[index]
    for i in index..<(count - 1) { places[i] = places[i + 1] }
    places[count - 1] = gone
    count -= 1
    if index == 0 { start() }
  }

  // MARK: Work

  public var work: Work {
    switch state {
    case .hubNext: .askHub
    case .searching: .search
    case .asking: isAbandoned ? .hangUp : .ask
    case .answering: isAbandoned ? .hangUp : .nothing
    case .waiting, .hubAsked, .answered, .failed: .nothing
    }
  }

  // MARK: The hub

  public func askedHub() { if state == .hubNext { state = .hubAsked } }

  public func hubAnswered() {
    guard state == .hubAsked else { return }
    isFromHub = true
    state = .answered
  }

  /// It could not be asked, or has no answer: this board goes on alone.
  public func hubFailed(_ code: ErrorCode) {
    guard state == .hubNext || state == .hubAsked else { return }
    hubFailure = code
    if places[0].options.onlyAsksHub { state = .failed(code) } else { beginSearch() }
  }

  // MARK: The model

  /// All pages have been looked at.
  public func searched() {
    guard state == .searching else { return }
    state = search.count > 0 || places[0].options.isFree ? .asking : .failed(.noAnswer)
    if places[0].options.explains { state = .failed(.noAnswer) }
  }

  public func began() { if state == .asking { state = .answering } }

  public func dropped() { if isAbandoned { remove(0) } }

  /// A piece of its answer; what does not fit is left out.
  public func take(_ piece: RawSpan) {
    guard state == .answering, answer.count + piece.byteCount <= answer.capacity else { return }
    answer.append(piece)
  }

  public func ended(isGrounded: Bool) {
    guard state == .answering else { return }
    self.isGrounded = isGrounded
    state = answer.isEmpty ? .failed(.noAnswer) : .answered
  }

  public func failed(_ code: ErrorCode) {
    guard state == .asking || state == .answering else { return }
    state = .failed(code)
    if isAbandoned { remove(0) }
  }

  public func withAnswer<R>(_ body: (RawSpan) -> R) -> R { answer.withUnsafeBytes { body(RawSpan(_unsafeBytes: $0)) } }

  /// What has been added since the last call; nil when nothing has.
  public func tellMore(_ body: (RawSpan) -> Void) {
    guard toldBytes < answer.count else { return }
    let start = toldBytes
    withAnswer { body($0.extracting(start..<$0.byteCount)) }
    toldBytes = answer.count
  }
}
