import Bounded
import Foundation
import SkyCrypto
import Testing
import Wire

@testable import Node

private let hexA = String(repeating: "0a", count: 32)
private let hexB = String(repeating: "Bf", count: 32)

private func parse(_ bytes: [UInt8]) throws(ConfigurationError) -> Configuration {
  try Configuration(parsing: bytes.span.bytes)
}

private func parse(_ text: String) throws(ConfigurationError) -> Configuration { try parse(Array(text.utf8)) }

private func fault(_ text: String) -> ConfigurationError? { fault(Array(text.utf8)) }

private func fault(_ bytes: [UInt8]) -> ConfigurationError? {
  do throws(ConfigurationError) {
    _ = try parse(bytes)
    return nil
  } catch {
    return error
  }
}

private func description(_ error: ConfigurationError) -> String {
  var text = TextBuffer(capacity: 512)
  error.describe(into: &text)
  return text.bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
}

private extension StaticString {
  var text: String { description }
}

private func repositoryFile(_ path: String) throws -> String {
  var root = URL(filePath: #filePath)
  for _ in 0..<3 { root.deleteLastPathComponent() }
  return try String(contentsOf: root.appending(path: path), encoding: .utf8)
}

@Suite struct ConfigurationFormTests {
  @Test func anEmptyFileGivesTheDefaults() throws {
    let configuration = try parse("")
    #expect(configuration.hubs.count == 0)
    #expect(configuration.authorityFile.isEmpty)
    #expect(configuration.ticket.isEmpty)
    #expect(configuration.stateDirectory.string == "/var/lib/skynod")
    #expect(configuration.controlSocket.string == "/run/skynod/control.sock")
    #expect(configuration.operateGroup.string == "skynod")
    #expect(configuration.operateGroupId == nil)
    #expect(configuration.duties == [.heartbeat, .relay])
    #expect(configuration.rekeyIntervalMs == 120_000)
    #expect(configuration.temperature == .init(switchOff: 80, critical: 90, hysteresis: 5))
    #expect(configuration.battery == .init(switchOff: 30, critical: 10, hysteresis: 5))
    #expect(configuration.memory == .init(switchOff: 32 << 20, critical: 12 << 20, hysteresis: 4 << 20))
    #expect(configuration.logLevel == .info)
  }

  @Test func commentsBlankLinesTabsAndLineEndingsDoNotMatter() throws {
    let text = "\u{FEFF}# first\r\n\r\n\t log_level\t=\tdebug \t\r\n   # indented\nduties=compute\nbattery_low = 40"
    let configuration = try parse(text)
    #expect(configuration.logLevel == .debug)
    #expect(configuration.duties == .compute)
    #expect(configuration.battery.switchOff == 40)
  }

  @Test func commentsMayHoldAnyText() throws {
    #expect(fault("# größer – 鍵 = 🙂\n") == nil)
  }

  @Test(arguments: [0, 1, 8, 11, 12, 13, 27, 31, 127] as [UInt8])
  func controlBytesAreRefused(byte: UInt8) {
    for prefix in ["", "# comment ", "log_level = in"] {
      let error = fault(Array("\n".utf8) + Array(prefix.utf8) + [byte] + Array("x\n".utf8))
      #expect(error == ConfigurationError(.controlByte, line: 2))
    }
  }

  @Test(arguments: [[0xFF], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xC3]] as [[UInt8]])
  func bytesThatAreNotUTF8AreRefused(bytes: [UInt8]) {
    #expect(fault(Array("# a\n# ".utf8) + bytes)?.problem == .notText)
    #expect(fault(Array("# a\n# ".utf8) + bytes)?.line == 2)
  }

  @Test func longLinesAndFilesAreRefused() {
    let longest = "#" + String(repeating: "x", count: Limits.configurationLineBytes - 1)
    #expect(fault(longest + "\r\n") == nil)
    #expect(fault("\n" + longest + "x") == ConfigurationError(.lineTooLong, line: 2))
    let full = String(repeating: "#\n", count: Limits.configurationBytes / 2)
    #expect(fault(full) == nil)
    #expect(fault(full + "\n") == ConfigurationError(.fileTooLong, line: 0))
  }

  @Test(arguments: ["[node]", "log_level info", "= info", "hub"])
  func aLineThatIsNotASettingIsRefused(line: String) {
    #expect(fault("\n\n" + line) == ConfigurationError(.notSetting, line: 3))
  }

  @Test func anUnknownKeyIsNamedWithTheOneThatWasMeant() throws {
    let error = try #require(fault("# x\nhubb = a:1 ca\n"))
    #expect(error.problem == .unknownKey)
    #expect(error.suggestion == .hub)
    #expect(description(error) == "line 2: hubb: unknown key; did you mean hub?")
    #expect(fault("rekey-interval = 5s")?.suggestion == .rekeyInterval)
    #expect(fault("colour = red")?.suggestion == nil)
    #expect(fault("Hub = a:1 ca")?.suggestion == .hub)
  }

  @Test func whatDoesNotLookLikeAKeyIsNotShown() {
    #expect(fault("secret value here = x") == ConfigurationError(.unknownKey, line: 1))
    #expect(fault(String(repeating: "k", count: 33) + " = x") == ConfigurationError(.unknownKey, line: 1))
    #expect(fault("schlüssel = x")?.key.isEmpty == true)
  }

  @Test func aKeySetTwiceIsRefusedWithBothLines() throws {
    for key in Configuration.Key.allCases where key != .hub {
      let setting = "\(key.name.text) = \(sample(of: key))\n"
      let error = try #require(fault("\n\(setting)\n\(setting)"), "\(setting)")
      #expect(error.problem == .duplicateKey && error.line == 4 && error.otherLine == 2)
      #expect(description(error) == "line 4: \(key.name.text): already set on line 2")
    }
  }

  @Test func anEmptyValueIsRefusedForEveryKey() {
    for key in Configuration.Key.allCases {
      #expect(fault("\(key.name.text) =  ") == ConfigurationError(.emptyValue, line: 1, key: key))
    }
  }

  @Test func aRemarkAfterAValueIsRefused() {
    #expect(fault("state_directory = /a # here")?.problem == .trailingComment)
    #expect(fault("log_level = # info")?.problem == .trailingComment)
    #expect(fault("state_directory = /a#b") == nil)
  }

  @Test func errorsNeverShowTheValue() throws {
    let secret = "s3cr3t with blanks"
    let error = try #require(fault("ticket = \(secret)"))
    #expect(error.problem == .ticket)
    #expect(!description(error).contains("s3cr3t"))
  }
}

