/// Why a dictionary or an encoded stream was refused.
public enum LexiconError: UInt8, Error, Equatable, Sendable {
  case notADictionary = 1
  case unknownVersion = 2
  case truncated = 3
  case damagedHeader = 4
  case badSection = 5
  case damagedSection = 6
  case damagedLeaf = 7
  case truncatedStream = 8
  case badStream = 9
  case unknownToken = 10

  /// For machines; never changes.
  public var token: StaticString {
    switch self {
    case .notADictionary: "not-a-dictionary"
    case .unknownVersion: "unknown-version"
    case .truncated: "truncated"
    case .damagedHeader: "damaged-header"
    case .badSection: "bad-section"
    case .damagedSection: "damaged-section"
    case .damagedLeaf: "damaged-leaf"
    case .truncatedStream: "truncated-stream"
    case .badStream: "bad-stream"
    case .unknownToken: "unknown-token"
    }
  }

  /// For people.
  public var sentence: StaticString {
    switch self {
    case .notADictionary: "this is not a dictionary file"
    case .unknownVersion: "the dictionary's format is of another version than this program's: build or fetch it anew"
    case .truncated: "the dictionary file is shorter or longer than its header says"
    case .damagedHeader: "the dictionary's header does not match its checksum"
    case .badSection: "a section of the dictionary has an impossible place or size"
    case .damagedSection: "a section of the dictionary does not match its checksum"
    case .damagedLeaf: "a leaf of the dictionary does not match its checksum, or cannot be read"
    case .truncatedStream: "the encoded text ends in the middle of an item"
    case .badStream: "the encoded text holds a code that means nothing"
    case .unknownToken: "the encoded text names a token that this dictionary does not hold"
    }
  }
}
