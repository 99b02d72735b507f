// skysim: the production node, session, ring and duplicate window in a simulated world of one seed. `tools/sim` is its
// front. Not installed.
import Bounded
import CSim
import CSky
import SkyCrypto
import Wire

func say(_ line: String, to descriptor: Int32 = 1) {
  let bytes = Array(line.utf8) + [UInt8(ascii: "\n")]
  _ = bytes.withUnsafeBytes { sky_cli_write(descriptor, $0.baseAddress, $0.count) }
}

func finish(_ status: Int32) -> Never {
  sky_exit(status)
  while true {}
}

sky_cli_begin()
Limits.assertConsistent()
guard startCrypto() else { finish(70) }
sim_watch_traps()
Program.main()
