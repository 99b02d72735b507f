# Sourced by tools/setup, tools/container.sh, images/build and tools/boot-test: where this machine gets Debian's packages from.
# Needs a function `die MESSAGE`.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The Debian mirror of this machine's own apt configuration.
mirror() {
  local found
  found=$(awk '/^URIs:/ && $2 ~ /\/debian\/?$/ {print $2; exit}' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
  [ -n "$found" ] || found=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /\/debian\/?$/) { print $i; exit } }' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true)
  [ -n "$found" ] || die "no Debian mirror found in /etc/apt; add one to sources.list and run this again."
  echo "$found"
}

# Debian packages with all they depend on, unpacked side by side; nothing is installed, no root rights are needed.
#
#   debian_tree DIR ARCH SUITE "SECTIONS" PACKAGE...
#
# leaves DIR/tree and DIR/packages (one line each: name, version, SHA-256 of the file). What is there already for the
# same arguments is kept: remove DIR to fetch newer versions.
debian_tree() {
  local dir=$1 arch=$2 suite=$3 sections=$4; shift 4
  local wanted="$arch $suite $sections $*" abs try=0 name deb
  [ "$(cat "$dir/complete" 2>/dev/null || true)" != "$wanted" ] || return 0
  echo "# fetching $arch: $*" >&2
  rm -rf "$dir"; mkdir -p "$dir"/apt/{lists/partial,archives/partial}
  abs=$(realpath "$dir")
  cat > "$dir/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$abs/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$abs/apt/lists";
Dir::State::status "/dev/null";
Dir::Cache "$abs/apt";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
  # As in tools/setup: a mirror in the middle of a sync may serve one of a release's two names only.
  for name in "$suite" stable "$suite" stable; do
    try=$((try + 1))
    rm -rf "$dir"/apt/lists; mkdir -p "$dir/apt/lists/partial"
    echo "deb [signed-by=$keyring] $(mirror) $name $sections" > "$dir/apt/sources.list"
    if ( export APT_CONFIG=$abs/apt/apt.conf
         apt-get update -qq && apt-get install -y -qq --download-only -o "APT::Default-Release=n=$suite" "$@" ) > "$dir/apt/errors" 2>&1
    then break; fi
    if [ "$try" = 4 ]; then cat "$dir/apt/errors" >&2; die "the Debian mirror did not give $*; try again in an hour."; fi
    sleep $((try * 2))
  done
  for deb in "$dir"/apt/archives/*.deb; do
    dpkg-deb --extract "$deb" "$dir/tree"
    # shellcheck disable=SC2016 # dpkg-deb's own variables
    echo "$(dpkg-deb --show --showformat='${Package} ${Version}' "$deb") $(sha256sum < "$deb" | cut -d' ' -f1)"
  done | LC_ALL=C sort > "$dir/packages"
  # Whoever builds from it next may be somebody else.
  chmod -R a+rX "$dir/tree"
  rm -rf "$dir/apt"
  echo "$wanted" > "$dir/complete"
}
