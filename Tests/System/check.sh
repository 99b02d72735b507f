# shellcheck shell=bash
# Sourced by the system tests: counts what held and what did not, in the form of the Test Anything Protocol.
#
#   check WHAT COMMAND...   ok when the command succeeds; its output is shown only when it does not
#   says PATTERN COMMAND...         the command succeeds, and the extended regular expression is in its output
#   mentions TEXT COMMAND...        the text is in its output, whatever becomes of it
#   refused_with TOKEN COMMAND...   the command fails, and the text is in its output
#   equal A B                       the two are the same text
#   finish                  the closing line; exit status 1 when anything failed or nothing was tested

passed=0
failed=0

check() {
  local what=$1 output status=0; shift
  output=$("$@" 2>&1) || status=$?
  if [ "$status" -eq 0 ]; then
    passed=$((passed + 1))
    echo "ok $((passed + failed)) - $what"
  else
    failed=$((failed + 1))
    echo "not ok $((passed + failed)) - $what (exit status $status)"
    printf '%s\n' "$output" | sed 's/^/#   /'
  fi
}

says() {
  local pattern=$1 output; shift
  output=$("$@" 2>&1) || { echo "$output"; return 1; }
  grep -qE -- "$pattern" <<<"$output" || { echo "no \"$pattern\" in: $output"; return 1; }
}
mentions() {
  local text=$1 output; shift
  output=$("$@" 2>&1) || true
  grep -qF -- "$text" <<<"$output" || { echo "no \"$text\" in: $output"; return 1; }
}
refused_with() {
  local token=$1 output; shift
  if output=$("$@" 2>&1); then echo "not refused: $output"; return 1; fi
  grep -qF -- "$token" <<<"$output" || { echo "no $token in: $output"; return 1; }
}

equal() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }

finish() {
  echo "${0##*/}: $passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ] || exit 1
}
