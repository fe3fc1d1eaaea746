#!/usr/bin/env bash
# Fetches Redoc with npm, checks its sum, takes out the two pictures that it would fetch from its maker's host, and stores it
# compressed in assets/. Run it from anywhere.
set -euo pipefail
version=3.0.1
sum=8c70c2de83d33e33a75b225e573d6d9fe851f066f824b44b1637d831d52d7543
assets=$(cd "$(dirname "$0")/../assets" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "redoc@$version" >/dev/null
tar xzf "redoc-$version.tgz"
echo "$sum  package/bundles/redoc.standalone.js" | sha256sum --check --quiet
sed -E 's#`https://cdn\.redoc\.ly/redoc/logo-mini(-full)?\.svg`#`data:,`#g' package/bundles/redoc.standalone.js | gzip -9n >"$assets/redoc.standalone.js.gz"
cp package/LICENSE "$assets/redoc.LICENSE"
sha256sum "$assets/redoc.standalone.js.gz"
