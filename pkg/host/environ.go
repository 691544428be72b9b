package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// notOfAnInstance are variables that say where the machine finds names, proxies
// and certificate authorities: resolv.conf(5), hostname(7), curl(1),
// openssl-env(7), Python's requests. What begins with AWS_ leads clients of AWS to an
// API and keys of the machine's, too (AWS SDKs and Tools reference guide, "Environment
// variables").
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
		return slices.Contains(notOfAnInstance, strings.ToUpper(name)) || strings.HasPrefix(name, "AWS_") ||
			name == "GODEBUG" && strings.Contains(value, "netdns")
	})
}

// TrustEnviron are the variables by which programs on instances that have a list of
// certificate authorities of their own find that of the lab in dir, none where the lab
// has no authority: openssl-env(7), Python's requests, Node.js, AWS SDKs. An instance
// has no configuration of AWS clients either, unless it is given one.
func TrustEnviron(dir string) []string {
	list := filepath.Join(dir, TrustFile)
	if _, err := os.Stat(list); err != nil {
		return nil
	}
	for _, target := range HostTrust {
		if _, err := os.Stat(target); err == nil {
			list = target // which shows the same to programs that may not read dir
			break
		}
	}
	return []string{
		"SSL_CERT_FILE=" + list, "REQUESTS_CA_BUNDLE=" + list, "NODE_EXTRA_CA_CERTS=" + list, "AWS_CA_BUNDLE=" + list,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}
}

// TrustFile is the file in a lab's directory that programs on instances see in
// the place of the host's list of certificate authorities, where both are there.
const TrustFile = "ca-certificates.crt"

// HostTrust is where hosts have that list: Debian and Alpine, Fedora.
var HostTrust = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"}
