import ArgumentParser
import Bounded
import Foundation
import Hub
import Platform
import SkyCrypto
import Update
import Wire

struct BundleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bundle", abstract: "Make signed updates of boards' images, and look into them.",
    discussion: "These work on files alone: they need no hub and no data directory.",
    subcommands: [BundleKeygen.self, BundleMake.self, BundleShow.self])
}

struct BundleKeygen: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "keygen", abstract: "Make the key that signs bundles.",
    discussion: """
      Writes FILE, which stays with you (whoever has it can put any system on your boards; without it there are \
      no more updates), and FILE.pub, which images/build --update-key puts into images.
      """)

  @Argument(help: ArgumentHelp("Where the secret key goes; it must not be there yet.", valueName: "file"))
  var file: String

  func run() throws {
    let (file, maker) = (path(file), path(file + ".pub"))
    guard startCrypto() else { throw HubError(.internalError, "the cryptography library does not start") }
    guard !Files.exists(file) else {
      throw HubError(.badArgument, "\(self.file) is there already", hint: "boards would no longer take your bundles")
    }
    var seed = Secret<32>()
    seed.withMutableBytes { Entropy.fill($0) }
    do throws(ErrorCode) {
      var secret = ByteQueue(capacity: Limits.keyBytes)
      seed.withBytes { _ = secret.append($0.bytes) }
      try Files.write(file, secret.bytes)
      try Files.write(maker, Identity(seed: seed).publicKey.raw, mode: 0o644)
    } catch { throw HubError(error, "\(self.file) could not be written") }
    print("\(self.file): keep it safe and secret; \(self.file).pub goes into your images")
  }
}

struct BundleMake: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "make", abstract: "Make a bundle from a board's system.",
    discussion: "images/build --bundle does this with what it has built.")

  @Option(help: ArgumentHelp("The maker's secret key (keygen).", valueName: "file"), completion: .file())
  var key: String
  @Option(help: ArgumentHelp("The board's name.", valueName: "name"))
  var board: String
  @Option(help: ArgumentHelp("The version as people say it.", valueName: "text"))
  var name: String
  @Option(help: ArgumentHelp("Rises with each bundle: what is newer is decided by it.", valueName: "n"))
  var release: UInt64
  @Option(help: ArgumentHelp("The least release that a board must have.", valueName: "n"))
  var minimum: UInt64 = 0
  @Option(help: ArgumentHelp("The kernel in the system.", valueName: "file"), completion: .file())
  var kernel: String
  @Argument(help: ArgumentHelp("The system: a squashfs.", valueName: "system"), completion: .file())
  var system: String
  @Argument(help: ArgumentHelp("The bundle to write.", valueName: "bundle"), completion: .file())
  var bundle: String

  func run() throws {
    guard startCrypto() else { throw HubError(.internalError, "the cryptography library does not start") }
    guard let board = InlineText<32>(board), let name = InlineText<48>(name) else {
      throw HubError(.tooLong, "a board has a name of at most 32 bytes, a version of at most 48")
    }
    var seed = ByteQueue(capacity: Limits.keyBytes)
    do throws(ErrorCode) { try Files.read(path(key), into: &seed) } catch {
      throw HubError(error, "\(key): not a maker's secret key", hint: "skyhub bundle keygen makes one")
    }
    guard let seed = Secret<32>(seed.bytes) else {
      throw HubError(.badArgument, "\(key): not a maker's secret key", hint: "skyhub bundle keygen makes one")
    }
    var payload = try read(system)
    // squashfs ends at such a boundary anyway; other payloads are filled up.
    let over = payload.count % Limits.bundleStepBytes
    if over > 0 { payload.append(Data(count: Limits.bundleStepBytes - over)) }
    guard !payload.isEmpty, payload.count <= Limits.bundleBlocks * Limits.bundleBlockBytes else {
      throw HubError(.tooLong, "\(system): \(payload.count) bytes are not between 1 and 512 MiB")
    }
    var table = ByteQueue(capacity: Limits.bundleBlocks * Limits.hashBytes)
    for start in stride(from: 0, to: payload.count, by: Limits.bundleBlockBytes) {
      let block = payload[start..<min(start + Limits.bundleBlockBytes, payload.count)]
      table.append(block.withUnsafeBytes { Sha256.digest($0.bytes) }.raw)
    }
    var manifest = BundleManifest(
      board: board, name: name, release: release, minimum: minimum, payloadBytes: payload.count,
      kernel: try read(kernel).withUnsafeBytes { Sha256.digest($0.bytes) }, table: Sha256.digest(table.bytes))
    var head = ByteQueue(capacity: Limits.updateSectorBytes)
    manifest.append(to: &head, signedBy: Identity(seed: seed))
    // Names with blanks and a minimum above the release would be refused by every board.
    guard (try? BundleManifest(decoding: head.bytes)) != nil else {
      throw HubError(.badArgument, "names are printable ASCII without spaces, and 0 < minimum <= release")
    }
    var whole = Data()
    head.withBytes { span in span.withUnsafeBytes { whole.append(contentsOf: $0) } }
    table.withBytes { span in span.withUnsafeBytes { whole.append(contentsOf: $0) } }
    whole.append(payload)
    do { try whole.write(to: URL(filePath: bundle), options: .atomic) } catch {
      throw HubError(.ioFailed, "\(bundle): \(error.localizedDescription)")
    }
    print("\(bundle): \(self.board) \(self.name), release \(release), \(whole.count) bytes")
  }
}

