import Bounded
import Foundation
import SkyCrypto
import Update
import Wire

/// What the registry knows of a board's published bundle.
public struct BundleRecord: Equatable, Sendable {
  public let board: String
  /// The key of the maker, which the bundles of this board are signed with.
  public let maker: Data
  public let release: UInt64
  public let name: String
  public let digest: Data
  public let publishedAt: Int64
}

/// The bundles that a hub publishes, one for each board, read from mapped files. The hub has looked at each when it was
/// published; what a board takes, its own updater decides by its own key.
public final class HubBundles {
  private struct Published {
    let record: BundleRecord
    let file: Data
  }

  private let directory: DataDirectory?
  private var published: [String: Published] = [:]

  /// A hub that publishes nothing.
  public init() { directory = nil }

  public init(in directory: DataDirectory, _ registry: Registry) throws(HubError) {
    self.directory = directory
    try reload(registry)
  }

  /// Looks again at what is published. On an error everything stays as it was.
  public func reload(_ registry: Registry) throws(HubError) {
    guard let directory else { return }
    var fresh: [String: Published] = [:]
    for record in try registry.bundles() {
      if let known = published[record.board], known.record == record {
        fresh[record.board] = known
      } else {
        fresh[record.board] = Published(record: record, file: try Self.map(directory.bundlePath(record)))
      }
    }
    published = fresh
  }

  /// The digest of each board's.
  var boards: [String: Data] { published.mapValues { $0.record.digest } }

  public func record(of board: String) -> BundleRecord? { published[board]?.record }

  /// Appends a BUNDLE OFFER for a node of this board that runs `release`.
  func offer(to board: String, running release: UInt64, isDue: Bool, into body: inout ByteQueue) {
    guard let bundle = published[board], bundle.record.release > release else {
      return BundleOffer.append(
        isDue: false, manifest: RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: nil, count: 0)), to: &body)
    }
    bundle.file.withUnsafeBytes { bytes in
      let manifest = UnsafeRawBufferPointer(rebasing: bytes[0..<Limits.updateSectorBytes])
      BundleOffer.append(isDue: isDue, manifest: RawSpan(_unsafeBytes: manifest), to: &body)
    }
  }

  /// Appends a BUNDLE PIECE; one without bytes when that bundle is published no more.
  func piece(for request: BundleRequest, into body: inout ByteQueue) throws(ErrorCode) {
    let digest = Data(request.digest)
    guard let bundle = published.values.first(where: { $0.record.digest == digest }) else {
      return BundleRequest(digest: request.digest, offset: request.offset, count: 0).append(to: &body)
    }
    let (start, count) = (Int(request.offset), Int(request.count))
    guard count > 0, start + count <= bundle.file.count else { throw .malformedFrame }
    request.append(to: &body)
    bundle.file.withUnsafeBytes { bytes in
      _ = body.append(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[start..<(start + count)])))
    }
  }

  // MARK: Publishing

  /// Publishes a bundle that was looked through whole and is signed by `maker`. The first one of a board says whose
  /// bundles the board's are.
  public static func publish(
    _ path: String, _ manifest: BundleManifest, maker: Bytes32, in directory: DataDirectory, _ registry: Registry,
    at now: Int64
  ) throws(HubError) {
    let board = manifest.board.string
    guard board.utf8.allSatisfy({ isalnum(Int32($0)) != 0 || $0 == 0x2D || $0 == 0x5F || $0 == 0x2E }) else {
      throw HubError(.badArgument, "the board's name \(board) is none for a file")
    }
    let record = BundleRecord(
      board: board, maker: Data(maker), release: manifest.release, name: manifest.name.string,
      digest: Data(manifest.digest), publishedAt: now)
    if let before = try registry.bundles().first(where: { $0.board == board }) {
      guard before.maker == record.maker else {
        throw HubError(
          .badSignature, "bundles for \(board) here are another maker's",
          hint:
            "boards take those of the key they were built with only; skyhub bundle withdraw \(board) forgets the maker")
      }
      guard before.release < record.release else {
        throw HubError(
          .badArgument, "release \(record.release) of \(board), and \(before.release) is published",
          hint: "boards take nothing older: make it with a higher --release")
      }
    }
    let file = try map(path)
    var failure: HubError?
    file.withUnsafeBytes { bytes in
      do throws(HubError) { try directory.writeNew(directory.bundlePath(record), bytes) } catch { failure = error }
    }
    if let failure { throw failure }
    try registry.setBundle(record)
    directory.removeBundles(of: board, except: record)
  }

  private static func map(_ path: String) throws(HubError) -> Data {
    do {
      return try Data(contentsOf: URL(filePath: path), options: .alwaysMapped)
    } catch {
      throw HubError(
        .badConfiguration, "\(path) cannot be read: \(error.localizedDescription)", hint: "publish the bundle again")
    }
  }
}

extension DataDirectory {
  func bundlePath(_ record: BundleRecord) -> String { path + "/bundle-\(record.board)-\(record.release)" }

  /// Removes what older releases left. A hub that runs keeps what it has mapped.
  func removeBundles(of board: String, except record: BundleRecord?) {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else { return }
    for name in names where name.hasPrefix("bundle-\(board)-") && path + "/" + name != record.map(bundlePath) {
      guard name.dropFirst("bundle-\(board)-".count).allSatisfy(\.isNumber) else { continue }
      unlink(path + "/" + name)
    }
  }
}