/// A valid value of `key` that differs from its default.
private func sample(of key: Configuration.Key) -> String {
  switch key {
  case .hub: "hub.example.org:7411 pin=sha256:\(hexA)"
  case .authorityFile: "/etc/skynod/other.pem"
  case .ticket: "skynod1-abc"
  case .stateDirectory: "/srv/skynod"
  case .dictionaryFile: "/srv/words.lex"
  case .controlSocket: "/tmp/control.sock"
  case .operateGroup: "999"
  case .duties: "relay"
  case .relayListen: "[::]:7443"
  case .relayAddress: "relay.example.org:7443"
  case .knowledgeBytes: "4MiB"
  case .modelSocket: "/tmp/infer.sock"
  case .rekeyInterval: "90s"
  case .temperatureHigh: "70"
  case .temperatureCritical: "95"
  case .temperatureHysteresis: "3"
  case .batteryLow: "40%"
  case .batteryCritical: "5"
  case .batteryHysteresis: "2"
  case .memoryLow: "48MiB"
  case .memoryCritical: "8 MB"
  case .memoryHysteresis: "512KiB"
  case .logLevel: "debug"
  case .updates: "auto"
  case .updateSocket: "/tmp/updater.sock"
  case .upstream: "hub"
  case .upstreamKeep: "24h"
  case .seal: "require"
  }
}

@Suite struct ConfigurationHubTests {
  @Test func hubsKeepTheirOrderAndTrust() throws {
    let configuration = try parse(
      """
      hub = hub.example.org:7411 pin=sha256:\(hexA)
      hub = 192.0.2.7:1 ca
      ca_file = /etc/skynod/ca.pem
      hub = [2001:db8::7]:65535 key=\(hexB)   pin=sha256:\(hexB)
      """)
    #expect(configuration.hubs.count == 3)
    #expect(configuration.hubs[0].host.string == "hub.example.org")
    #expect(configuration.hubs[0].port == 7411)
    let a = InlineArray<32, UInt8>(repeating: 0x0A)
    let b = InlineArray<32, UInt8>(repeating: 0xBF)
    #expect(equal(configuration.hubs[0].pin, a))
    #expect(!configuration.hubs[0].hasKey)
    #expect(!configuration.hubs[1].isPinned)
    #expect(configuration.hubs[2].host.string == "2001:db8::7")
    #expect(configuration.hubs[2].port == 65535)
    #expect(equal(configuration.hubs[2].pin, b))
    #expect(equal(configuration.hubs[2].key, b))
    #expect(configuration.authorityFile.string == "/etc/skynod/ca.pem")
  }

