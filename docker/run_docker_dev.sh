#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: docker/run_docker_dev.sh [--help] [--fresh] [compose options]

Starts the Dispatcher service and a PostgreSQL in containers, on http://127.0.0.1:8001. The sources of this checkout
are mounted: save a file and the server starts again. Ctrl-C stops everything; the database is kept.

  --fresh    throw the development database away first
  --help     show this

Anything else goes to `docker compose up`, for example --detach.
Set DISPATCHER_PUBLISH to listen on another port: DISPATCHER_PUBLISH=9001 docker/run_docker_dev.sh
USAGE
}

fail() {
  printf 'run_docker_dev.sh: %s\n' "$1" >&2
  exit 69 # EX_UNAVAILABLE
}

fresh=false
case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
  --fresh)
    fresh=true
    shift
    ;;
esac

command -v docker >/dev/null || fail "docker is not installed. Without it, \`npx -y pnpm@12.21.0 dev\` does the same."
docker compose version >/dev/null 2>&1 || fail "docker has no \"compose\" plugin. Install Docker Compose 2 or newer."
docker info >/dev/null 2>&1 || fail "the docker engine does not answer. Start it, or add yourself to its group."

compose=(docker compose --file "$(dirname "${BASH_SOURCE[0]}")/docker-compose.dev.yml")
if "$fresh"; then "${compose[@]}" down --volumes; fi
# --build: a changed lockfile gives new packages, an unchanged one costs a second.
exec "${compose[@]}" up --build "$@"
