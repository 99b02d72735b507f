# shellcheck shell=bash disable=SC2154 # variables of images/build and of the board's manifest
# Sourced by images/build: boot loaders, file systems, the partition table. Nothing here needs a loop device or root.
#
#   0 to 16 MiB   partition table, U-Boot of boards that want it there; at 14 and 15 MiB the state of the slots
#   1             FAT "SKYNOD": boot loader, kernel, initrd; the owner's files are dropped here
#   2, 3          slots a and b, squashfs, read-only: the root file system, and room for the next one
#   4             ext4 "skynod-data": all that is ever written; the first start lets it grow to the disk's end

first_mib=16
data_mib=32
# A root file system, with its kernel, of about twice today's size.
slot_mib=96

# 16 bytes that depend on the image's content and on WHAT only, as a UUID.
uuid() { # uuid WHAT
  printf '%s %s' "$signature" "$1" | sha256sum | sed 's/^\(........\)\(....\).\(...\).\(...\)\(............\).*/\1-\2-4\3-8\4-\5/'
}

command_line() {
  echo "skynod.disk=$signature $console quiet panic=10 fsck.repair=yes systemd.gpt_auto=no"
}

put() { # put FILE NAME: into what becomes the FAT partition
  mkdir -p "$fat/$(dirname "$2")"
  cp "$1" "$fat/$2"
}
put_device_trees() {
  local tree
  for tree in $device_trees; do
    put "$kernel_tree/usr/lib/linux-image-$release/$tree" "$1/${tree##*/}"
  done
}

loader_systemd-boot() {
  local name
  case "$arch" in
    amd64) name=x64 ;;
    arm64) name=aa64 ;;
    *) die "systemd-boot is not there for $arch" ;;
  esac
  put "$kernel_tree/usr/lib/systemd/boot/efi/systemd-boot$name.efi" "EFI/BOOT/BOOT${name^^}.EFI"
  mkdir -p "$fat/loader/entries"
  printf 'timeout 0\ndefault skynod.conf\neditor no\n' > "$fat/loader/loader.conf"
  printf 'title SkyNOD %s\nlinux /vmlinuz\ninitrd /initrd\noptions %s\n' "$version" "$(command_line)" > "$fat/loader/entries/skynod.conf"
}
# The loader's own files come when the file system is there (install_syslinux).
loader_syslinux() {
  mkdir -p "$fat/syslinux"
  printf 'DEFAULT skynod\nPROMPT 0\nTIMEOUT 0\nLABEL skynod\n LINUX /vmlinuz\n INITRD /initrd\n APPEND %s\n' "$(command_line)" \
    > "$fat/syslinux/syslinux.cfg"
}
loader_extlinux() {
  mkdir -p "$fat/extlinux"
  { printf 'DEFAULT skynod\nTIMEOUT 0\nPROMPT 0\nLABEL skynod\n  LINUX /vmlinuz\n  INITRD /initrd\n'
    [ -z "$device_trees" ] || printf '  FDT /dtb/%s\n' "$(basename "$device_trees")"
    printf '  APPEND %s\n' "$(command_line)"; } > "$fat/extlinux/extlinux.conf"
  put_device_trees dtb
}
loader_uboot() { :; }
loader_raspi() {
  local file
  for file in $raspi_files; do put "$kernel_tree/usr/lib/raspi-firmware/$file" "$file"; done
  put_device_trees .
  command_line > "$fat/cmdline.txt"
  printf '%s\n' '# upstream_kernel: device trees have the names that the kernel gives them.' arm_64bit=1 upstream_kernel=1 \
    kernel=vmlinuz 'initramfs initrd followkernel' enable_uart=1 gpu_mem=16 disable_splash=1 > "$fat/config.txt"
}

# Debian's syslinux of the unpacked tree, with that tree's own libraries.
install_syslinux() { # install_syslinux FAT_IMAGE
  local tree=$kernel_tree
  local run=("$tree/usr/lib64/ld-linux-x86-64.so.2" --library-path "$tree/usr/lib/x86_64-linux-gnu")
  [ "$(dpkg --print-architecture)" = amd64 ] || run=(qemu-x86_64-static "${run[@]}")
  "${run[@]}" "$tree/usr/bin/syslinux" --directory /syslinux --install "$1"
}

make_fat() { # make_fat FILE
  local file=$1 loader path
  fat=$work/fat
  mkdir -p "$fat"
  put "$kernel_tree/boot/vmlinuz-$release" vmlinuz
  put "$work/initrd.zst" initrd
  put images/fat/readme.txt readme.txt
  for loader in $loaders; do "loader_$loader"; done
  find "$fat" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
  truncate -s "${fat_mib}M" "$file"
  mkfs.vfat --invariant -F 32 -s 1 -i "$signature" -n SKYNOD -h $((first_mib * 2048)) "$file" > /dev/null
  # In this order, for it is that of the directory's entries. mtools takes the time of folders from the environment.
  ( cd "$fat" && find . -mindepth 1 -type d | LC_ALL=C sort | while read -r path; do mmd -i "$file" "::${path#.}"; done
    find . -type f | LC_ALL=C sort | while read -r path; do mcopy -m -i "$file" "$path" "::${path#.}"; done )
  case " $loaders " in *" syslinux "*) install_syslinux "$file" ;; esac
}

