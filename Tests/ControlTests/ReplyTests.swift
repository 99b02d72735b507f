import Bounded
import Foundation
import Testing
import Wire

@Suite struct ReplyTests {
  private func reply(json: Bool, capacity: Int = 4_096, _ fill: (inout ControlReply) -> Void) -> String {
    var reply = ControlReply(capacity: capacity)
    reply.begin(json: json)
    fill(&reply)
    reply.ok()
    let isComplete = reply.isComplete
    #expect(isComplete)
    return string(reply.bytes)
  }

  private func fields(_ reply: inout ControlReply) {
    reply.field("state", "online")
    withSpan("a \"b\"\n") { reply.field("hint", $0) }
    reply.field("sent", 18_446_744_073_709_551_615 as UInt64)
    reply.field("offset", -5)
    reply.field("on", true)
    reply.fieldScaled("load", -1_234, places: 2)
    withSpan([0xAB, 0x01] as [UInt8]) { reply.fieldHex("key", $0) }
    reply.fieldUnknown("battery_percent")
    reply.field("name", InlineText<8>("NOD9")!)
  }

  @Test func anErrorMayNameWhatIsNear() {
    func near(_ reply: inout ControlReply) {
      withSpan("Is \"it\"\nso?") { reply.error(.noAnswer, sentence: "nothing; but", nearest: $0) }
    }
    #expect(reply(json: false, near) == "ERR 29 no_answer nothing; but: \"Is \\\"it\\\"\\nso?\"\n")
    #expect(
      reply(json: true, near)
        == #"{"ok":false,"error":{"number":29,"token":"no_answer","text":"nothing; but","nearest":"Is \"it\"\nso?"}}"#
        + "\n")
  }

  @Test func fieldsAreLinesInText() {
    #expect(
      reply(json: false, fields) == """
        state=online
        hint="a \\"b\\"\\n"
        sent=18446744073709551615
        offset=-5
        on=true
        load=-12.34
        key=ab01
        battery_percent=
        name=NOD9
        OK

        """)
  }

  @Test func fieldsAreOneObjectInJson() throws {
    let text = reply(json: true, fields)
    #expect(
      text == #"{"ok":true,"state":"online","hint":"a \"b\"\n","sent":18446744073709551615,"offset":-5,"on":true,"#
        + #""load":-12.34,"key":"ab01","battery_percent":null,"name":"NOD9"}"# + "\n")
    _ = try JSONSerialization.jsonObject(with: Data(text.utf8))
  }

  @Test func anEmptyReplyIsOk() {
    #expect(reply(json: false) { _ in } == "OK\n")
    #expect(reply(json: true) { _ in } == "{\"ok\":true}\n")
  }

  @Test func rowsAreLinesOfPairsOrAnArray() {
    func rows(_ reply: inout ControlReply) {
      reply.beginRows()
      for i in 1...2 {
        reply.beginRow()
        reply.field("seq", i)
        reply.field("text", "x y")
        reply.endRow()
      }
      reply.endRows()
    }
    #expect(reply(json: false, rows) == "seq=1 text=\"x y\"\nseq=2 text=\"x y\"\nOK\n")
    #expect(reply(json: true, rows) == #"{"ok":true,"rows":[{"seq":1,"text":"x y"},{"seq":2,"text":"x y"}]}"# + "\n")
    #expect(
      reply(json: true) {
        $0.beginRows(); $0.endRows()
      } == "{\"ok\":true,\"rows\":[]}\n")
  }

  @Test func aRowThatDoesNotFitIsTakenBackWhole() throws {
    for json in [false, true] {
      var kept = 0
      let text = reply(json: json, capacity: 256) { reply in
        reply.beginRows()
        for i in 0..<100 {
          reply.beginRow()
          reply.field("number", i)
          guard reply.endRow() else { break }
          kept += 1
        }
        reply.endRows()
      }
      #expect(kept > 5 && kept < 100)
      if json {
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        #expect((object?["rows"] as? [Any])?.count == kept)
      } else {
        #expect(text.split(separator: "\n").count == kept + 1)
      }
    }
  }

  @Test func anErrorReplacesWhatWasWritten() {
    #expect(
      reply(json: false) {
        $0.field("a", 1); $0.error(.forbidden)
      }
        == "ERR 13 forbidden \(ErrorCode.forbidden.sentence)\n")
    #expect(
      reply(json: true) {
        $0.beginRows(); $0.beginRow(); $0.error(.full)
      }
        == "{\"ok\":false,\"error\":{\"number\":16,\"token\":\"full\",\"text\":\"\(ErrorCode.full.sentence)\"}}\n")
  }

  @Test func aReplyThatDoesNotFitIsAnError() {
    let text = reply(json: false, capacity: 128) { reply in
      for _ in 0..<100 { reply.field("key", "value") }
    }
    #expect(text == "ERR 12 too_long \(ErrorCode.tooLong.sentence)\n")
  }

  @Test func plainTextIsAStringInJson() {
    func text(_ reply: inout ControlReply) {
      reply.beginText()
      reply.plain("a{b=\"c\"} ")
      reply.plain(7)
      reply.plain("\n# EOF\n")
      reply.endText()
    }
    #expect(reply(json: false, text) == "a{b=\"c\"} 7\n# EOF\nOK\n")
    #expect(reply(json: true, text) == #"{"ok":true,"text":"a{b=\"c\"} 7\n# EOF\n"}"# + "\n")
  }

  @Test func eventsHaveTheirNumberAndKind() {
    for (json, expected) in [
      (false, "EVENT 9 state from=offline to=connecting\n"),
      (true, "{\"event\":9,\"kind\":\"state\",\"from\":\"offline\",\"to\":\"connecting\"}\n"),
    ] {
      var reply = ControlReply(capacity: 256)
      reply.beginEvent(sequence: 9, kind: .state, json: json)
      reply.field("from", "offline")
      reply.field("to", "connecting")
      reply.endEvent()
      #expect(string(reply.bytes) == expected)
    }
  }

  @Test func everyErrorIsAWellFormedLine() throws {
    for code in ErrorCode.allCases {
      let text = reply(json: false) { $0.error(code) }
      #expect(text.hasPrefix("ERR \(code.number) \(code.token) "))
      let json = reply(json: true) { $0.error(code) }
      _ = try JSONSerialization.jsonObject(with: Data(json.utf8))
    }
  }

  @Test func aMessageOfTheLargestSizeFitsARow() {
    var reply = ControlReply(capacity: Limits.controlReplyBytes)
    for json in [false, true] {
      reply.begin(json: json)
      reply.beginRows()
      reply.beginRow()
      withSpan(String(repeating: "\"", count: Limits.messageBytes)) { reply.field("text", $0) }
      let kept = reply.endRow()
      #expect(kept)
    }
  }
}
