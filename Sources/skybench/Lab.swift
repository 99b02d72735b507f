import Foundation

/// The processes and files of one benchmark: a temporary folder, and children that never outlive it.
///
/// Invariant: after `close` no child runs and the folder is gone, also when the benchmark was interrupted.
final class Lab: @unchecked Sendable {
  let folder: URL
  private let lock = NSLock()
  private var children: [pid_t] = []

  init() throws {
    var template = Array("/tmp/skybench.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw BenchError("cannot make a temporary folder") }
    folder = URL(filePath: String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
    // Mosquitto gives up root and must still reach its configuration.
    chmod(folder.path, 0o755)
    signal(SIGPIPE, SIG_IGN)
    closeOnInterrupt()
  }

  /// SIGINT and SIGTERM are taken by a thread of their own, which cleans up and ends the program.
  private func closeOnInterrupt() {
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, SIGINT)
    sigaddset(&set, SIGTERM)
    pthread_sigmask(SIG_BLOCK, &set, nil)
    let waited = set
    Thread.detachNewThread { [self] in
      var set = waited
      var number: Int32 = 0
      sigwait(&set, &number)
      close()
      _exit(128 + number)
    }
  }

  func close() {
    lock.lock()
    let pids = children
    children = []
    lock.unlock()
    for pid in pids { kill(pid, SIGTERM) }
    for pid in pids { reap(pid, patience: 100) }
    try? FileManager.default.removeItem(at: folder)
  }

  /// Waits up to `patience` tenths of a second, then kills.
  private func reap(_ pid: pid_t, patience: Int) {
    for _ in 0..<patience {
      if waitpid(pid, nil, WNOHANG) != 0 { return }
      usleep(100_000)
    }
    kill(pid, SIGKILL)
    waitpid(pid, nil, 0)
  }

  /// Ends one child before the others.
  func stop(_ pid: pid_t) {
    lock.lock()
    children.removeAll { $0 == pid }
    lock.unlock()
    kill(pid, SIGTERM)
    reap(pid, patience: 100)
  }

  /// Starts a program; its output goes to `log` in the folder. Returns its process id.
  @discardableResult
  func start(_ arguments: [String], environment: [String: String] = [:], log: String) throws -> pid_t {
    let pid = try Self.spawn(
      arguments, environment: environment, output: folder.appending(path: log).path, mergesError: true)
    lock.lock()
    children.append(pid)
    lock.unlock()
    return pid
  }

  /// Runs a program to its end and returns what it printed.
  func run(_ arguments: [String]) throws -> String {
    let file = folder.appending(path: "run-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    let pid = try Self.spawn(arguments, environment: [:], output: file.path, mergesError: false)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    let text = try String(contentsOf: file, encoding: .utf8)
    guard status == 0 else { throw BenchError("\(arguments.joined(separator: " ")) failed: \(text)") }
    return text
  }

  /// Child processes start with default signals, whatever this program has blocked.
  private static func spawn(
    _ arguments: [String], environment: [String: String], output: String, mergesError: Bool
  ) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    if mergesError {
      posix_spawn_file_actions_adddup2(&actions, 1, 2)
    } else {
      posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    let merged = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    var argv = arguments.map { strdup($0) } + [nil]
    var envp = merged.map { strdup("\($0)=\($1)") } + [nil]
    defer { for pointer in argv + envp { free(pointer) } }
    var pid: pid_t = 0
    let status = posix_spawnp(&pid, arguments[0], &actions, &attributes, &argv, &envp)
    guard status == 0 else { throw BenchError("cannot start \(arguments[0]): \(String(cString: strerror(status)))") }
    return pid
  }

  /// Tries every 20 ms; after `seconds` gives up and shows the end of the logs.
  func wait(for what: String, seconds: Double = 20, _ condition: () throws -> Bool) throws {
    let deadline = Clock.now + seconds
    while true {
      if (try? condition()) == true { return }
      guard Clock.now < deadline else { throw BenchError("\(what) did not happen in \(seconds) s\n" + logs()) }
      usleep(20_000)
    }
  }

  private func logs() -> String {
    let files = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
    return files.filter { $0.pathExtension == "log" }.prefix(4).map { file in
      let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
      return "\(file.lastPathComponent):\n" + text.split(separator: "\n").suffix(5).joined(separator: "\n")
    }.joined(separator: "\n")
  }

  func file(_ name: String) -> String { folder.appending(path: name).path }
}

enum Clock {
  /// Monotonic, seconds.
  static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
