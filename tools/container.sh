# Sourced by system tests: a real systemd as PID 1 of a container, for what only systemd can show. Needs root.
# The root file system is a minimal Debian, made once and kept in .sdk/nspawn; a container writes to memory
# only. It has a network of its own with nothing but loopback.
#
#   container_root              makes the root when it is missing or its package list has changed
#   container_boot [OPTION...]  boots it; OPTIONs go to systemd-nspawn
#   inside COMMAND...           runs a command in it, as root
#   container_end               ends it and waits; nothing is left behind
#
# Needs `die` (tools/swarm.sh).

. tools/debian.sh

container_suite=trixie
# What skyhub links to, beside systemd itself.
container_packages=(systemd-sysv libsqlite3-0 libstdc++6)
container_pid=
container_supervisor=

container_root() {
  local arch key try suite
  arch=$(dpkg --print-architecture)
  key="$container_suite $arch ${container_packages[*]}"
  container_tree=$PWD/.sdk/nspawn/root
  if [ "$(cat .sdk/nspawn/complete 2>/dev/null || true)" = "$key" ]; then return; fi
  echo "# making the container's root file system in .sdk/nspawn (once)" >&2
  rm -rf .sdk/nspawn
  mkdir -p .sdk/nspawn
  # A mirror in the middle of a sync may serve one name of the release only.
  for try in 1 2 3; do
    for suite in "$container_suite" stable; do
      rm -rf "$container_tree"
      if mmdebstrap --quiet --variant=essential --architectures="$arch" --include="$(IFS=,; echo "${container_packages[*]}")" \
          "$suite" "$container_tree" "deb [signed-by=$keyring] $(mirror) $suite main" 2> .sdk/nspawn/errors &&
        grep -q "VERSION_CODENAME=$container_suite" "$container_tree/etc/os-release"; then
        rm -f .sdk/nspawn/errors
        echo "$key" > .sdk/nspawn/complete
        return
      fi
    done
    sleep $((try * 2))
  done
  cat .sdk/nspawn/errors >&2
  die "the container's root file system could not be made"
}

# Runs systemd-nspawn in a control group of its own and removes that when it has ended. On a machine without
# systemd there may be no cgroup2 tree at the usual place: then one is put there, for this process alone.
container_supervise() {
  local group tree=$1; shift
  local nspawn=(systemd-nspawn --quiet --register=no --keep-unit --directory="$tree" --volatile=overlay
    --private-network --boot --console=pipe "$@")
  if [ -d /run/systemd/system ]; then
    exec systemd-run --quiet --scope --property=Delegate=yes "${nspawn[@]}"
  fi
  mount --make-rprivate /
  if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
  fi
  group=/sys/fs/cgroup/skynod-test-$$
  mkdir "$group"
  # The test decides when the container ends: a Ctrl-C at the terminal reaches it, and it ends the container.
  trap '' INT TERM
  (echo "$BASHPID" > "$group/cgroup.procs"; exec "${nspawn[@]}") || true
  local try
  for try in $(seq 50); do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && return
    sleep 0.1
  done
}

container_boot() {
  local child try
  export -f container_supervise
  unshare --mount bash -c 'container_supervise "$@"' container "$container_tree" "$@" < /dev/null > "$data/console.log" 2>&1 &
  container_supervisor=$!
  for try in $(seq 100); do
    container_pid=$(container_init "$container_supervisor")
    [ -z "$container_pid" ] || break
    kill -0 "$container_supervisor" 2>/dev/null || break
    sleep 0.1
  done
  if [ -z "$container_pid" ]; then
    cat "$data/console.log" >&2
    die "the container did not start"
  fi
  for try in $(seq 300); do
    case "$(inside systemctl is-system-running 2>/dev/null || true)" in running|degraded) return ;; esac
    sleep 0.1
  done
  tail -n 20 "$data/console.log" >&2
  die "systemd did not come up in the container"
}

# The process among the descendants of PID that is number 1 of a namespace of its own.
container_init() {
  local child
  for child in $(pgrep -P "$1" || true); do
    if awk '/^NSpid:/ && NF > 2 && $NF == 1 { found = 1 } END { exit !found }' "/proc/$child/status" 2>/dev/null; then
      echo "$child"
      return
    fi
    container_init "$child"
  done
}

inside() {
  nsenter --target "$container_pid" --mount --uts --ipc --net --pid -- \
    env -i PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0 "$@"
}

container_end() {
  if [ -n "$container_pid" ]; then kill -KILL "$container_pid" 2>/dev/null || true; fi
  if [ -n "$container_supervisor" ]; then wait "$container_supervisor" 2>/dev/null || true; fi
  container_pid=
  container_supervisor=
}