  @Test(arguments: [
    "a", "a:", ":1", "a:0", "a:65536", "a:01", "a:1x", "a:99999999999999999999", "a b:1", "a..b:1", ".a:1", "a.:1",
    "-a:1", "a-:1", "a/b:1", "größe:1", "256.1.1.1:1", "1.2.3:1", "1.2.3.4.5:1", "1.2.3.04:1", "2001:db8::7:7411",
    "[2001:db8::7]", "[2001:db8::7]7411", "[]:1", "[a.example]:1", "[1.2.3.4]:1", "[::1%eth0]:1", "[::1:1",
    "[1:2:3:4:5:6:7]:1", "[1:2:3:4:5:6:7:8:9]:1", "[1::2::3]:1", "[12345::]:1", "[:1]:1", "[1:]:1", "[:::]:1",
    "[1:2:3:4:5:6:7::8]:1", "[1:2:3:4:5:6:7:1.2.3.4]:1", "[g::]:1", "[1:2:3:4:5:6:7:8::]:1",
  ])
  func anAddressThatCannotBeOneIsRefused(address: String) {
    #expect(fault("hub = \(address) pin=sha256:\(hexA)") == ConfigurationError(.hubAddress, line: 1, key: .hub))
  }

  @Test(arguments: [
    "a:1", "localhost:7411", "a_b.example:1", "1.example:1", "0.0.0.0:1", "255.255.255.255:1", "[::]:1", "[::1]:1",
    "[1::]:1", "[1:2:3:4:5:6:7:8]:1", "[1:2:3:4:5:6::8]:1", "[::ffff:192.0.2.1]:1", "[1:2:3:4:5:6:1.2.3.4]:1",
    "[FE80::abCD]:65535",
  ])
  func addressesThatCanBeOneAreTaken(address: String) {
    #expect(fault("hub = \(address) pin=sha256:\(hexA)") == nil)
  }

  @Test func hostNamesHaveTheirLimits() {
    let label = String(repeating: "x", count: 63)
    let longest = [label, label, label, String(repeating: "y", count: 61)].joined(separator: ".")
    #expect(longest.utf8.count == Limits.hostNameBytes)
    #expect(fault("hub = \(longest):1 pin=sha256:\(hexA)") == nil)
    #expect(fault("hub = \(longest)y:1 pin=sha256:\(hexA)")?.problem == .hubAddress)
    #expect(fault("hub = \(label)x:1 pin=sha256:\(hexA)")?.problem == .hubAddress)
  }

  @Test(arguments: ["", "key=\(hexA)", "pin=sha256:\(hexA) ca"])
  func aHubNeedsExactlyOneKindOfTrust(options: String) {
    #expect(fault("hub = a:1 \(options)")?.problem == .hubTrust)
  }

  @Test(arguments: [
    "pin=\(hexA)", "pin=sha256:", "pin=sha256:\(hexA)0", "pin=sha256:\(hexA.dropLast())",
    "pin=sha256:\(hexA.dropLast())g",
    "pin=sha512:\(hexA)", "pin=sha256:\(hexA) pin=sha256:\(hexB)", "ca ca", "ca key=\(hexA) key=\(hexA)", "ca key=",
    "pin=sha256:\(String(repeating: "0", count: 64))", "CA", "tls", "pin= sha256:\(hexA)",
  ])
  func anUnknownOrBrokenHubOptionIsRefused(options: String) {
    #expect(fault("hub = a:1 \(options)")?.problem == .hubOption)
  }

  @Test func theSameHubTwiceIsRefusedWithBothLines() throws {
    let error = try #require(fault("hub = a:1 pin=sha256:\(hexA)\n\nhub = a:1 pin=sha256:\(hexB)"))
    #expect(description(error) == "line 3: hub: the same hub was given on line 1")
    #expect(fault("hub = a:1 pin=sha256:\(hexA)\nhub = a:2 pin=sha256:\(hexA)") == nil)
  }

