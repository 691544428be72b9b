package host

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsTrueOfTheMachineAloneReachesNoInstance(t *testing.T) {
	require.Equal(t, []string{"PATH=/bin", "GODEBUG=http2debug=1", "LANG=C"}, Environ([]string{
		"PATH=/bin", "http_proxy=http://10.0.0.1:3128", "HTTPS_PROXY=http://10.0.0.1:3128", "no_proxy=*", "All_Proxy=x",
		"GODEBUG=http2debug=1", "GODEBUG=netdns=cgo+1,http2debug=1", "RES_OPTIONS=ndots:9", "LOCALDOMAIN=corp.example",
		"HOSTALIASES=/tmp/x", "SSL_CERT_FILE=/corp.pem", "SSL_CERT_DIR=/corp", "CURL_CA_BUNDLE=/corp.pem",
		"REQUESTS_CA_BUNDLE=/corp.pem", "LANG=C",
	}))
}
