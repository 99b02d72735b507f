# shellcheck shell=bash disable=SC2154 # variables of images/build and of the board's manifest
# Sourced by images/build: the root file system.

# No dbus and no logind: nobody logs in. util-linux has partx and fsck.
root_packages=(systemd-sysv udev base-files base-passwd busybox-static mount util-linux kmod e2fsprogs dash fdisk
  systemd-timesyncd)

# What nobody reads on a board. Copyright files stay: they are what Debian's licences ask for.
prune() { # prune ROOT
  local root=$1 library=$1/usr/lib/$multiarch
  find "$root/usr/share/doc" -mindepth 2 ! -type d ! -name copyright ! -path '*/licences/*' ! -name NOTICE -delete
  find "$root/usr/share/doc" -xtype l -delete
  find "$root/usr/share/doc" -type d -empty -delete
  rm -rf "$root"/usr/share/{man,info,locale,lintian,bug,bash-completion,zsh,fish,doc-base,debconf,perl5,menu,polkit-1,mime,pam,pam-configs,initramfs-tools,readline}
  rm -rf "$root"/usr/share/{dbus-1,systemd,util-linux} "$root"/usr/games
  rm -rf "$root"/usr/lib/{kernel,pcrlock.d,dracut,mime,init,sysusers.d/dbus.conf,terminfo,valgrind} "$root"/usr/lib/systemd/{catalog,boot,user,ntp-units.d}
  # These want to write to /etc and /srv, which are read-only.
  rm -f "$root"/usr/lib/tmpfiles.d/{etc,credstore,provision,home,debian,20-systemd-shell-extra,20-systemd-ssh-generator}.conf
  rm -rf "$root"/usr/lib/udev/hwdb.d "$root"/usr/lib/udev/hwdb.bin
  rm -rf "$root"/etc/{cron.daily,cron.d,init.d,default,alternatives,apparmor.d,apt,dpkg,logcheck,initramfs-tools,pam.d,ssh,xdg,kernel,update-motd.d,skel}
  rm -rf "$root"/etc/rc?.d "$root"/var/{lib,cache,log}/* "$root"/boot
  rm -rf "$library"/{gconv,ossl-modules,engines-3,security,e2fsprogs} "$library"/lib{mvec,nsl,nss_compat,nss_hesiod,db-5}*
  rm -f "$library"/libssl.so* "$library"/libc_malloc_debug.so* "$library"/libthread_db.so* "$library"/libpcprofile.so
  # Programs of these packages that an appliance has no use for.
  ( cd "$root/usr/bin" && rm -f debconf* systemd-{analyze,cryptenroll,ac-power,stdio-bridge,sysext,confext,creds,hwdb,dissect,repart,vpick} \
      bootctl hostnamectl localectl loginctl timedatectl kernel-install portablectl oomctl varlinkctl chsh chfn chage expiry gpasswd \
      faillog lastlog passwd newgrp sg localedef iconv gencat getconf ldd zdump pldd sprof tzselect catchsegv perl* lsattr chattr 2>/dev/null ) || true
  ( cd "$root/usr/lib/systemd" && rm -f systemd-{hostnamed,localed,logind,timedated,homed,userdbd,userwork,cryptsetup,veritysetup,integritysetup,measure,pcrextend,pcrlock,tpm2-setup,storagetm,bsod,pstore,backlight,rfkill,battery-check,hibernate-resume,sleep,initctl,ssh-proxy,ssh-issue,user-runtime-dir,user-sessions,quotacheck} )
  rm -rf "$root"/usr/lib/systemd/system-generators/systemd-{getty,gpt-auto,hibernate-resume,rc-local,ssh,system-update,sysv,tpm2,cryptsetup,veritysetup,integritysetup}-generator
}

# Every library that a program or a library names must be there: pruning is checked, not trusted.
check_libraries() { # check_libraries ROOT
  local root=$1 file name missing=0
  while read -r file; do
    for name in $(readelf -d "$file" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p'); do
      find "$root/usr/lib" -name "$name" | grep -q . && continue
      echo "images/build: ${file#"$root"} needs $name, which is not in the image" >&2
      missing=1
    done
  done < <(find "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" -type f \( -perm -u+x -o -name '*.so*' \) ! -path '*/modules/*')
  [ "$missing" = 0 ] || die "the root file system is incomplete (images/root.sh, prune)"
}

users() { # users ROOT
  local root=$1
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  : > "$root/etc/shadow"
  : > "$root/etc/gshadow"
  # "u!" (an account that is locked in every way) is newer than Debian 12's systemd-sysusers. Here all are locked below.
  sed -i 's/^\([a-z]\)!/\1/' "$root"/usr/lib/sysusers.d/*.conf
  systemd-sysusers --root="$root" 2>/dev/null
  sed -i 's#^root:[^:]*:\(.*\):[^:]*$#root:*:\1:/bin/sh#' "$root/etc/passwd"
  # No password anywhere: an account is locked.
  awk -F: '{ print $1 ":*:1::::::" }' "$root/etc/passwd" > "$root/etc/shadow"
  rm -f "$root"/etc/{passwd,group,shadow,gshadow}- "$root"/etc/.pwd.lock
  local name
  for name in skynod systemd-network systemd-timesync systemd-journal; do
    grep -q "^$name:" "$root/etc/group" || die "systemd-sysusers made no group $name"
  done
}

wants() { # wants ROOT TARGET UNIT...: as "systemctl enable" would
  local root=$1 target=$2 unit; shift 2
  mkdir -p "$root/etc/systemd/system/$target.wants"
  for unit; do
    [ -e "$root/etc/systemd/system/$unit" ] || [ -e "$root/usr/lib/systemd/system/$unit" ] || die "no unit $unit to enable"
    ln -sf "../$unit" "$root/etc/systemd/system/$target.wants/$unit"
    [ -e "$root/etc/systemd/system/$unit" ] || ln -sf "/usr/lib/systemd/system/$unit" "$root/etc/systemd/system/$target.wants/$unit"
  done
}

units() { # units ROOT
  local root=$1 unit
  for unit in systemd-hwdb-update systemd-update-done ldconfig systemd-journal-catalog-update systemd-firstboot systemd-sysusers \
      systemd-machine-id-commit systemd-logind systemd-user-sessions getty-static systemd-binfmt systemd-pcrmachine \
      systemd-boot-random-seed systemd-networkd-persistent-storage systemd-networkd-wait-online systemd-network-generator getty@tty1 fstrim e2scrub_reap; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
  done
  for unit in fstrim.timer e2scrub_all.timer; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
  rm -f "$root"/etc/systemd/system/getty.target.wants/*
  wants "$root" multi-user.target systemd-networkd.service skynod.service skynod-console.service skynod-configure.service skynod-errors-last.service \
    skynod-update-confirm.service
  wants "$root" sockets.target systemd-networkd.socket skynod.socket skynod-update.socket
  wants "$root" sysinit.target systemd-timesyncd.service skynod-data.service
  wants "$root" timers.target skynod-errors.timer
  wants "$root" paths.target skynod-resolv.path skynod-infer.path
  ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
  mkdir -p "$root/etc/systemd/system.conf.d"
  cat > "$root/etc/systemd/system.conf.d/skynod.conf" <<CONF
# The board's watchdog resets it when the kernel or PID 1 hangs; it also bounds a shutdown.
[Manager]
RuntimeWatchdogSec=$watchdog_s
RebootWatchdogSec=2min
DefaultTimeoutStopSec=20s
CONF
}

# A way in, for those who ask for one.
ways_in() { # ways_in ROOT
  local root=$1
  if [ -n "$console_shell" ]; then
    cat > "$root/etc/systemd/system/console-shell.service" <<'CONF'
[Unit]
Description=A root shell on the console (built with --console)
After=skynod-console.service

[Service]
ExecStart=-/bin/sh -l
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
TTYReset=yes
WorkingDirectory=/
Environment=HOME=/root TERM=linux
Restart=always
CONF
    wants "$root" multi-user.target console-shell.service
  fi
  [ -n "$ssh_key" ] || return 0
  mkdir -p "$root/root/.ssh"
  chmod 700 "$root/root/.ssh"
  install -m 600 "$ssh_key" "$root/root/.ssh/authorized_keys"
  echo /bin/sh > "$root/etc/shells"
  cat > "$root/etc/systemd/system/dropbear.service" <<'CONF'
[Unit]
Description=SSH, with a key only (built with --ssh)
Requires=skynod-data.service
After=skynod-data.service network.target

[Service]
ExecStartPre=/bin/mkdir -p /data/ssh
ExecStart=/usr/sbin/dropbear -F -E -R -s -r /data/ssh/host_ed25519
ExecStartPre=/bin/sh -c '[ -s /data/ssh/host_ed25519 ] || dropbearkey -t ed25519 -f /data/ssh/host_ed25519'
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
CONF
  wants "$root" multi-user.target dropbear.service
}

make_root() { # make_root ROOT: all but the kernel's modules
  local root=$1 applet
  cp -a "$base/tree" "$root"
  chmod -R u+w "$root"
  chmod 700 "$root/root"
  # Nobody logs in, so nothing needs to be more than who called it.
  find "$root" -type f -perm /6000 -exec chmod a-s {} +
  for deb in "$work"/packages/skynod{,-infer}_*_"$arch".deb "$work"/packages/skynod-dictionary_*_all.deb; do
    dpkg-deb --extract "$deb" "$work/ours"
  done
  # Debian 12's debhelper still puts units into /lib, which is a link here.
  if [ -d "$work/ours/lib" ]; then cp -a "$work/ours/lib/." "$work/ours/usr/lib/"; rm -r "$work/ours/lib"; fi
  cp -a "$work/ours/." "$root/"
  users "$root"
  prune "$root"
  mv "$root/etc/skynod/skynod.conf" "$root/usr/share/skynod/skynod.conf"
  rmdir "$root/etc/skynod"
  ln -s /data/config "$root/etc/skynod"
  cp -r images/root/. "$root/"
  : > "$root/etc/machine-id"
  ln -sf /proc/self/mounts "$root/etc/mtab"
  ln -sf /run/skynod-image/resolv.conf "$root/etc/resolv.conf"
  [ -e "$root/usr/bin/sh" ] || ln -s dash "$root/usr/bin/sh"
  for applet in $("${emulator[@]}" "$root/usr/bin/busybox" --list); do
    [ -e "$root/usr/bin/$applet" ] || [ -e "$root/usr/sbin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
  done
  install -m 755 "out/$arch/skynod-update" "$root/usr/sbin/skynod-update"
  install -m 644 systemd/skynod-update.socket systemd/skynod-update@.service "$root/usr/lib/systemd/system/"
  echo "$board" > "$root/usr/lib/skynod/board"
  [ -z "$update_key" ] || install -m 644 "$update_key" "$root/usr/lib/skynod/update.key"
  mkdir -p "$root"/{data,proc,sys,dev,run,tmp,var,root,etc/modules-load.d}
  printf '%s\n' $modules_load > "$root/etc/modules-load.d/skynod.conf"
  units "$root"
  ways_in "$root"
  { echo "IMAGE_ID=skynod-$board"; echo "IMAGE_VERSION=$version"; } >> "$root/usr/lib/os-release"
  check_libraries "$root"
}
