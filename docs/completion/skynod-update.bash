# Completion of skynod-update for bash.
_skynod_update() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  case $before in
    --disk|--key|apply|check|format|start) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --running) mapfile -t COMPREPLY < <(compgen -W "a b" -- "$word"); return ;;
    --board|--name|--release|--slot-a|--slot-b|--slot-bytes) return ;;
  esac
  local words="--disk --key --board --running --json --version --help"
  [ "$COMP_CWORD" = 1 ] && words="apply check status rollback confirm choose start format $words"
  [ "${COMP_WORDS[1]}" = format ] && words="$words --slot-a --slot-b --slot-bytes --release --name --fixed-kernel"
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _skynod_update skynod-update
