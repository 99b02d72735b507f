# Completion of skynod-infer for bash.
_skynod_infer() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  case $before in
    --model|--socket) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --kernels) mapfile -t COMPREPLY < <(compgen -W "avx512 avx2 dotprod neon portable" -- "$word"); return ;;
    --threads) mapfile -t COMPREPLY < <(compgen -W "1 2 3 4" -- "$word"); return ;;
    --prompt|--system|--reference|--tokens|--temperature|--top-p|--top-k|--seed|--stop|--context|--idle) return ;;
  esac
  local words="--model --prompt --system --reference --raw --tokens --temperature --top-p --top-k --seed --stop --context
    --threads --kernels --figures --socket --idle --version --help"
  [ "$COMP_CWORD" = 1 ] && words="generate embed info serve $words"
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _skynod_infer skynod-infer
