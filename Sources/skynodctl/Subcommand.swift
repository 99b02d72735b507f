import Platform

/// The sub-commands, and everything that help says about them.
enum Subcommand: UInt8 {
  case status, id, join, send, inbox, watch, mode, peers, metrics, reload, drain, version, top, help
  case encode, decode, lookup, translate, dict, relay, update
  case ask, learn, forget, knowledge, vote, keys

  static let count: UInt8 = 27

  init?(_ word: Word) {
    for raw in 0..<Self.count {
      if let command = Subcommand(rawValue: raw), word.is(command.name) {
        self = command
        return
      }
    }
    return nil
  }

  var name: StaticString {
    switch self {
    case .status: "status"
    case .id: "id"
    case .join: "join"
    case .send: "send"
    case .inbox: "inbox"
    case .watch: "watch"
    case .mode: "mode"
    case .peers: "peers"
    case .metrics: "metrics"
    case .reload: "reload"
    case .drain: "drain"
    case .version: "version"
    case .top: "top"
    case .help: "help"
    case .encode: "encode"
    case .decode: "decode"
    case .lookup: "lookup"
    case .translate: "translate"
    case .dict: "dict"
    case .relay: "relay"
    case .update: "update"
    case .ask: "ask"
    case .learn: "learn"
    case .forget: "forget"
    case .knowledge: "knowledge"
    case .vote: "vote"
    case .keys: "keys"
    }
  }

  var parameters: StaticString {
    switch self {
    case .join: "TICKET"
    case .send:
      "[--durable|--urgent] [--ttl S] [--wait] NODid|HUB (TEXT... | [--name NAME] [--from N] (--stdin | --file PATH))"
    case .inbox: "[--ack] [--follow] [--save DIR] | inbox ack SEQ|all"
    case .watch: "[KIND...]"
    case .mode: "[DUTY on|off]..."
    case .help: "[COMMAND]"
    case .encode: "[--compact] (TEXT... | --stdin | --file PATH)"
    case .decode: "(GENOM|HEX | --stdin | --file PATH)"
    case .lookup: "WORD|T-id|0xHEX"
    case .translate: "LANGUAGE WORD"
    case .dict: "[status|update]"
    case .update: "[status|check|apply|rollback|restart]"
    case .relay: "[ticket TICKET [HOST:PORT]]"
    case .ask: "[--free | --explain] [--local | --upstream] QUESTION..."
    case .learn: "[--pin] [--ttl S] QUESTION ANSWER..."
    case .forget: "QUESTION..."
    case .knowledge: "[status | import FILE | export]"
    case .vote: "ID good|bad"
    case .keys: "[forget NODid|all]"
    default: ""
    }
  }

  var summary: StaticString {
    switch self {
    case .status: "what the node is doing, its link, counters and vital signs"
    case .id: "the node's address, instance and fingerprint"
    case .join: "be admitted to a swarm with a ticket"
    case .send: "send a text message or a file to a node, a text to the hub"
    case .inbox: "messages that came in"
    case .watch: "follow events as they happen"
    case .mode: "show the duties, or switch some on or off"
    case .peers: "who this node is connected to"
    case .metrics: "counters and gauges as OpenMetrics text"
    case .reload: "make the daemon read its configuration again"
    case .drain: "make the daemon finish what is under way and stop"
    case .version: "the versions of this program and of the daemon"
    case .top: "a view of the node that redraws every 2 seconds"
    case .help: "this text, or that of one command"
    case .encode: "a text as tokens of the dictionary"
    case .decode: "the text of a compact form"
    case .lookup: "what the dictionary knows of a word or a token"
    case .translate: "a word in another language, where the dictionary has that"
    case .dict: "the dictionary of this node; ask the hub for a newer one"
    case .update: "the system of this board, and what its hub has for it"
    case .relay: "the address and counters of this relay; a ticket that leads through it"
    case .ask: "an answer from what was taught, else from the hub if it may be asked, else from the model here"
    case .learn: "teach the answer to a question"
    case .forget: "drop the answer to a question"
    case .knowledge: "the store of what was taught; its content as JSON lines"
    case .vote: "tell the hub whether an answer of it was good"
    case .keys: "the nodes that messages are sealed for, and the identities they had"
    }
  }

