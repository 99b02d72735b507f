/// Why an update or a change of slots was refused, or failed. The numbers are `skynod-update`'s exit status
/// and never change meaning.
public enum UpdateError: UInt8, Error, Equatable, Sendable, CaseIterable {
  // Refused before anything is written
  case notABundle = 10
  case wrongKey = 11
  case wrongBoard = 12
  case downgrade = 13
  case current = 14
  case tooOld = 15
  case tooLarge = 16
  case kernelFixed = 17
  case tampered = 18
  case truncated = 19
  case onTrial = 20
  case nothingToRollBack = 21
  case notOnTrial = 22
  case noKey = 23

  // The medium
  case noState = 30
  case ioFailed = 31
  case notKept = 32
  case inUse = 33

  /// What is wrong, and what to do about it.
  public var sentence: StaticString {
    switch self {
    case .notABundle: "this is no bundle, or a damaged one: fetch it again"
    case .wrongKey:
      "the bundle is not signed by this image's maker: take one made with the key that the image was built with"
    case .wrongBoard: "the bundle is for another board: 'skyhub bundle show' names it"
    case .downgrade: "the bundle is older than what this board has had already: take a newer one, or write an image"
    case .current: "this board has this release already"
    case .tooOld: "this board must have an earlier update first: 'skyhub bundle show' names the least release"
    case .tooLarge: "the bundle is larger than this board's slots: write a newer image to the card"
    case .kernelFixed:
      "the bundle has another kernel, which this board cannot change to: write a newer image to the card"
    case .tampered: "a part of the bundle is not what was signed: fetch it again"
    case .truncated: "the bundle ends too early: fetch it again, what has been written is kept"
    case .onTrial: "this system is itself on trial: confirm it or roll it back first"
    case .nothingToRollBack: "the other slot has nothing to go back to"
    case .notOnTrial: "no update is on trial here: there is nothing to confirm"
    case .noKey: "this image takes no updates: it was built without --update-key"
    case .noState: "this disk has no slots for updates: write a newer image to it"
    case .ioFailed: "the disk could not be read or written: see the kernel's journal"
    case .notKept: "the disk does not hold what was written to it: replace it, the present system stays in use"
    case .inUse: "another skynod-update is at work on this disk: try again when it has ended"
    }
  }
}
