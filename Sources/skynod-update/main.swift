import CSky
import SkyCrypto
import Update
import Wire

// skynod-update: puts signed bundles into the slot that is not in use, and says which slot is started.
sky_cli_begin()
Limits.assertConsistent()
guard startCrypto() else { sky_exit(Int32(ErrorCode.internalError.number)) }
switch Options.parse() {
case .exit(let status): sky_exit(status)
case .run(let options):
  do throws(UpdateError) {
    sky_exit(try options.run())
  } catch {
    sky_exit(Report.failure(error))
  }
}
