import ArgumentParser
import Bounded
import Foundation
import Hub
import Lexicon
import LexiconBuilder
import Wire

struct LexiconCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lexicon", abstract: "Make dictionaries, cut subsets for boards, and look into them.",
    discussion: "All but publish work on files alone: they need no hub and no data directory.",
    subcommands: [LexiconBuild.self, LexiconSubset.self, LexiconStats.self, LexiconPublish.self])
}

struct LexiconBuild: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "build", abstract: "Build a dictionary from a ranked list of words.",
    discussion: """
      The list has a line for each word, the commonest first: word, sector, confidence, locale, with tabs \
      between. The same list gives the same bytes. The licence file is copied beside the dictionary.
      """)

  @Option(help: ArgumentHelp("The list of words.", valueName: "file"), completion: .file())
  var words: String
  @Option(help: ArgumentHelp("The licences of what the list was made from.", valueName: "file"), completion: .file())
  var licence: String
  @Option(help: ArgumentHelp("The generation that this is: 1, or one more than --extends.", valueName: "n"))
  var generation: UInt32?
  @Option(
    help: ArgumentHelp("A whole dictionary to add the words to: all ids stay what they are.", valueName: "file"),
    completion: .file())
  var extends: String?
  @Argument(help: ArgumentHelp("The dictionary to write.", valueName: "file"), completion: .file())
  var dictionary: String

  func run() throws {
    let list = try explaining(words) { () throws(BuildError) in try WordList(parsing: Array(try read(words))) }
    let contents: Contents
    if let extends {
      contents = try withDictionary(extends) { view in
        try Contents(view).adding(list, generation: generation ?? view.header.generation + 1)
      }
    } else {
      contents = try explaining(words) { () throws(BuildError) in try Contents(list, generation: generation ?? 1) }
    }
    let image = try explaining(words) { () throws(BuildError) in try FileImage(contents) }
    try writeDictionary(image, to: dictionary, licence: licence)
    print("\(dictionary): \(contents.tokenCount) tokens, \(image.bytes.count) bytes")
  }
}

struct LexiconSubset: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "subset", abstract: "Cut a smaller dictionary for boards. Ids, bands and slots stay.",
    discussion: "The licence file beside the dictionary is copied too.")

  @Option(help: ArgumentHelp("How many tokens at most; whole leaves of 256.", valueName: "n"))
  var tokens = 65_536
  @Option(help: ArgumentHelp("A language whose words come first, such as de.", valueName: "tag"))
  var locale = ""
  @Argument(help: ArgumentHelp("The dictionary to cut from.", valueName: "from"), completion: .file())
  var source: String
  @Argument(help: ArgumentHelp("The dictionary to write.", valueName: "to"), completion: .file())
  var target: String

  func run() throws {
    let subset = try withDictionary(source) { view in
      try Contents(view).subset(tokens: tokens, locale: locale)
    }
    let image = try explaining(source) { () throws(BuildError) in try FileImage(subset) }
    try writeDictionary(image, to: target, licence: licencePath(source))
    print("\(target): \(subset.tokenCount) tokens, \(image.bytes.count) bytes")
  }
}

