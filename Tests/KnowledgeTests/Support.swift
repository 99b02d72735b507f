import Bounded
import Foundation
import Knowledge

func phrase(_ text: String) -> Phrase {
  var made = Phrase()
  let bytes = Array(text.utf8)
  made.read(bytes.span.bytes)
  return made
}

func isSame(_ a: String, _ b: String) -> Bool {
  let first = phrase(a)
  let second = phrase(b)
  return first.hash == second.hash && first.hasSameSignature(as: second)
}

func normal(_ text: String) -> String { phrase(text).withNormal { $0.text } }

func why(_ asked: String, _ known: String) -> String {
  var out = TextBuffer(capacity: 256)
  let a = phrase(asked)
  let b = phrase(known)
  a.describe(a.difference(from: b), from: b, to: &out)
  return out.bytes.text
}

extension RawSpan {
  var text: String { String(decoding: (0..<byteCount).map { self[$0] }, as: UTF8.self) }
}
