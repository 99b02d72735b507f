import Bounded
import Wire

// Decoded in two steps: a line is checked as text and cut into key and value; then each key's own rule
// turns the value into a field. Relations between keys are checked last, over the whole.

extension Configuration {
  /// Reads the text of a configuration file.
  ///
  /// `key = value` lines, `#` comments, empty lines; LF or CRLF; a byte order mark is skipped.
  public init(parsing file: RawSpan) throws(ConfigurationError) {
    self.init()
    guard file.byteCount <= Limits.configurationBytes else { throw ConfigurationError(.fileTooLong, line: 0) }
    var parser = ConfigurationParser()
    var start = ConfigurationValue.afterPrefix("\u{FEFF}", of: file) == nil ? 0 : 3
    while start < file.byteCount {
      var end = start
      while end < file.byteCount, file[end] != UInt8(ascii: "\n") { end += 1 }
      try parser.take(line: file.extracting(start..<end), into: &self)
      start = end + 1
    }
    try parser.checkRelations(of: self)
  }

  /// Takes the value of any key but `hub`. False, and no change, when the value breaks the key's rule.
  fileprivate mutating func set(_ key: Key, _ value: RawSpan) -> Bool {
    switch key {
    case .hub: return false
    case .authorityFile: return Self.assign(&authorityFile, ConfigurationValue.path(value))
    case .ticket:
      guard ConfigurationValue.isOneWord(value) else { return false }
      return Self.assign(&ticket, InlineText(value))
    case .stateDirectory: return Self.assign(&stateDirectory, ConfigurationValue.path(value))
    case .controlSocket: return Self.assign(&controlSocket, ConfigurationValue.path(value))
    case .operateGroup:
      guard ConfigurationValue.isGroup(value) else { return false }
      return Self.assign(&operateGroup, InlineText(value))
    case .duties: return Self.assign(&duties, ConfigurationValue.duties(value))
    case .rekeyInterval:
      guard let ms = ConfigurationValue.durationMs(value), ms >= Limits.rekeyMinimumMs, ms <= Limits.rekeyAfterMs
      else { return false }
      rekeyIntervalMs = ms
      return true
    case .temperatureHigh: return Self.assign(&temperature.switchOff, ConfigurationValue.celsius(value))
    case .temperatureCritical: return Self.assign(&temperature.critical, ConfigurationValue.celsius(value))
    case .temperatureHysteresis: return Self.assign(&temperature.hysteresis, ConfigurationValue.celsius(value))
    case .batteryLow: return Self.assign(&battery.switchOff, ConfigurationValue.percent(value))
    case .batteryCritical: return Self.assign(&battery.critical, ConfigurationValue.percent(value))
    case .batteryHysteresis: return Self.assign(&battery.hysteresis, ConfigurationValue.percent(value))
    case .memoryLow: return Self.assign(&memory.switchOff, ConfigurationValue.sizeBytes(value))
    case .memoryCritical: return Self.assign(&memory.critical, ConfigurationValue.sizeBytes(value))
    case .memoryHysteresis: return Self.assign(&memory.hysteresis, ConfigurationValue.sizeBytes(value))
    case .dictionaryFile: return Self.assign(&dictionaryFile, ConfigurationValue.path(value))
    case .relayListen:
      guard let place = ConfigurationValue.address(value), !ConfigurationValue.isName(place.host.bytes) else {
        return false
      }
      relayListen = place
      return true
    case .relayAddress:
      guard let place = ConfigurationValue.address(value) else { return false }
      relayAddress = place
      return true
    case .knowledgeBytes: return Self.assign(&knowledgeBytes, ConfigurationValue.sizeBytes(value))
    case .modelSocket: return Self.assign(&modelSocket, ConfigurationValue.path(value))
    case .upstream: return Self.assign(&upstream, ConfigurationValue.upstream(value))
    case .upstreamKeep: return Self.assign(&upstreamKeepS, ConfigurationValue.keepS(value))
    case .seal: return Self.assign(&seal, ConfigurationValue.sealPolicy(value))
    case .logLevel: return Self.assign(&logLevel, ConfigurationValue.logLevel(value))
    case .updates: return Self.assign(&updates, ConfigurationValue.updatePolicy(value))
    case .updateSocket: return Self.assign(&updateSocket, ConfigurationValue.path(value))
    }
  }

