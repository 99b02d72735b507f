// inferprobe: models without the worker around them, for tests and benchmarks of what ships. Not installed.
//
//   inferprobe MODEL tokens [special|plain]  standard input's text to token numbers, one a line; with names of control
//                                          tokens; or without the begin token
//   inferprobe MODEL chat [SYSTEM]         standard input's question by the chat template, as token numbers
//   inferprobe MODEL text                  token numbers of standard input, one a line, to text
//   inferprobe MODEL floats TENSOR         a tensor's numbers as 32-bit floats
//   inferprobe MODEL logits                token numbers of standard input; the logits behind each as floats
//   inferprobe MODEL speed PROMPT TOKENS   repeats: milliseconds for a prompt of so many tokens, and for so many
//                                          more one by one; then the memory that is this process's own
//   inferprobe MODEL embed COUNT           the embedding of each line of standard input as floats; COUNT 0: of the
//                                          lines, else milliseconds for a made-up text of so many tokens
//
// SKY_THREADS, SKY_KERNELS, SKY_CONTEXT in the environment: threads (1), kernels (the best), context (512).
// Ends with 0, or with another number when it could not be done.
import Bounded
import CKernels
import CSky
import Inference

func fail(_ text: StaticString, _ status: Int32) -> Never {
  _ = sky_write(2, text.utf8Start, text.utf8CodeUnitCount)
  _ = sky_write(2, "\n", 1)
  sky_exit(status)
}

func put(_ bytes: UnsafeRawBufferPointer) {
  if bytes.count > 0, sky_cli_write(1, bytes.baseAddress!, bytes.count) != 0 { fail("cannot write", 74) }
}

func put(_ text: borrowing TextBuffer) { text.withUnsafeBytes { put($0) } }

/// Standard input up to `most` bytes.
func readInput(_ most: Int) -> UnsafeMutableRawBufferPointer {
  guard let room = UnsafeMutableRawPointer(sky_memory_reserve(most)) else { fail("no memory", 70) }
  var count = 0
  while count < most {
    let got = sky_read(0, room + count, most - count)
    if got < 0 { fail("cannot read standard input", 74) }
    if got == 0 { break }
    count += got
  }
  return UnsafeMutableRawBufferPointer(start: room, count: count)
}

/// The numbers of a text, one a line.
func numbers(_ text: UnsafeMutableRawBufferPointer, into out: UnsafeMutableBufferPointer<UInt32>) -> Int {
  var count = 0
  var value: UInt32 = 0
  var hasDigits = false
  for i in 0...text.count {
    if i < text.count, text[i] >= 48, text[i] < 58 {
      value = value &* 10 &+ UInt32(text[i] - 48)
      hasDigits = true
    } else if hasDigits {
      guard count < out.count else { fail("too many numbers", 65) }
      out[count] = value
      count += 1
      value = 0
      hasDigits = false
    }
  }
  return count
}

func environment(_ name: StaticString, _ otherwise: Int) -> Int {
  let value = name.withUTF8Buffer { $0.withMemoryRebound(to: CChar.self) { sky_environment($0.baseAddress) } }
  guard var at = value else { return otherwise }
  var number = 0
  while at.pointee >= 48, at.pointee < 58, number < 1_000_000 {
    number = number * 10 + Int(at.pointee - 48)
    at += 1
  }
  return number
}

func isWord(_ index: Int32, _ text: StaticString) -> Bool {
  let word = sky_cli_argument(index)!
  for i in 0..<text.utf8CodeUnitCount where UInt8(bitPattern: word[i]) != text.utf8Start[i] { return false }
  return word[text.utf8CodeUnitCount] == 0
}

func number(_ index: Int32) -> Int {
  var at = sky_cli_argument(index)!
  var value = 0
  while at.pointee >= 48, at.pointee < 58, value < 1_000_000 {
    value = value * 10 + Int(at.pointee - 48)
    at += 1
  }
  return value
}

func memory(_ bytes: Int) throws(InferenceError) -> Arena {
  guard let start = sky_memory_reserve(bytes) else { throw .noMemory }
  return Arena(UnsafeMutableRawBufferPointer(start: start, count: bytes))
}

func makeTokenizer(_ file: GgufFile) throws(InferenceError) -> Tokenizer {
  var counting = Arena()
  _ = try Tokenizer(file, &counting)
  var arena = try memory(counting.used)
  return try Tokenizer(file, &arena)
}

