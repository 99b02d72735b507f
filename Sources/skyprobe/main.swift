// skyprobe: parts of the daemon on their own, for tests of what ships: static, on every architecture, in a
// network namespace. Not installed.
//
//   skyprobe resolve NAME [DEADLINE_MS]          addresses, one a line, or the error's token; on standard
//                                                error how often the loop turned meanwhile
//   skyprobe serve ADDRESS PORT                  a TLS server that echoes; prints its port and pin
//   skyprobe dial NAME PORT PIN [TIMES [KIB]]    connects TIMES times, echoes KIB KiB each time
//   skyprobe ring append|drain|idle PATH [N]     the ring file (RingProbe.swift)
//   skyprobe forged COUNT                        a relay among traitors (ForgedProbe.swift)
//
// Ends with 0, or with the error's number.
import Bounded
import CSky
import Platform
import Wire

/// A line on standard output, at once: a test may be waiting for it.
func say(_ line: String, to descriptor: Int32 = 1) {
  let bytes = Array(line.utf8) + [UInt8(ascii: "\n")]
  _ = bytes.withUnsafeBytes { sky_write(descriptor, $0.baseAddress, $0.count) }
}

/// The words of the command line; works alike with and without a Swift runtime. Not `String`: comparing
/// those needs Unicode tables that board programs do not link.
func commandLine() throws(ErrorCode) -> [HostText] {
  var raw = ByteQueue(capacity: 4_096)
  try Files.read(PathText("/proc/self/cmdline")!, into: &raw)
  var words: [HostText] = []
  var start = 0
  for i in 0..<raw.count where raw.bytes[i] == 0 {
    guard let word = HostText(raw.bytes.extracting(start..<i)) else { throw .tooLong }
    words.append(word)
    start = i + 1
  }
  return Array(words.dropFirst())
}

func number(_ words: [HostText], _ index: Int, default fallback: UInt64) throws(ErrorCode) -> UInt64 {
  guard index < words.count else { return fallback }
  guard let value = UInt64(words[index].string) else { throw .usage }
  return value
}

/// Resolves while counting the turns of a 20 ms ticker: a resolver that blocks shows as few turns.
func resolve(_ words: [HostText]) throws(ErrorCode) {
  guard words.count >= 2 else { throw .usage }
  let host = words[1]
  let loop = try EventLoop()
  let resolver = try Resolver()
  try loop.add(resolver.descriptor, token: 1, .read)
  let begun = Clock.now
  let deadline = begun + (try number(words, 2, default: 10_000))
  var turns = 0
  var longestMs: UInt64 = 0
  defer { say("turns \(turns) longest_step_ms \(longestMs)", to: 2) }
  try resolver.start(host, port: 0)
  while true {
    let before = Clock.now
    let found = try? resolver.step()
    longestMs = max(longestMs, Clock.now.since(before))
    if let list = try settled(found, resolver, deadline) {
      for i in 0..<list.count { say(list[i].text.string) }
      return
    }
    turns += 1
    try loop.wait(until: min(Clock.now + 20, resolver.deadline(Clock.now)))
    if Clock.now >= deadline { throw .timeout }
  }
}

/// `try?` flattens "failed" and "not yet": only a resolver with a query under way has a deadline.
func settled(_ found: AddressList??, _ resolver: borrowing Resolver, _ deadline: Instant) throws(ErrorCode)
  -> AddressList?
{
  if let found, let list = found { return list }
  if resolver.deadline(Clock.now) == .never { throw .resolveFailed }
  return nil
}

func serve(_ words: [HostText]) throws(ErrorCode) {
  guard words.count >= 3, let port = UInt16(words[2].string) else { throw .usage }
  let at = words[1]
  guard let address = Address(at, port: port) else { throw .badArgument }
  let credentials = try TlsCredentials(host: at, .rsa)
  let context = try TlsContext.server(certificate: credentials.certificate.bytes, key: credentials.key.bytes)
  let listener = try TcpListener(at: address)
  let pin = try TlsContext.pin(ofCertificate: credentials.certificate.bytes)
  var line = TextBuffer(capacity: 128)
  line.append(hex: pin.span.bytes)
  let pinText = String(decoding: (0..<line.count).map { line.bytes[$0] }, as: UTF8.self)
  say("listening \(listener.address?.port ?? 0) \(pinText)")
  let loop = try EventLoop()
  try loop.add(listener.descriptor, token: 0, .read)
  while true {
    try loop.wait(until: .never)
    while let socket = try listener.accept() { echo(context, socket) }
  }
}

