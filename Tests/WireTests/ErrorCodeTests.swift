import Foundation
import Testing
import Wire

/// Numbers and tokens as they were first published. Never change a line of this table: add new ones.
private let published: [UInt16: String] = [
  10: "unknown_command", 11: "bad_argument", 12: "too_long", 13: "forbidden", 14: "not_joined", 15: "offline",
  16: "full", 17: "busy", 18: "not_found", 19: "unreachable", 20: "draining", 21: "timeout", 22: "io_failed",
  23: "expired",
  25: "no_dictionary", 26: "bad_encoding", 27: "dictionary_refused", 28: "damaged", 29: "no_answer",
  30: "resolve_failed", 31: "connect_failed", 32: "tls_failed", 33: "pin_mismatch", 34: "certificate_invalid",
  35: "link_closed", 36: "link_silent", 37: "handshake_timeout",
  40: "truncated", 41: "oversized", 42: "unknown_record", 43: "unexpected_record", 44: "malformed",
  45: "version_unsupported", 46: "bad_signature", 47: "hub_key_mismatch", 48: "key_exchange_failed",
  49: "confirmation_failed", 50: "decrypt_failed", 51: "replayed", 52: "wrong_epoch", 53: "key_expired",
  54: "malformed_frame", 55: "rekey_failed", 56: "spoofed_source", 57: "route_loop",
  64: "usage", 69: "daemon_unavailable", 70: "internal_error", 78: "bad_configuration",
  80: "token_required", 81: "token_unknown", 82: "token_expired", 83: "token_used", 84: "token_invalid",
  85: "revoked", 86: "clone_detected", 87: "session_busy", 88: "hub_full", 89: "class_refused",
  90: "addresses_exhausted",
  91: "no_model", 92: "model_failed", 93: "model_hung", 94: "model_refused",
  95: "cancelled", 96: "off_duty", 97: "over_budget", 98: "bad_numbers", 99: "quota_used", 100: "upstream_failed",
  101: "no_card", 102: "identity_changed", 103: "not_opened", 104: "plain_refused", 105: "key_awaited",
  106: "seal_unavailable",
  110: "fellow_unknown", 111: "fellow_mismatch", 112: "fellow_fault",
]

@Suite struct ErrorCodeTests {
  @Test func numbersAndTokensAreThePublishedOnes() {
    let now = Dictionary(uniqueKeysWithValues: ErrorCode.allCases.map { ($0.number, $0.token.description) })
    #expect(now == published)
  }

  @Test func tokensAreUniqueWords() {
    let tokens = ErrorCode.allCases.map { $0.token.description }
    #expect(Set(tokens).count == tokens.count)
    for token in tokens { #expect(token.wholeMatch(of: /[a-z]+(_[a-z]+)*/) != nil, "\(token)") }
  }

  @Test func everyErrorHasASentenceOfItsOwn() {
    let sentences = ErrorCode.allCases.map { $0.sentence.description }
    #expect(Set(sentences).count == sentences.count)
    for sentence in sentences {
      #expect(sentence.count > 8 && !sentence.hasSuffix("."), "\(sentence)")
      #expect(sentence.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }, "\(sentence)")
    }
  }

  /// Exit statuses: below 126, where a shell's own begin.
  @Test func everyNumberIsAnExitStatus() {
    for code in ErrorCode.allCases { #expect((1..<126).contains(code.number)) }
  }

  @Test func theManualListsExactlyThese() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let manual = try String(contentsOf: root.appending(path: "docs/control.md"), encoding: .utf8)
    let start = try #require(manual.range(of: "\n## Errors\n"))
    let end = try #require(manual.range(of: "\n## ", range: start.upperBound..<manual.endIndex))
    var covered: [UInt16] = []
    for line in manual[start.upperBound..<end.lowerBound].split(separator: "\n") where line.hasPrefix("| ") {
      let cells = line.split(separator: "|", omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      if let number = UInt16(cells[1]) {
        covered.append(number)
        let code = try #require(ErrorCode(rawValue: number), "the manual names \(number)")
        #expect(cells[2] == "`\(code.token)`")
      } else {
        // Ranges, "30–37, 40–56": every number of the range is one of ours.
        for part in cells[1].split(separator: ",") {
          let ends = part.split(separator: "–").compactMap { UInt16($0.trimmingCharacters(in: .whitespaces)) }
          if ends.count == 2 { covered += ends[0]...ends[1] }
        }
      }
    }
    #expect(covered.sorted() == ErrorCode.allCases.map(\.number).sorted())
  }
}
