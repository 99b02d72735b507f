import Bounded
import CKernels
import Testing

@testable import Inference

/// Blocks of each type, and the CRC-32C of what the gguf package (0.19.0) makes of them.
private let blocks: [(type: TensorType, hex: String, crc: UInt32)] = [
  (
    .f16,
    "dd299e258bac482def2807a8eea6e9a5752ea7acecab0b16253180b0a62f7e257520ef1b463091266a302115052f8825412b"
      + "e4a7392663a39826c528452b1c29", 0xB73B15B0
  ),
  (
    .q4_0,
    "e7218ce8f8d5775fa364b1d64b12c9c13d65", 0x4961E760
  ),
  (
    .q4_1,
    "3321e0acaf9ef17b397d40f9418119e11a0f8cff", 0xBEE8026D
  ),
  (
    .q5_0,
    "011fe787b95a4ce2dcad6c6bb836ab292b4a31d11e93", 0xC1FEA874
  ),
  (
    .q8_0,
    "781413f12a3ca09b4241d747a693be81cb4b7c1b9e6e6ae5b9261ea52b6093ce6307", 0xD017E22B
  ),
  (
    .q4_K,
    "850d2c194b00751cbea7223f3eb40adffecb24d61d5e9da437b3afad6799062561b9d77c4c49150a9262b382e9b0163f8d35"
      + "0ae3b1ad904f7b2afe12c4242593fa7c4de44ba7c123ae82a3ce54d48c1ca4793e065f177e051b3abfce900814f2a86aee18"
      + "38f9bf5cfbdcffc046698449b9eae83d6a6dd14622e6081255c8638f02c10be0be88918f1fd393590677c4f1", 0x6F9FD07D
  ),
  (
    .q6_K,
    "a0d2a2da58015463d2c7d115004d2f3a00c646bf8b80829b27c1477e76cc76ca16106d94b1f818400c6e54f05234c344975b"
      + "437b8eaad7fa5104ef3e823ce4699f2dc8ce8829a61e42915b1f41bf7f08d86e67044de44a6db1d64b3ecd3a13f31fa19352"
      + "81967206d4c777ab03c734f997fc288155d12f002b4a839f82f5153a62346bfa20ebf7ff3368c556dc6e739230f27aa724b0"
      + "fc6b78d417f0f8cbb718f99b9f98b191bb2018fe8e06beede7957c58d64df488a6ad4ff5b7b7563b0db6401b849752e3a847"
      + "fe1e6ca20a40d6a98003", 0x530475D1
  ),
]

