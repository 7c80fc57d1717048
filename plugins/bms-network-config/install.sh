#!/bin/sh
# Installs this plug-in where no .deb can be: install.sh [--files]. DESTDIR is another root than this machine's;
# --files leaves out what has to run afterwards (units, initramfs).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$here")
root=${DESTDIR:-}
(cd "$here/files" && find . -type f) | while IFS= read -r file; do
	mode=644
	[ ! -x "$here/files/$file" ] || mode=755
	install -D -m "$mode" "$here/files/$file" "$root/$file"
done
install -d -m 755 "$root/usr/lib/ingot/plugins"
install -m 644 "$here/VERSION" "$root/usr/lib/ingot/plugins/$name"
[ "${1:-}" = --files ] || [ ! -f "$here/postinst" ] || DPKG_ROOT=$root sh "$here/postinst" configure
