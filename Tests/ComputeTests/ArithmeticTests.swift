import Bounded
import Testing
import Wire

@testable import Compute

/// Bytes of numbers as jobs carry them.
func bytes(_ numbers: [Float]) -> [UInt8] {
  numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number.bitPattern >> (24 - 8 * $0)) } }
}

func floats(_ bytes: [UInt8]) -> [Float] {
  stride(from: 0, to: bytes.count, by: 4).map { i in
    Float(bitPattern: bytes[i..<(i + 4)].reduce(0) { $0 << 8 | UInt32($1) })
  }
}

/// Numbers that repeat with the seed.
func noise(_ count: Int, _ seed: UInt64) -> [Float] {
  (0..<count).map { Float(Projection.random(seed, $0) >> 40) / Float(1 << 23) - 1 }
}

@Suite struct ArithmeticTests {
  /// What comes of it, and the multiply-adds; or the error.
  private func run(_ kind: JobKind, _ input: [UInt8], seed: UInt64 = 0) -> Result<([Float], UInt64), ErrorCode> {
    let work = UnsafeMutablePointer<Float>.allocate(capacity: Limits.jobBytes / 4)
    defer { work.deallocate() }
    var arithmetic = Arithmetic(kind, seed: seed)
    var before: UInt64 = 0
    while true {
      let step = arithmetic.step(input.span.bytes, work)
      #expect(arithmetic.operations - before <= UInt64(Limits.jobSliceOperations), "a step is no more than a slice")
      before = arithmetic.operations
      switch step {
      case .more: continue
      case .failed(let code): return .failure(code)
      case .done:
        let out = UnsafeMutableRawPointer.allocate(byteCount: Limits.jobBytes, alignment: 16)
        defer { out.deallocate() }
        let count = arithmetic.write(work, numbers: input.count / 4, to: out)
        return .success(
          (floats((0..<count).map { out.load(fromByteOffset: $0, as: UInt8.self) }), arithmetic.operations))
      }
    }
  }

  private func failure(_ kind: JobKind, _ numbers: [Float]) -> ErrorCode? {
    if case .failure(let code) = run(kind, bytes(numbers)) { code } else { nil }
  }

  // MARK: Score

  @Test func scoresAreDistancesFromTheMeanInDeviationsOfThePopulation() throws {
    let (result, operations) = try run(.score, bytes([2, 4, 4, 4, 5, 5, 7, 9])).get()
    #expect(result == [5, 2, -1.5, -0.5, -0.5, -0.5, 0, 0, 1, 2])
    #expect(operations == 8 * 4 && operations == Arithmetic.operations(.score, byteCount: 32))
  }

  @Test func aLargeMeanCostsNoDigits() throws {
    let (result, _) = try run(.score, bytes([16_777_214, 16_777_215, 16_777_216])).get()
    #expect(result[0] == 16_777_215 && abs(result[2] + 1.224_744_9) < 1e-6 && result[3] == 0)
  }

  @Test func numbersWithoutAResultAreRefused() {
    #expect(failure(.score, [1, .nan]) == .badNumbers)
    #expect(failure(.score, [1, 2, -.infinity]) == .badNumbers)
    #expect(failure(.score, [0.1, 0.1, 0.1]) == .badNumbers, "no spread")
    #expect(failure(.score, [Float.greatestFiniteMagnitude, -.greatestFiniteMagnitude]) == nil)
    #expect(failure(.compress, Array(repeating: 0, count: 1_536)) == .badNumbers, "no length")
    #expect(failure(.compress, Array(repeating: .greatestFiniteMagnitude, count: 1_536)) == .badNumbers)
    #expect(failure(.compress, Array(repeating: 1, count: 1_535) + [.nan]) == .badNumbers)
  }

  @Test func onlyWholeListsOfTheRightLengthAreTaken() {
    #expect(!Arithmetic.takes(.score, byteCount: 4) && Arithmetic.takes(.score, byteCount: 8))
    #expect(!Arithmetic.takes(.score, byteCount: 9))
    #expect(Arithmetic.takes(.score, byteCount: 4 * 2_046) && !Arithmetic.takes(.score, byteCount: 4 * 2_047))
    #expect(Arithmetic.takes(.compress, byteCount: 6_144) && !Arithmetic.takes(.compress, byteCount: 6_140))
  }

  // MARK: Compress

  /// The entry of the whole orthogonal matrix, from its definition.
  private func entry(_ row: Int, _ column: Int, _ seed: UInt64) -> Double {
    func twelve(_ i: Int, _ j: Int) -> Double {
      if i == j || i == 0 { return 1 }
      if j == 0 { return -1 }
      return [1, 3, 4, 5, 9].contains(((i - j) % 11 + 11) % 11) ? 1 : -1
    }
    let sylvester = ((row % 128) & (column % 128)).nonzeroBitCount.isMultiple(of: 2) ? 1.0 : -1.0
    let sign = Projection.isNegated(seed, column) ? -1.0 : 1.0
    return twelve(row / 128, column / 128) * sylvester * sign / 1_536.0.squareRoot()
  }

  private func kept(_ seed: UInt64) -> [Int] {
    var rows: [Int] = []
    Projection.forEachKept(seed) { rows.append($0) }
    return rows
  }

  @Test func theMatrixOfOrderTwelveIsAHadamardMatrix() {
    for i in 0..<12 {
      for j in 0..<12 {
        let product = (0..<12).reduce(0) {
          $0 + (Projection.isNegative(i, $1) == Projection.isNegative(j, $1) ? 1 : -1)
        }
        #expect(product == (i == j ? 12 : 0))
      }
    }
  }

  @Test func eachSeedKeeps384RisingRowsFromEverywhere() {
    for seed: UInt64 in [0, 1, 7, .max] {
      let rows = kept(seed)
      #expect(rows.count == 384 && rows == rows.sorted() && Set(rows).count == 384)
      #expect(rows.allSatisfy { (0..<1_536).contains($0) })
      for quarter in 0..<4 { #expect((60...132).contains(rows.count { $0 / 384 == quarter })) }
    }
    #expect(kept(1) != kept(2))
  }

  @Test func whatComesOutIsTheMatrixTimesTheInputAndTheErrorThatOfTakingItBack() throws {
    let (x, seed) = (noise(1_536, 42), 7 as UInt64)
    let (result, operations) = try run(.compress, bytes(x), seed: seed).get()
    let rows = kept(seed)
    let expected = rows.map { row in (0..<1_536).reduce(0.0) { $0 + entry(row, $1, seed) * Double(x[$1]) } }
    #expect(result.count == 385)
    let length = x.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    for (a, b) in zip(result.dropFirst(), expected) { #expect(abs(Double(a) - b) < 1e-5 * length) }
    var square = 0.0
    for j in 0..<1_536 {
      let back = zip(rows, expected).reduce(0.0) { $0 + entry($1.0, j, seed) * $1.1 }
      square += (Double(x[j]) - back) * (Double(x[j]) - back)
    }
    #expect(abs(Double(result[0]) - square.squareRoot() / length) < 1e-5)
    #expect(operations == Arithmetic.operations(.compress, byteCount: 6_144))
  }

  @Test func whatTheRowsSpanComesThroughWithoutError() throws {
    let rows = kept(3)
    let x = (0..<1_536).map { j in Float(entry(rows[0], j, 3) - 2 * entry(rows[383], j, 3)) }
    let (result, _) = try run(.compress, bytes(x), seed: 3).get()
    #expect(result[0] < 1e-3 && abs(result[1] - 1) < 1e-5 && abs(result[384] + 2) < 1e-5)
  }
}
