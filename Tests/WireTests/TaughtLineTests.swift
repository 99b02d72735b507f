import Bounded
import Testing
import Wire

@Suite struct TaughtLineTests {
  private struct Read: Equatable {
    var question: String
    var answer: String
    var isPinned = false
    var seconds: UInt64 = 0
  }

  private func read(_ line: String) -> Result<Read, ErrorCode> { read(Array(line.utf8)) }

  private func read(_ line: [UInt8]) -> Result<Read, ErrorCode> {
    outcome { () throws(ErrorCode) in
      var taught = TaughtLine()
      try taught.read(line.span.bytes)
      return Read(
        question: text(taught.question.bytes), answer: text(taught.answer.bytes), isPinned: taught.isPinned,
        seconds: taught.timeToLiveS)
    }
  }

  @Test func membersComeInAnyOrderAndOthersAreReadOver() {
    #expect(read(#"{"question":"q","answer":"a"}"#) == .success(Read(question: "q", answer: "a")))
    #expect(
      read(
        #" { "level" : "L0", "ttl": 60, "answer" : "a" ,"n":-1.5E+3,"x":null,"pinned":true, "question":"q" } "# + "\r")
        == .success(Read(question: "q", answer: "a", isPinned: true, seconds: 60)))
    #expect(
      read(#"{"a name that is longer than any of ours":"and so is its value","question":"q","answer":"a"}"#)
        == .success(Read(question: "q", answer: "a")))
    #expect(read(#"{"question":"q","question":"r","answer":"a"}"#) == .success(Read(question: "r", answer: "a")))
  }

  @Test func escapesAreThoseOfJson() {
    #expect(
      read(#"{"question":"\"\\\/\b\f\n\r\t","answer":"\u00e9\u20AC\ud83d\ude00é€"}"#)
        == .success(Read(question: "\"\\/\u{8}\u{C}\n\r\t", answer: "é€😀é€")))
  }

  @Test(arguments: [
    "", "{", "{}", "[]", #""q""#, #"{"question":"q"}"#, #"{"question":"","answer":"a"}"#,
    #"{"question":"q","answer":"a""#,
    #"{"question":"q","answer":"a"} x"#, #"{"question":"q","answer":"a",}"#, #"{"question":"q" "answer":"a"}"#,
    #"{"question":"q","answer":"a","more":{}}"#, #"{"question":"q","answer":"a","more":[1]}"#,
    #"{"question":1,"answer":"a"}"#, #"{"question":"q","answer":"\x"}"#, #"{"question":"q","answer":"\u12"}"#,
    #"{"question":"q","answer":"\u12g4"}"#, #"{"question":"q","answer":"\ud83d"}"#,
    #"{"question":"q","answer":"\ude00"}"#,
    #"{"question":"q","answer":"\ud83d\u0041"}"#, "{\"question\":\"q\",\"answer\":\"a\nb\"}",
    #"{"question":"q","answer":"a","ttl":"60"}"#, #"{"question":"q","answer":"a","ttl":-1}"#,
    #"{"question":"q","answer":"a","ttl":1.5}"#, #"{"question":"q","answer":"a","ttl":99999999999999999999999}"#,
    #"{"question":"q","answer":"a","pinned":1}"#, #"{"question":"q","answer":"a","pinned":"true"}"#,
  ])
  func whatIsNoSuchObjectIsRefused(_ line: String) {
    #expect(read(line) == .failure(.badArgument))
  }

  @Test func bytesThatAreNoTextAreRefused() {
    #expect(read(Array(#"{"question":"q","answer":""#.utf8) + [0xFF] + Array("\"}".utf8)) == .failure(.badArgument))
  }

  @Test func whatIsTooLongIsRefused() {
    let whole = String(repeating: "é", count: Limits.questionBytes / 2)
    #expect(read(#"{"question":"\#(whole)","answer":"a"}"#) == .success(Read(question: whole, answer: "a")))
    #expect(read(#"{"question":"\#(whole)x","answer":"a"}"#) == .failure(.tooLong))
    #expect(
      read(#"{"question":"q","answer":"\#(String(repeating: "\\n", count: Limits.answerBytes + 1))"}"#)
        == .failure(.tooLong))
  }

  @Test func oneLineLeavesNothingForTheNext() throws {
    var taught = TaughtLine()
    try taught.read(Array(#"{"question":"q","answer":"a","pinned":true,"ttl":1}"#.utf8).span.bytes)
    try taught.read(Array(#"{"question":"r","answer":"b"}"#.utf8).span.bytes)
    #expect(text(taught.question.bytes) == "r" && text(taught.answer.bytes) == "b")
    #expect(!taught.isPinned && taught.timeToLiveS == 0)
  }
}
