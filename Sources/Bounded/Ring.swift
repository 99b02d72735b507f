/// A first-in first-out ring of at most `capacity` elements. Allocates when it is made and never after.
///
/// Invariant: `head < capacity`, `count <= capacity`; the live slots are the `count` ones from `head`,
/// and every other slot is nil.
public struct Ring<Element, let capacity: Int>: ~Copyable {
  private let slots: UnsafeMutablePointer<Element?>
  private var head = 0
  public private(set) var count = 0

  public init() {
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: nil, count: capacity)
  }

  deinit {
    slots.deinitialize(count: capacity)
    slots.deallocate()
  }

  public var isEmpty: Bool { count == 0 }
  public var isFull: Bool { count == capacity }

  /// Adds at the end. False, and no change, when full.
  @discardableResult
  public mutating func append(_ element: Element) -> Bool {
    guard count < capacity else { return false }
    slots[(head + count) % capacity] = element
    count += 1
    return true
  }

  public mutating func popFirst() -> Element? {
    guard count > 0 else { return nil }
    let element = slots[head]
    slots[head] = nil
    head = (head + 1) % capacity
    count -= 1
    return element
  }

  /// The element `index` places after the oldest.
  public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count)
      return slots[(head + index) % capacity]!
    }
    set {
      precondition(index >= 0 && index < count)
      slots[(head + index) % capacity] = newValue
    }
  }

  public mutating func removeAll() {
    while popFirst() != nil {}
  }
}
