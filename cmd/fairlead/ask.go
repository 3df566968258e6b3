package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/view"
)

// addSocketFlag adds --socket, by which a command finds the daemon.
func addSocketFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("socket", cmp.Or(os.Getenv("FAIRLEAD_SOCKETPATH"), defaultSocket), "the daemon's socket (socketPath in its configuration)")
}

// hint says what to do where no daemon answers.
func hint(err error, socket string) error {
	if !errors.Is(err, view.ErrNoDaemon) {
		return err
	}
	return fmt.Errorf("%w on %s; is it running on this node, as this user's process, with that socketPath? 'fairlead doctor' looks at the node without it", err, socket)
}

// columns aligns what is written to it by tabs. Flush it in the end.
func columns(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// ago says how long ago something was.
func ago(now, then time.Time) string {
	if then.IsZero() {
		return "never"
	}
	d := now.Sub(then)
	switch {
	case d < time.Second:
		return "now"
	case d < 2*time.Minute:
		return d.Round(time.Second).String() + " ago"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// plural says how many there are of something.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// isTerminal reports whether out is a terminal that can do more than print lines.
func isTerminal(out io.Writer) bool {
	file, is := out.(*os.File)
	if !is || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