  private static func assign<Value>(_ field: inout Value, _ value: Value?) -> Bool {
    guard let value else { return false }
    field = value
    return true
  }
}

/// The state of one pass over a file: the line's number and where each key and hub was set.
private struct ConfigurationParser {
  private var line = 0
  /// By raw value of the key: 0 when it has not been set. For `hub` the latest line.
  private var lines = InlineArray<28, Int>(repeating: 0)
  /// In the order of `Configuration.hubs`.
  private var hubLines = InlineArray<8, Int>(repeating: 0)

  mutating func take(line whole: RawSpan, into configuration: inout Configuration) throws(ConfigurationError) {
    line += 1
    var text = whole
    if text.byteCount > 0, text[text.byteCount - 1] == UInt8(ascii: "\r") {
      text = text.extracting(0..<(text.byteCount - 1))
    }
    try checkText(text)
    text = ConfigurationValue.trimmed(text)
    if text.byteCount == 0 || text[0] == UInt8(ascii: "#") { return }
    guard let equals = ConfigurationValue.firstIndex(of: UInt8(ascii: "="), in: text) else {
      throw ConfigurationError(.notSetting, line: line)
    }
    let key = try knownKey(ConfigurationValue.trimmed(text.extracting(0..<equals)))
    let value = ConfigurationValue.trimmed(text.extracting((equals + 1)..<text.byteCount))
    let index = Int(key.rawValue)
    if key != .hub, lines[index] != 0 {
      throw ConfigurationError(.duplicateKey, line: line, key: InlineText(key.name), otherLine: lines[index])
    }
    lines[index] = line
    guard value.byteCount > 0 else { throw ConfigurationError(.emptyValue, line: line, key: key) }
    if ConfigurationValue.hasTrailingComment(value) {
      throw ConfigurationError(.trailingComment, line: line, key: key)
    }
    if key == .hub {
      try takeHub(value, into: &configuration)
    } else if !configuration.set(key, value) {
      throw ConfigurationError(Self.expectation(of: key), line: line, key: key)
    }
  }

  /// Looks at the whole line, comments included, so that no editor shows other than what is read.
  private func checkText(_ text: RawSpan) throws(ConfigurationError) {
    guard text.byteCount <= Limits.configurationLineBytes else { throw ConfigurationError(.lineTooLong, line: line) }
    var i = 0
    while i < text.byteCount {
      let byte = text[i]
      if byte < 0x20 && byte != UInt8(ascii: "\t") || byte == 0x7F {
        throw ConfigurationError(.controlByte, line: line)
      }
      let length = utf8SequenceLength(text, at: i)
      guard length > 0 else { throw ConfigurationError(.notText, line: line) }
      i += length
    }
  }

  private func knownKey(_ name: RawSpan) throws(ConfigurationError) -> Configuration.Key {
    if name.byteCount == 0 { throw ConfigurationError(.notSetting, line: line) }
    if let key = Configuration.Key.named(name) { return key }
    // Shown only when it looks like a key: a line pasted in the wrong place may hold a secret.
    guard name.byteCount <= ConfigurationError.keyTextBytes, ConfigurationValue.isKeyLike(name) else {
      throw ConfigurationError(.unknownKey, line: line)
    }
    throw ConfigurationError(
      .unknownKey, line: line, key: InlineText(name) ?? InlineText(), suggestion: Configuration.Key.nearest(to: name))
  }

