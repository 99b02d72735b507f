# shellcheck shell=bash
# Sourced by the system tests: counts what held and what did not, in the form of the Test Anything Protocol.
#
#   check WHAT COMMAND...   ok when the command succeeds; its output is shown only when it does not
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

finish() {
  echo "${0##*/}: $passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ] || exit 1
}
