import Bounded
import CSky
import Platform
import Wire

/// A file of which parts are here: its bytes so far, and which they are.
final class IncomingFile {
  var assembly: FileAssembly
  let descriptor: Int32
  /// `DIR/.skynod/<source>-<id>`, without ending.
  let path: [UInt8]
  var isDirty = false

  init(_ assembly: consuming FileAssembly, descriptor: Int32, path: [UInt8]) {
    self.assembly = assembly
    self.descriptor = descriptor
    self.path = path
  }

  deinit { sky_close(descriptor) }

  var head: FileHead { assembly.head }
  var source: UInt32 { assembly.source }
}

/// What came of a file, for whoever tells people.
struct FileNews {
  enum Kind { case saved, again, damaged, incomplete }

  let kind: Kind
  let head: FileHead
  let source: UInt32
  let partsHere: UInt32
  /// The name it has in its directory.
  let name: [UInt8]
}

/// The files that come into one directory. What is under way lies in its `.skynod`: for each file its bytes
/// (`.part`) and the map of what is there (`.map`), and one list of the latest that came whole (`received`).
///
/// Order, so that a power cut at any moment loses nothing and doubles nothing: bytes written, bytes synced, map
/// replaced (`settle`); then the daemon's message may be acknowledged. Of a whole file: hash compared, entered
/// into the list, renamed, map removed (`finishWhole`). Each step may be done again.
final class ReceivedFiles {
  private let directory: [UInt8]
  private let hidden: [UInt8]
  private let lock: Int32
  private var incoming: [IncomingFile] = []
  private var finished: [FinishedFile] = []
  private var queue = ByteQueue(capacity: FinishedFile.encodedBytes)
  private let tell: (FileNews) -> Void

  init(_ directory: Word, tell: @escaping (FileNews) -> Void) throws(Failure) {
    self.tell = tell
    self.directory = directory.array
    hidden = directory.array + bytes(of: "/.skynod")
    // A path and a name of 255 bytes fit what the system's calls are given.
    guard directory.count > 0, directory.count <= 200 else {
      throw Failure(.tooLong, "the directory's path may be 200 bytes long; go there and use --save .")
    }
    let isMade = Self.with(self.directory) { sky_directory_make($0, 0o755) } == 0
    let isHiddenMade = isMade && Self.with(hidden) { sky_directory_make($0, 0o700) } == 0
    lock = isHiddenMade ? Self.with(hidden) { sky_directory_lock($0) } : -1
    guard isHiddenMade else { throw Failure(.ioFailed, "the directory cannot be made or written to") }
    guard lock != SKY_AGAIN else { throw Failure(.busy, "another skynodctl saves into this directory") }
    guard lock >= 0 else { throw Failure(.ioFailed, "the directory cannot be opened") }
    try load()
  }

  deinit { sky_close(lock) }

  private static func with(_ path: [UInt8], _ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
    let ended = path + [0]
    return ended.withUnsafeBufferPointer { room in
      room.withMemoryRebound(to: CChar.self) { body($0.baseAddress!) }
    }
  }

  private static func remove(_ path: [UInt8]) { _ = with(path) { sky_file_remove($0) } }

  // MARK: Start

  /// Takes up what an earlier run left. What it was interrupted in comes again from the daemon.
  private func load() throws(Failure) {
    if let list = read(hidden + bytes(of: "/received")).flatMap({ FinishedFile.list(decoding: $0.span.bytes) }) {
      finished = list
    }
    for name in names() where Self.ends(name, ".map") { try takeUp(name) }
    for name in names() where Self.ends(name, ".new") || Self.ends(name, ".part") {
      let path = hidden + [0x2F] + name
      if !incoming.contains(where: { $0.path + bytes(of: ".part") == path }) { Self.remove(path) }
    }
  }

  private func names() -> [[UInt8]] {
    var room = [UInt8](repeating: 0, count: 16_384)
    var used = 0
    _ = Self.with(hidden) { path in
      room.withUnsafeMutableBufferPointer { room in
        room.withMemoryRebound(to: CChar.self) { used = sky_directory_names(path, $0.baseAddress, $0.count) }
      }
      return 0
    }
    var names: [[UInt8]] = []
    var start = 0
    for i in 0..<max(0, used) where room[i] == 0 {
      names.append(Array(room[start..<i]))
      start = i + 1
    }
    return names
  }

