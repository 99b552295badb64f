#!/usr/bin/env bash
# Names the functions over 60 lines and the files over 500, of sources laid out by clang-format. A
# function counts from its first line to its closing brace; tables (lists in braces) do not count.
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files '*.cc' '*.h' | grep -E '^(include|src|apps|reproduce|bench)/' | xargs awk '
  function finish_file() {
    if (lines > 500) { printf "%s: %d lines; at most 500\n", file, lines; bad = 1 }
  }
  FNR == 1 { finish_file(); file = FILENAME; inside = 0; first = "" }
  { lines = FNR }
  # A function of a namespace begins in column 0, one of a class in column 2.
  inside {
    if ($0 == closing || $0 == closing ";") {
      if ($0 == closing && FNR - start + 1 > 60) {
        printf "%s:%d: %s: %d lines; at most 60\n", file, start, first, FNR - start + 1
        bad = 1
      }
      inside = 0; first = ""
    }
    next
  }
  /^ *$|^ *\/\/|^#|^ (public|private|protected):|^ *};?$/ { first = ""; next }
  {
    if (first == "") { first = $0; start = FNR }
    if ($0 ~ /[;}]$/ || $0 ~ /[;}] *\/\/[^"]*$/) { first = ""; next }
    if ($0 ~ /\{$/) {
      if (first ~ /^ *(template <.*> )?(class|struct|union|enum|namespace|extern "C")/ ||
          first ~ /^ *template <[^()]*>$/ && $0 ~ /^ *(class|struct)/) { first = ""; next }
      match(first, /^ */)
      closing = substr(first, 1, RLENGTH) "}"
      sub(/^ */, "", first)
      inside = 1
    }
  }
  END { finish_file(); exit bad }'
