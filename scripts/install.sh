# Installs tools from Debian's packages, and packages of npm. For scripts, which define `lacks` first or later: it is called with a sentence where a
# tool is not to be had.
# shellcheck shell=bash

has() { type -P "$1" >/dev/null; }

# install_missing COMMAND PACKAGES [COMMAND PACKAGES]...: PACKAGES is a name, or several with spaces between.
install_missing() {
  local packages=() as_root=()
  while (($#)); do
    # shellcheck disable=SC2206 # the names have no spaces
    has "$1" || packages+=($2)
    shift 2
  done
  ((${#packages[@]})) || return 0
  if ((EUID)); then as_root=(sudo -n); fi
  if ! has apt-get || { ((EUID)) && ! sudo -n true 2>/dev/null; }; then
    lacks "please install ${packages[*]} (Debian's names), then run this again"
  fi
  # Another script may be installing.
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
  # An old list of packages may be good enough.
  "${as_root[@]}" update || echo "apt-get update failed; trying without" >&2
  "${as_root[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null ||
    lacks "cannot install ${packages[*]}: please do, then run this again"
}

# What the tests need from npm, in the versions that scripts/test.d says.
fetch_packages() {
  mkdir -p target/tools
  cp scripts/test.d/* target/tools/
  cmp -s target/tools/package-lock.json target/tools/node_modules/installed.json && return 0
  (cd target/tools && npm ci --silent --ignore-scripts --no-audit --no-fund) ||
    lacks "cannot install the packages of scripts/test.d by npm: please do, in target/tools"
  cp target/tools/package-lock.json target/tools/node_modules/installed.json
}
