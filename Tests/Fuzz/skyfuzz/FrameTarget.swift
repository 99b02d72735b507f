import Bounded
import Update
import Wire

extension FuzzTarget {
  /// Records in the clear, frame headers and every body. The first byte says what the rest is read as.
  static let frame = FuzzTarget(
    name: "frame",
    run: { bytes in
      guard bytes.byteCount > 0 else { return }
      let rest = bytes.extracting(1..<bytes.byteCount)
      do throws(ErrorCode) {
        switch bytes[0] {
        case 0: try readRecords(rest, tagBytes: Limits.shortestTagBytes)
        case 1: try readFrame(rest)
        case 2: _ = try Hello(decoding: rest).agentText
        case 3: _ = try Welcome(decoding: rest)
        case 4: try readRecords(rest, tagBytes: Limits.tagBytes)
        default: break
        }
      } catch {}
    },
    seeds: {
      var seeds: [Seed] = []
      for kind in UInt8(1)...55 {
        guard let kind = FrameKind(rawValue: kind) else { continue }
        seeds.append(Seed(name: "\(kind)", bytes: [1] + frameSeed(kind)))
      }
      var records = ByteQueue(capacity: 512)
      _ = RecordHeader(type: .ready, epoch: 0, length: Limits.hashBytes).append(to: &records)
      records.append(InlineArray<32, UInt8>(repeating: 7).span.bytes)
      _ = RecordHeader(type: .refusal, epoch: 0, length: 2).append(to: &records)
      records.append(bigEndian: ErrorCode.tokenExpired.rawValue)
      _ = RecordHeader(type: .sealed, epoch: 3, length: 48).append(to: &records)
      records.append(InlineArray<48, UInt8>(repeating: 9).span.bytes)
      seeds.append(Seed(name: "records", bytes: [0] + records.array))
      seeds.append(Seed(name: "records-2", bytes: [4, 16, 3, 0, 64] + [UInt8](repeating: 9, count: 64)))
      seeds.append(Seed(name: "hello", bytes: [2, 1, 1, 0x4D, 3] + [UInt8](repeating: 5, count: Hello.byteCount - 4)))
      seeds.append(Seed(name: "welcome", bytes: [3, 1, 0, 0, 0] + [UInt8](repeating: 5, count: Welcome.byteCount - 4)))
      return seeds
    })

  /// Walks a stream record by record, as a session does before it looks inside.
  private static func readRecords(_ stream: RawSpan, tagBytes: Int) throws(ErrorCode) {
    var offset = 0
    while let header = try RecordHeader.peek(stream.extracting(offset..<stream.byteCount), tagBytes: tagBytes) {
      precondition(header.length > 0 && Limits.recordHeaderBytes + header.length <= Limits.recordBytes)
      precondition(header.type == .sealed || header.epoch == 0)
      let end = offset + Limits.recordHeaderBytes + header.length
      guard end <= stream.byteCount else { return }
      let payload = stream.extracting((offset + Limits.recordHeaderBytes)..<end)
      switch header.type {
      case .hello: _ = try Hello(decoding: payload)
      case .welcome: _ = try Welcome(decoding: payload)
      case .refusal: _ = try decodeCode(payload)
      case .sealed: try readFrame(payload)
      case .confirm, .ready: break
      }
      var again = ByteQueue(capacity: Limits.recordHeaderBytes)
      precondition(header.append(to: &again))
      precondition(again.bytes.elementsEqual(stream.extracting(offset..<(offset + Limits.recordHeaderBytes))))
      offset = end
    }
  }

