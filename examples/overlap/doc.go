// Package overlap shows that PrivateLink connects VPCs with the same addresses.
// README.md tells the story; the tests are all there is.
package overlap
