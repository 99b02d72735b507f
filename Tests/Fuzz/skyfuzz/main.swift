import Bounded
import CFuzzer
import Foundation

// skyfuzz list                   the targets' names
// skyfuzz seeds DIR              writes each target's seeds, made by the encoders, to DIR/NAME/
// skyfuzz NAME [OPTION|FILE]...  libFuzzer's own options; files are replayed
//
// Started by tools/fuzz, which keeps the corpora.

let arguments = CommandLine.arguments

func fail(_ text: String) -> Never {
  FileHandle.standardError.write(Data((text + "\n").utf8))
  exit(64)
}

guard arguments.count >= 2 else { fail("usage: skyfuzz list | seeds DIR | NAME [libFuzzer option or file]...") }

switch arguments[1] {
case "list":
  for target in FuzzTarget.all { print(target.name) }
case "seeds":
  guard arguments.count == 3 else { fail("usage: skyfuzz seeds DIR") }
  for target in FuzzTarget.all {
    let folder = URL(filePath: arguments[2]).appending(path: target.name)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for seed in target.seeds() {
      precondition(seed.bytes.count < 4_096, "\(target.name)/\(seed.name) is too long for the repository")
      try Data(seed.bytes).write(to: folder.appending(path: "seed-" + seed.name))
    }
  }
default:
  guard let target = FuzzTarget.all.first(where: { $0.name == arguments[1] }) else {
    fail("skyfuzz: no target \(arguments[1]); there are " + FuzzTarget.all.map(\.name).joined(separator: ", "))
  }
  FuzzTarget.current = target
  // libFuzzer wants the program's name first; the target's name is ours.
  var count = CommandLine.argc - 1
  var pointers = CommandLine.unsafeArgv
  pointers[1] = pointers[0]
  pointers += 1
  var vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = pointers
  let status = LLVMFuzzerRunDriver(&count, &vector) { data, size in
    FuzzTarget.current.run(RawSpan(_unsafeStart: UnsafeRawPointer(data!), byteCount: size))
    return 0
  }
  exit(status)
}
