package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsTrueOfTheMachineAloneReachesNoInstance(t *testing.T) {
	require.Equal(t, []string{"PATH=/bin", "GODEBUG=http2debug=1", "LANG=C"}, Environ([]string{
		"PATH=/bin", "http_proxy=http://10.0.0.1:3128", "HTTPS_PROXY=http://10.0.0.1:3128", "no_proxy=*", "All_Proxy=x",
		"GODEBUG=http2debug=1", "GODEBUG=netdns=cgo+1,http2debug=1", "RES_OPTIONS=ndots:9", "LOCALDOMAIN=corp.example",
		"HOSTALIASES=/tmp/x", "SSL_CERT_FILE=/corp.pem", "SSL_CERT_DIR=/corp", "CURL_CA_BUNDLE=/corp.pem",
		"REQUESTS_CA_BUNDLE=/corp.pem", "AWS_ENDPOINT_URL=http://127.0.0.1:4566", "AWS_ACCESS_KEY_ID=AKIA", "LANG=C",
	}))
}

func TestProgramsOnInstancesFindTheAuthorityThatALabHas(t *testing.T) {
	dir := t.TempDir()
	require.Empty(t, TrustEnviron(dir), "the lab has none")
	require.NoError(t, os.WriteFile(filepath.Join(dir, TrustFile), []byte("x"), 0o644))
	env := TrustEnviron(dir)
	for _, name := range []string{"SSL_CERT_FILE", "AWS_CA_BUNDLE"} {
		require.True(t, slices.ContainsFunc(env, func(e string) bool {
			file, ok := strings.CutPrefix(e, name+"=")
			return ok && (file == filepath.Join(dir, TrustFile) || slices.Contains(HostTrust, file))
		}), "%s in %s", name, env)
	}
	require.Contains(t, env, "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "an instance has its role's keys alone")
}
