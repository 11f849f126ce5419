#!/usr/bin/env bash
# Ask the gateway with curl (7.55 or newer); jq writes and reads the JSON.
#
#   GATEWAY_URL=http://127.0.0.1:8000 GATEWAY_KEY=... ./get_data.sh \
#     [--stream] [--temperature N] [--max-tokens N] [--seed N] OPERATION PROMPT [SYSTEM_PROMPT]
#
# OPERATION is get-data or system-prompt-get-data. Prints one JSON document: what came back.
set -euo pipefail

usage() {
  echo "usage: get_data.sh [--stream] [--temperature N] [--max-tokens N] [--seed N]" \
    "get-data|system-prompt-get-data PROMPT [SYSTEM_PROMPT]" >&2
  exit 2
}

stream=null temperature=null max_tokens=null seed=null
while [[ ${1-} == --* ]]; do
  case $1 in
    --stream) stream=true ;;
    --temperature) temperature=${2-} && shift ;;
    --max-tokens) max_tokens=${2-} && shift ;;
    --seed) seed=${2-} && shift ;;
    *) usage ;;
  esac
  shift || usage
done
(($# == 2 || $# == 3)) || usage
case $1 in
  get-data) path=/Get%20Data ;; # curl refuses a URL with a space in it
  system-prompt-get-data) path=/System%20Prompt%20Get%20Data ;;
  *) usage ;;
esac

# jq quotes the prompt. Pasting it between quotes by hand breaks at the first " or line break in it.
request=$(jq -n --argjson stream "$stream" --argjson temperature "$temperature" \
  --argjson max_tokens "$max_tokens" --argjson seed "$seed" '
  {prompt: $ARGS.positional[0], "system prompt": $ARGS.positional[1],
   $temperature, $max_tokens, $seed, $stream} | with_entries(select(.value != null))
  ' --args -- "${@:2}")

request_headers() {
  printf '%s\n' 'Content-Type: application/json' 'Cache-Control: no-cache' \
    ${GATEWAY_KEY:+"Ocp-Apim-Subscription-Key: $GATEWAY_KEY"}
}

head_file=$(mktemp)
trap 'rm -f "$head_file"' EXIT

# --header @file keeps the key off the command line, where ps would show it; --no-buffer hands a
# stream on as it comes. Without --fail, curl also passes on the body of an error.
body='' data='' event='' error=null done=false arrivals=0 events=()
while waits=1; read -r -t 0 && waits=0; IFS= read -r line || [[ -n $line ]]; do
  ((arrivals += waits)) || true # nothing was left to read, and then more came
  body+=$line$'\n'
  line=${line%$'\r'}
  case $line in
    data:*) value=${line#data:}; data+=${data:+$'\n'}${value# } ;; # an event may have several
    event:*) value=${line#event:}; event=${value# } ;;
    '') # an empty line ends the event
      if [[ $data == '[DONE]' ]]; then done=true
      elif [[ $event == error ]]; then error=$data
      elif [[ -n $data ]]; then events+=("$data"); fi
      data='' event='' ;;
  esac
done < <(curl --silent --show-error --no-buffer --connect-timeout 10 --max-time 600 \
  --dump-header "$head_file" --header @<(request_headers) --data-binary @- \
  "$GATEWAY_URL$path" <<<"$request")
curl_status=0
wait $! || curl_status=$?

declare -A header=()
status=0
while IFS=': ' read -r name value; do
  value=${value%$'\r'}
  if [[ $name == HTTP/* ]]; then status=${value%% *}; else header[${name,,}]=$value; fi
done <"$head_file"
((status)) || exit "$curl_status" # nothing came back: curl has said why

about=(--argjson status "$status" --arg type "${header[content-type]-}" --arg trace "${header[x-trace-id]-}")
if [[ ${header[content-type]-} == text/event-stream* ]]; then
  printf '%s\n' ${events[@]+"${events[@]}"} | jq -s "${about[@]}" --argjson error "$error" \
    --argjson complete "$done" --argjson arrivals "$arrivals" '
    {$status, contentType: $type, traceId: $trace,
     pieces: map(select(has("finish_reason") | not).generated_text),
     last: map(select(has("finish_reason")))[-1], done: $complete, $error, chunkArrivals: $arrivals}'
else
  ((curl_status == 0)) || exit "$curl_status" # half an answer is none
  printf '%s' "$body" | jq -Rs "${about[@]}" --arg auth "${header[www-authenticate]-}" '
    {$status, contentType: $type, traceId: $trace, wwwAuthenticate: (if $auth == "" then null else $auth end),
     body: (. as $text | try fromjson catch $text)}'
fi
