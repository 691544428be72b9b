//go:build !linux

package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// The commands that make a lab, or enter one, are there to say what they need.

func newUp() *cobra.Command {
	return needsLinux("up FILE", "Build the lab that a topology file describes")
}
func newUpgrade() *cobra.Command {
	return needsLinux("upgrade [LAB]", "Exchange the daemon of a running lab for this program's")
}
func newDown() *cobra.Command { return needsLinux("down [LAB]", "Remove a lab") }
func newExec() *cobra.Command {
	return needsLinux("exec INSTANCE -- PROGRAM [ARG...]", "Run a program on an instance")
}
func newDoctor() *cobra.Command {
	return needsLinux("doctor", "Say what this machine allows labs to do")
}
func newBench() *cobra.Command {
	return needsLinux("bench", "Measure the data plane against the kernel's NAT")
}

func newDaemon() *cobra.Command {
	daemon := needsLinux("__daemon", "")
	daemon.Hidden = true
	return daemon
}

func needsLinux(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short + " (needs Linux)", DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("%q needs Linux, and this is %s", cmd.CommandPath(), runtime.GOOS)
		},
	}
}

func becomeAnother() {}
