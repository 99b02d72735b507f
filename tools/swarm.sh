# shellcheck shell=bash disable=SC2034 # what is set here is for the script that sources it
# Sourced by tools/demo and Tests/System: a hub and nodes on loopback, in a temporary folder that goes
# away with them. Run from the top of the repository, with `set -euo pipefail`.
#
#   swarm_begin [BOARD]        makes $data; the node programs are those of BOARD (this machine's by default)
#   use_board BOARD            from here on the node programs are those of BOARD, with its emulator if need be
#   start_hub [NAME]           a hub with its data in $data/NAME (hub), on $port of 127.0.0.1, with ${hub_options[@]}
#   name_hubs N...             makes keys and ports of the hubs $data/hubN, which are to be each other's fellows
#   start_fellow N             starts one of them, as number N, at its port
#   start_node NAME [OPT...]   a node with its own configuration (lines in $node_settings are appended)
#   ticket [OPTION...]         a join ticket of the hub
#   on NAME COMMAND...         skynodctl for node NAME
#   wait_for WHAT COMMAND...   up to $patience tenths of a second; shows the logs and ends the script after that
#   stop_process PID           ends one process that was started here and waits for it

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
die() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }

host_board() {
  case "$(uname -m)" in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "the hub needs a 64-bit machine (x86-64 or arm64), this is $(uname -m)" ;;
  esac
}

pids=()
declare -A pid_of=()
node_settings=
hub_options=()
patience=200

# Whether the processor that a board's programs run on here has what libsodium wants for AES. The emulated arm64 has it.
has_aes() { # has_aes BOARD
  local flags='aes|avx|pclmulqdq'
  case "$1:$(host_board)" in
    amd64:amd64) [ "$(grep -m 1 -E '^flags' /proc/cpuinfo | grep -owE "$flags" | sort -u | wc -l)" = 3 ] ;;
    arm64:arm64) grep -qw aes /proc/cpuinfo ;;
    arm64:*) true ;;
    *) false ;;
  esac
}

use_board() {
  node=out/$1/skynod
  ctl=out/$1/skynodctl
  probe=out/$1/test/skyprobe
  # Emulators are called by name: binfmt_misc need not be set up.
  runner=()
  [ "$1" != "$(host_board)" ] || return 0
  case "$1" in
    amd64) runner=(qemu-x86_64-static) ;;
    arm64) runner=(qemu-aarch64-static) ;;
    armhf) runner=(qemu-arm-static) ;;
    *) die "no such board: $1" ;;
  esac
  # Debian 13 calls them without the ending.
  command -v "${runner[0]}" >/dev/null || runner=("${runner[0]%-static}")
  command -v "${runner[0]}" >/dev/null || die "no ${runner[0]}; run tools/setup"
}

swarm_begin() {
  hub=out/host/skyhub
  use_board "${1:-$(host_board)}"
  data=$(mktemp -d "${TMPDIR:-/tmp}/skynod-${0##*/}.XXXXXX")
  trap swarm_end EXIT
  trap 'exit 130' INT TERM
}

swarm_end() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid" 2>/dev/null || true; done
  [ -n "${keep-}" ] || rm -rf "$data"
}

stop_process() {
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

wait_for() {
  local what=$1; shift
  for _ in $(seq "$patience"); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  tail -n 20 "$data"/*.log >&2 || true
  die "$what did not happen within $((patience / 10)) s; the logs are above"
}

start_hub() {
  local name=${1:-hub}
  port=${port:-$(free_port)}
  "$hub" serve --data "$data/$name" --listen "127.0.0.1:$port" --advertise "127.0.0.1:$port" \
    ${hub_options[@]+"${hub_options[@]}"} >>"$data/$name.log" 2>&1 &
  pids+=($!)
  pid_of[$name]=$!
  wait_for "the hub's start" "$hub" status --data "$data/$name"
}

declare -A port_of=() fellow_of=()
# Keys are made before the first start, so that each can be told of the others.
name_hubs() {
  local n words
  for n; do
    port_of[$n]=$(free_port)
    words=$("$hub" id --json --data "$data/hub$n")
    fellow_of[$n]=NOD$n@127.0.0.1:${port_of[$n]},$(json_value pin <<<"$words"),$(json_value key <<<"$words")
  done
}
fellow_options() { # fellow_options N: what hub N is told of itself and the others, a word a line
  local n
  printf '%s\n' --hub-id "$1"
  for n in "${!fellow_of[@]}"; do [ "$n" = "$1" ] || printf '%s\n' --fellow "${fellow_of[$n]}"; done
}
start_fellow() {
  port=${port_of[$1]}
  mapfile -t hub_options < <(fellow_options "$1")
  start_hub "hub$1"
  hub_options=()
}

start_node() {
  local name=$1; shift
  mkdir -p "$data/$name"
  cat > "$data/$name/skynod.conf" <<EOF
state_directory = $data/$name/state
control_socket = $data/$name/control.sock
$node_settings
EOF
  ${runner[@]+"${runner[@]}"} "$node" --config "$data/$name/skynod.conf" "$@" >>"$data/$name.log" 2>&1 &
  pids+=($!)
  pid_of[$name]=$!
  wait_for "the start of node $name" on "$name" version
}

ticket() { "$hub" token --data "$data/hub" --uses 1 --expires 1h --ticket-only "$@"; }
on() { local name=$1; shift; ${runner[@]+"${runner[@]}"} "$ctl" --socket "$data/$name/control.sock" "$@"; }
is_online() { on "$1" status | grep -qw online; }
json_value() { /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
