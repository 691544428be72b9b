//go:build !race

package fullnat

const raceEnabled = false