  @Test func theHubListIsLimited() {
    let lines = (1...Limits.hubListCount).map { "hub = a:\($0) pin=sha256:\(hexA)\n" }.joined()
    #expect(fault(lines) == nil)
    #expect(fault(lines + "hub = b:1 pin=sha256:\(hexA)")?.problem == .tooManyHubs)
  }

  @Test func authorityTrustNeedsItsFile() {
    #expect(fault("\nhub = a:1 ca\nlog_level = info") == ConfigurationError(.authorityFileMissing, line: 2, key: .hub))
    #expect(fault("hub = a:1 ca\nca_file = /ca.pem") == nil)
  }
}

@Suite struct ConfigurationValueTests {
  @Test func everyKeyChangesItsOwnFieldOnly() throws {
    for key in Configuration.Key.allCases {
      let changed = try parse("\(key.name.text) = \(sample(of: key))")
      let fields = differences(changed, Configuration())
      #expect(fields == [key], "\(key.name.text)")
    }
  }

  private func differences(_ a: Configuration, _ b: Configuration) -> [Configuration.Key] {
    var keys: [Configuration.Key] = []
    if a.hubs.count != b.hubs.count { keys.append(.hub) }
    if a.authorityFile != b.authorityFile { keys.append(.authorityFile) }
    if a.ticket != b.ticket { keys.append(.ticket) }
    if a.stateDirectory != b.stateDirectory { keys.append(.stateDirectory) }
    if a.dictionaryFile != b.dictionaryFile { keys.append(.dictionaryFile) }
    if a.controlSocket != b.controlSocket { keys.append(.controlSocket) }
    if a.operateGroup != b.operateGroup { keys.append(.operateGroup) }
    if a.duties != b.duties { keys.append(.duties) }
    if a.rekeyIntervalMs != b.rekeyIntervalMs { keys.append(.rekeyInterval) }
    if a.temperature.switchOff != b.temperature.switchOff { keys.append(.temperatureHigh) }
    if a.temperature.critical != b.temperature.critical { keys.append(.temperatureCritical) }
    if a.temperature.hysteresis != b.temperature.hysteresis { keys.append(.temperatureHysteresis) }
    if a.battery.switchOff != b.battery.switchOff { keys.append(.batteryLow) }
    if a.battery.critical != b.battery.critical { keys.append(.batteryCritical) }
    if a.battery.hysteresis != b.battery.hysteresis { keys.append(.batteryHysteresis) }
    if a.memory.switchOff != b.memory.switchOff { keys.append(.memoryLow) }
    if a.memory.critical != b.memory.critical { keys.append(.memoryCritical) }
    if a.memory.hysteresis != b.memory.hysteresis { keys.append(.memoryHysteresis) }
    if a.logLevel != b.logLevel { keys.append(.logLevel) }
    if a.relayListen != b.relayListen { keys.append(.relayListen) }
    if a.relayAddress != b.relayAddress { keys.append(.relayAddress) }
    if a.updates != b.updates { keys.append(.updates) }
    if a.updateSocket != b.updateSocket { keys.append(.updateSocket) }
    if a.upstream != b.upstream { keys.append(.upstream) }
    if a.upstreamKeepS != b.upstreamKeepS { keys.append(.upstreamKeep) }
    if a.seal != b.seal { keys.append(.seal) }
    if a.knowledgeBytes != b.knowledgeBytes { keys.append(.knowledgeBytes) }
    if a.modelSocket != b.modelSocket { keys.append(.modelSocket) }
    return keys
  }

  @Test(
    arguments: [
      ("1s", 1_000), ("1000ms", 1_000), ("90s", 90_000), ("2m", 120_000), ("120s", 120_000), ("1500ms", 1_500),
    ] as [(String, UInt64)])
  func durationsAreTaken(text: String, ms: UInt64) throws {
    #expect(try parse("rekey_interval = \(text)").rekeyIntervalMs == ms)
  }

  @Test(arguments: [
    "0s", "999ms", "121s", "3m", "1h", "90", "s", "1.5s", "-1s", "+1s", "01s", "1 s", "1S", "99999999999999999999s",
    "18446744073709551615h",
  ])
  func durationsOutsideTheRangeAreRefused(text: String) {
    #expect(fault("rekey_interval = \(text)") == ConfigurationError(.rekeyInterval, line: 1, key: .rekeyInterval))
  }

