#!/usr/bin/env bash
# What the tests need of the system's packages: PostgreSQL 15 (or later) and Redis, which they start for themselves,
# Prometheus' promtool, chromium for the portal, and a C compiler.
#   deploy/test-services.sh             installs what is missing, where it may; else says what to type
#   deploy/test-services.sh --missing   prints the packages that are missing
set -euo pipefail

missing=()
command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql-15)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v promtool >/dev/null || missing+=(prometheus)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium fonts-dejavu-core)

if [ "${1:-}" = --missing ]; then
  echo "${missing[*]}"
  exit
fi
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "Tests that need them will fail until this is done: sudo apt-get install ${missing[*]}" >&2
  exit 0
fi

# Debian starts what it installs, unless this file says no. The tests start servers of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
  trap 'rm -f $policy' EXIT
fi
echo "installing ${missing[*]} …" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
