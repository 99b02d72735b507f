import Bounded
import Wire

extension FuzzTarget {
  /// What a client of the control socket writes, cut into lines as the server does; and the replies, text
  /// and JSON, that quote what was in it.
  static let control = FuzzTarget(
    name: "control",
    run: { bytes in
      var start = 0
      while start <= bytes.byteCount {
        var end = start
        while end < bytes.byteCount, bytes[end] != UInt8(ascii: "\n") { end += 1 }
        readLine(bytes.extracting(start..<end))
        start = end + 1
      }
    },
    seeds: {
      let lines = [
        "status", "id", "join skynod1.aHVi.7411.x.y.z", "send NOD1000000 two  words, and \"quotes\"", "send hub grün",
        "inbox after 7", "inbox ack all", "watch link message", "watch off", "mode", "mode relay off compute on",
        "peers", "metrics", "reload", "drain", "version", "json on", "help", "quit",
      ]
      let each = lines.map { line in
        Seed(name: line.replacing(" ", with: "_").filter { $0.isLetter || $0 == "_" }, bytes: Array(line.utf8))
      }
      let all = lines.map { $0 + "\r\n" }.joined() + "\n \t\nno such command\nsend\n"
      return each + [Seed(name: "all", bytes: Array(all.utf8))]
    })

  private static func readLine(_ line: RawSpan) {
    do throws(ErrorCode) {
      let request = try ControlRequest(parsing: line)
      let range = request.verb.argumentRange
      precondition(request.argumentCount >= range.least && request.argumentCount <= range.most)
      precondition(!ControlRequest.isBlank(line))
      for i in 0..<request.argumentCount {
        let argument = request.argument(i)
        precondition(argument.byteCount > 0 && ControlText.isClean(argument))
        _ = request.number(i)
        _ = parseNodeId(argument)
        quote(argument)
      }
      precondition(request.argument(request.argumentCount).byteCount == 0)
      for json in [false, true] { reply(to: request, json: json) }
    } catch {
      precondition([.tooLong, .unknownCommand, .badArgument].contains(error))
    }
    // Messages from other nodes are not checked as lines are: quoting must hold for any bytes.
    quote(line)
  }

  /// A value that is written can be read back.
  private static func quote(_ value: RawSpan) {
    var quoted = TextBuffer(capacity: 4 * value.byteCount + 2)
    ControlText.writeQuoted(value, to: &quoted)
    precondition(!quoted.isTruncated)
    var back = TextBuffer(capacity: value.byteCount)
    let understood = ControlText.read(quoted.bytes, into: &back)
    precondition(understood && back.bytes.elementsEqual(value))
  }

  private static func reply(to request: borrowing ControlRequest, json: Bool) {
    var reply = ControlReply(capacity: 512)
    reply.begin(json: json)
    reply.field("verb", request.verb.name)
    for i in 0..<request.argumentCount { reply.field("argument", request.argument(i)) }
    reply.ok()
    precondition(reply.isComplete && reply.bytes.byteCount <= 512)
    precondition(reply.bytes[reply.bytes.byteCount - 1] == UInt8(ascii: "\n"))
    precondition(ControlText.isClean(reply.bytes))
    var lines = 0
    for i in 0..<reply.bytes.byteCount where reply.bytes[i] == UInt8(ascii: "\n") { lines += 1 }
    precondition(!json || lines == 1, "a JSON reply is one line")
  }
}
