import Bounded
import Wire

/// One message that an owner gave to its node, and all that is known of it.
struct Letter {
  struct Flags: OptionSet {
    let rawValue: UInt16
    static let durable = Flags(rawValue: 1)
    /// `post` was answered with OK.
    static let promised = Flags(rawValue: 2)
    /// The owner of the destination has seen it.
    static let arrived = Flags(rawValue: 4)
    /// He acknowledged it, and was answered with OK.
    static let done = Flags(rawValue: 8)
    /// Its record was spoilt on a medium.
    static let spoilt = Flags(rawValue: 16)
    /// Its time to live was over where it lay.
    static let expired = Flags(rawValue: 32)
    /// Somebody said for good that it cannot be delivered.
    static let refused = Flags(rawValue: 64)
    /// A clock was set while it was on its way.
    static let clockMoved = Flags(rawValue: 128)
  }

  /// Number of the board.
  var source: Int32
  /// Number of the board; -1 for the hub.
  var destination: Int32
  var bytes: UInt16
  var flags: Flags
  var timeToLiveS: UInt32
  var stream: UInt64
  var sequence: UInt64
  var postedAt: UInt64
  /// In which life of the destination it was seen last.
  var seenIn: UInt32 = 0
  var doneAt: UInt64 = 0
  /// The boards whose media spoilt it, one bit each.
  var spoiltBy: UInt64 = 0
  /// The hubs that took it over, one bit each.
  var takenBy: UInt8 = 0
  /// The hubs that have it in their log, one bit each.
  var hubs: UInt8 = 0
}

/// What every message should have become, kept outside of all that can fail. Whoever delivers, promises or loses
/// something says so here; what must not be ends the simulation.
final class Ledger {
  unowned(unsafe) var world: World!
  private(set) var letters: [Letter] = []
  /// Letters posted and not yet known to be settled, oldest first: where names are looked up.
  var totals = Totals()

  struct Totals {
    var promised: UInt64 = 0
    var done: UInt64 = 0
    var sent: UInt64 = 0
    var spoilt: UInt64 = 0
    var expired: UInt64 = 0
    var refused: UInt64 = 0
    var outOfReach: UInt64 = 0
    var hubLog: UInt64 = 0
    var excused: UInt64 { spoilt + expired + refused + outOfReach }
  }

  static let headBytes = 16
  private static let magic: UInt32 = 0x5349_4D4C

  subscript(id: Int) -> Letter {
    get { letters[id] }
    set { letters[id] = newValue }
  }

  // MARK: Texts

  /// The text of a letter to come: its number, its sender, and bytes that follow from both.
  func compose(source: Int, bytes: Int, into text: inout [UInt8]) {
    let id = UInt64(letters.count)
    text.removeAll(keepingCapacity: true)
    for i in 0..<4 { text.append(UInt8(truncatingIfNeeded: Self.magic >> UInt32(24 - 8 * i))) }
    for i in 0..<8 { text.append(UInt8(truncatingIfNeeded: id >> UInt64(56 - 8 * i))) }
    for i in 0..<4 { text.append(UInt8(truncatingIfNeeded: UInt32(source) >> UInt32(24 - 8 * i))) }
    var filler = id &* 0x9E37_79B9
    while text.count < bytes {
      filler = filler &* 6_364_136_223_846_793_005 &+ 1
      text.append(UInt8(truncatingIfNeeded: filler >> 56))
    }
  }

  /// The number of the letter whose text this is; nil when it is no letter's, to the byte.
  func recognise(_ text: RawSpan) -> Int? {
    guard text.byteCount >= Self.headBytes else { return nil }
    var reader = ByteReader(text)
    let (magic, id, source): (UInt32, UInt64, UInt32)
    do throws(DecodeError) {
      magic = try reader.integer()
      id = try reader.integer()
      source = try reader.integer()
    } catch { return nil }
    guard magic == Self.magic, id < UInt64(letters.count) else { return nil }
    let letter = letters[Int(id)]
    guard letter.source == Int32(source), Int(letter.bytes) == text.byteCount else { return nil }
    var filler = id &* 0x9E37_79B9
    for i in Self.headBytes..<text.byteCount {
      filler = filler &* 6_364_136_223_846_793_005 &+ 1
      guard text[i] == UInt8(truncatingIfNeeded: filler >> 56) else { return nil }
    }
    return Int(id)
  }

