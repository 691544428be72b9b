package topology

import (
	"fmt"
	"strings"
)

// ZoneID is the identifier of a zone, which AWS makes of the region: use1-az1. What is
// no name of a zone at AWS is its own identifier.
func ZoneID(region, zone string) string {
	parts := strings.Split(region, "-")
	if len(parts) < 3 || len(zone) == 0 {
		return zone
	}
	short := parts[0]
	for _, part := range parts[1 : len(parts)-1] {
		for _, direction := range []string{"north", "south", "east", "west", "central"} {
			if at := strings.Index(part, direction); at >= 0 {
				short += direction[:1]
				part = part[at+len(direction):]
			}
		}
	}
	return fmt.Sprintf("%s%s-az%d", short, parts[len(parts)-1], int(zone[len(zone)-1]-'a')+1)
}
