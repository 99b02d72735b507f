import Foundation

/// What the kernel says of a process: proc(5).
enum Proc {
  private static func text(_ pid: pid_t, _ file: String) throws -> String {
    do {
      return try String(contentsOfFile: "/proc/\(pid)/\(file)", encoding: .utf8)
    } catch { throw BenchError("process \(pid) is gone") }
  }

  /// The number after `key:` in a file of such lines.
  private static func number(_ pid: pid_t, _ file: String, _ key: String) throws -> Double {
    for line in try text(pid, file).split(separator: "\n") where line.hasPrefix(key + ":") {
      let words = line.dropFirst(key.count + 1).split(whereSeparator: \.isWhitespace)
      if let word = words.first, let value = Double(word) { return value }
    }
    throw BenchError("/proc/\(pid)/\(file) has no \(key)")
  }

  /// Proportional set size: private pages and a share of those that others map too. kB.
  static func pssKB(_ pid: pid_t) throws -> Double { try number(pid, "smaps_rollup", "Pss") }
  /// Pages without a file behind them: data, heap, stack. kB.
  static func anonymousKB(_ pid: pid_t) throws -> Double { try number(pid, "smaps_rollup", "Anonymous") }
  /// Pages of no other process, also those of its own program that were read. kB.
  static func privateKB(_ pid: pid_t) throws -> Double {
    try number(pid, "smaps_rollup", "Private_Clean") + number(pid, "smaps_rollup", "Private_Dirty")
  }
  static func residentKB(_ pid: pid_t) throws -> Double { try number(pid, "status", "VmRSS") }
  /// How often the process went to sleep of its own accord, and so woke up.
  static func sleeps(_ pid: pid_t) throws -> Double { try number(pid, "status", "voluntary_ctxt_switches") }

  /// Time on a processor in all threads, user and kernel. Milliseconds.
  static func cpuMs(_ pid: pid_t) throws -> Double {
    var total = 0.0
    for thread in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task") {
      guard let text = try? String(contentsOfFile: "/proc/\(pid)/task/\(thread)/schedstat", encoding: .utf8),
        let nanoseconds = text.split(separator: " ").first.flatMap({ Double($0) })
      else { continue }
      total += nanoseconds / 1e6
    }
    return total
  }

  /// Processor, cores and kernel in one line.
  static func machine() -> String {
    let info = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let model = info.split(separator: "\n").first { $0.hasPrefix("model name") }?.split(separator: ":").last
    var name = utsname()
    uname(&name)
    let kernel = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let cores = ProcessInfo.processInfo.activeProcessorCount
    return "\(model.map { $0.trimmingCharacters(in: .whitespaces) } ?? "processor"), \(cores) cores, Linux \(kernel)"
  }

  static func sizeBytes(_ path: String) throws -> Double {
    var info = stat()
    guard stat(path, &info) == 0 else { throw BenchError("\(path) is missing: run tools/build") }
    return Double(info.st_size)
  }
}
