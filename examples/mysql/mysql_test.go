package mysql_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestMain(m *testing.M) { plinktest.Main(m) }

// small keeps a MariaDB from taking what a test does not need.
var small = []string{
	"--innodb-data-file-path=ibdata1:12M:autoextend", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M",
	"--innodb-flush-method=nosync", "--innodb-doublewrite=0",
}

// database runs MariaDB on an instance until the test ends. It has a table with the name
// of its owner.
func database(t *testing.T, on *plinktest.Instance, owner string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "db") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	in := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.Mkdir(in("tmp"), 0o700))
	common := append([]string{"--no-defaults", "--datadir=" + in("data"), "--user=root", "--tmpdir=" + in("tmp")}, small...)
	install := on.Command(t.Context(), "mariadb-install-db", append(common, "--skip-test-db")...)
	out, err := install.CombinedOutput()
	require.NoError(t, err, "%s", out)
	statements := []string{
		"CREATE DATABASE shop",
		fmt.Sprintf("CREATE TABLE shop.owner AS SELECT '%s' AS name", owner),
		"CREATE USER reader IDENTIFIED BY 'secret'",
		"GRANT ALL ON shop.* TO reader",
	}
	require.NoError(t, os.WriteFile(in("init.sql"), []byte(strings.Join(statements, ";\n")+";\n"), 0o600))

	var log bytes.Buffer
	server := on.Command(context.WithoutCancel(t.Context()), "mariadbd", append(common, "--socket="+in("socket"),
		"--pid-file="+in("pid"), "--skip-log-bin", "--bind-address=0.0.0.0", "--skip-name-resolve",
		"--performance-schema=off", "--init-file="+in("init.sql"))...)
	server.Stdout, server.Stderr = &log, &log
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		require.NoError(t, server.Process.Signal(syscall.SIGTERM))
		_ = server.Wait()
		if t.Failed() {
			t.Logf("the database of %s:\n%s", owner, log.String())
		}
	})
}

// open is what the service does: a pool of connections from an instance of its own.
func open(t *testing.T, from *plinktest.Instance, address string) *sql.DB {
	t.Helper()
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = "reader", "secret", "shop"
	config.Net, config.Addr = "tcp", address
	config.Timeout, config.ReadTimeout = 2*time.Second, 5*time.Second
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return from.DialContext(ctx, network, address)
	}
	config.Logger = &mysql.NopLogger{} // a database that is not up yet is no news
	connector, err := mysql.NewConnector(config)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestAServiceReadsTheDatabasesOfItsCustomers(t *testing.T) {
	plinktest.Require(t, "mariadbd", "mariadb-install-db")
	lab := plinktest.Up(t, "topology.yaml")
	pools := map[string]*sql.DB{}
	for _, customer := range []string{"red", "blue"} {
		database(t, lab.Instance(customer+"/db"), customer)
	}
	for customer, port := range map[string]string{"red": "13306", "blue": "23306"} {
		pool := open(t, lab.Instance("reader"), customer+".example:"+port)
		lab.Eventually("the database of "+customer+" is up", time.Minute, func() error { return pool.PingContext(t.Context()) })
		pools[customer] = pool
	}

	for customer, pool := range pools {
		var owner, user string
		require.NoError(t, pool.QueryRow("SELECT name, USER() FROM owner").Scan(&owner, &user))
		require.Equal(t, customer, owner, "both have the address 192.168.0.86")
		require.Equal(t, "reader@192.168.0.50", user, "the database sees the endpoint, not the service")
	}

	// The service ends its access to one of them.
	lab.Do(topology.Operation{Verb: topology.VerbEntryDelete, NATGateway: "ngw", Entry: "red"})
	again := open(t, lab.Instance("reader"), "172.16.0.5:13306")
	require.Error(t, again.Ping())
	require.NoError(t, pools["blue"].Ping())
}