private func bytes(_ hex: String) -> [UInt8] {
  let digits = Array(hex.utf8).map { $0 < 58 ? $0 - 48 : $0 - 87 }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

private let setNames = ["avx512", "avx2", "ssse3", "dotprod", "neon", "portable"]
/// Those that this processor can run.
private func kernelSets() -> [(name: String, kernels: sky_kernels)] {
  setNames.compactMap { name in sky_kernels_choose(name).map { (name, $0.pointee) } }
}

@Suite struct KernelTests {
  @Test func storedNumbersAreThoseOfTheGgufPackageToTheBit() {
    for block in blocks {
      let data = bytes(block.hex)
      let count = data.count / block.type.blockBytes * block.type.blockCount
      var out = [Float](repeating: 0, count: count)
      data.withUnsafeBytes { Dequantise.row($0.baseAddress!, block.type, count, into: &out) }
      var crc = Crc32c()
      for number in out { for byte in GgufBuilder.little(number.bitPattern) { crc.add(byte) } }
      #expect(crc.value == block.crc, "\(block.type)")
    }
  }

  @Test func halfPrecisionGoesThereAndBack() {
    for set in kernelSets() {
      for bits in 0...UInt16.max where bits & 0x7C00 != 0x7C00 || bits & 0x3FF == 0 {
        var number = Dequantise.half(bits)
        var back: UInt16 = 0
        set.kernels.store_half(&number, 1, &back)
        if back != bits { Issue.record("\(set.name): \(bits) became \(back)") }
      }
    }
    #expect(Dequantise.half(0x3C00) == 1 && Dequantise.half(0x0001) == 0x1p-24 && Dequantise.half(0xFC00) == -.infinity)
  }

  /// The plain statement of the 8-bit activations, in Swift.
  private func quantised(_ x: [Float]) -> (q: [Int8], d: [Float]) {
    var q: [Int8] = []
    var scales: [Float] = []
    for block in stride(from: 0, to: x.count, by: 32) {
      let most = x[block..<(block + 32)].map { $0.magnitude }.max()!
      let inverse = most > 0 ? 127 / most : 0
      scales.append(most / 127)
      for i in 0..<32 { q.append(Int8((x[block + i] * inverse).rounded(.toNearestOrEven))) }
    }
    return (q, scales)
  }

  /// Where number `i` of a row is in `sky_q8`.
  private func place(_ i: Int) -> (group: Int, index: Int) {
    let inGroup = i % 128
    return (i / 128, (inGroup % 32 / 16) * 64 + inGroup / 32 * 16 + inGroup % 16)
  }

  @Test func activationsBecomeTheSameIntegersWithEverySet() {
    var numbers = Numbers(state: 3)
    for count in [32, 96, 128, 576] {
      let x = numbers.floats(count, 3)
      let want = quantised(x)
      for set in kernelSets() {
        var out = [sky_q8](repeating: sky_q8(), count: (count + 127) / 128)
        set.kernels.quantise(x, count, &out)
        for i in 0..<count {
          let (group, index) = place(i)
          let got = withUnsafeBytes(of: out[group].q) { Int8(bitPattern: $0[index]) }
          if got != want.q[i] { Issue.record("\(set.name), \(count): number \(i) is \(got), not \(want.q[i])") }
        }
        let scale = withUnsafeBytes(of: out[0].ds) { $0.load(as: Float.self) }
        #expect(scale == want.d[0])
      }
    }
  }

  private func multiply(_ kernels: sky_kernels, _ type: TensorType, _ weights: [UInt8], _ x: [Float], tokens: Int)
    -> [Float]
  {
    let columns = x.count / tokens
    let groups = (columns + 127) / 128
    let rowBytes = columns / type.blockCount * type.blockBytes
    let rows = weights.count / rowBytes
    var activations = [sky_q8](repeating: sky_q8(), count: groups * tokens)
    var out = [Float](repeating: .nan, count: rows * tokens)
    for token in 0..<tokens {
      Array(x[(token * columns)..<((token + 1) * columns)]).withUnsafeBufferPointer { row in
        activations.withUnsafeMutableBufferPointer {
          kernels.quantise(row.baseAddress!, columns, $0.baseAddress! + token * groups)
        }
      }
    }
    weights.withUnsafeBytes { weights in
      activations.withUnsafeBytes { activations in
        x.withUnsafeBytes { x in
          out.withUnsafeMutableBufferPointer { out in
            var job = sky_matmul(
              type: type.rawValue, weights: weights.baseAddress, row_bytes: rowBytes, columns: columns,
              activations: type.isQuantised ? activations.baseAddress : x.baseAddress,
              activation_stride: type.isQuantised ? groups * MemoryLayout<sky_q8>.stride : columns * 4, tokens: tokens,
              out: out.baseAddress, out_stride: rows)
            kernels.matmul(&job, 0, rows)
          }
        }
      }
    }
    return out
  }

  /// Weights and activations that are whole numbers, and scales that are powers of two: then every result is a whole
  /// number that a float holds exactly, and must be the same with every set.
  @Test func productsOfIntegersAreExactWithEverySet() {
    var numbers = Numbers(state: 11)
    for type in [TensorType.q4_0, .q4_1, .q5_0, .q8_0] {
      for columns in [32, 64, 160, 256, 576] {
        var weights: [UInt8] = []
        for _ in 0..<(3 * columns / 32) {
          weights += GgufBuilder.little(UInt16(0x3C00))
          if type == .q4_1 { weights += GgufBuilder.little(UInt16(0xC000)) }
          weights += (0..<(type.blockBytes - (type == .q4_1 ? 4 : 2))).map { _ in
            UInt8(truncatingIfNeeded: numbers.next())
          }
        }
        // 127 in each block makes its scale 1.
        let x = (0..<(9 * columns)).map { $0 % 32 == 5 ? 127 : Float(Int(numbers.next() % 255) - 127) }
        var decoded = [Float](repeating: 0, count: 3 * columns)
        weights.withUnsafeBytes { Dequantise.row($0.baseAddress!, type, 3 * columns, into: &decoded) }
        for set in kernelSets() {
          let got = multiply(set.kernels, type, weights, x, tokens: 9)
          for token in 0..<9 {
            for row in 0..<3 {
              let want = (0..<columns).reduce(0) {
                $0 + Int(decoded[row * columns + $1]) * Int(x[token * columns + $1])
              }
              if got[token * 3 + row] != Float(want) {
                Issue.record("\(set.name) \(type) \(columns): \(got[token * 3 + row]), not \(want)")
              }
            }
          }
        }
      }
    }
  }

  @Test func productsAreThoseOfTheStoredNumbers() {
    var numbers = Numbers(state: 5)
    for block in blocks {
      let data = bytes(block.hex)
      let repeated = block.type.blockCount == 256 ? data + data : data + data + data
      let row = block.type == .f16 ? data : repeated
      let columns = row.count / block.type.blockBytes * block.type.blockCount
      let x = numbers.floats(5 * columns, 2)
      var decoded = [Float](repeating: 0, count: columns)
      row.withUnsafeBytes { Dequantise.row($0.baseAddress!, block.type, columns, into: &decoded) }
      for set in kernelSets() {
        let got = multiply(set.kernels, block.type, row, x, tokens: 5)
        for token in 0..<5 {
          let own = Array(x[(token * columns)..<((token + 1) * columns)])
          let (q, d) = quantised(own)
          var want = 0.0
          var size = 0.0
          for i in 0..<columns {
            let activation = block.type.isQuantised ? Double(q[i]) * Double(d[i / 32]) : Double(own[i])
            want += Double(decoded[i]) * activation
            size += (Double(decoded[i]) * activation).magnitude
          }
          // Of what is added up, not of the sum, which may be near nothing.
          #expect((Double(got[token]) - want).magnitude <= 4e-6 * size, "\(set.name) \(block.type)")
        }
      }
    }
  }

  /// Every number of queries, sizes of heads with and without a rest, positions that end within a block of 16, windows
  /// that begin within one, tokens that see one position more each. What lies behind the last position is not a number.
  @Test func attentionIsThatOfItsFormula() {
    var numbers = Numbers(state: 17)
    for (size, positions, window) in [
      (64, 50, 1000), (32, 16, 16), (40, 33, 7), (8, 1, 1), (80, 100, 30), (256, 20, 64),
    ] {
      let room = (positions + 18) / 16 * 16
      for (count, step) in [(1, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1)] where (count - 1) * step < positions {
        let end = positions - (count - 1) * step
        let queries = numbers.floats(count * size, 2)
        let stored = numbers.floats(positions * size, 1)
        let given = numbers.floats(positions * size, 1)
        for set in kernelSets() {
          var keys = [UInt16](repeating: 0x7E00, count: room * size)
          var values = [UInt16](repeating: 0x7E00, count: room * size)
          for p in 0..<positions {
            Array(stored[(p * size)..<((p + 1) * size)]).withUnsafeBufferPointer { key in
              keys.withUnsafeMutableBufferPointer {
                set.kernels.store_key(key.baseAddress!, size, $0.baseAddress!, p)
              }
            }
            Array(given[(p * size)..<((p + 1) * size)]).withUnsafeBufferPointer { value in
              values.withUnsafeMutableBufferPointer {
                set.kernels.store_half(value.baseAddress!, size, $0.baseAddress! + p * size)
              }
            }
          }
          var scores = [Float](repeating: .nan, count: 4 * room)
          var out = [Float](repeating: .nan, count: count * size)
          queries.withUnsafeBufferPointer { queries in
            scores.withUnsafeMutableBufferPointer { scores in
              out.withUnsafeMutableBufferPointer { out in
                var job = sky_attention(
                  queries: queries.baseAddress, stride: size, count: count, keys: keys, values: values, end: end,
                  step: step, window: window, size: size, scale: 0.25, scores: scores.baseAddress, out: out.baseAddress)
                set.kernels.attend(&job)
              }
            }
          }
          for k in 0..<count {
            let last = end + k * step
            let seen = max(0, last - window)..<last
            let weights = seen.map { p in
              exponential(
                (0..<size).reduce(0.0) {
                  $0 + Double(queries[k * size + $1])
                    * Double(Dequantise.half(keys[p / 16 * 16 * size + 16 * $1 + p % 16]))
                } * 0.25)
            }
            let total = weights.reduce(0, +)
            for i in 0..<size {
              let want = zip(seen, weights).reduce(0.0) { $0 + $1.1 * Double(Dequantise.half(values[$1.0 * size + i])) }
              let error = (Double(out[k * size + i]) - want / total).magnitude
              if !(error < 2e-5) {
                Issue.record("\(set.name) \(size) \(positions) \(count) \(step): number \(i) off by \(error)")
              }
            }
          }
        }
      }
    }
  }

  @Test func everyPieceOfWorkIsDoneOnce() {
    for threads in 1...4 {
      let pool = sky_pool_start(UInt32(threads))!
      var counts = [Int32](repeating: 0, count: 37)
      counts.withUnsafeMutableBytes { room in
        for round in 0..<2_000 {
          sky_pool_run(
            pool, UInt32(1 + round % 37), { $0!.assumingMemoryBound(to: Int32.self)[Int($1)] += 1 }, room.baseAddress)
        }
      }
      sky_pool_stop(pool)
      for i in 0..<37 {
        let want = (0..<2_000).filter { 1 + $0 % 37 > i }.count
        #expect(counts[i] == want, "\(threads) threads, piece \(i)")
      }
    }
  }

  @Test func elementwiseFunctionsAreNearTheirFormulas() {
    let x = (0..<200).map { Float($0) / 10 - 10 }
    for set in kernelSets() {
      var silu = x
      set.kernels.silu_multiply(&silu, [Float](repeating: 2, count: 200), 200)
      var gelu = x
      set.kernels.gelu_erf(&gelu, 200)
      for i in 0..<200 {
        let v = Double(x[i])
        #expect((Double(silu[i]) - 2 * v / (1 + exponential(-v))).magnitude < 1e-5, "\(set.name) silu \(v)")
        #expect((Double(gelu[i]) - v * normal(v)).magnitude < 1e-5, "\(set.name) gelu \(v)")
      }
    }
  }

  private func exponential(_ x: Double) -> Double { Double(sky_exp(Float(x))) }
  /// The normal distribution's integral, by the trapezium rule from -12.
  private func normal(_ x: Double) -> Double {
    let steps = 4_000
    let width = (x + 12) / Double(steps)
    var sum = 0.0
    for i in 0...steps {
      let t = -12 + width * Double(i)
      sum += (i == 0 || i == steps ? 0.5 : 1) * squareExponential(t)
    }
    return sum * width / 2.506628274631
  }
  private func squareExponential(_ t: Double) -> Double {
    var term = 1.0
    var sum = 1.0
    let z = t * t / 2 / 64
    for i in 1..<20 {
      term *= z / Double(i)
      sum += term
    }
    var power = sum
    for _ in 0..<6 { power *= power }
    return 1 / power
  }
}
