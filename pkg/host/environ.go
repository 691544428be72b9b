package host

import (
	"slices"
	"strings"
)

// notOfAnInstance are variables that say where the machine finds names, proxies
// and certificate authorities: resolv.conf(5), hostname(7), curl(1),
// openssl-env(7), Python's requests.
var notOfAnInstance = []string{
	"LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES",
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
}

// LastOfEach is an environment in which of each variable only the last is left: of
// several, programs do not agree which counts.
func LastOfEach(env []string) []string {
	last := map[string]int{}
	name := func(e string) string { name, _, _ := strings.Cut(e, "="); return name }
	for i, e := range env {
		last[name(e)] = i
	}
	out := []string{}
	for i, e := range env {
		if last[name(e)] == i {
			out = append(out, e)
		}
	}
	return out
}

// Environ is the environment of a program on an instance: env without what is
// true of the machine alone. A program that wants such a variable is given it
// on purpose: "env http_proxy=… curl …".
func Environ(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, value, _ := strings.Cut(e, "=")
		return slices.Contains(notOfAnInstance, strings.ToUpper(name)) ||
			name == "GODEBUG" && strings.Contains(value, "netdns")
	})
}
