import Bounded
import Testing
import Wire

private func parse(_ text: String) -> Result<Ticket, ErrorCode> {
  let bytes = Array(text.utf8)
  return outcome { () throws(ErrorCode) in try Ticket(parsing: bytes.span.bytes) }
}

private func ticket(_ host: String = "hub.example", port: UInt16 = 7_443) -> Ticket {
  Ticket(
    hub: HubEntry(
      host: InlineText(host)!, port: port, pin: InlineArray { UInt8($0) }, key: InlineArray { UInt8(255 - $0) }),
    tokenId: InlineArray { UInt8($0 + 1) }, tokenSecret: InlineArray { UInt8($0 * 16 + 15) })
}

@Suite struct TicketTests {
  /// Computed once with Python's base64.urlsafe_b64encode: the form is part of the protocol.
  @Test func theTextFormIsStable() {
    #expect(
      written { ticket().append(to: &$0) }
        == "skynod1.aHViLmV4YW1wbGU.7443.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8."
        + "__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA.AQIDBAUGBwgPHy8_T19vf4-fr7_P3-__")
  }

  @Test(arguments: ["h", "hub.example", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", String(repeating: "a", count: 253)])
  func itReadsBackWhatItWrote(_ host: String) {
    for port in [1, 80, 7_443, 65_535] as [UInt16] {
      let ticket = ticket(host, port: port)
      #expect(parse(written { ticket.append(to: &$0) }).value == ticket)
    }
  }

  @Test func theLongestTicketFitsItsLimit() {
    let longest = ticket(String(repeating: "a", count: 253), port: 65_535)
    #expect(written { longest.append(to: &$0) }.utf8.count <= Ticket.textBytes)
  }

  @Test func longerTextIsTooLong() {
    #expect(parse(String(repeating: "a", count: Ticket.textBytes + 1)).error == .tooLong)
    #expect(parse(String(repeating: "a", count: Ticket.textBytes)).error == .badArgument)
  }

  @Test func everyPrefixIsRefused() {
    let text = written { ticket().append(to: &$0) }
    for length in 0..<text.utf8.count {
      #expect(parse(String(text.prefix(length))).error == .badArgument, "\(length) characters")
    }
  }

  /// A character that is not of the alphabet is refused wherever it stands; one that is, changes a field, and
  /// the ticket's parts are then other ones: pin and key by TLS, the token by the hub's check of its secret.
  @Test func noDamagedCharacterGoesUnseen() {
    let original = ticket()
    let text = Array(written { original.append(to: &$0) }.utf8)
    for i in text.indices {
      for wrong in [0x20, 0x2B, 0x2F, 0x3D, 0x0A, 0x00, 0x7F, 0xC3, 0x22] as [UInt8] {
        var damaged = text
        damaged[i] = wrong
        let result = parse(String(decoding: damaged, as: UTF8.self))
        #expect(result.error == .badArgument, "\(wrong) at \(i)")
      }
      for other in [0x41, 0x62, 0x37, 0x2D, 0x5F, 0x2E] as [UInt8] where other != text[i] {
        var damaged = text
        damaged[i] = other
        let result = parse(String(decoding: damaged, as: UTF8.self))
        #expect(result.value != original, "\(other) at \(i)")
      }
    }
  }

  @Test func aDroppedDoubledOrSwappedCharacterGoesNotUnseen() {
    let original = ticket()
    let text = Array(written { original.append(to: &$0) }.utf8)
    for i in text.indices {
      var dropped = text
      dropped.remove(at: i)
      #expect(parse(String(decoding: dropped, as: UTF8.self)).value != original, "dropped at \(i)")
      var doubled = text
      doubled.insert(text[i], at: i)
      #expect(parse(String(decoding: doubled, as: UTF8.self)).value != original, "doubled at \(i)")
      if i > 0, text[i] != text[i - 1] {
        var swapped = text
        swapped.swapAt(i, i - 1)
        #expect(parse(String(decoding: swapped, as: UTF8.self)).value != original, "swapped at \(i)")
      }
    }
  }

  @Test func everyTicketHasOneFormOnly() {
    let text = written { ticket().append(to: &$0) }
    #expect(parse(text + ".").error == .badArgument)
    #expect(parse(text + "=").error == .badArgument)
    #expect(parse(" " + text).error == .badArgument)
    #expect(parse(text + "\n").error == .badArgument)
    #expect(parse(text.replacing("skynod1", with: "Skynod1")).error == .badArgument)
    #expect(parse(text.replacing("skynod1", with: "skynod2")).error == .badArgument)
    // The last character of a 32-byte field has two spare bits: they must be zero.
    #expect(parse(text.replacing("Hh8.", with: "Hh9.")).error == .badArgument)
    #expect(parse(text.replacing("4eA.", with: "4eB.")).error == .badArgument)
  }

  @Test(arguments: ["0", "65536", "-1", "+1", " 1", "", "7443x", "99999999999999999999999"])
  func aPortOutsideItsRangeIsRefused(_ port: String) {
    let text = written { ticket().append(to: &$0) }
    #expect(parse(text.replacing(".7443.", with: ".\(port).")).error == .badArgument)
  }

  @Test func aTicketWithoutPinOrKeyIsRefused() {
    var unpinned = ticket()
    unpinned.hub.pin = InlineArray(repeating: 0)
    #expect(parse(written { unpinned.append(to: &$0) }).error == .badArgument)
    var keyless = ticket()
    keyless.hub.key = InlineArray(repeating: 0)
    #expect(parse(written { keyless.append(to: &$0) }).error == .badArgument)
  }

  @Test(arguments: ["", "a b", "a/b", "hüb", "a\0", String(repeating: "a", count: 254)])
  func aHostThatIsNoneIsRefused(_ host: String) {
    // The host field alone is replaced: what a ticket type could not hold.
    let encodedHost = base64url(Array(host.utf8))
    let text = written { ticket().append(to: &$0) }
    let result = parse(text.replacing("aHViLmV4YW1wbGU", with: encodedHost))
    #expect(result.error == .badArgument)
  }

  private func base64url(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    var bits = 0
    var word: UInt32 = 0
    var out = ""
    for byte in bytes {
      word = word << 8 | UInt32(byte)
      bits += 8
      while bits >= 6 {
        bits -= 6
        out.append(alphabet[Int(word >> UInt32(bits)) & 63])
      }
    }
    if bits > 0 { out.append(alphabet[Int(word << UInt32(6 - bits)) & 63]) }
    return out
  }
}

@Suite struct NodeIdTests {
  private func id(_ text: String) -> UInt32? {
    let bytes = Array(text.utf8)
    return parseNodeId(bytes.span.bytes)
  }

  @Test func idsAreReadInEveryFormThatIsWritten() {
    #expect(id("NOD1000000") == 1_000_000)
    #expect(id("nod1000000") == 1_000_000)
    #expect(id("NoD9999999") == 9_999_999)
    #expect(id("1000001") == 1_000_001)
    #expect(id("1") == 1)
    #expect(id("hub") == 0)
    #expect(id("HUB") == 0)
    for value in [0, 1, 42, 1_000_000, 9_999_999] as [UInt32] {
      #expect(id(written { appendNodeId(value, to: &$0) }) == value)
    }
  }

  @Test(arguments: [
    "", "NOD", "NOD0", "0", "NOD10000000", "10000000", "4294967297", "18446744073709551617", "NOD-1", "NOD 1", "Hub",
    "NODE1", "XOD1", "1a", " 1", "1 ", "NODNOD1",
  ]) func whatIsNoIdIsRefused(_ text: String) {
    #expect(id(text) == nil)
  }

  @Test func decimalsStopAtSixtyFourBits() {
    func decimal(_ text: String) -> UInt64? {
      let bytes = Array(text.utf8)
      return parseDecimal(bytes.span.bytes)
    }
    #expect(decimal("18446744073709551615") == .max)
    #expect(decimal("18446744073709551616") == nil)
    #expect(decimal("99999999999999999999") == nil)
    #expect(decimal("00000000000000000001") == 1)
    #expect(decimal("000000000000000000001") == nil)
    #expect(decimal("") == nil)
    #expect(decimal("-1") == nil)
    #expect(decimal("1.0") == nil)
  }
}
