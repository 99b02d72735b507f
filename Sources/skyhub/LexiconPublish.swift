import ArgumentParser
import Foundation
import Hub
import Lexicon
import LexiconBuilder
import Wire

struct LexiconPublish: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "publish", abstract: "Give the hub's nodes a dictionary, under the hub's signature.",
    discussion: """
      The file is checked whole and copied into the data directory. Its generation must be higher than that of \
      the one published before, and no id may have another word: cut it from the same dictionary, or from one \
      built with --extends. With one published before that has another version of the format, words cannot be compared. \
      A running hub tells its nodes at once; they fetch what has changed.
      """)

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The dictionary, as large as a board takes it.", valueName: "file"), completion: .file())
  var dictionary: String

  func run() throws {
    let directory = try data.open(create: true)
    let next = try withDictionary(dictionary) { view in
      do throws(LexiconError) { try view.verify() } catch {
        throw HubError(.badArgument, "\(dictionary): \(error.sentence)")
      }
      return try Contents(view)
    }
    if let before = try HubDictionary.publishedPath(in: directory) {
      let changed = try withDictionary(before) { view in try Contents(view).firstChangedId(in: next) }
      if let changed {
        throw HubError(
          .badArgument, "\(dictionary): id \(changed) has another word than in the published dictionary",
          hint: "nodes that know it would be misled: build it with --extends")
      }
    }
    try HubDictionary.publish(dictionary, in: directory)
    let told = try AdminClient(directory).refresh() != nil
    print("published generation \(next.generation), \(next.tokenCount) tokens" + (told ? "; the hub was told" : ""))
  }
}
