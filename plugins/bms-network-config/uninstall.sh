#!/bin/sh
# Takes away what install.sh put here. DESTDIR is another root than this machine's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$here")
root=${DESTDIR:-}
[ ! -f "$here/prerm" ] || DPKG_ROOT=$root sh "$here/prerm" remove
(cd "$here/files" && find . -type f) | while IFS= read -r file; do
	rm -f "$root/$file"
	rmdir -p --ignore-fail-on-non-empty "$(dirname "$root/$file")" 2>/dev/null || true
done
rm -f "$root/usr/lib/ingot/plugins/$name"
[ ! -f "$here/postrm" ] || DPKG_ROOT=$root sh "$here/postrm" remove
