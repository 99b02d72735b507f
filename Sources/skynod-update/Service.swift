import Bounded
import CSky
import Platform
import SkyCrypto
import Update
import Wire

/// `serve`: one node's requests on standard input, the answers on standard output, until the node has gone.
final class Service: UpdaterBoard {
  private let options: Options

  init(_ options: Options) { self.options = options }

  func name() throws(UpdateError) -> InlineText<32> { try options.boardName() }
  func makersKey() throws(UpdateError) -> Bytes32 { try options.makersKey() }
  func running() throws(UpdateError) -> Int { try options.runningSlot() }
  func openDisk(isWritable: Bool) throws(UpdateError) -> DiskStore { try options.openDisk(isWritable: isWritable) }

  func restart() throws(UpdateError) {
    guard let mark = options.restartMark else {
      guard sky_system_restart() == 0 else { throw .ioFailed }
      return
    }
    let nothing = ByteQueue(capacity: 0)
    do throws(ErrorCode) { try Files.write(mark, nothing.bytes) } catch { throw .ioFailed }
  }

  /// The exit status: 65 for what is no request.
  func run() -> Int32 {
    let updater = Updater(self)
    var input = ByteQueue(capacity: UpdaterRecord.maximumBytes)
    var answer = ByteQueue(capacity: UpdaterRecord.headerBytes + Standing.byteCount)
    while true {
      do throws(DecodeError) {
        if let record = try UpdaterRecord.peek(input.bytes) {
          guard updater.take(record.kind, record.body(of: input.bytes), answer: &answer) else { return 65 }
          input.consume(record.byteCount)
          let isSent = answer.bytes.withUnsafeBytes { sky_cli_send(1, $0.baseAddress, $0.count) == 0 }
          answer.clear()
          guard isSent else { return 0 }
          continue
        }
      } catch { return 65 }
      var got = 0
      input.appendInPlace(upTo: input.space) { room in
        got = sky_read(0, room.baseAddress, room.count)
        return max(0, got)
      }
      if got == Int(SKY_AGAIN) { _ = sky_cli_wait(0, -1, -1) } else if got <= 0 { return 0 }
    }
  }
}