  var details: StaticString {
    switch self {
    case .status:
      "Shows every status field, in groups. Fields that this program does not know yet are shown too.\n"
    case .id: "The address is - until a hub has admitted the node.\n"
    case .join:
      """
      TICKET is one line made by `skyhub token`. Waits until the node is online or the hub has refused,
      at most --timeout seconds (30 here); --timeout 0 does not wait. Needs the admin role.

      """
    case .send:
      """
      The words of TEXT are joined by blanks. --stdin sends standard input instead, a last line feed
      left out. A message is at most 3072 bytes; longer input is sent like a file named stdin.
      Without more it goes out now or not at all. --durable keeps it on the medium until it is
      delivered, also while there is no hub; --ttl S gives it up after S seconds. --urgent does the
      same, and the message goes before all that are not urgent, here and at the hub. --wait waits
      for the receiver's word, at most --timeout seconds (60 here). Needs the operate role.
      --file sends a file of at most 64 MiB in durable parts; `inbox --save` puts them together there.
      It waits while the ring is full, up to --timeout seconds without a step if that is given, and 60
      for a daemon that went away. Interrupted, it says with which --from N to go on: the number of
      the first part to send. --name sends it under another name. The hub itself takes no files.

      """
    case .inbox:
      """
      Lists the messages that came in and were not acknowledged. --ack acknowledges those it has shown.
      `ack SEQ` acknowledges all up to that one, `ack all` every one. Needs the operate role.
      --save takes the parts of files out and puts the files together in DIR; nothing is overwritten,
      what comes a second time is recognised. --follow goes on until it is interrupted.
      Without --save, parts are listed and never acknowledged by --ack.

      """
    case .watch:
      """
      Prints one line an event until it is interrupted. KIND is one of: state link key heartbeat
      message delivery duty clock configuration
      dictionary leaf system. Without one, all are followed.

      """
    case .mode: "DUTY is one of: heartbeat relay compute. Switching needs the operate role.\n"
    case .metrics: "The text ends with `# EOF` and can be given to a Prometheus text-file collector.\n"
    case .drain: "Needs the admin role.\n"
    case .reload: "The link stays up. An error in the file leaves the old settings. Needs the admin role.\n"
    case .encode:
      """
      Lists the tokens, at most 16 KiB of text; --compact writes the compact binary form to standard
      output instead, of any size. --file and --stdin read the text as it is. Words that are not known
      are asked of the hub in the background, and are literals meanwhile.

      """
    case .decode:
      """
      Takes a genom_message or its hexadecimal part, or with --file or --stdin what encode --compact
      wrote, of any size. It takes a dictionary that holds the same words.

      """
    case .lookup:
      """
      Upper or lower case does not matter. A word that is not in this node's dictionary is asked of
      the hub: try again when told so.

      """
    case .dict: "Without a word: status. Updating needs the operate role; `watch dictionary` tells how it ends.\n"
    case .update:
      """
      Without a word: status. check asks the hub, apply puts its newer system into the other slot,
      restart restarts the board to try that, rollback gives it up or goes back to the system before.
      All but status and check need the admin role.

      """
    case .relay:
      """
      With `ticket`, turns a ticket of the hub into one for nodes that are to join through this one:
      they find it at HOST:PORT, or at relay_address. Needs the operate role, and relay_listen in the
      configuration.

      """
    case .ask:
      """
      Tells where the answer comes from: L0 was taught, or kept from the hub; L1 was taught to the hub;
      L3 and L4 are models that the hub asks, L2 is the model here, from the nearest that was taught.
      The hub is asked only with upstream = hub in skynod.conf. --local does not ask it; --upstream
      asks nobody else, even when the answer is here. --free lets the model here answer without what
      was taught, out of what it believes to know; --explain tells instead why what was taught is no
      answer. Costs are in the currency of the hub. Waits at most --timeout seconds (200 here).

      """
    case .learn:
      """
      Says so once it is on the medium. --pin keeps it when others have to go for want of room; --ttl S
      forgets it after S seconds. Needs the operate role.

      """
    case .forget: "The question as it was taught, but for case, spacing and punctuation. Needs the operate role.\n"
    case .knowledge:
      """
      `export` writes a JSON object a line; `import` reads such from FILE (- is standard input): question,
      answer, and if they are there pinned and ttl. Importing needs the operate role.

      """
    case .vote: "ID is the id that came with the answer. The hub counts votes; nothing answers.\n"
    case .keys:
      """
      An id belongs to an identity for ever: when the hub names another one, nothing is sent there.
      `forget` believes what comes next; compare it with `skynodctl id` there. Needs the admin role.

      """
    case .top: "q or Ctrl-C leaves. Where standard output is no terminal, prints one view and ends.\n"
    default: ""
    }
  }

  /// Seconds to wait for the daemon when --timeout is not given.
  var defaultTimeoutSeconds: UInt64 { self == .join ? 30 : self == .ask ? 200 : 5 }
}

extension Console {
  func usageLine(_ command: Subcommand) {
    write("skynodctl [OPTION]... ")
    write(command.name)
    if command.parameters.utf8CodeUnitCount > 0 {
      write(" ")
      write(command.parameters)
    }
  }

  func help(_ command: Subcommand) {
    write("usage: ")
    usageLine(command)
    write("\n\n")
    let summary = command.summary
    write(summary)
    write(".\n")
    write(command.details)
    write("\n")
    optionHelp()
  }

  func help() {
    write("usage: skynodctl [OPTION]... COMMAND [ARGUMENT]...\n\nTalks to the node's daemon, skynod.\n\nCommands:\n")
    for raw in 0..<Subcommand.count {
      guard let command = Subcommand(rawValue: raw) else { continue }
      write("  ")
      write(command.name, width: 10)
      write(command.summary)
      write("\n")
    }
    write("\n")
    optionHelp()
    write(
      """

      Exit status: 0, or the number of the error (docs/control.md): 64 the command line is not
      understood, 69 the daemon does not answer.
      `skynodctl COMMAND --help` says more about one command.

      """)
  }

  private func optionHelp() {
    write(
      """
      Options:
        --json          print replies as JSON, one object a line
        --socket PATH   the control socket (default /run/skynod/control.sock, or $SKYNOD_SOCKET)
        --timeout S     seconds to wait for an answer (default 5, join 30, ask 200)
        --help          this text
        --version       this program's version

      """)
  }
}