/// Serves one client to its end; a failing client is its own affair.
func echo(_ context: TlsContext, _ socket: StreamSocket) {
  do throws(ErrorCode) {
    let loop = try EventLoop()
    let connection = try TlsConnection(context, over: socket)
    try loop.add(connection.descriptor, token: 1, .read)
    while try connection.handshake() != .done { try loop.wait(until: .never) }
    var queue = ByteQueue(capacity: 32_768)
    while try connection.read(into: &queue) != .closed {
      while try connection.write(from: &queue) == .waiting {
        try loop.modify(connection.descriptor, token: 1, .write)
        try loop.wait(until: .never)
      }
      try loop.modify(connection.descriptor, token: 1, .read)
      try loop.wait(until: .never)
    }
    connection.closeNotify()
  } catch {
    say("client: \(error.token)")
  }
}

func parsePin(_ text: HostText) throws(ErrorCode) -> InlineArray<32, UInt8> {
  guard text.count == 64 else { throw .badArgument }
  func value(_ digit: UInt8) -> UInt8 {
    digit >= UInt8(ascii: "a") ? digit - UInt8(ascii: "a") + 10 : digit - UInt8(ascii: "0")
  }
  var pin = InlineArray<32, UInt8>(repeating: 0)
  for i in 0..<32 { pin[i] = value(text.bytes[2 * i]) << 4 | value(text.bytes[2 * i + 1]) }
  return pin
}

func dial(_ words: [HostText]) throws(ErrorCode) {
  guard words.count >= 4, let port = UInt16(words[2].string) else { throw .usage }
  let host = words[1]
  let context = try TlsContext.client(pin: try parsePin(words[3]))
  let times = try number(words, 4, default: 1)
  let kib = try number(words, 5, default: 1)
  let loop = try EventLoop()
  let dialer = try Dialer(loop: loop)
  var output = ByteQueue(capacity: 16_384)
  var input = ByteQueue(capacity: 16_384)
  let resting = sky_heap_read()
  var dialUs: UInt64 = 0
  var steady: UInt64 = 0
  var connected = 0
  for _ in 0..<times {
    let before = Clock.cpuUs
    let connection = try connect(dialer, loop, host, port, context)
    dialUs += Clock.cpuUs - before
    connected = max(connected, Int(sky_heap_read().used_bytes))
    let allocations = sky_heap_read().allocations
    for _ in 0..<kib { try echoOnce(connection, loop, &output, &input) }
    steady += sky_heap_read().allocations - allocations
    connection.closeNotify()
  }
  let after = sky_heap_read()
  say("cpu_us_per_dial \(dialUs / max(1, times))")
  say("heap_resting \(resting.used_bytes) heap_connected \(connected) heap_peak \(after.peak_bytes)")
  say("heap_after \(after.used_bytes) steady_allocations \(steady)")
  if times > 1, after.used_bytes > connected { throw .internalError }
}

func connect(_ dialer: Dialer, _ loop: EventLoop, _ host: HostText, _ port: UInt16, _ trust: TlsContext)
  throws(ErrorCode) -> TlsConnection
{
  try dialer.start(host, port: port, trust: trust, token: 1, deadline: Clock.now + 15_000)
  while true {
    switch try dialer.step(Clock.now) {
    case .connected(let connection): return connection
    case .connectedInClear: throw .internalError
    case .waiting(let until): try loop.wait(until: until)
    }
  }
}

/// Sends 1 KiB and waits until as much has come back.
func echoOnce(
  _ connection: TlsConnection, _ loop: EventLoop, _ output: inout ByteQueue, _ input: inout ByteQueue
) throws(ErrorCode) {
  for i in 0..<128 { output.append(bigEndian: UInt64(i)) }
  while try connection.write(from: &output) == .waiting { try loop.wait(until: Clock.now + 10) }
  while input.count < 1_024 {
    if try connection.read(into: &input) == .closed { throw .linkClosed }
    if input.count < 1_024 { try loop.wait(until: .never) }
  }
  input.consume(1_024)
}

do throws(ErrorCode) {
  let words = try commandLine()
  guard let command = words.first else { throw ErrorCode.usage }
  if command.bytes.elementsEqual("resolve") {
    try resolve(words)
  } else if command.bytes.elementsEqual("serve") {
    try serve(words)
  } else if command.bytes.elementsEqual("dial") {
    try dial(words)
  } else if command.bytes.elementsEqual("ring") {
    try ring(words)
  } else if command.bytes.elementsEqual("forged") {
    try forged(words)
  } else {
    throw ErrorCode.usage
  }
} catch {
  say("\(error.token)")
  Process.exit(Int32(error.number))
}
