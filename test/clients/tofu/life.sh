#!/usr/bin/env bash
# life.sh: OpenTofu and a provider of AWS make a lab's objects, find nothing to change,
# change some, and destroy all, after which nothing is left. PLINKSIM and TOFU are the
# programs, PROVIDER is the directory of the provider.
set -euo pipefail
PLINKSIM=${PLINKSIM:-plinksim}
: "${TOFU:?make tofu builds it}" "${PROVIDER:?make tofu builds it}"
module=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
export PLINKSIM_STATE_DIR=$work/labs
lab=tofu-life
finish() {
	"$PLINKSIM" down "$lab" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap finish EXIT
"$PLINKSIM" up --api 127.0.0.1:0 --name "$lab"
eval "$("$PLINKSIM" api env)"
"$PLINKSIM" export >"$work/before"

# The provider is used as it was built: no registry is asked, and no "tofu init" is needed.
cat >"$work/rc" <<RC
provider_installation {
  dev_overrides {
    "hashicorp/aws" = "$PROVIDER"
  }
  direct {}
}
RC
export TF_CLI_CONFIG_FILE=$work/rc TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1 TF_VAR_endpoint=$AWS_ENDPOINT_URL
mkdir "$work/module"
cp "$module"/*.tf "$work/module"
cd "$work/module"

step() {
	echo "== $1"
	shift
	if ! "$@" >"$work/log" 2>&1; then
		cat "$work/log"
		"$PLINKSIM" api calls | grep -v ' done' || true
		exit 1
	fi
}
apply() { "$TOFU" apply -auto-approve -no-color; }
without_drift() { "$TOFU" plan -detailed-exitcode -no-color; }
page() { # page WANT
	local got
	got=$("$PLINKSIM" exec "$("$TOFU" output -raw client)" -- curl -fsS --max-time 3 "$("$TOFU" output -raw page)")
	[ "$got" = "$1" ] || { echo "want $1, got $got"; return 1; }
}
same_as_before() {
	"$PLINKSIM" export >"$work/after"
	diff "$work/before" "$work/after"
}
nothing_missing() {
	"$PLINKSIM" api calls >"$work/calls"
	! grep -E 'UnsupportedOperation|InvalidAction|InternalError' "$work/calls"
}

step "apply" apply
step "a page comes through the endpoint" page hello
step "plan: nothing to change" without_drift
export TF_VAR_web_port=8080 TF_VAR_team=web
step "apply a change" apply
step "a page comes through the new port" page hello
step "plan: nothing to change" without_drift
step "destroy" "$TOFU" destroy -auto-approve -no-color
step "nothing is left" same_as_before
step "no call was one that plinksim does not do" nothing_missing
echo "$(grep -c . "$work/calls") lines of calls in $SECONDS s"