  /// `HOST:PORT pin=sha256:HEX64 [key=HEX64]` or `HOST:PORT ca [key=HEX64]`.
  private mutating func takeHub(
    _ value: RawSpan, into configuration: inout Configuration
  ) throws(ConfigurationError) {
    var words = ConfigurationWords(value)
    guard let range = words.next(), var hub = ConfigurationValue.address(value.extracting(range)) else {
      throw ConfigurationError(.hubAddress, line: line, key: .hub)
    }
    var usesAuthority = false
    while let range = words.next() {
      let word = value.extracting(range)
      if let start = ConfigurationValue.afterPrefix("pin=sha256:", of: word), !hub.isPinned {
        // All zero means "no pin" in a `HubEntry`, and no hash is zero.
        hub.pin = ConfigurationValue.hex32(word.extracting(start..<word.byteCount)) ?? hub.pin
        if hub.isPinned { continue }
      } else if let start = ConfigurationValue.afterPrefix("key=", of: word), !hub.hasKey {
        hub.key = ConfigurationValue.hex32(word.extracting(start..<word.byteCount)) ?? hub.key
        if hub.hasKey { continue }
      } else if word.elementsEqual("ca"), !usesAuthority {
        usesAuthority = true
        continue
      }
      throw ConfigurationError(.hubOption, line: line, key: .hub)
    }
    guard hub.isPinned != usesAuthority else { throw ConfigurationError(.hubTrust, line: line, key: .hub) }
    if let earlier = configuration.hubs.firstIndex(of: hub) {
      throw ConfigurationError(
        .duplicateHub, line: line, key: InlineText(Configuration.Key.hub.name), otherLine: hubLines[earlier])
    }
    guard configuration.hubs.append(hub) else { throw ConfigurationError(.tooManyHubs, line: line, key: .hub) }
    hubLines[configuration.hubs.count - 1] = line
  }

  func checkRelations(of configuration: Configuration) throws(ConfigurationError) {
    for i in 0..<configuration.hubs.count where !configuration.hubs[i].isPinned {
      guard !configuration.authorityFile.isEmpty else {
        throw ConfigurationError(.authorityFileMissing, line: hubLines[i], key: .hub)
      }
    }
    if configuration.temperature.critical < configuration.temperature.switchOff {
      throw atLater(.temperatureOrder, .temperatureHigh, .temperatureCritical)
    }
    if configuration.battery.critical > configuration.battery.switchOff {
      throw atLater(.batteryOrder, .batteryLow, .batteryCritical)
    }
    if configuration.memory.critical > configuration.memory.switchOff {
      throw atLater(.memoryOrder, .memoryLow, .memoryCritical)
    }
  }

  /// An error at whichever of two keys the file sets last.
  private func atLater(
    _ problem: ConfigurationError.Problem, _ a: Configuration.Key, _ b: Configuration.Key
  ) -> ConfigurationError {
    let (first, second) = (lines[Int(a.rawValue)], lines[Int(b.rawValue)])
    return ConfigurationError(problem, line: max(first, second), key: first > second ? a : b)
  }

  /// What a key's value must be.
  private static func expectation(of key: Configuration.Key) -> ConfigurationError.Problem {
    switch key {
    case .hub: .hubAddress
    case .authorityFile, .stateDirectory, .dictionaryFile: .path
    case .controlSocket, .updateSocket, .modelSocket: .socketPath
    case .ticket: .ticket
    case .operateGroup: .group
    case .duties: .duties
    case .rekeyInterval: .rekeyInterval
    case .temperatureHigh, .temperatureCritical, .temperatureHysteresis: .temperature
    case .batteryLow, .batteryCritical, .batteryHysteresis: .percent
    case .memoryLow, .memoryCritical, .memoryHysteresis, .knowledgeBytes: .size
    case .logLevel: .logLevel
    case .relayListen: .listenAddress
    case .relayAddress: .hubAddress
    case .updates: .updates
    case .upstream: .upstream
    case .upstreamKeep: .keep
    case .seal: .seal
    }
  }
}

extension Configuration.Key {
  /// The key that `name` probably means: at most two letters away.
  fileprivate static func nearest(to name: RawSpan) -> Self? {
    var best: Self?
    var bestDistance = 3
    for raw in 0..<UInt8(count) {
      guard let key = Self(rawValue: raw) else { continue }
      let distance = ConfigurationValue.editDistance(name, key.name)
      if distance < bestDistance, distance < name.byteCount {
        best = key
        bestDistance = distance
      }
    }
    return best
  }
}
