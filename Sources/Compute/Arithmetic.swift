import Bounded
import Wire

/// `score` or `compress`, in steps that each take a bounded number of multiply-adds.
///
/// Order of calls: `step` until it gives `.done` or `.failed`; after `.done`, `write` once.
public struct Arithmetic {
  public enum Step: Equatable, Sendable {
    case more
    case done
    case failed(ErrorCode)
  }

  private enum Stage { case load, spread, mix, finish }

  /// Numbers of one step over the input.
  static let chunk = 512
  static let columns = 16

  private let kind: JobKind
  private let seed: UInt64
  private var stage = Stage.load
  private var next = 0
  private var mean = 0.0
  private var deviation = 0.0
  private var error = 0.0
  /// Multiply-adds so far.
  public private(set) var operations: UInt64 = 0

  public init(_ kind: JobKind, seed: UInt64) {
    self.kind = kind
    self.seed = seed
  }

  /// Whether this kind takes an input of so many bytes.
  public static func takes(_ kind: JobKind, byteCount: Int) -> Bool {
    switch kind {
    case .score: byteCount % 4 == 0 && byteCount >= 8 && byteCount <= 4 * Limits.jobNumbers
    case .compress: byteCount == 4 * Limits.jobWideNumbers
    case .embed, .infer: true
    }
  }

  /// All that this kind does with an input of so many bytes, in multiply-adds.
  public static func operations(_ kind: JobKind, byteCount: Int) -> UInt64 {
    let wide = UInt64(Limits.jobWideNumbers)
    switch kind {
    case .score: return UInt64(byteCount / 4) * 4
    case .compress: return wide * (1 + 7 + 12 + 2)
    case .embed, .infer: return 0
    }
  }

  /// `work` has room for `Limits.jobBytes` of numbers.
  public mutating func step(_ input: RawSpan, _ work: UnsafeMutablePointer<Float>) -> Step {
    kind == .score ? score(input, work) : compress(input, work)
  }

  private static func number(_ input: RawSpan, _ i: Int) -> Float {
    Float(bitPattern: UInt32(bigEndian: input.unsafeLoadUnaligned(fromByteOffset: 4 * i, as: UInt32.self)))
  }

  // MARK: Score

  /// Two passes for mean and deviation, in double precision, and one for the scores.
  private mutating func score(_ input: RawSpan, _ work: UnsafeMutablePointer<Float>) -> Step {
    let count = input.byteCount / 4
    let end = min(count, next + Self.chunk)
    for i in next..<end {
      let x = Double(Self.number(input, i))
      switch stage {
      case .load:
        guard x.isFinite else { return .failed(.badNumbers) }
        mean += x
      case .spread: deviation += (x - mean) * (x - mean)
      case .mix, .finish: work[i] = Float((x - mean) / deviation)
      }
    }
    operations += UInt64(end - next) * (stage == .spread ? 2 : 1)
    next = end
    guard next == count else { return .more }
    next = 0
    switch stage {
    case .load:
      mean /= Double(count)
      stage = .spread
    case .spread:
      // Of the population: these are all the numbers there are.
      deviation = (deviation / Double(count)).squareRoot()
      guard deviation > 0, Float(deviation).isFinite, Float(mean).isFinite, Float(deviation) > 0 else {
        return .failed(.badNumbers)
      }
      stage = .finish
    case .mix, .finish: return .done
    }
    return .more
  }

  // MARK: Compress

  private mutating func compress(_ input: RawSpan, _ work: UnsafeMutablePointer<Float>) -> Step {
    switch stage {
    case .load:
      let end = min(Projection.wide, next + Self.chunk)
      for i in next..<end {
        let x = Self.number(input, i)
        guard x.isFinite else { return .failed(.badNumbers) }
        work[i] = Projection.isNegated(seed, i) ? -x : x
      }
      advance(to: end, of: Projection.wide, operations: end - next, then: .spread)
    case .spread:
      Projection.butterflies(work, half: 1 << next)
      advance(to: next + 1, of: 7, operations: Projection.wide, then: .mix)
    case .mix:
      let end = next + Self.columns
      for column in next..<end { Projection.mix(work, column: column) }
      let each = Projection.blocks * Projection.blocks
      advance(to: end, of: Projection.block, operations: Self.columns * each, then: .finish)
    case .finish:
      operations += UInt64(2 * Projection.wide)
      return keep(work)
    }
    return .more
  }

  private mutating func advance(to end: Int, of all: Int, operations count: Int, then stage: Stage) {
    operations += UInt64(count)
    next = end
    guard next == all else { return }
    next = 0
    self.stage = stage
  }

  /// Moves the rows that are kept to the front, scaled to rows of length one. The rows are orthonormal, so the error
  /// of taking the input back from them is what the others hold.
  private mutating func keep(_ work: UnsafeMutablePointer<Float>) -> Step {
    var (all, kept) = (0.0, 0.0)
    for i in 0..<Projection.wide { all += Double(work[i]) * Double(work[i]) }
    guard all > 0, all.isFinite else { return .failed(.badNumbers) }
    let scale = 1 / Float(Projection.wide).squareRoot()
    var place = 0
    Projection.forEachKept(seed) { row in
      let x = work[row]
      kept += Double(x) * Double(x)
      work[place] = x * scale
      place += 1
    }
    error = (max(0, all - kept) / all).squareRoot()
    return .done
  }

  // MARK: Result

  /// Writes what came of it, and says how many bytes that is: `score` the mean, the deviation and the scores;
  /// `compress` the relative error and the numbers. All as 32-bit floats, big-endian.
  public func write(_ work: UnsafePointer<Float>, numbers: Int, to memory: UnsafeMutableRawPointer) -> Int {
    var place = 0
    func put(_ x: Float) {
      memory.storeBytes(of: x.bitPattern.bigEndian, toByteOffset: place, as: UInt32.self)
      place += 4
    }
    if kind == .score {
      put(Float(mean))
      put(Float(deviation))
    } else {
      put(Float(error))
    }
    for i in 0..<(kind == .score ? numbers : Projection.narrow) { put(work[i]) }
    return place
  }
}