  private func takeUp(_ name: [UInt8]) throws(Failure) {
    let path = hidden + [0x2F] + name.dropLast(4)
    let map = path + bytes(of: ".map")
    guard let file = read(map), let assembly = FileAssembly.decoding(file.span.bytes),
      self.path(assembly.head, assembly.source) == path
    else { return Self.remove(map) }
    let part = path + bytes(of: ".part")
    guard Self.with(part, { sky_file_exists($0) ? 1 : 0 }) == 1 else {
      // Renamed already when it is in the list; otherwise someone has taken it away.
      return Self.remove(map)
    }
    let descriptor = try Self.open(part, assembly.head.totalBytes)
    incoming.append(IncomingFile(assembly, descriptor: descriptor, path: path))
  }

  private func read(_ path: [UInt8]) -> [UInt8]? {
    var room = [UInt8](repeating: 0, count: FinishedFile.encodedBytes)
    let count = room.withUnsafeMutableBytes { room in
      Self.with(path) { Int32(clamping: sky_file_read($0, room.baseAddress, room.count)) }
    }
    return count >= 0 ? Array(room[..<Int(count)]) : nil
  }

  private static func open(_ path: [UInt8], _ size: UInt64) throws(Failure) -> Int32 {
    var isReadOnly = false
    let descriptor = with(path) { sky_disk_open($0, &isReadOnly) }
    guard descriptor >= 0, !isReadOnly, sky_disk_resize(descriptor, size) == 0 else {
      sky_close(descriptor)
      throw Failure(.ioFailed, "a file cannot be made in the directory's .skynod")
    }
    return descriptor
  }

  private func path(_ head: FileHead, _ source: UInt32) -> [UInt8] {
    var id = TextBuffer(capacity: 32)
    id.append(hex: head.id.span.bytes)
    return hidden + [0x2F] + digits(UInt64(source)) + [0x2D] + copy(id.bytes)
  }

  private static func ends(_ name: [UInt8], _ ending: StaticString) -> Bool {
    starts(name, with: ending, at: max(0, name.count - ending.utf8CodeUnitCount))
      && name.count >= ending.utf8CodeUnitCount
  }

  // MARK: Parts

  /// Takes a part. It may be acknowledged after `settle`.
  func take(_ part: borrowing FilePart, from source: UInt32) throws(Failure) {
    guard let file = try file(of: part, source) else { return }
    switch file.assembly.place(of: part, from: source) {
    case .new(let offset):
      let result = part.data.withUnsafeBytes { sky_disk_write(file.descriptor, offset, $0.baseAddress, $0.count) }
      guard result == 0 else { throw Self.writingFailed(result) }
      file.assembly.mark(part.index)
      file.isDirty = true
    case .duplicate: break
    // The same sender uses one id for two files: neither is what it seems.
    case .foreign: news(.damaged, part.head, source, 0, FileName.sanitised(part.head.name.bytes))
    }
  }

  /// Nil when the file came before and is still there.
  private func file(of part: borrowing FilePart, _ source: UInt32) throws(Failure) -> IncomingFile? {
    let head = part.head
    for file in incoming where file.source == source && file.head.id.span.bytes.elementsEqual(head.id.span.bytes) {
      return file
    }
    if let had = finished.first(where: { $0.names(source, head.id) }), isThere(had) {
      if part.index + 1 == head.parts { news(.again, head, source, head.parts, had.name) }
      return nil
    }
    guard incoming.count < Limits.filesOpen else {
      throw Failure(.full, "16 files are incomplete here; remove one (.part and .map) from the directory's .skynod")
    }
    let path = path(head, source)
    let descriptor = try Self.open(path + bytes(of: ".part"), head.totalBytes)
    let file = IncomingFile(FileAssembly(head, from: source), descriptor: descriptor, path: path)
    incoming.append(file)
    return file
  }