func makeDecoder(_ file: GgufFile) throws(InferenceError) -> Decoder {
  let pool = try WorkPool(threads: environment("SKY_THREADS", 1), kernels: sky_environment("SKY_KERNELS"))
  let context = environment("SKY_CONTEXT", 512)
  var counting = Arena()
  _ = try Decoder(file, context: context, pool: pool, &counting)
  var arena = try memory(counting.used)
  return try Decoder(file, context: context, pool: pool, &arena)
}

nonisolated(unsafe) let tokens = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: 32_768)

func showTokens(_ file: GgufFile) throws(InferenceError) {
  let tokenizer = try makeTokenizer(file)
  let input = readInput(InferenceLimits.textBytes + 1)
  let special = sky_cli_argument_count() > 3 && isWord(3, "special")
  let plain = sky_cli_argument_count() > 3 && isWord(3, "plain")
  let count = try tokenizer.encode(
    UnsafeRawBufferPointer(input), addsBegin: !plain, parsesSpecials: special, into: tokens)
  showNumbers(tokens.baseAddress!, count)
}

/// The tokens of a question, with a system text in front if one is given.
func showChat(_ file: GgufFile) throws(InferenceError) {
  let pool = try WorkPool(threads: 1)
  var counting = Arena()
  _ = try Generator(file, context: 512, pool: pool, &counting)
  var arena = try memory(counting.used)
  let generator = try Generator(file, context: 512, pool: pool, &arena)
  let user = ChatTemplate.Message(.user, UnsafeRawBufferPointer(readInput(InferenceLimits.textBytes)))
  if sky_cli_argument_count() > 3 {
    let word = sky_cli_argument(3)!
    var length = 0
    while word[length] != 0 { length += 1 }
    let system = ChatTemplate.Message(.system, UnsafeRawBufferPointer(start: word, count: length))
    try generator.begin(chat: (system, user, nil, nil), Generator.Settings())
  } else {
    try generator.begin(chat: (user, nil, nil, nil), Generator.Settings())
  }
  showNumbers(generator.prompt, generator.promptCount)
}

func showNumbers(_ numbers: UnsafePointer<UInt32>, _ count: Int) {
  var text = TextBuffer(capacity: 32)
  for i in 0..<count {
    text.removeAll()
    text.append(Int(numbers[i]))
    text.append("\n")
    put(text)
  }
}

func showText(_ file: GgufFile) throws(InferenceError) {
  let tokenizer = try makeTokenizer(file)
  let count = numbers(readInput(400_000), into: tokens)
  var text = TextBuffer(capacity: 4_096)
  for i in 0..<count {
    text.removeAll()
    tokenizer.append(tokens[i], to: &text, showsControl: true)
    put(text)
  }
}

func showFloats(_ file: GgufFile) throws(InferenceError) {
  let word = sky_cli_argument(3)!
  var length = 0
  while word[length] != 0 { length += 1 }
  guard let tensor = file.tensor(named: RawSpan(_unsafeStart: UnsafeRawPointer(word), byteCount: length)) else {
    throw .missingTensor
  }
  let row = UnsafeMutableBufferPointer<Float>.allocate(capacity: tensor.columns)
  for i in 0..<tensor.rows {
    Dequantise.row(tensor.row(i), tensor.type, tensor.columns, into: row.baseAddress!)
    put(UnsafeRawBufferPointer(row))
  }
}

func showLogits(_ file: GgufFile) throws(InferenceError) {
  let decoder = try makeDecoder(file)
  let count = numbers(readInput(400_000), into: tokens)
  var at = 0
  while at < count {
    let end = min(count, at + InferenceLimits.batch)
    try decoder.evaluate(UnsafeBufferPointer(rebasing: tokens[at..<end]))
    for i in 0..<(end - at) { put(UnsafeRawBufferPointer(decoder.logits(at: i))) }
    at = end
  }
}

func run(_ decoder: Decoder, _ count: Int) throws(InferenceError) {
  var at = 0
  while at < count {
    let end = min(count, at + InferenceLimits.batch)
    try decoder.evaluate(UnsafeBufferPointer(rebasing: tokens[at..<end]))
    at = end
  }
}

