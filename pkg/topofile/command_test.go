package topofile

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestACommandIsSplitAsAShellDoes(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
		err  string
	}{
		{text: "mysqld --user=root", want: []string{"mysqld", "--user=root"}},
		{text: "sh -c 'echo started; exec sleep 100'", want: []string{"sh", "-c", "echo started; exec sleep 100"}},
		{text: `nginx -g "daemon off;" a\ b`, want: []string{"nginx", "-g", "daemon off;", "a b"}},
		{text: `printf "a\n\"b\" \$c" ''`, want: []string{"printf", `a\n"b" $c`, ""}},
		{text: `it's`, err: "it ends without closing quote `'`, at character 3"},
		{text: "echo $HOME", err: "only a shell can say what $HOME is"},
		{text: `echo "$(id)"`, err: "only a shell can say what $(id) is"},
		{text: "sleep 1; echo", err: "it is more than one program with its arguments, which only a shell can run"},
		{text: "a | b", err: "it is more than one program with its arguments, which only a shell can run"},
		{text: "a >b", err: "it is more than one program with its arguments, which only a shell can run"},
		{text: "X=1 a", err: "it is more than one program with its arguments, which only a shell can run"},
		{text: "a &", err: "it is more than one program with its arguments, which only a shell can run"},
		{text: "  ", want: nil},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := splitCommand(tt.text)
			if tt.err != "" {
				require.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}
