#!/bin/sh
# Become a container of the hub without an engine: in new namespaces of mounts and processes, with the files of the image
# at /srv/hub, everything read-only but var and /tmp, the user of the image, and no capability. Then run the command.
# $1 image, $2 volume, $3 environment with the packages, $4 the interpreter's own folder; then the command.
set -eu
umask 022
mount -t tmpfs -o mode=755 tmpfs /opt
for number in 1 2 3 4; do
  mkdir /opt/$number && mount --bind "$1" /opt/$number
  case $number in 3) packages=$1 ;; 4) python=$1 ;; esac
  shift
done
mount -t tmpfs -o mode=755 tmpfs /srv
mkdir /srv/hub && mount --move /opt/1 /srv/hub && mount --move /opt/2 /srv/hub/var
ln -s "$packages" /opt/hub
mount -t tmpfs -o mode=1777,size=256m tmpfs /tmp

# Both may be where another user cannot enter, as in the home of root: they alone are then seen there.
restore() {
  folder=
  for part in $(echo "$2" | tr / ' '); do
    folder=$folder/$part
    if [ -d "$folder" ] && ! setpriv --reuid 10001 --regid 10001 --clear-groups test -x "$folder"; then
      mount -t tmpfs -o mode=755 tmpfs "$folder"
    fi
  done
  mkdir -p "$2" && mount --bind "$1" "$2"
}
restore /opt/3 "$packages"
restore /opt/4 "$python"

for folder in /srv/hub /srv /opt /; do mount -o remount,bind,ro "$folder"; done
cd /srv/hub
exec setpriv --reuid 10001 --regid 10001 --clear-groups --bounding-set -all --inh-caps -all --no-new-privs "$@"