  @Test func hoursAreDurations() {
    let bytes = Array("24h".utf8)
    #expect(ConfigurationValue.durationMs(bytes.span.bytes) == 86_400_000)
  }

  @Test(
    arguments: [
      ("0", 0), ("1kB", 1_000), ("1KiB", 1_024), ("64MB", 64_000_000), ("64 MiB", 67_108_864), ("1GB", 1_000_000_000),
      ("2GiB", 2_147_483_648),
    ] as [(String, UInt64)])
  func sizesAreTaken(text: String, bytes: UInt64) throws {
    #expect(try parse("memory_low = \(text)\nmemory_critical = 0").memory.switchOff == bytes)
  }

  @Test(arguments: ["1", "1K", "1mib", "1.5MiB", "MiB", "-1MiB", "1 M iB", "18446744073709551615GiB", "00"])
  func sizesWithoutAUnitAreRefused(text: String) {
    #expect(fault("memory_low = \(text)")?.problem == .size)
  }

  @Test(
    arguments: [
      ("state_directory = relative", .path), ("ca_file = ~/ca", .path), ("control_socket = @abstract", .socketPath),
      ("ticket = two words", .ticket), ("ticket = grün", .ticket), ("operate_group = -1", .group),
      ("operate_group = a b", .group), ("operate_group = 4294967295", .group), ("operate_group = 0x1", .group),
      ("duties = heartbeat, relay", .duties), ("duties = none", .duties), ("duties = Relay", .duties),
      ("temperature_high = 151", .temperature), ("temperature_high = 80C", .temperature),
      ("temperature_critical = -5", .temperature), ("battery_low = 101", .percent), ("battery_low = 30 % %", .percent),
      ("battery_critical = %", .percent), ("log_level = verbose", .logLevel), ("log_level = 3", .logLevel),
    ] as [(String, ConfigurationError.Problem)])
  func aBadValueSaysWhatWasExpected(line: String, problem: ConfigurationError.Problem) throws {
    let error = try #require(fault("# one\n" + line))
    #expect(error.problem == problem)
    #expect(error.line == 2)
    #expect(!error.key.isEmpty)
    #expect(description(error).hasPrefix("line 2: \(error.key.string): expected "))
  }

  @Test func pathsAndTicketsHaveTheirLimits() {
    func path(_ length: Int) -> String { "/" + String(repeating: "p", count: length - 1) }
    #expect(fault("state_directory = " + path(255)) == nil)
    #expect(fault("state_directory = " + path(256))?.problem == .path)
    #expect(fault("control_socket = " + path(107)) == nil)
    #expect(fault("control_socket = " + path(108))?.problem == .socketPath)
    #expect(fault("ticket = " + String(repeating: "t", count: Ticket.textBytes)) == nil)
    #expect(fault("ticket = " + String(repeating: "t", count: Ticket.textBytes + 1))?.problem == .ticket)
  }

  @Test func aNumericGroupIsAnId() throws {
    #expect(try parse("operate_group = 100").operateGroupId == 100)
    #expect(try parse("operate_group = wheel").operateGroupId == nil)
  }

  @Test(
    arguments: [
      ("temperature_high = 85\ntemperature_critical = 84", .temperatureOrder, 2, .temperatureCritical),
      ("temperature_critical = 84\n\ntemperature_high = 85", .temperatureOrder, 3, .temperatureHigh),
      ("temperature_high = 91", .temperatureOrder, 1, .temperatureHigh),
      ("battery_critical = 31", .batteryOrder, 1, .batteryCritical),
      ("memory_low = 8MiB", .memoryOrder, 1, .memoryLow),
    ] as [(String, ConfigurationError.Problem, Int, Configuration.Key)])
  func thresholdsMustBeInOrder(text: String, problem: ConfigurationError.Problem, line: Int, key: Configuration.Key) {
    #expect(fault(text) == ConfigurationError(problem, line: line, key: key))
  }

  @Test func theTicketCanBeWiped() throws {
    var configuration = try parse("ticket = skynod1-abc")
    configuration.wipeTicket()
    #expect(configuration.ticket.isEmpty)
  }

  @Test func changesThatNeedARestartAreFound() throws {
    for key in Configuration.Key.allCases {
      let found = try parse("\(key.name.text) = \(sample(of: key))").firstChangeNeedingRestart(from: Configuration())
      #expect(found == (key.needsRestart ? key : nil))
    }
  }
}

