#!/usr/bin/env bash
# Tests of a shop that reaches its database through an endpoint.
set -uo pipefail
cd "$(dirname "$0")"
. ./lab.sh

lab_up ../pytest/shop.yaml
get() { on web curl -sSf -m "${2:-5}" "http://$(name "$1")/"; }

refuse "nothing passes before the provider accepts" get ep 1
expect "and explain says what would help" grep -q "plinksim accept data ep" <(plinksim explain web ep)
expect "the provider accepts" plinksim accept data ep
expect "the shop gets its answer" get ep

expect "a zone is lost" plinksim fault down eu-west-1a
expect "the other zone answers when one is lost" get ep
expect "that is zone b" test "$answer" = b
expect "and comes back" plinksim fault up eu-west-1a
expect "there is a session to see" jq -e '.sessions | length > 0' <(plinksim sessions -o json)
lab_end
