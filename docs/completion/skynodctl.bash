# bash completion for skynodctl(1). Install as /usr/share/bash-completion/completions/skynodctl.

_skynodctl() {
  local commands="status id join send inbox watch mode peers metrics reload drain version top help encode decode lookup translate dict relay update ask learn forget knowledge vote keys"
  local kinds="state link key heartbeat message delivery duty clock configuration dictionary leaf system"
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= i
  COMPREPLY=()
  case $before in
    --socket | --file | --save) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --timeout | --ttl | --from | --name) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --socket | --timeout | --file | --save | --ttl | --from | --name) ((i++)) ;;
      -*) ;;
      *) command=${COMP_WORDS[i]}; break ;;
    esac
  done
  local choices="--json --socket --timeout --help --version"
  case $command in
    '') choices+=" $commands" ;;
    send) choices+=" --stdin --file --name --from --durable --urgent --ttl --wait HUB" ;;
    inbox) choices+=" --ack --follow --save ack"; [[ $before == ack ]] && choices="all" ;;
    watch) choices+=" $kinds" ;;
    mode)
      case $before in
        heartbeat | relay | compute) choices="on off" ;;
        *) choices+=" heartbeat relay compute" ;;
      esac
      ;;
    encode) choices+=" --compact --stdin --file" ;;
    decode) choices+=" --stdin --file" ;;
    dict) choices+=" status update" ;;
    update) choices+=" status check apply rollback restart" ;;
    relay) choices+=" ticket" ;;
    ask) choices+=" --free --explain --local --upstream" ;;
    keys) choices+=" forget all" ;;
    vote) choices+=" good bad" ;;
    learn) choices+=" --pin --ttl" ;;
    knowledge)
      [[ $before == import ]] && { mapfile -t COMPREPLY < <(compgen -f -- "$word"); return; }
      choices+=" status import export"
      ;;
    help) choices=$commands ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}
complete -F _skynodctl skynodctl