@Suite struct ConfigurationDocumentTests {
  @Test func literalSizesAgreeWithTheLimits() {
    #expect(Configuration.Key.count == Configuration.Key.allCases.count)
    #expect(Configuration.Key.allCases.allSatisfy { $0.name.utf8CodeUnitCount <= ConfigurationError.keyTextBytes })
    let sentences = ConfigurationError.Problem.self
    #expect(sentences.fileTooLong.sentence.text.contains(" \(Limits.configurationBytes) "))
    #expect(sentences.lineTooLong.sentence.text.contains(" \(Limits.configurationLineBytes) "))
    #expect(sentences.tooManyHubs.sentence.text.contains(" \(Limits.hubListCount) "))
    #expect(sentences.ticket.sentence.text.contains(" \(Ticket.textBytes) "))
    #expect(sentences.rekeyInterval.sentence.text.contains("\(Limits.rekeyMinimumMs / 1_000)s to"))
    #expect(sentences.rekeyInterval.sentence.text.contains("to \(Limits.rekeyAfterMs / 1_000)s"))
  }

  /// A board has little stack; this value and the copy a reload makes live there for a moment.
  @Test func theValueIsSmall() {
    #expect(MemoryLayout<Configuration>.size <= 5_376)
  }

  @Test func theExampleParsesAndChangesNothing() throws {
    #expect(fault(try repositoryFile("systemd/skynod.conf.example")) == nil)
  }

  @Test func theExampleShowsEveryKeyAndItsDefault() throws {
    let example = try repositoryFile("systemd/skynod.conf.example")
    // With every setting enabled: each key is there, and but for those without a default nothing changes.
    let settings = example.split(separator: "\n").filter { $0.hasPrefix("#") && !$0.hasPrefix("# ") }
      .map { String($0.dropFirst()) }.filter { $0.contains(" = ") }
    for key in Configuration.Key.allCases {
      #expect(settings.contains { $0.hasPrefix("\(key.name.text) = ") }, "\(key.name.text)")
    }
    #expect(Set(settings.map { $0.prefix { $0 != " " } }).count == Configuration.Key.count)
    let withoutDefault: [Configuration.Key] = [.hub, .authorityFile, .ticket]
    let configuration = try parse(settings.joined(separator: "\n"))
    #expect(configuration.hubs.count == 2)
    for setting in settings {
      let value = try parse(setting.hasSuffix(" ca") ? setting + "\nca_file = /x" : setting)
      if withoutDefault.contains(where: { setting.hasPrefix("\($0.name.text) = ") }) { continue }
      let texts = [value, Configuration()].map { String(describing: Comparable(of: $0)) }
      #expect(texts[0] == texts[1], "\(setting)")
    }
  }

  /// The fields that have a default.
  private struct Comparable {
    let texts: [String]
    let numbers: [UInt64]

    init(of configuration: Configuration) {
      texts = [
        configuration.stateDirectory.string, configuration.controlSocket.string, configuration.operateGroup.string,
        configuration.dictionaryFile.string,
      ]
      numbers = [
        UInt64(configuration.duties.rawValue), configuration.rekeyIntervalMs,
        configuration.temperature.switchOff, configuration.temperature.critical, configuration.temperature.hysteresis,
        configuration.battery.switchOff, configuration.battery.critical, configuration.battery.hysteresis,
        configuration.memory.switchOff, configuration.memory.critical, configuration.memory.hysteresis,
        UInt64(configuration.logLevel.rawValue), UInt64(configuration.upstream.rawValue),
        UInt64(configuration.upstreamKeepS), UInt64(configuration.seal.rawValue),
      ]
    }
  }

  @Test func theManualPageDescribesEveryKey() throws {
    let page = try repositoryFile("docs/man/skynod.conf.5")
    for key in Configuration.Key.allCases {
      let parts = page.components(separatedBy: ".BI \"\(key.name.text) = ")
      #expect(parts.count >= 2, "\(key.name.text)")
      // The paragraph of the key ends with when a change takes effect.
      let paragraph = parts.last?.components(separatedBy: "\n.TP").first?.components(separatedBy: "\n.SH").first ?? ""
      #expect(paragraph.contains("\nRestart.") == key.needsRestart, "\(key.name.text)")
      #expect(paragraph.contains("\nReload") == !key.needsRestart, "\(key.name.text)")
    }
  }
}
