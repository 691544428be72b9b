//go:build race

package fullnat

const raceEnabled = true
