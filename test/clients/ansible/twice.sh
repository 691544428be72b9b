#!/usr/bin/env bash
# twice.sh: an Ansible playbook makes a provider's service and a consumer's endpoint, a page
# comes through, and the same playbook finds nothing to change. PLINKSIM is the program,
# PLAYBOOK is ansible-playbook.
set -euo pipefail
PLINKSIM=${PLINKSIM:-plinksim}
PLAYBOOK=${PLAYBOOK:-ansible-playbook}
cd "$(dirname "$0")"
work=$(mktemp -d)
export PLINKSIM_STATE_DIR=$work/labs PAGE=$work/page
lab=ansible-twice
finish() {
	"$PLINKSIM" down "$lab" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap finish EXIT
"$PLINKSIM" up --api 127.0.0.1:0 --name "$lab"
eval "$("$PLINKSIM" api env)"
export ANSIBLE_LOCALHOST_WARNING=False ANSIBLE_PYTHON_INTERPRETER=${ANSIBLE_PYTHON_INTERPRETER:-/usr/bin/python3}
export ANSIBLE_LOCAL_TEMP=$work/local ANSIBLE_REMOTE_TEMP=$work/remote ANSIBLE_NOCOLOR=1

play() {
	if ! "$PLAYBOOK" -i localhost, shop.yml >"$work/log" 2>&1; then
		cat "$work/log"
		"$PLINKSIM" api calls | grep -v ' done' || true
		exit 1
	fi
	sed -n 's/^localhost *: //p' "$work/log"
}
echo "== the first time"
play
echo "== a page comes through the endpoint"
got=$("$PLINKSIM" exec client -- curl -fsS --max-time 3 "http://$(cat "$work/page")/")
[ "$got" = hello ] || { echo "want hello, got $got"; exit 1; }
echo "== the second time"
play
grep -q 'changed=0 ' <<<"$(sed -n 's/^localhost *: //p' "$work/log")" || { grep -B2 ^changed "$work/log"; exit 1; }
echo "$("$PLINKSIM" api calls | grep -c ' ec2 \| elasticload') calls in $SECONDS s"
