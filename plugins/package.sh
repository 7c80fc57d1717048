#!/bin/sh
# Makes the plug-ins' Debian packages: plugins/package.sh OUT_DIR [NAME...] (default: all of them).
# Two runs give the same bytes: modes, owners, order and times come from nothing but the sources.
set -eu
umask 022
out=${1:?usage: package.sh OUT_DIR [NAME...]}
shift
plugins=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- $(cd "$plugins" && find . -mindepth 2 -maxdepth 2 -name control | cut -d/ -f2 | sort)
# The day of the first plug-ins; a date that no file in them is younger than on any machine.
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1795392000}"

mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
for name; do
	plugin=$plugins/$name
	root=$stage/$name
	DESTDIR=$root sh "$plugin/install.sh" --files
	install -d -m 755 "$root/DEBIAN"
	version=$(cat "$plugin/VERSION")
	sed "s/^Package:.*/&\nVersion: $version/" "$plugin/control" >"$root/DEBIAN/control"
	for script in postinst prerm postrm; do
		[ ! -f "$plugin/$script" ] || install -m 755 "$plugin/$script" "$root/DEBIAN/$script"
	done
	(cd "$root" && find etc -type f 2>/dev/null | sort | sed 's|^|/|') >"$root/DEBIAN/conffiles"
	[ -s "$root/DEBIAN/conffiles" ] || rm "$root/DEBIAN/conffiles"
	(cd "$root" && find . -path ./DEBIAN -prune -o -type f -print | sort | cut -c3- | xargs md5sum) \
		>"$root/DEBIAN/md5sums"
	find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	# gzip: one thread, hence one result
	dpkg-deb --root-owner-group -Zgzip -z9 --build "$root" "$out/ingot-${name}_${version}_all.deb" >/dev/null
done

# An apt repository: `deb [trusted=yes] copy:OUT_DIR ./`.
cd "$out"
for deb in ingot-*.deb; do
	dpkg-deb --field "$deb"
	printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done >Packages