  private func isThere(_ had: FinishedFile) -> Bool {
    let descriptor = Self.with(directory + [0x2F] + copy(had.name.bytes)) { sky_file_open($0) }
    defer { sky_close(descriptor) }
    return descriptor >= 0 && sky_disk_size(descriptor) == Int64(had.totalBytes)
  }

  /// What was taken is on the medium when this returns, and known to be.
  func settle() throws(Failure) {
    for file in incoming where file.isDirty {
      let result = sky_disk_sync(file.descriptor)
      guard result == 0 else { throw Self.writingFailed(result) }
      queue.consume(queue.count)
      file.assembly.append(to: &queue)
      try write(file.path + bytes(of: ".map"))
      file.isDirty = false
    }
  }

  private func write(_ path: [UInt8]) throws(Failure) {
    let content = Self.content(queue)
    let result = content.withUnsafeBytes { from in
      Self.with(path) { sky_file_write($0, from.baseAddress, from.count, 0o600) }
    }
    guard result == 0 else { throw Self.writingFailed(result) }
  }

  private static func content(_ queue: borrowing ByteQueue) -> [UInt8] { copy(queue.bytes) }

  private static func writingFailed(_ result: Int32) -> Failure {
    result == SKY_NO_SPACE
      ? Failure(.ioFailed, "the disk is full; nothing is lost: make room and start again")
      : Failure(.ioFailed, "writing into the directory failed; nothing is lost: mend that and start again")
  }

  // MARK: Whole files

  /// Files whose last part is here get their name.
  func finishWhole() throws(Failure) {
    for file in incoming where file.assembly.isWhole {
      let hash = try FileSender.hash(file.descriptor, file.head.totalBytes)
      if hash.span.bytes.elementsEqual(file.head.hash.span.bytes) {
        news(.saved, file.head, file.source, file.head.parts, try place(file))
      } else {
        Self.remove(file.path + bytes(of: ".part"))
        news(.damaged, file.head, file.source, file.head.parts, FileName.sanitised(file.head.name.bytes))
      }
      Self.remove(file.path + bytes(of: ".map"))
      Self.remove(file.path + bytes(of: ".map.new"))
    }
    incoming.removeAll { $0.assembly.isWhole }
  }

  /// The name that was free.
  private func place(_ file: IncomingFile) throws(Failure) -> InlineText<255> {
    let wanted = FileName.sanitised(file.head.name.bytes)
    for number in 1..<UInt64(10_000) {
      var text = TextBuffer(capacity: 255)
      if number == 1 { text.append(wanted) } else { FileName.numbered(wanted.bytes, number, to: &text) }
      guard let name = InlineText<255>(text.bytes) else { break }
      let target = directory + [0x2F] + copy(name.bytes)
      if Self.with(target, { sky_file_exists($0) ? 1 : 0 }) == 1 { continue }
      // Before the name is given: a run that ends in between finds the map, and does both again.
      try remember(file, name)
      let result = Self.with(file.path + bytes(of: ".part")) { from in Self.with(target) { sky_file_place(from, $0) } }
      if result == 0 { return name }
      guard result == SKY_EXISTS else { throw Self.writingFailed(result) }
    }
    throw Failure(.ioFailed, "no name is free for a file; it stays in the directory's .skynod")
  }

  private func remember(_ file: IncomingFile, _ name: InlineText<255>) throws(Failure) {
    finished.removeAll { $0.names(file.source, file.head.id) }
    if finished.count == Limits.filesRemembered { finished.removeFirst() }
    finished.append(
      FinishedFile(source: file.source, id: file.head.id, totalBytes: file.head.totalBytes, name: name))
    queue.consume(queue.count)
    FinishedFile.append(finished, to: &queue)
    try write(hidden + bytes(of: "/received"))
  }

  func tellIncomplete() {
    for file in incoming where !file.assembly.isWhole {
      news(
        .incomplete, file.head, file.source, file.assembly.partsHere, FileName.sanitised(file.head.name.bytes))
    }
  }

  private func news<let n: Int>(
    _ kind: FileNews.Kind, _ head: FileHead, _ source: UInt32, _ here: UInt32, _ name: InlineText<n>
  ) {
    tell(FileNews(kind: kind, head: head, source: source, partsHere: here, name: copy(name.bytes)))
  }
}