struct LexiconStats: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Check a dictionary and show what is in it and where it comes from.")

  @OptionGroup var output: JsonOption
  @Argument(help: ArgumentHelp("The dictionary.", valueName: "file"), completion: .file())
  var dictionary: String

  func run() throws {
    let stats = try withDictionary(dictionary) { view in
      do throws(LexiconError) {
        try view.verify()
      } catch {
        throw HubError(.badArgument, "\(dictionary): \(error.sentence)")
      }
      return Stats(view)
    }
    if output.json { return try printJson(stats) }
    print("tokens        \(stats.tokens) in \(stats.leaves) leaves, of an id space of \(stats.idSpace)")
    print("generation    \(stats.generation)")
    print("size          \(stats.bytes) bytes, \(String(format: "%.2f", stats.bytesPerToken)) a token")
    print("  both ways   \(String(format: "%.2f", stats.lookupBytesPerToken)) a token, without metadata and points")
    for section in stats.sections {
      print("  \(section.name.padding(toLength: 12, withPad: " ", startingAt: 0))\(section.bytes)")
    }
    print("locales       " + stats.locales.map { "\($0.locale) \($0.leaves)" }.joined(separator: ", ") + " (leaves)")
    print("sectors       \(stats.sectors)")
    print(stats.about, terminator: "")
  }

  private struct Stats: Encodable {
    struct Part: Encodable {
      let name: String
      let bytes: Int
    }
    struct Locale: Encodable {
      let locale: String
      let leaves: Int
    }
    let tokens: Int
    let leaves: Int
    let idSpace: Int
    let generation: UInt32
    let bytes: Int
    let bytesPerToken: Double
    let lookupBytesPerToken: Double
    let sections: [Part]
    let locales: [Locale]
    let sectors: Int
    let about: String

    init(_ view: borrowing LexiconView) {
      tokens = view.tokenCount
      leaves = Int(view.header.leafCount)
      idSpace = Int(view.header.leafSpace) * Layout.leafTokens
      generation = view.header.generation
      bytes = Int(view.header.fileBytes)
      bytesPerToken = Double(bytes) / Double(tokens)
      let header = view.header
      sections = Section.allCases.map { Part(name: "\($0)", bytes: Int(header[$0].sizeBytes)) }
      lookupBytesPerToken =
        Double(LexiconStats.lookupSections.reduce(0) { $0 + Int(header[$1].sizeBytes) }) / Double(tokens)
      var counts = [Int](repeating: 0, count: 256)
      for local in 0..<leaves { counts[Int(view.leaf(local)?.locale ?? 255)] += 1 }
      var found: [Locale] = []
      for number in 0..<view.localeCount where counts[number] > 0 {
        guard let name = view.locale(number) else { continue }
        found.append(
          Locale(locale: name.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }, leaves: counts[number]))
      }
      locales = found.sorted { ($1.leaves, $0.locale) < ($0.leaves, $1.locale) }
      sectors = view.sectorCount
      about = view.about.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }
  }

  /// What word to id and id to word need.
  static let lookupSections: [Section] = [
    .pilots, .slots, .blocks, .strings, .symbols, .leafMap, .leaves,
  ]
}

// MARK: files

private func read(_ path: String) throws(BuildError) -> Data {
  do {
    return try Data(contentsOf: URL(filePath: path), options: .alwaysMapped)
  } catch {
    throw BuildError("cannot be read: \(error.localizedDescription)")
  }
}

func explaining<R>(_ path: String, _ body: () throws(BuildError) -> R) throws -> R {
  do {
    return try body()
  } catch {
    throw HubError(.badArgument, "\(path): \(error)")
  }
}

func withDictionary<R>(_ path: String, _ body: (borrowing LexiconView) throws -> R) throws -> R {
  let data = try explaining(path) { () throws(BuildError) in try read(path) }
  return try data.withUnsafeBytes { bytes in
    let view: LexiconView
    do throws(LexiconError) {
      view = try LexiconView(RawSpan(_unsafeBytes: bytes))
    } catch {
      throw HubError(.badArgument, "\(path): \(error.sentence)")
    }
    do {
      return try body(view)
    } catch let error as BuildError {
      throw HubError(.badArgument, "\(path): \(error)")
    }
  }
}

private func licencePath(_ dictionary: String) -> String { dictionary + ".licence" }

/// Both files appear whole or not at all; for everyone to read, as they hold nothing of the hub's.
private func writeDictionary(_ image: FileImage, to path: String, licence: String) throws {
  do {
    let text = try Data(contentsOf: URL(filePath: licence))
    for (path, data) in [(licencePath(path), text), (path, Data(image.bytes))] {
      try data.write(to: URL(filePath: path), options: .atomic)
      chmod(path, 0o644)
    }
  } catch {
    throw HubError(.badArgument, "cannot write \(path): \(error.localizedDescription)")
  }
}
