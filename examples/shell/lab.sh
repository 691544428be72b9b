# Tests of PrivateLink in shell, for bash. Source this file, then:
#
#	lab_up shop.yaml
#	expect "the shop reaches its database" on web curl -sSf "http://$(name ep)/"
#	lab_end
#
# PLINKSIM is the program, with what goes before it: PLINKSIM="sudo bin/plinksim". What
# happened in a lab whose tests failed is left in the directory ARTIFACTS.

: "${PLINKSIM:=plinksim}" "${ARTIFACTS:=plinksim-artifacts}"
lab_tests=0 lab_failed=0

plinksim() { $PLINKSIM "$@"; }
# on INSTANCE PROGRAM...: a program of this machine on an instance.
on() { local instance=$1; shift; plinksim exec "$instance" -- "$@"; }
# name REFERENCE: the domain name or address of ep, ep@zone, ep.ip.
name() { plinksim name "$1"; }

# lab_up FILE: a lab, which is removed when the shell ends.
lab_up() {
	trap 'plinksim down >/dev/null 2>&1' EXIT
	plinksim up "$1" >/dev/null
}

# expect WHAT COMMAND...: a test, which passes where the command does. Its output is in
# $answer. The form of what is printed is TAP's (testanything.org).
expect() {
	local what=$1 status=0
	shift
	lab_tests=$((lab_tests + 1))
	answer=$("$@" 2>&1) || status=$?
	if [ "$status" -eq 0 ]; then
		echo "ok $lab_tests - $what"
		return
	fi
	lab_failed=$((lab_failed + 1))
	echo "not ok $lab_tests - $what"
	{
		printf '%s\n' "$answer"
		plinksim status -o json | jq -r '.data_plane.verdicts | to_entries[] | select(.value > 0) | "\(.key) \(.value)"'
	} | sed 's/^/# /'
}

# refuse WHAT COMMAND...: a test, which passes where the command fails.
refuse() { local what=$1; shift; expect "$what" not "$@"; }
not() { ! "$@"; }

# lab_end: how it went, as the exit code too.
lab_end() {
	echo "1..$lab_tests"
	[ "$lab_failed" -gt 0 ] || return 0
	mkdir -p "$ARTIFACTS"
	plinksim status -o json >"$ARTIFACTS/status.json"
	plinksim sessions -o json >"$ARTIFACTS/sessions.json"
	plinksim events >"$ARTIFACTS/events.txt"
	echo "# what happened is in $ARTIFACTS"
	exit 1
}
