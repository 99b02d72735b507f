/// A day without a hub.
struct Offline {
  let seed: UInt64
  func run() -> Never { finish(0) }
}
