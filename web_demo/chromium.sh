#!/usr/bin/env bash
# Prints the path of a Chromium: CHROMIUM if set, else the machine's, else Debian's, fetched into the folder given, without root:
#   web_demo/chromium.sh CACHE_FOLDER
# What is fetched is the package and whatever of its dependencies this machine lacks, as apt itself works it out; nothing is
# installed. It needs apt-get, dpkg-deb and Debian's package sources, and 200 MB to 700 MB of room.
set -euo pipefail

fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

for name in ${CHROMIUM:+"$CHROMIUM"} chromium chromium-browser google-chrome-stable google-chrome; do
  if found=$(command -v "$name"); then echo "$found"; exit; fi
  [ -z "${CHROMIUM:-}" ] || fail "CHROMIUM=$CHROMIUM is no program"
done

folder=${1:?usage: chromium.sh CACHE_FOLDER}/chromium
program=$folder/chromium
if [ -x "$program" ]; then echo "$program"; exit; fi
for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || fail "no Chromium here, and no $tool to fetch one: install one, or name it in CHROMIUM"
done

mkdir -p "$folder"
work=$(mktemp -d "$folder/work-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{debs,root,lists/partial,cache/archives/partial}
# Lists of our own: a bare machine has none, and an old one's may name packages that the mirror has since replaced.
apt=(apt-get -qq -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1)
"${apt[@]}" update >&2 || fail "apt-get update failed: check the network and Debian's package sources"
# The C library stays the machine's: it belongs to the loader that starts the program.
plan=$("${apt[@]}" install --simulate --no-install-recommends chromium) || fail "apt cannot work out what chromium needs: see above"
mapfile -t packages < <(sed -n 's/^Inst \([^ ]*\) .*/\1/p' <<<"$plan" | grep -vE '^lib(c6|c-bin|c-l10n)$')
printf 'fetching Debian'"'"'s chromium, %d packages\n' ${#packages[@]} >&2
(cd "$work/debs" && "${apt[@]}" download "${packages[@]}" >&2) || fail "apt-get download failed: check the network"
for package in "$work"/debs/*.deb; do dpkg-deb -x "$package" "$work/root"; done

rm -rf "$work"/root/usr/share/{doc,man,locale,icons}
rm -rf "$folder/root" && mv "$work/root" "$folder/root"
libraries=$(find "$folder/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
{
  echo '#!/bin/sh'
  # Settings and fonts of the fetched fontconfig, where the machine has none of its own.
  [ ! -e "$folder/root/etc/fonts/fonts.conf" ] || echo "export FONTCONFIG_SYSROOT='$folder/root'"
  echo "LD_LIBRARY_PATH='$libraries' exec '$folder/root/usr/lib/chromium/chromium' \"\$@\""
} >"$work/chromium"
chmod +x "$work/chromium"
mv "$work/chromium" "$program"
echo "$program"
