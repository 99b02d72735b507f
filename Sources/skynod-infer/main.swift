import CSky
import Inference

// skynod-infer: holds a small model, for one text from the command line or as a worker behind a socket.
sky_cli_begin()
switch Options.parse() {
case .exit(let status): sky_exit(status)
case .run(let options):
  do throws(InferenceError) {
    sky_exit(try options.run())
  } catch {
    sky_exit(Report.failure(error))
  }
}
