import ArgumentParser
import Foundation
import Testing

@testable import skyhub

/// The manual page is written by hand; this holds it to the program.
struct ManualTests {
  static let manual: String = {
    let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let page = try? String(contentsOf: top.appendingPathComponent("docs/man/skyhub.1"), encoding: .utf8)
    return (page ?? "").replacingOccurrences(of: "\\-", with: "-")
  }()

  @Test func everyCommandAndOptionIsInTheManual() {
    for command in Skyhub.configuration.subcommands {
      let name = command.configuration.commandName ?? command._commandName
      #expect(Self.manual.contains("\\fB\(name)\\fR"), "\(name)")
      let help = command.helpMessage(columns: 200)
      let options = Set(help.matches(of: /--[a-z][a-z-]+/).map { String($0.0) })
      #expect(!options.isEmpty)
      for option in options { #expect(Self.manual.contains(option), "\(option) of \(name)") }
    }
  }

  @Test func noCommandOfTheManualIsUnknown() {
    let known = Set(Skyhub.configuration.subcommands.map { $0._commandName })
    let told = Self.manual.matches(of: /(?m)^\\fB([a-z]+)\\fR/).map { String($0.1) }
    #expect(Set(told) == known)
  }
}