  // MARK: What happens to letters

  /// Its node took it; nothing is promised yet. The number of the letter.
  func posted(_ letter: Letter) -> Int {
    letters.append(letter)
    if !letter.flags.contains(.durable) { totals.sent += 1 }
    return letters.count - 1
  }

  func promised(_ id: Int) {
    world.trace(.promised, UInt64(id), letters[id].sequence)
    letters[id].flags.insert(.promised)
    totals.promised += 1
  }

  /// Somebody saw a text in a board's inbox, under a name, in this life of the board.
  func arrived(_ text: RawSpan, at board: Int, source: UInt32, stream: UInt64, sequence: UInt64, life: UInt32) -> Int {
    guard let id = recognise(text) else { world.fail("a message arrived that nobody sent") }
    let letter = letters[id]
    guard letter.destination == Int32(board) else { world.fail("a message arrived at the wrong board", id) }
    guard source == Board.nodeId(Int(letter.source)) else { world.fail("a message arrived in another's name", id) }
    guard letter.stream == stream, letter.sequence == sequence else {
      world.fail("a message arrived under another name", id)
    }
    if letter.flags.contains(.done) { world.fail("an acknowledged message came back", id) }
    if letter.seenIn == life { world.fail("a message arrived twice", id) }
    if !letter.flags.contains(.durable), letter.seenIn != 0 { world.fail("an ordinary message arrived twice", id) }
    letters[id].seenIn = life
    letters[id].flags.insert(.arrived)
    return id
  }

  /// Its owner acknowledged it, and the node says that the medium knows.
  func done(_ id: Int, now: Instant) {
    letters[id].flags.insert(.done)
    letters[id].doneAt = now.ms
    totals.done += 1
  }

  /// A checkpoint was spoilt: what was acknowledged since the one before it may come back.
  func undone(at board: Int, since: UInt64) {
    for id in letters.indices.reversed() {
      // Nothing lies on the way for as long as this.
      if letters[id].postedAt + 30 * 86_400_000 < since { return }
      if letters[id].destination == Int32(board), letters[id].doneAt >= since { letters[id].flags.remove(.done) }
    }
  }

  /// A hub committed it, to be handed on or for its log: once and never again.
  func takenOver(_ message: Spooled, hub: Int) {
    guard let id = letter(of: message) else { world.fail("a hub took over a message that nobody sent") }
    let bit = UInt8(1) << UInt8(hub)
    if letters[id].takenBy & bit != 0 { world.fail("a hub took over a message twice", id) }
    letters[id].takenBy |= bit
  }

  /// A hub committed it to its log.
  func logged(_ text: RawSpan, hub: Int) {
    guard let id = recognise(text) else { world.fail("a hub's log holds a message that nobody sent") }
    let bit = UInt8(1) << UInt8(hub)
    if letters[id].hubs & bit != 0 { world.fail("a message is twice in a hub's log", id) }
    letters[id].hubs |= bit
    totals.hubLog += 1
  }

  /// A node heard what became of a message of its own.
  func told(_ id: Int, _ failure: ErrorCode?, now: Instant) {
    let letter = letters[id]
    switch failure {
    case .notOpened, .identityChanged, .plainRefused, .badSignature, .sealUnavailable, .noCard:
      world.fail("a key, or what was sealed with it, is not what it should be", id)
    default: break
    }
    guard let failure else {
      if letter.destination >= 0, !letter.flags.contains(.arrived) {
        // What lies behind a full inbox is on the medium all the same.
        if letter.flags.contains(.durable) { return }
        world.fail("a receipt for a message that did not arrive", id)
      }
      if letter.destination < 0, letter.flags.contains(.durable), letter.hubs == 0 {
        world.fail("a hub's receipt for a message that it does not have", id)
      }
      return
    }
    guard letter.flags.contains(.durable) else {
      // Who says so has the message in hand; a receipt that does not come says nothing.
      if failure != .timeout, letter.flags.contains(.arrived) {
        world.fail("a receipt says that a message did not arrive, which did", id)
      }
      return
    }
    if failure == .expired {
      let isOver = now.ms - letter.postedAt + 2_000 >= UInt64(letter.timeToLiveS) * 1_000
      if letter.timeToLiveS == 0 || !(isOver || letter.flags.contains(.clockMoved)) {
        world.fail("a message expired before its time", id)
      }
      letters[id].flags.insert(.expired)
    } else {
      letters[id].flags.insert(.refused)
    }
  }