func measure(_ file: GgufFile) throws(InferenceError) {
  let prompt = number(3)
  let more = number(4)
  guard prompt >= 1, prompt <= 32_768, more <= 32_768 else { fail("speed PROMPT TOKENS", 64) }
  let tokenizer = try makeTokenizer(file)
  let decoder = try makeDecoder(file)
  for i in 0..<prompt { tokens[i] = UInt32((300 + i * 37) % tokenizer.count) }
  var text = TextBuffer(capacity: 256)
  var sampler = Sampler()
  for _ in 0..<max(1, environment("SKY_REPEATS", 3)) {
    decoder.rewind()
    let start = sky_monotonic_us()
    try run(decoder, prompt)
    var token = sampler.choose(decoder.logits(at: (prompt - 1) % InferenceLimits.batch))
    let middle = sky_monotonic_us()
    for _ in 0..<more {
      try withUnsafePointer(to: token) { (one) throws(InferenceError) in
        try decoder.evaluate(UnsafeBufferPointer(start: one, count: 1))
      }
      token = sampler.choose(decoder.logits(at: 0))
    }
    let end = sky_monotonic_us()
    text.append("prompt_us=")
    text.append(UInt64(middle - start))
    text.append(" generate_us=")
    text.append(UInt64(end - middle))
    text.append(" token=")
    text.append(Int(token))
    text.append("\n")
    put(text)
    text.removeAll()
  }
  showMemory()
}

/// The embedding of each line, or how long a text of so many tokens takes.
func embed(_ file: GgufFile) throws(InferenceError) {
  let pool = try WorkPool(threads: environment("SKY_THREADS", 1), kernels: sky_environment("SKY_KERNELS"))
  var counting = Arena()
  _ = try BertEncoder(file, context: environment("SKY_CONTEXT", 512), pool: pool, &counting)
  var arena = try memory(counting.used)
  let encoder = try BertEncoder(file, context: environment("SKY_CONTEXT", 512), pool: pool, &arena)
  let count = number(3)
  guard count > 0 else {
    let input = readInput(400_000)
    var start = 0
    for i in 0...input.count where (i == input.count && i > start) || (i < input.count && input[i] == 0x0A) {
      put(UnsafeRawBufferPointer(try encoder.embed(UnsafeRawBufferPointer(rebasing: input[start..<i]))))
      start = i + 1
    }
    return
  }
  guard count <= encoder.context else { throw .contextFull }
  for i in 0..<count { tokens[i] = UInt32((300 + i * 37) % encoder.tokenizer.count) }
  var text = TextBuffer(capacity: 64)
  for _ in 0..<max(1, environment("SKY_REPEATS", 20)) {
    let start = sky_monotonic_us()
    _ = try encoder.embed(tokens: UnsafeBufferPointer(rebasing: tokens[0..<count]))
    text.removeAll()
    text.append("embed_us=")
    text.append(UInt64(sky_monotonic_us() - start))
    text.append("\n")
    put(text)
  }
  showMemory()
}

/// The lines of the kernel's account that say what is only this process's.
func showMemory() {
  var file = ByteQueue(capacity: 4_096)
  file.appendInPlace(upTo: 4_096) { max(0, sky_file_read("/proc/self/smaps_rollup", $0.baseAddress, $0.count)) }
  file.bytes.withUnsafeBytes { put($0) }
}

func start() throws(InferenceError) {
  guard sky_cli_argument_count() >= 3 else { fail("usage: inferprobe MODEL tokens|text|floats|logits|speed ...", 64) }
  var size = 0
  guard let start = sky_file_map(sky_cli_argument(1), &size) else { throw .cannotMap }
  let file = try GgufFile(UnsafeRawBufferPointer(start: start, count: size))
  if isWord(2, "tokens") {
    try showTokens(file)
  } else if isWord(2, "chat") {
    try showChat(file)
  } else if isWord(2, "text") {
    try showText(file)
  } else if isWord(2, "floats"), sky_cli_argument_count() == 4 {
    try showFloats(file)
  } else if isWord(2, "logits") {
    try showLogits(file)
  } else if isWord(2, "speed"), sky_cli_argument_count() == 5 {
    try measure(file)
  } else if isWord(2, "embed"), sky_cli_argument_count() == 4 {
    try embed(file)
  } else {
    fail("no such command", 64)
  }
}

sky_cli_begin()
do throws(InferenceError) {
  try start()
} catch {
  fail(error.sentence, 65)
}
