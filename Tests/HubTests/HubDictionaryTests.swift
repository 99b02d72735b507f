import Bounded
import Foundation
import Lexicon
import LexiconBuilder
import Node
import SkyCrypto
import Testing
import Wire

@testable import Hub

@Suite struct HubDictionaryTests {
  private static func dictionary(_ words: [String], generation: UInt32) throws -> Data {
    let lines = words.map { "\($0)\tnoun.food\t3\ten\n" }.joined()
    let contents = try Contents(WordList(parsing: Array(lines.utf8)), generation: generation)
    return Data(try FileImage(contents).bytes)
  }

  private static let words = (0..<2_000).map { "word\($0)" }

  private let temporary: TemporaryDirectory

  init() throws { temporary = try TemporaryDirectory() }

  /// A directory with a published dictionary.
  private func published(_ generation: UInt32 = 2) throws -> DataDirectory {
    let directory = try DataDirectory(opening: temporary.path + "/hub", create: true)
    try publish(Self.words, generation, in: directory)
    return directory
  }

  private func publish(_ words: [String], _ generation: UInt32, in directory: DataDirectory) throws {
    let path = directory.path + "/new.lex"
    try Self.dictionary(words, generation: generation).write(to: URL(filePath: path))
    try HubDictionary.publish(path, in: directory)
  }

  private func piece(_ dictionary: HubDictionary, _ request: PieceRequest) throws -> [UInt8] {
    var body = ByteQueue(capacity: Limits.frameBodyBytes)
    try dictionary.piece(for: request, into: &body)
    return body.bytes.withUnsafeBytes { Array($0) }
  }

  @Test func piecesMakeTheFileUnderTheHubsSignature() throws {
    let directory = try published()
    let dictionary = try HubDictionary(in: directory, wordsPath: nil)
    let key = try HubKeys(in: directory).publicKey
    let first = try piece(dictionary, PieceRequest(generation: 0, kind: .manifest, index: 0))
    let head = PieceRequest.byteCount
    let manifest = try DictionaryUpdate.verified(Array(first[head...]).span.bytes, key: key)
    #expect(manifest.generation == 2)
    var file: [UInt8] = []
    for page in 0..<manifest.pageCount {
      let digests = try piece(dictionary, PieceRequest(generation: 2, kind: .page, index: UInt32(page)))[head...]
      #expect(equal(Sha256.digest(Array(digests).span.bytes), manifest.page(page)))
      for block in manifest.blocks(ofPage: page) {
        file += try piece(dictionary, PieceRequest(generation: 2, kind: .block, index: UInt32(block)))[head...]
      }
    }
    #expect(Data(file) == (try Self.dictionary(Self.words, generation: 2)))
  }

  @Test func anOldGenerationIsAnsweredWithTheNewManifest() throws {
    let directory = try published()
    let dictionary = try HubDictionary(in: directory, wordsPath: nil)
    let answer = try piece(dictionary, PieceRequest(generation: 1, kind: .block, index: 7))
    #expect(try PieceRequest(decoding: answer.span.bytes) == PieceRequest(generation: 2, kind: .manifest, index: 0))
  }