  /// A hub dropped it because its time was over.
  func expired(_ message: Spooled) {
    if let id = letter(of: message) { letters[id].flags.insert(.expired) }
  }

  /// By its text where a hub can read that, else by its name.
  private func letter(of message: Spooled) -> Int? {
    guard message.isSealed else { return recognise(message.text.span.bytes) }
    if recognise(message.text.span.bytes) != nil { world.fail("a hub can read what is sealed") }
    guard let board = Board.number(of: message.name.source) else { return nil }
    return find(board: board, stream: message.name.stream, sequence: message.name.sequence)
  }

  /// A medium gives nothing that is asked of it: what lies on it counts as damaged when its turn comes.
  func unreadable(to board: Int) {
    for id in letters.indices where letters[id].destination == Int32(board) && !letters[id].flags.contains(.arrived) {
      spoilt(id, by: board)
    }
  }

  func unreadable(from board: Int, areUrgent: Bool) {
    for id in letters.indices where letters[id].source == Int32(board) && !letters[id].flags.contains(.arrived) {
      if Limits.isUrgent(letters[id].sequence) == areUrgent { spoilt(id, by: board) }
    }
  }

  func spoilt(_ id: Int, by board: Int) {
    letters[id].flags.insert(.spoilt)
    letters[id].spoiltBy |= 1 << UInt64(board)
  }

  /// The clock of a board was set: times to live of what it holds and gives may be wrong.
  func clockMoved(at board: Int) {
    for id in letters.indices where letters[id].source == Int32(board) {
      letters[id].flags.insert(.clockMoved)
    }
  }

  /// The durable letter of a board that has this name.
  func find(board: Int, stream: UInt64, sequence: UInt64) -> Int? {
    for id in letters.indices.reversed()
    where letters[id].source == Int32(board) && letters[id].sequence == sequence && letters[id].stream == stream {
      return id
    }
    return nil
  }

  // MARK: The end

  /// Messages lost to damage, and damage counted by all boards.
  private func checkDamages() {
    var damages: UInt64 = 0
    for board in world.boards { damages += board.damagesNow }
    if totals.spoilt > damages { world.fail("more was lost than was counted as damaged") }
  }

  /// Everything has come to rest: each promise was kept, or it is known why not.
  func settle() {
    for id in letters.indices where letters[id].flags.contains(.promised) {
      let letter = letters[id]
      if letter.flags.contains(.arrived) || letter.hubs != 0 { continue }
      if letter.flags.contains(.expired) {
        totals.expired += 1
      } else if letter.flags.contains(.refused) {
        totals.refused += 1
      } else if isOutOfReach(letter) {
        totals.outOfReach += 1
      } else if letter.flags.contains(.spoilt) {
        totals.spoilt += 1
        var damages: UInt64 = 0
        for board in world.boards where letter.spoiltBy >> UInt64(board.index) & 1 == 1 { damages += board.damagesNow }
        if damages == 0 { world.fail("a spoilt message was lost and not counted", id) }
      } else {
        world.fail("an acknowledged message never arrived", id)
      }
    }
    checkDamages()
  }

  /// One that waited at another hub while 256 later ones of its sender came through a second hub: it counts as had
  /// (docs/reliability.md, "Not promised yet").
  private func isOutOfReach(_ letter: Letter) -> Bool {
    guard world.hubs.count > 1 else { return false }
    for other in letters
    where other.stream == letter.stream && other.destination == letter.destination && other.flags.contains(.arrived)
      && other.sequence >= letter.sequence + 256
    { return true }
    return false
  }
}