make_data() { # make_data FILE
  local room=$data_mib
  [ -z "$model" ] || room=$((room + $(mib "$model") * 17 / 16))
  truncate -s "${room}M" "$1"
  # Group descriptors for a disk of 256 GiB are reserved, so that it can grow while it is mounted.
  E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -t ext4 -b 4096 -i 16384 -m 0 -L skynod-data -U "$(uuid data)" -J size=4 \
    -E "hash_seed=$(uuid hash),resize=67108864,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0" "$1"
  [ -n "$model" ] || return 0
  printf '%s\n' 'mkdir model' "write \"$model\" model/model.gguf" 'set_inode_field model/model.gguf mode 0100644' |
    E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH debugfs -w -f - "$1" > "$work/log" 2>&1
  debugfs -R 'cat model/model.gguf' "$1" 2> /dev/null | cmp -s - "$model" || { cat "$work/log" >&2; die "$model did not get onto the data partition"; }
}

mib() { echo $((($(stat -c %s "$1") + 1048575) / 1048576)); }

partitions() { # partitions FAT DATA: for sfdisk
  local fat=$1 data=$2 at=$first_mib
  local sizes=("$(mib "$fat")" "$slot_mib" "$slot_mib" "$(mib "$data")")
  if [ "$table" = gpt ]; then
    echo "label: gpt"
    echo "label-id: $(uuid disk)"
    local linux=0FC63DAF-8483-4772-8E79-3D69D8477DE4
    echo "start=${at}MiB, size=${sizes[0]}MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=$(uuid 1), name=boot, attrs=LegacyBIOSBootable"
    echo "size=${sizes[1]}MiB, type=$linux, uuid=$(uuid 2), name=a"
    echo "size=${sizes[2]}MiB, type=$linux, uuid=$(uuid 3), name=b"
    echo "size=${sizes[3]}MiB, type=$linux, uuid=$(uuid 4), name=data"
  else
    echo "label: dos"
    echo "start=${at}MiB, size=${sizes[0]}MiB, type=c, bootable"
    echo "size=${sizes[1]}MiB, type=83"
    echo "size=${sizes[2]}MiB, type=83"
    echo "size=${sizes[3]}MiB, type=83"
  fi
}

place() { dd if="$1" of="$2" bs=1M seek="$3" conv=notrunc,sparse status=none; } # place FILE DISK AT_MIB

make_disk() { # make_disk FILE FAT ROOT DATA
  local disk=$1 fat=$2 root=$3 data=$4 item at
  local root_at=$((first_mib + $(mib "$fat")))
  local data_at=$((root_at + 2 * slot_mib))
  [ "$(mib "$root")" -le "$slot_mib" ] || die "the root file system has $(mib "$root") MiB, a slot $slot_mib (images/disk.sh)"
  # The last MiB is for the copy of a GPT.
  truncate -s "$((data_at + $(mib "$data") + 1))M" "$disk"
  partitions "$fat" "$data" | sfdisk --quiet "$disk"
  place "$fat" "$disk" "$first_mib"
  place "$root" "$disk" "$root_at"
  place "$data" "$disk" "$data_at"
  case " $loaders " in
    *" syslinux "*) dd if="$kernel_tree/usr/lib/syslinux/mbr/gptmbr.bin" of="$disk" bs=440 count=1 conv=notrunc status=none ;;
  esac
  # By these bytes the initrd knows its disk; on an MBR they are the disk's identifier.
  printf '%b' "$(printf '%s' "$signature" | sed 's/../\\x&/g')" | dd of="$disk" bs=1 seek=440 conv=notrunc status=none
  for item in $uboot_files; do
    at=${item##*@}
    [ $((at % 512)) = 0 ] || die "$item: not at a sector's start"
    dd if="$kernel_tree/usr/lib/u-boot/${item%@*}" of="$disk" bs=512 seek=$((at / 512)) conv=notrunc status=none
  done
  "${emulator[@]}" "out/$arch/skynod-update" format "$kernel_tree/boot/vmlinuz-$release" --disk "$disk" \
    --slot-a $((root_at << 20)) --slot-b $(((root_at + slot_mib) << 20)) --slot-bytes $((slot_mib << 20)) \
    --release "$number" --name "$version" $([ "$changes_kernel" = yes ] || echo --fixed-kernel)
  sfdisk --verify --quiet "$disk"
}

# What the slots take: the same root file system, and in it the kernel that it was made for.
make_bundle() { # make_bundle ROOT INITRD FILE
  local kernel=$kernel_tree/boot/vmlinuz-$release
  mkdir -p "$work/slot/boot"
  cp "$kernel" "$work/slot/boot/vmlinuz"
  cp "$2" "$work/slot/boot/initrd"
  kernel_id > "$work/slot/boot/kernel"
  cp "$1" "$work/slot.squashfs"
  squash "$work/slot" "$work/slot.squashfs"
  out/host/skyhub bundle make --key "$bundle_key" --board "$board" --name "$version" --release "$number" --minimum "$minimum" \
    --kernel "$kernel" "$work/slot.squashfs" "$3"
}