  @Test func piecesOutsideTheFileAreRefused() throws {
    let directory = try published()
    let dictionary = try HubDictionary(in: directory, wordsPath: nil)
    for kind in [PieceKind.page, .block, .none] {
      #expect(throws: ErrorCode.malformedFrame) {
        try piece(dictionary, PieceRequest(generation: 2, kind: kind, index: .max))
      }
    }
  }

  @Test func onlyHigherGenerationsArePublished() throws {
    let directory = try published(2)
    for generation in [1, 2] as [UInt32] {
      #expect(throws: HubError.self) { try publish(Self.words, generation, in: directory) }
    }
    try publish(Self.words + ["more"], 3, in: directory)
    let dictionary = try HubDictionary(in: directory, wordsPath: nil)
    #expect(dictionary.generation == 3)
    let left = try FileManager.default.contentsOfDirectory(atPath: directory.path).filter { $0.hasPrefix("dictionary") }
    #expect(Set(left) == ["dictionary.manifest", "dictionary-3.lex", "dictionary-3.pages"])
  }

  @Test func aFileOfAnotherFormatIsLeftAsideUntilAnotherOneIsPublished() throws {
    let directory = try published(2)
    let path = directory.dictionaryPath(2)
    var old = try Data(contentsOf: URL(filePath: path))
    old[8] = 2
    try old.write(to: URL(filePath: path))
    let words = directory.path + "/words.lex"
    try old.write(to: URL(filePath: words))
    let dictionary = try HubDictionary(in: directory, wordsPath: words)
    #expect(dictionary.generation == 0 && dictionary.outdated == [path, words])
    let answer = try piece(dictionary, PieceRequest(generation: 0, kind: .manifest, index: 0))
    #expect(try PieceRequest(decoding: answer.span.bytes) == PieceRequest(generation: 0, kind: .none, index: 0))
    #expect(try HubDictionary.publishedPath(in: directory) == nil)
    #expect(throws: HubError.self) { try HubDictionary.publish(words, in: directory) }
    #expect(throws: HubError.self, "nodes have generation 2") { try publish(Self.words, 2, in: directory) }
    try publish(Self.words, 3, in: directory)
    try dictionary.reload()
    #expect(dictionary.generation == 3 && dictionary.outdated == [words])
  }

  @Test func wordsAreAnsweredInTheirOrder() throws {
    let directory = try published()
    let dictionary = try HubDictionary(in: directory, wordsPath: nil)
    var question = ByteQueue(capacity: 256)
    question.append(bigEndian: UInt8(3))
    for word in ["word7", "nonesuch", "x"] {
      question.append(bigEndian: UInt8(word.utf8.count))
      question.append(Array(word.utf8).span.bytes)
    }
    var answer = ByteQueue(capacity: Limits.frameBodyBytes)
    try dictionary.answer(question.bytes, into: &answer)
    var reader = ByteReader(answer.bytes)
    #expect(try reader.integer(UInt8.self) == 3)
    let first = try WordEntry(from: &reader)
    #expect(first.id == 263 && first.sector == InlineText("noun.food") && first.domain == InlineText("food"))
    #expect(first.locale == InlineText("en") && first.confidence == 3)
    for _ in 0..<2 { #expect(try WordEntry(from: &reader).id == 0) }
    for count in 0..<question.count {
      var answer = ByteQueue(capacity: Limits.frameBodyBytes)
      #expect(throws: ErrorCode.malformedFrame) {
        try dictionary.answer(question.bytes.extracting(0..<count), into: &answer)
      }
    }
  }

  @Test func aHubWithoutADictionarySaysSo() throws {
    let dictionary = HubDictionary()
    #expect(dictionary.generation == 0)
    let answer = try piece(dictionary, PieceRequest(generation: 0, kind: .manifest, index: 0))
    #expect(try PieceRequest(decoding: answer.span.bytes).kind == .none)
  }

  @Test func nodesOnLineHearOfANewGeneration() throws {
    let directory = try published(2)
    let swarm = try TestSwarm(dictionary: HubDictionary(in: directory, wordsPath: nil))
    let node = try swarm.allowedNode(1)
    swarm.connect(node)
    #expect(node.configure?.dictionaryGeneration == 2)
    try publish(Self.words + ["more"], 3, in: directory)
    _ = try swarm.core.refresh(now: swarm.now)
    swarm.settle()
    #expect(node.configure?.dictionaryGeneration == 3)
  }

  @Test func aQuestionThatIsNoneEndsTheLink() throws {
    let swarm = try TestSwarm()
    let node = try swarm.allowedNode(1)
    swarm.connect(node)
    let body: [UInt8] = [9]
    try node.session.send(FrameHeader(kind: .wordQuery, source: node.id!), body: body.span.bytes, now: swarm.now)
    swarm.settle()
    #expect(node.failure == .malformedFrame)
  }
}
