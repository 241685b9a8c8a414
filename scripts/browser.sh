#!/bin/sh
# Makes sure of Chromium and of a font with Chinese characters for the browser tests, where that needs nobody's
# password. Never fails: without a browser those tests are skipped, and say so.
set -u

missing=''
command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
    command -v google-chrome >/dev/null || command -v google-chrome-stable >/dev/null || command -v chrome >/dev/null ||
    missing='chromium'
if command -v fc-list >/dev/null && [ -n "$(fc-list :lang=zh family)" ]; then :; else
    missing="$missing fontconfig fonts-noto-cjk"
fi
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "Not here for the browser tests, and no apt to install it: $missing"
elif [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    echo "Not here for the browser tests: $missing. To have them: sudo apt install $missing"
else
    if [ "$(id -u)" = 0 ]; then sudo=''; else sudo='sudo -n'; fi
    echo "Installing for the browser tests with apt: $missing"
    # Word splitting is meant: a package each.
    # shellcheck disable=SC2086
    { $sudo apt-get -qq update &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing; } >/dev/null ||
        echo "apt could not install them; the browser tests will be skipped where there is no browser."
fi
exit 0