  /// Decodes a frame and holds that what was decoded encodes to what decodes to the same.
  private static func readFrame(_ frame: RawSpan) throws(ErrorCode) {
    let header = try FrameHeader(decoding: frame)
    var queue = ByteQueue(capacity: Limits.recordBytes)
    precondition(header.append(to: &queue))
    precondition(queue.bytes.elementsEqual(frame.extracting(0..<Limits.frameHeaderBytes)))
    queue.clear()
    let body = frame.extracting(Limits.frameHeaderBytes..<frame.byteCount)
    switch header.kind {
    case .configure:
      let value = try Configure(decoding: body)
      precondition(value.append(to: &queue))
      let again = try Configure(decoding: queue.bytes)
      precondition(again == value)
    case .heartbeat:
      let value = try Heartbeat(decoding: body)
      precondition(value.append(to: &queue))
      let again = try Heartbeat(decoding: queue.bytes)
      precondition(again == value)
    case .receipt:
      let value = try Receipt(decoding: body)
      precondition(value.append(to: &queue))
      let again = try Receipt(decoding: queue.bytes)
      precondition(again == value)
    case .heartbeatAck: _ = try HeartbeatAck(decoding: body)
    case .close: _ = try decodeCode(body)
    case .stored:
      for i in 0..<(try StoredEntry.count(in: body)) {
        let value = try StoredEntry.at(i, in: body)
        queue.clear()
        precondition(value.append(to: &queue))
        let again = try StoredEntry.at(0, in: queue.bytes)
        precondition(again == value)
      }
    case .message: if header.isDurable { _ = try decodeStream(body) }
    case .dictionaryRequest, .dictionaryPiece: _ = try PieceRequest(decoding: body)
    case .system:
      let value = try SystemReport(decoding: body)
      value.append(to: &queue)
      precondition(queue.bytes.elementsEqual(body))
    case .bundleOffer: _ = try BundleOffer(decoding: body)
    case .bundleRequest, .bundlePiece:
      let value = try BundleRequest(decoding: body)
      value.append(to: &queue)
      precondition(queue.bytes.elementsEqual(body.extracting(0..<BundleRequest.byteCount)))
    case .admit:
      try Admit.check(body)
      _ = try Hello(decoding: body.extracting(Limits.exporterBytes..<body.byteCount))
    case .admitted:
      let value = try Admitted(decoding: body)
      precondition(value.append(to: &queue))
      let again = try Admitted(decoding: queue.bytes)
      precondition(again == value)
    case .attached, .detach:
      let value = try RouteWord(decoding: body)
      precondition(value.append(to: &queue))
      let again = try RouteWord(decoding: queue.bytes)
      precondition(again == value)
    case .routeChallenge:
      let value = try RouteChallenge(decoding: body)
      precondition(value.append(to: &queue) && queue.bytes.elementsEqual(body))
    case .routeProof:
      let value = try RouteProof(decoding: body)
      precondition(value.append(to: &queue) && queue.bytes.elementsEqual(body))
    case .attach:
      let value = try Attach(decoding: body)
      precondition(value.append(to: &queue) && queue.bytes.elementsEqual(body))
    case .job:
      let value = try JobOrder(decoding: body)
      value.append(to: &queue)
      precondition(queue.bytes.elementsEqual(body.extracting(0..<JobOrder.byteCount)))
    case .jobProgress:
      let value = try JobProgress(decoding: body)
      value.append(to: &queue)
      precondition(queue.bytes.elementsEqual(body))
    case .jobResult:
      let value = try JobResult(decoding: body)
      value.append(to: &queue)
      let again = try JobResult(decoding: queue.bytes)
      precondition(again == value)
    case .jobCancel:
      let value = try JobCancel(decoding: body)
      value.append(to: &queue)
      precondition(queue.bytes.elementsEqual(body))
    case .question:
      let value = try Question(decoding: body)
      value.append(to: &queue)
      queue.append(Question.text(of: body))
      precondition(queue.bytes.elementsEqual(body))
    case .card: _ = try Card(decoding: body)
    case .keyAnswer: _ = try SealAnswer(decoding: body, rest: Card.byteCount)
    case .offer: _ = try SealAnswer(decoding: body, rest: SealOffer.byteCount)
    case .keyQuery, .offerRequest:
      let value = try SealQuery(decoding: body)
      value.append(to: &queue)
      precondition(queue.bytes.elementsEqual(body))
    case .offered:
      let value = try Offered(decoding: body)
      value.append(to: &queue)
      let again = try Offered(decoding: queue.bytes)
      precondition(again == value)
    case .vote:
      let value = try Vote(decoding: body)
      value.append(to: &queue)
      precondition(queue.bytes.elementsEqual(body))
    // Words are the target `manifest`'s, answers the target `question`'s, what hubs share that of `fellows`.
    case .rekeyInit, .rekeyReply, .rekeyDone, .ping, .pong, .wordQuery, .wordAnswer, .answer, .fellow, .share,
      .committed, .here, .gone, .probe, .alive:
      break
    }
  }

