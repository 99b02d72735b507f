import ArgumentParser
import Bounded
import Foundation
import Hub
import Platform
import SkyCrypto
import Update
import Wire

struct BundlePublish: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "publish", abstract: "Give the hub's nodes a bundle for their board.",
    discussion: """
      The file is looked through whole and copied into the data directory, one for each board. The first bundle of a \
      board needs --key, and all that follow must be signed with the same. Nodes are told of it; that they apply it \
      takes their owners, or a roll-out (skyhub rollout).
      """)

  @OptionGroup var data: DataOption
  @Option(help: ArgumentHelp("The maker's public key (FILE.pub of keygen).", valueName: "file"), completion: .file())
  var key: String?
  @Argument(help: ArgumentHelp("The bundle.", valueName: "bundle"), completion: .file())
  var bundle: String

  func run() throws {
    guard startCrypto() else { throw HubError(.internalError, "the cryptography library does not start") }
    let directory = try data.open(create: true)
    let registry = try directory.openRegistry()
    let bytes = try readFile(bundle)
    var maker: Bytes32?
    if let key {
      var queue = ByteQueue(capacity: Limits.keyBytes)
      do throws(ErrorCode) { try Files.read(PathText(key) ?? PathText("/")!, into: &queue) } catch {
        throw HubError(error, "\(key): not a maker's public key", hint: "skyhub bundle keygen makes one, FILE.pub")
      }
      guard queue.count == Limits.keyBytes else {
        throw HubError(
          .badArgument, "\(key): not a maker's public key", hint: "skyhub bundle keygen makes one, FILE.pub")
      }
      maker = Bytes32(copying: queue.bytes)
    } else {
      let head = [UInt8](bytes.prefix(Limits.updateSectorBytes))
      let board = (try? BundleManifest(decoding: head.span.bytes))?.board.string
      maker = try registry.bundles().first { $0.board == board }.flatMap { Bytes32($0.maker) }
    }
    guard let maker else {
      throw HubError(
        .badArgument, "whose bundles are this board's?", hint: "name the maker's public key once: --key FILE")
    }
    let manifest = try checkBundle(bytes, bundle, maker: maker)
    try HubBundles.publish(bundle, manifest, maker: maker, in: directory, registry, at: wallClockNow())
    let told = try AdminClient(directory).refresh() != nil
    print(
      "published \(manifest.name.string), release \(manifest.release), for \(manifest.board.string)"
        + (told ? "; the hub was told" : ""))
  }
}

struct BundleList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Show what is published, and how many nodes run it.")

  @OptionGroup var data: DataOption
  @OptionGroup var output: JsonOption

  private struct Listing: Encodable {
    let board: String
    let name: String
    let release: UInt64
    let publishedAt: String
    let nodes: Int
    let nodesThatHaveIt: Int
  }

  func run() throws {
    let registry = try data.registry()
    let systems = try registry.systems().values
    let listings = try registry.bundles().map { bundle in
      let nodes = systems.filter { $0.standing.board.string == bundle.board }
      return Listing(
        board: bundle.board, name: bundle.name, release: bundle.release, publishedAt: timestamp(bundle.publishedAt),
        nodes: nodes.count, nodesThatHaveIt: nodes.filter { $0.standing.release >= bundle.release }.count)
    }
    if output.json { return try printJson(listings) }
    guard !listings.isEmpty else { return print("Nothing is published: skyhub bundle publish FILE does that.") }
    var table = Table("BOARD", "NAME", "RELEASE", "PUBLISHED", "NODES", "HAVE IT")
    for listing in listings {
      table.add(
        listing.board, listing.name, "\(listing.release)", listing.publishedAt, "\(listing.nodes)",
        "\(listing.nodesThatHaveIt)")
    }
    table.print()
  }
}

struct BundleWithdraw: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "withdraw", abstract: "Publish nothing for a board any more, and forget who its maker was.",
    discussion: "Its roll-out ends. What nodes have confirmed they keep.")

  @OptionGroup var data: DataOption
  @Argument(help: ArgumentHelp("The board.", valueName: "board"))
  var board: String

  func run() throws {
    let directory = try data.open()
    guard try directory.openRegistry().withdrawBundle(of: board, at: wallClockNow()) else {
      throw HubError(.notFound, "nothing is published for \(board)", hint: "skyhub bundle list shows what is")
    }
    _ = try AdminClient(directory).refresh()
    print("\(board): withdrawn")
  }
}
