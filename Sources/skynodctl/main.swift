import CSky

// skynodctl: the command line of skynod, through its control socket only.
sky_cli_begin()
sky_exit(Int32(Program().run()))
