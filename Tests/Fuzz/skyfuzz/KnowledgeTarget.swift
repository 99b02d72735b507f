import Bounded
import Knowledge
import Wire

extension FuzzTarget {
  /// A page of the store, any bytes in its place.
  static let knowledge = FuzzTarget(
    name: "knowledge",
    run: { bytes in
      var content = bytes.array
      content += [UInt8](repeating: 0, count: max(0, Limits.knowledgePageBytes - content.count))
      content.withUnsafeBytes {
        let page = KnowledgePage(RawSpan(_unsafeBytes: $0).extracting(0..<Limits.knowledgePageBytes))
        _ = page.isWhole
        for i in 0..<page.entryCount {
          guard let entry = page.entry(i) else { continue }
          precondition(entry.question.byteCount <= Limits.questionBytes && entry.answer.byteCount <= Limits.answerBytes)
        }
      }
    },
    seeds: {
      let writer = PageWriter()
      var facts = EntryFacts()
      facts.isPinned = true
      let question = Array("When does the hub close?".utf8)
      let answer = Array("At seven.".utf8)
      let empty = [UInt8](repeating: 0, count: Limits.knowledgePageBytes)
      let entry = KnowledgeEntry(facts: facts, question: question.span.bytes, answer: answer.span.bytes)
      try? writer.write(KnowledgePage(empty.span.bytes), without: nil, adding: entry, nowS: 100, isUsed: { _ in false })
      writer.finish(pageNumber: 2, storeEntries: 1)
      return [Seed(name: "one", bytes: Array(writer.bytes)), Seed(name: "empty", bytes: empty)]
    })

  /// Two questions, a line feed between them: whatever they are, they match themselves and each other alike.
  static let phrase = FuzzTarget(
    name: "phrase",
    run: { bytes in
      var end = 0
      while end < bytes.byteCount, bytes[end] != 0x0A { end += 1 }
      let first = bytes.extracting(0..<min(end, Limits.questionBytes))
      let rest = bytes.extracting(min(end + 1, bytes.byteCount)..<bytes.byteCount)
      var a = Phrase()
      var b = Phrase()
      a.read(first)
      b.read(rest.extracting(0..<min(rest.byteCount, Limits.questionBytes)))
      precondition(a.hasSameNormal(as: a))
      precondition(a.hasSameNormal(as: b) == b.hasSameNormal(as: a))
      precondition(a.hasSameSignature(as: b) == b.hasSameSignature(as: a))
      var out = TextBuffer(capacity: 256)
      a.describe(a.difference(from: b), from: b, to: &out)
    },
    seeds: {
      [
        Seed(name: "same", bytes: Array("What's France's capital?\nwhat is the capital of France".utf8)),
        Seed(name: "other", bytes: Array("How long is 5 km?\nHow long is \u{FF15} miles?".utf8)),
      ]
    })

  /// Lines of the model's worker; one that begins with a tab comes over the second connection.
  static let model = FuzzTarget(
    name: "model",
    run: { bytes in
      var dialogue = ModelDialogue()
      var now = Instant(ms: 1)
      dialogue.begin(process: nil, now: now)
      var start = 0
      while start < bytes.byteCount {
        var end = start
        while end < bytes.byteCount, bytes[end] != 0x0A { end += 1 }
        let isProbe = end > start && bytes[start] == 0x09
        let step = dialogue.take(bytes.extracting((isProbe ? start + 1 : start)..<end), fromProbe: isProbe, now: now)
        if step == .ended { precondition(dialogue.deadline == .never) }
        if case .failed = step { precondition(dialogue.deadline == .never) }
        now = now + 100
        _ = dialogue.tick(now: now) { now.ms / 300 * UInt64($0) }
        start = end + 1
      }
      _ = dialogue.lost()
      precondition(dialogue.deadline == .never)
    },
    seeds: {
      let greeting = "SKYINFER 1 tiny\n"
      return [
        Seed(name: "answer", bytes: Array("\(greeting)\t\(greeting)piece=\"a\"\ngrounded=true\n\tOK\nOK\n".utf8)),
        Seed(name: "refused", bytes: Array("\(greeting)ERR 204 no_memory \"more\"\n".utf8)),
      ]
    })

  /// A line of an import: what it is read as is within its limits and well formed.
  static let taught = FuzzTarget(
    name: "taught",
    run: { bytes in
      var line = TaughtLine()
      do throws(ErrorCode) { try line.read(bytes) } catch { return }
      for text in [line.question.array, line.answer.array] {
        precondition(!text.isEmpty && String(validating: text, as: UTF8.self) != nil)
      }
    },
    seeds: {
      [
        Seed(name: "plain", bytes: Array(#"{"question":"Who?","answer":"I.","pinned":true,"ttl":60}"#.utf8)),
        Seed(
          name: "escaped",
          bytes: Array(#" { "a" : -1.5e3, "question" : "\"\u00e9\ud83d\ude00\n" , "answer" : "é" }"#.utf8)),
      ]
    })
}
