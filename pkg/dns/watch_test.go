package dns

import (
	"sync"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// Whoever stopped may read what f wrote.
func TestAWatcherThatHasStoppedIsNotCalled(t *testing.T) {
	var server Server
	for range 200 {
		seen := 0
		var telling sync.WaitGroup
		stop := server.Watch(func(Query) { seen++ })
		telling.Go(func() { server.watching.tell(exchange{}, new(dns.Msg), 0) })
		stop()
		before := seen
		telling.Wait()
		require.Equal(t, before, seen)
	}
}
