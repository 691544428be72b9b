package topology

// Quotas are how many of something there may be; 0 is no limit.
type Quotas struct {
	ServicesPerAccount  int
	EndpointsPerVPC     int
	ResourcesPerService int
	ResourcesPerZone    int // of one service
	GroupsPerEndpoint   int
}
