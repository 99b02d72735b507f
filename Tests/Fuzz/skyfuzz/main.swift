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

// For a merge libFuzzer starts this program anew, with its own arguments only.
let inherited = ProcessInfo.processInfo.environment["SKYFUZZ_TARGET"]

guard arguments.count >= 2 else { fail("usage: skyfuzz list | seeds DIR | NAME [libFuzzer option or file]...") }

switch inherited ?? arguments[1] {
case "list":
  for target in FuzzTarget.all { print(target.name) }
case "seeds":
  guard arguments.count == 3 else { fail("usage: skyfuzz seeds DIR") }
  for target in FuzzTarget.all {
    let folder = URL(filePath: arguments[2]).appending(path: target.name)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for seed in target.seeds() {
      precondition(seed.bytes.count <= 4_096, "\(target.name)/\(seed.name) is too long for the repository")
      try Data(seed.bytes).write(to: folder.appending(path: "seed-" + seed.name))
    }
  }
case let name:
  guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
    fail("skyfuzz: no target \(name); there are " + FuzzTarget.all.map(\.name).joined(separator: ", "))
  }
  FuzzTarget.current = target
  setenv("SKYFUZZ_TARGET", name, 1)
  var count = CommandLine.argc
  var pointers = CommandLine.unsafeArgv
  if inherited == nil {
    // libFuzzer wants the program's name first; the target's name is ours.
    count -= 1
    pointers[1] = pointers[0]
    pointers += 1
  }
  var vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = pointers
  let status = LLVMFuzzerRunDriver(&count, &vector) { data, size in
    FuzzTarget.current.run(RawSpan(_unsafeStart: UnsafeRawPointer(data!), byteCount: size))
    return 0
  }
  exit(status)
}
