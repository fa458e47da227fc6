#!/usr/bin/env bash
# With nothing but curl: tRPC is plain HTTP. Queries are GET with `input`, mutations are POST; input and output are wrapped in
# {"json": ...}, and the answer's data is at .result.data.json.
#
#   DISPATCHER_KEY=dsp_... examples/plain-curl.sh http://127.0.0.1:8001
set -euo pipefail
url=${1:-http://127.0.0.1:8001}

# query <procedure> [input as JSON]: what anyone may ask.
query() { curl -sS --fail-with-body -G "$url/trpc/$1" --data-urlencode "input={\"json\":${2:-null}}"; }

# The key goes to curl on its standard input: as an argument, every user of this machine could read it.
# mutate <procedure> <input as JSON>: what needs a key.
mutate() {
  printf 'header = "Authorization: Bearer %s"\n' "$DISPATCHER_KEY" |
    curl -sS --fail-with-body --config - --json "{\"json\":$2}" "$url/trpc/$1"
}

echo "== is it well? (200, or 503 when its database is away)"
curl -sS --fail-with-body "$url/health"
echo

echo "== how far is the rescue?"
query stats.overview
echo

echo "== the three most urgent files that lack copies"
query asset.list '{"incomplete":true,"limit":3}'
echo

if [[ -n ${DISPATCHER_KEY:-} ]]; then
  echo "== take in one file; doing it again changes nothing"
  mutate asset.import '{
    "dataset": {"key": "curl-example", "title": null, "sourceUrl": null},
    "entries": [{"place": "[0]", "path": "tides.csv", "url": "https://data.example.org/tides.csv", "sizeBytes": null,
                 "digest": null, "mediaType": null, "priority": null, "removeByMs": null}],
    "reason": "trying the example"}'
  echo
  echo "== a mistake: curl ends with 22, and the answer has a code that never changes its meaning"
  mutate asset.withdraw '{"ids": ["999999999"]}' || echo " (curl: $?)"
fi
