import Bounded
import CSky
import Durable
import Platform
import Update

/// A disk with slots, or a file that stands for one; who writes has it alone.
final class DiskStore: SlotStore {
  private let descriptor: Int32
  let bytes: UInt64

  init(_ path: PathText, isWritable: Bool) throws(UpdateError) {
    descriptor = path.withCString { sky_device_open($0, isWritable) }
    if descriptor == SKY_AGAIN { throw .inUse }
    guard descriptor >= 0 else { throw .ioFailed }
    bytes = UInt64(max(0, sky_device_size(descriptor)))
  }

  deinit { sky_close(descriptor) }

  func read(at offset: UInt64, into memory: UnsafeMutableRawBufferPointer) -> Int32 {
    -sky_disk_read(descriptor, offset, memory.baseAddress, memory.count)
  }

  func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) -> Int32 {
    let error = -sky_disk_write(descriptor, offset, bytes.baseAddress, bytes.count)
    // So that the sync at the end finds little left to do, and the board's memory is not full of what waits.
    sky_disk_write_back(descriptor, offset, bytes.count)
    return error
  }

  func sync() -> Int32 { -sky_disk_sync(descriptor) }
  func forget() { sky_device_forget(descriptor) }
}

/// Where a bundle comes from: a file, which can be read twice, or a stream.
final class BundleSource {
  private let descriptor: Int32
  /// Of a file; nil of a stream.
  let bytes: Int?

  init(_ path: Word) throws(UpdateError) {
    descriptor = sky_stream_open(path.start)
    guard descriptor >= 0 else { throw .ioFailed }
    let end = sky_device_size(descriptor)
    bytes = end >= 0 ? Int(end) : nil
    rewind(to: 0)
  }

  deinit { sky_close(descriptor) }

  func rewind(to offset: Int) { _ = sky_device_seek(descriptor, UInt64(offset)) }

  /// The next `count` bytes, in the place of what was in `queue`.
  func read(_ count: Int, into queue: inout ByteQueue) throws(UpdateError) {
    queue.consume(queue.count)
    while queue.count < count {
      var got = 0
      queue.appendInPlace(upTo: count - queue.count) { room in
        got = sky_read(descriptor, room.baseAddress, room.count)
        return max(0, got)
      }
      if got == SKY_AGAIN { _ = sky_cli_wait(descriptor, -1, -1) } else if got < 0 { throw .ioFailed }
      if got == 0 { throw .truncated }
    }
  }
}
