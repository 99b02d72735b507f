# shellcheck shell=bash disable=SC2154 # variables of images/build and of the board's manifest
# Sourced by images/build: kernel, modules, initrd.

# For every board: file systems of the image and their checksums, what the FAT partition's names need, entropy.
common_modules="fs/ext4/ fs/fat/ fs/nls/nls_cp437 fs/nls/nls_ascii fs/nls/nls_utf8 fs/nls/nls_iso8859-1 fs/squashfs/
  fs/autofs/ drivers/char/hw_random/ crypto/crc32c arch/x86/crypto/crc32c arch/arm64/crypto/crc32 arch/arm/crypto/crc32"

# The modules below the given paths, and all that these depend on: lines of modules.dep are complete.
closure() { # closure MODULES_DEP PATH...
  local dep=$1; shift
  awk -F: -v wanted="$*" '
    BEGIN { count = split(wanted, path, /[ \n]+/) }
    { name = $1
      for (i = 1; i <= count; i++) if (path[i] != "" && index(name, "kernel/" path[i]) == 1) {
        print name; n = split($2, other, " "); for (j = 1; j <= n; j++) print other[j]; break } }' "$dep" | LC_ALL=C sort -u
}

install_modules() { # install_modules ROOT
  local root=$1 path
  local from=$kernel_tree/usr/lib/modules/$release to=$root/usr/lib/modules/$release
  [ -f "$from/modules.dep" ] || depmod -b "$kernel_tree/usr" "$release"
  mkdir -p "$to"
  cp "$from"/modules.{builtin,builtin.modinfo,order} "$to/"
  # shellcheck disable=SC2086 # lists of paths
  closure "$from/modules.dep" $common_modules $modules | while read -r path; do
    mkdir -p "$to/${path%/*}"
    cp "$from/$path" "$to/$path"
  done
  depmod -b "$root/usr" "$release"
  rm -f "$to"/modules.{dep,alias,symbols} "$to"/modules.builtin{,.modinfo,.alias.bin} "$to"/modules.order
  [ -s "$to/modules.dep.bin" ] || die "depmod left no index of the modules"
}

# The given modules and what they depend on, in the order in which they have to be loaded. A kernel has some of them
# built in.
load_order() { # load_order MODULES_DEP NAME...
  local dep=$1; shift
  awk -F: -v wanted="$*" '
    { name = $1; sub(/.*\//, "", name); sub(/\.ko.*/, "", name); gsub(/-/, "_", name); path[name] = $1; needs[name] = $2 }
    function once(file) { if (file != "" && !(file in done)) { done[file] = 1; print file } }
    END {
      count = split(wanted, first, /[ \n]+/)
      for (i = 1; i <= count; i++) {
        gsub(/-/, "_", first[i])
        n = split(needs[first[i]], other, " ")
        for (j = n; j >= 1; j--) once(other[j])
        once(path[first[i]])
      } }' "$dep"
}

# Tells the initrd whether a slot wants another kernel than the one that runs.
kernel_id() { sha256sum < "$kernel_tree/boot/vmlinuz-$release" | cut -d ' ' -f 1; }

make_initrd() { # make_initrd ROOT FILE
  local root=$1 file=$2 path name tree=$work/initrd
  local from=$kernel_tree/usr/lib/modules/$release
  mkdir -p "$tree"/{bin,dev,proc,sys,modules}
  cp "$root/usr/bin/busybox" "$tree/bin/"
  install -m 755 images/init "$tree/init"
  ln -s busybox "$tree/bin/sh"
  install -m 755 "out/$arch/skynod-update" "$tree/bin/skynod-update"
  kernel_id > "$tree/kernel"
  # shellcheck disable=SC2086 # a list of names
  load_order "$from/modules.dep" $initrd_modules squashfs | while read -r path; do
    name=$(basename "$path"); name=${name%.xz}
    case "$path" in
      *.xz) xz -dc "$from/$path" > "$tree/modules/$name" ;;
      *) cp "$from/$path" "$tree/modules/$name" ;;
    esac
    echo "$name"
  done > "$work/order"
  mv "$work/order" "$tree/modules/order"
  grep -q '^squashfs.ko' "$tree/modules/order" || [ "$(grep -c squashfs "$from/modules.builtin")" -gt 0 ] ||
    die "the kernel $release has no squashfs"
  find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  ( cd "$tree" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible ) | zstd -q -19 -T1 > "$file"
}
