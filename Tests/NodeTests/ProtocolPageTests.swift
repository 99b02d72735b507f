import Foundation
import Testing
import Wire

/// What docs/protocol.md says in figures is what the code does.
@Suite struct ProtocolPageTests {
  /// The cells of every table row.
  private static func rows() throws -> [[String]] {
    let page = VectorTests.file.deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("protocol.md")
    return try String(contentsOf: page, encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("| ") }
      .map { $0.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) } }
  }

  @Test func theErrorTableIsTheCodes() throws {
    let table = try Self.rows().filter { $0.count == 3 && UInt16($0[0]) != nil && $0[1].hasPrefix("`") }
    for row in table {
      let code = try #require(ErrorCode(rawValue: UInt16(row[0])!), "\(row)")
      #expect(row[1] == "`\(code.token)`" && row[2] == "\(code.sentence)")
    }
    let told = Set(table.compactMap { UInt16($0[0]) })
    for code in ErrorCode.allCases
    where (30...56).contains(code.number) || (80...90).contains(code.number)
      || (101...106).contains(code.number)
      || (110...119).contains(code.number)
    {
      #expect(told.contains(code.number), "\(code) is missing")
    }
  }

  @Test func theRecordSizesAreTheCodes() throws {
    let rows = try Self.rows()
    func size(_ type: RecordType, _ name: String) -> String? {
      rows.first { $0[0] == "\(type.rawValue)" && $0[1] == name }?.last
    }
    #expect(size(.hello, "HELLO") == "1,404" && Hello.byteCount == 1_404)
    #expect(size(.welcome, "WELCOME") == "1,260" && Welcome.byteCount == 1_260)
    #expect(size(.confirm, "CONFIRM") == "96" && Confirm.byteCount == 96)
    #expect(size(.ready, "READY") == "32" && Limits.hashBytes == 32)
    #expect(size(.sealed, "SEALED") == "version 1: 48 to 16,432; version 2: 64 to 16,448")
    #expect(Limits.sealedPayloadBytes == 16_448 && Limits.tagBytes - Limits.shortestTagBytes == 16)
    #expect(rows.contains { $0.prefix(3) == ["36", "1", "duties in force"] } && Heartbeat.byteCount == 37)
    #expect(rows.contains { $0.prefix(2) == ["70", "1"] } && HubEntry.fixedBytes == 71)
  }

  @Test func theFrameKindsAreTheCodes() throws {
    let rows = try Self.rows()
    let names: [(FrameKind, String)] = [
      (.configure, "CONFIGURE"), (.heartbeat, "HEARTBEAT"), (.heartbeatAck, "HEARTBEAT ACK"), (.message, "MESSAGE"),
      (.receipt, "RECEIPT"), (.rekeyInit, "REKEY INIT"), (.rekeyReply, "REKEY REPLY"), (.ping, "PING"),
      (.pong, "PONG"), (.close, "CLOSE"), (.rekeyDone, "REKEY DONE"), (.stored, "STORED"),
      (.wordQuery, "WORD QUERY"), (.wordAnswer, "WORD ANSWER"), (.dictionaryRequest, "DICTIONARY REQUEST"),
      (.dictionaryPiece, "DICTIONARY PIECE"), (.system, "SYSTEM"), (.bundleOffer, "BUNDLE OFFER"),
      (.bundleRequest, "BUNDLE REQUEST"), (.bundlePiece, "BUNDLE PIECE"), (.admit, "ADMIT"), (.admitted, "ADMITTED"),
      (.routeChallenge, "ROUTE CHALLENGE"), (.routeProof, "ROUTE PROOF"), (.attach, "ATTACH"),
      (.attached, "ATTACHED"), (.detach, "DETACH"), (.job, "JOB"), (.jobProgress, "JOB PROGRESS"),
      (.jobResult, "JOB RESULT"), (.jobCancel, "JOB CANCEL"), (.question, "QUESTION"), (.answer, "ANSWER"),
      (.vote, "VOTE"), (.card, "CARD"), (.keyQuery, "KEY QUERY"), (.keyAnswer, "KEY ANSWER"), (.offer, "OFFER"),
      (.offered, "OFFERED"), (.offerRequest, "OFFER REQUEST"),
      (.fellow, "FELLOW"), (.share, "SHARE"), (.committed, "COMMITTED"), (.here, "HERE"),
      (.gone, "GONE"), (.probe, "PROBE"), (.alive, "ALIVE"),
    ]
    for (kind, name) in names {
      #expect(rows.contains { $0.count == 4 && $0[0] == "\(kind.rawValue)" && $0[1] == name }, "\(name)")
    }
    #expect(
      FrameKind(rawValue: 13) == nil && FrameKind(rawValue: 28) == nil && FrameKind(rawValue: 37) == nil
        && FrameKind(rawValue: 47) == nil && FrameKind(rawValue: 56) == nil && FrameKind(rawValue: 67) == nil,
      "a new kind belongs into the page and this list"
    )
  }
}
