package test

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// The built-in services say what the headers of both clouds say: source,
// destination, and the identifiers of the endpoint and what is around it.
func TestBuiltInServicesReadProxyHeaders(t *testing.T) {
	for cloud, zone := range map[string]string{"aws": "eu-west-1a", "alibaba": "eu-central-1b"} {
		t.Run(cloud, func(t *testing.T) {
			t.Parallel()
			top := plinktest.NewTopology(cloud, zone[:len(zone)-1])
			if cloud == "alibaba" {
				top = plinktest.NewTopology(cloud, "eu-central-1")
			}
			data := top.VPC("data", "10.0.0.0/16")
			if cloud == "aws" {
				data.AllowFrom("10.0.0.0/16")
			}
			edge := data.Instance("edge", zone)
			edge.Set("services", []any{
				map[string]any{"http": 80, "proxy_protocol": true, "body": "{client}, {endpoint}, {proxy}"},
				map[string]any{"tcp": 81, "proxy_protocol": true, "body": "{client}, {endpoint}"},
				map[string]any{"echo": 82, "proxy_protocol": true},
				map[string]any{"http": 83, "proxy_protocol": true, "body": "{client}, {endpoint}, {proxy}"},
			})
			nlb := data.LoadBalancer("nlb", "nlb", zone)
			for port := uint16(80); port < 84; port++ {
				listener := nlb.Listen("tcp", port, edge.At(port))
				switch set := map[string]func(string, any){"aws": listener.SetGroup, "alibaba": listener.Set}[cloud]; port {
				case 81:
					set("proxy_protocol", "on_first_ack")
				case 80, 82:
					set("proxy_protocol", "on_first_ack_with_payload")
				}
			}
			shop := top.VPC("shop", "10.0.0.0/16")
			shop.Instance("web", zone)
			shop.Endpoint("ep", top.Service("data", nlb).AutoAccept())
			l := top.Up(t, plinktest.InProcess())

			ep := l.Plan().Endpoints[0]
			web, own := l.Instance("web"), l.Plan().MustVPC("shop").Instances[0].IP
			body := strings.Split(strings.TrimSpace(web.Get("http://ep/")), ", ")
			require.Equal(t, []string{own.String(), ep.ID}, body[:2])
			require.Regexp(t, fmt.Sprintf(`^%s:\d+ > %s:80$`, own, ep.Zones[0].ENI.IP), body[2])

			who := web.Get("http://ep/who")
			require.Contains(t, who, "\nproxy-endpoint "+ep.ID+"\n")
			if cloud == "alibaba" {
				require.Contains(t, who, "\nproxy-vpc "+l.Plan().MustVPC("shop").ID+"\n")
				require.Contains(t, who, "\nproxy-service "+l.Plan().Services[0].ID+"\n")
			}
			require.NotContains(t, who, "\nclient "+own.String(), "what a server without the header sees")

			conn := web.Dial("tcp", "ep:81")
			line, err := bufio.NewReader(conn).ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, own.String()+", "+ep.ID+"\n", line)

			conn = web.Dial("tcp", "ep:82")
			_, err = conn.Write([]byte("hello\n"))
			require.NoError(t, err)
			echoed := bufio.NewReader(conn)
			line, err = echoed.ReadString('\n')
			require.NoError(t, err)
			require.Contains(t, line, "proxy-source "+own.String()+":")
			require.Contains(t, line, "proxy-endpoint "+ep.ID)
			line, err = echoed.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "hello\n", line)

			_, err = web.HTTP().Get("http://" + l.Name("ep") + ":83/")
			require.ErrorIs(t, err, io.EOF, "a listener without a header")
		})
	}
}
