// Package testenv says what a test needs of the machine that it runs on. A
// test that cannot run there says what is missing and is skipped; where the
// variable PLINKSIM_MUST_RUN is 1 it fails instead.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// NeedRoot ends a test that cannot make network namespaces.
func NeedRoot(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		Missing(t, "it makes network namespaces, and that needs Linux")
	}
	if os.Geteuid() != 0 {
		Missing(t, "it makes network namespaces, and that needs root: run it with sudo, or \"make test\"")
	}
}

// NeedUser ends a test that becomes another user where it may not.
func NeedUser(t testing.TB, uid int) {
	t.Helper()
	NeedRoot(t)
	if !HasUser(uid) {
		Missing(t, fmt.Sprintf("it becomes user %d, which is not in this user namespace: run it with sudo", uid))
	}
}

// HasUser says whether this process may become a user: a user namespace may have
// root alone.
func HasUser(uid int) bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil || os.Geteuid() != 0 {
		return false
	}
	for line := range strings.Lines(string(text)) {
		var first, outside, count int
		if _, err := fmt.Sscan(line, &first, &outside, &count); err == nil && uid >= first && uid-first < count {
			return true
		}
	}
	return false
}

// NeedPrograms ends a test for which one of these programs is not installed.
func NeedPrograms(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			Missing(t, err.Error()+": \"make tools\" installs what the tests use")
		}
	}
}

// FlowCacheVariable says with which flow cache tests forward packets: "force"
// caches every session that can be cached, and "" or "off" none.
const FlowCacheVariable = "PLINKSIM_FLOW_CACHE"

// NeedTime ends a test that takes longer than a commit can wait for, unless
// PLINKSIM_LONG is 1. That is no fault of the machine: it never fails.
func NeedTime(t testing.TB) {
	t.Helper()
	if os.Getenv("PLINKSIM_LONG") != "1" {
		t.Skip("it takes long: it runs where PLINKSIM_LONG is 1")
	}
}

// NeedNoRace ends a test that says nothing under the race detector: it
// measures time or memory, which the detector costs, or it runs a program that
// is built without it.
func NeedNoRace(t testing.TB) {
	t.Helper()
	if Race {
		t.Skip("it says nothing under the race detector")
	}
}

// Missing ends a test, and says what this machine does not have.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("PLINKSIM_MUST_RUN") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
