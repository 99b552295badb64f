# Shows that something is going on. Sourced by the other scripts.
#   with_progress LABEL COMMAND...   runs COMMAND, its output kept back; prints it all if it fails. On a
#                                    terminal one line counts the seconds, in a pipe a line each 20 s.
#   show_build COMMAND...            runs a build by ninja: its own moving line on a terminal; in a pipe
#                                    a line each 20 s, and every warning and error whole.
with_progress() {
  local label=$1 log begin=$SECONDS pid status=0
  shift
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  [ -t 1 ] || echo "$label ..."
  local shown=$SECONDS
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    if [ -t 1 ]; then
      printf '\r%s ... %d s' "$label" $((SECONDS - begin))
    elif [ $((SECONDS - shown)) -ge 20 ]; then
      echo "$label ... $((SECONDS - begin)) s"
      shown=$SECONDS
    fi
  done
  wait "$pid" || status=$?
  [ -t 1 ] && printf '\r%s: %d s   \n' "$label" $((SECONDS - begin)) || echo "$label: $((SECONDS - begin)) s"
  [ "$status" -eq 0 ] || cat "$log"
  rm -f "$log"
  return "$status"
}

show_build() {
  if [ -t 1 ]; then
    NINJA_STATUS="[%f/%t, %e s] " "$@"
    return
  fi
  local begin=$SECONDS last="" line code shown=$SECONDS status=0
  # A read that times out (code above 128) is the tick that says how far the build is.
  NINJA_STATUS="[%f/%t] " "$@" 2>&1 | while true; do
    code=0
    IFS= read -r -t 20 line || code=$?
    if [ "$code" -eq 0 ]; then
      case "$line" in
        \[*/*\]\ *) last=$line ;;
        *) printf '%s\n' "$line" ;;
      esac
    elif [ "$code" -le 128 ]; then
      break
    fi
    if [ $((SECONDS - shown)) -ge 20 ]; then
      printf 'build: %s (%d s)\n' "${last:-starting}" $((SECONDS - begin))
      shown=$SECONDS
    fi
  done || status=$?
  echo "build: $((SECONDS - begin)) s"
  return "$status"
}