struct BundleShow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Check a bundle whole and show what it is.",
    discussion: "Without --key its signature is not checked, and the output says so.")

  @Option(help: ArgumentHelp("The maker's public key (FILE.pub of keygen).", valueName: "file"), completion: .file())
  var key: String?
  @OptionGroup var output: JsonOption
  @Argument(help: ArgumentHelp("The bundle.", valueName: "bundle"), completion: .file())
  var bundle: String

  private struct Shown: Encodable {
    let board: String
    let name: String
    let release: UInt64
    let minimum: UInt64
    let bytes: Int
    let isSignatureChecked: Bool
  }

  func run() throws {
    guard startCrypto() else { throw HubError(.internalError, "the cryptography library does not start") }
    let bytes = try read(bundle)
    let manifest = try check(bytes)
    let shown = Shown(
      board: manifest.board.string, name: manifest.name.string, release: manifest.release, minimum: manifest.minimum,
      bytes: bytes.count, isSignatureChecked: key != nil)
    if output.json { return try printJson(shown) }
    print(
      "board      \(shown.board)\nname       \(shown.name)\nrelease    \(shown.release)\nminimum    \(shown.minimum)")
    print("bytes      \(shown.bytes)\nsignature  \(key == nil ? "not checked (--key)" : "good")")
  }

  private func check(_ bytes: Data) throws -> BundleManifest {
    do throws(UpdateError) {
      let manifest = try readManifest(bytes)
      guard bytes.count >= manifest.bundleBytes else { throw .truncated }
      guard bytes.count == manifest.bundleBytes else { throw .notABundle }
      let table = bytes[Limits.updateSectorBytes..<manifest.payloadOffset]
      guard equal(table.withUnsafeBytes { Sha256.digest($0.bytes) }, manifest.table) else { throw .tampered }
      for block in 0..<manifest.blockCount {
        let place = manifest.bytes(ofBlock: block)
        let content = bytes[(manifest.payloadOffset + place.lowerBound)..<(manifest.payloadOffset + place.upperBound)]
        let entry = table.dropFirst(block * Limits.hashBytes).prefix(Limits.hashBytes)
        let digest = content.withUnsafeBytes { Sha256.digest($0.bytes) }
        guard entry.withUnsafeBytes({ $0.bytes.elementsEqual(digest.raw) }) else { throw .tampered }
      }
      return manifest
    } catch { throw HubError(.badArgument, "\(bundle): \(error.sentence)") }
  }
}

extension BundleShow {
  private func readManifest(_ bytes: Data) throws(UpdateError) -> BundleManifest {
    let head = [UInt8](bytes.prefix(Limits.updateSectorBytes))
    guard let key else { return try BundleManifest(decoding: head.span.bytes) }
    var maker = ByteQueue(capacity: Limits.keyBytes)
    do throws(ErrorCode) { try Files.read(path(key), into: &maker) } catch { throw .noKey }
    guard maker.count == Limits.keyBytes else { throw .noKey }
    return try BundleManifest.verified(head.span.bytes, key: Bytes32(copying: maker.bytes))
  }
}

private func path(_ text: String) -> PathText { PathText(text) ?? PathText("/")! }

private func read(_ file: String) throws -> Data {
  do { return try Data(contentsOf: URL(filePath: file), options: .mappedIfSafe) } catch {
    throw HubError(.notFound, "\(file): \(error.localizedDescription)")
  }
}
