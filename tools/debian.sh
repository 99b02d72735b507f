# Sourced by tools/setup and tools/container.sh: where this machine gets Debian's packages from.
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
