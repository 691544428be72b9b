// Package aws tries the answers of plinksim's API on aws-sdk-go-v2. It is a module of its
// own, as the SDK is large: "make aws-clients" runs it.
package aws