  private static func frameSeed(_ kind: FrameKind) -> [UInt8] {
    var queue = ByteQueue(capacity: 2_048)
    _ = FrameHeader(
      kind: kind, flags: 1, hops: 2, reserved: 3, source: 1_000_000, destination: 9_999_999, sequence: 77,
      timeToLiveS: 60
    ).append(to: &queue)
    switch kind {
    case .configure:
      var hubs = HubList()
      for host in ["hub.example.org", "2001:db8::7"] {
        hubs.append(
          HubEntry(
            host: InlineText(host)!, port: 7411, id: 1, pin: InlineArray { UInt8($0) }, key: InlineArray { UInt8($0) }))
      }
      _ = Configure(
        wallTimeMs: 1_700_000_000_000, heartbeatIntervalMs: 30_000, rekeyAfterMs: 120_000, dictionaryGeneration: 3,
        allowedDuties: .all, hubs: hubs
      ).append(to: &queue)
    case .heartbeat:
      _ = Heartbeat(
        vitals: VitalSigns(), inboxUsed: 1, inboxCapacity: 32, outboxUsed: 0, outboxCapacity: 16,
        dictionaryGeneration: 3, duties: [.heartbeat, .relay]
      ).append(to: &queue)
    case .receipt: _ = Receipt(sequence: 77, failure: .unreachable).append(to: &queue)
    case .heartbeatAck: HeartbeatAck(wallTimeMs: 1_700_000_000_000, isCutOff: true).append(to: &queue)
    case .close: queue.append(bigEndian: ErrorCode.draining.rawValue)
    case .message: queue.append("hello")
    case .stored:
      for sequence in 1...3 as ClosedRange<UInt64> {
        _ = StoredEntry(stream: 500, sequence: sequence, failure: sequence == 2 ? .full : nil).append(to: &queue)
      }
    case .dictionaryRequest, .dictionaryPiece:
      PieceRequest(generation: 3, kind: .block, index: 2).append(to: &queue)
    case .system:
      SystemReport(policy: .auto, failure: 18, failedRelease: 7, standing: Standing(board: InlineText("toy")!))
        .append(to: &queue)
    case .bundleOffer: queue.append(bigEndian: UInt8(0))
    case .bundleRequest, .bundlePiece:
      BundleRequest(digest: InlineArray(repeating: 1), offset: 512, count: 64).append(to: &queue)
    case .wordQuery: queue.append("\u{1}\u{5}hello")
    case .wordAnswer: queue.append("\u{1}\u{5}hello\u{0}\u{0}\u{0}\u{0}")
    case .admit:
      queue.append(InlineArray<32, UInt8>(repeating: 9).span.bytes)
      queue.append("\u{1}\u{1}\u{4D}\u{3}")
      for _ in 4..<Hello.byteCount { queue.append(bigEndian: UInt8(5)) }
    case .admitted: _ = Admitted(id: 1_000_001, failure: nil, count: 3).append(to: &queue)
    case .attached, .detach: _ = RouteWord(id: 1_000_001, failure: .revoked).append(to: &queue)
    case .routeChallenge:
      _ = RouteChallenge(
        nonce: InlineArray(repeating: 1), hub: InlineArray(repeating: 2), relay: 1_000_000, count: 3
      ).append(to: &queue)
    case .routeProof: _ = RouteProof(count: 3, signature: InlineArray(repeating: 4)).append(to: &queue)
    case .attach:
      _ = Attach(
        id: 1_000_001, instance: InlineArray(repeating: 1),
        proof: RouteProof(count: 3, signature: InlineArray(repeating: 4))
      ).append(to: &queue)
    case .job:
      JobOrder(id: 7, kind: 1, argument: 0, budgetMs: 1_000, budgetBytes: 65_536).append(to: &queue)
      queue.append("\u{3F}\u{0}\u{0}\u{0}\u{40}\u{0}\u{0}\u{0}")
    case .jobProgress: JobProgress(id: 7, phase: .running, permille: 250).append(to: &queue)
    case .jobResult: JobResult(id: 7, failure: .busy).append(to: &queue)
    case .jobCancel: JobCancel(id: 7).append(to: &queue)
    case .question:
      Question(id: 7).append(to: &queue)
      queue.append("Why?")
    case .answer:
      Answer.Head(id: 7, failure: .noAnswer).append(
        signature: InlineArray(repeating: 1), brand: "", sources: 0, to: &queue)
    case .card: for _ in 0..<Card.byteCount { queue.append(bigEndian: UInt8(5)) }
    case .keyAnswer, .offer:
      for _ in 0..<Limits.signatureBytes { queue.append(bigEndian: UInt8(5)) }
      SealAnswerHead(id: 1_000_007, number: 7, failure: .noCard).append(to: &queue)
    case .keyQuery, .offerRequest: SealQuery(id: 1_000_007, number: 7).append(to: &queue)
    case .offered: Offered(id: 1_000_007, failure: .notFound).append(to: &queue)
    case .vote: Vote(id: 7, isGood: true).append(to: &queue)
    case .rekeyInit, .rekeyReply, .rekeyDone, .ping, .pong, .fellow, .share, .committed, .here, .gone, .probe, .alive:
      break
    }
    return queue.array
  }
}
