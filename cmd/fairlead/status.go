package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/view"
)

// newStatusCommand returns `fairlead status`.
func newStatusCommand() *cobra.Command {
	var output, socket *string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the daemon on this node is doing",
		Long: `Show how the daemon on this node is doing, on one screen: what it serves, what is
not yet as it should be, what it found changed by others and put right, and its
last error. It asks the daemon by its local socket.

Where no daemon answers it counts what the kernel has.

The exit status is 0 if the daemon is healthy, 2 if it is not, and 1 if it does
not answer.`,
		Example: `  fairlead status
  fairlead status -o json
  kubectl -n kube-system exec ds/fairlead -- fairlead status`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(cmd, *output); err != nil {
				return err
			}
			s, err := ask(newAsker(cmd, *socket), func(from view.Source) (view.Status, error) { return from.Status(cmd.Context()) })
			if err != nil {
				return err
			}
			if *output == "json" {
				err = writeJSON(cmd.OutOrStdout(), s)
			} else {
				err = writeStatus(cmd.OutOrStdout(), s)
			}
			if err == nil && s.Phase == view.PhaseNoDaemon {
				return errReported
			}
			if err == nil && !s.Healthy {
				err = exitStatus{2, "the daemon is not healthy"}
			}
			return err
		},
	}
	output, socket = outputFlag(cmd), addSocketFlag(cmd)
	return cmd
}

// writeStatus writes the one screen.
func writeStatus(w io.Writer, s view.Status) error {
	t := columns(w)
	line := func(name, format string, args ...any) { say(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	if s.Phase == view.PhaseNoDaemon {
		line("State", "%s (Linux %s)", s.Phase, s.Kernel)
		line("Virtual servers", "%d, of which %d are Fairlead's, with %s", s.VirtualServers.Total, s.Served, plural(s.RealServers, "real server"))
		line("Addresses", "%d", s.Addresses.Total)
		line("Set entries", "%d", s.Entries.Total)
		return t.Flush()
	}
	line("Fairlead", "%s on node %s, Linux %s, started %s", s.Version, s.Node, s.Kernel, ago(s.Now, s.Started))
	line("Health", "%s", healthText(s))
	line("State", "%s; Services come from %s%s", s.Phase, s.Source, silenceText(s))
	line("Services", "%d served of %d known", s.Served, s.Services)
	line("Virtual servers", "%d%s, with %s", s.VirtualServers.Total, pendingText(s, s.VirtualServers), plural(s.RealServers, "real server"))
	line("Addresses", "%d%s", s.Addresses.Total, pendingText(s, s.Addresses))
	line("Set entries", "%d%s", s.Entries.Total, pendingText(s, s.Entries))
	line("Connections", "%d, as of the last audit", s.Connections)
	line("Drains", "%s", drainText(s))
	line("Lag", "%s", lagText(s))
	line("Last change", "%s", syncText(s))
	line("Audit", "%s", auditText(s))
	line("Drift", "%s", driftText(s))
	line("Last error", "%s", errorLine(s))
	line("Problems", "%s", problemsText(s))
	if n := s.NoLocal; n.Internal+n.External > 0 {
		line("No local endpoint", "%d Services with internalTrafficPolicy Local, %d with externalTrafficPolicy Local", n.Internal, n.External)
	}
	for _, note := range s.Notes {
		line("Note", "%s", note)
	}
	return t.Flush()
}

func healthText(s view.Status) string {
	text := "healthy"
	if !s.Healthy {
		text = "NOT HEALTHY"
	}
	if !s.Eligible {
		text += "; load balancers are told to avoid this node, which is about to go"
	}
	return fmt.Sprintf("%s; the last round ended %s", text, ago(s.Now, s.Updated))
}

// silenceText warns of a source that is not heard of; a note says why.
func silenceText(s view.Status) string {
	if slices.ContainsFunc(s.Contacts, func(c view.Contact) bool { return c.Since != nil }) {
		return ", WHICH DOES NOT TELL OF CHANGES (see Note)"
	}
	return ""
}

// pendingText says for how many the kernel is other than desired. What a drain still needs is among them, and no reason to
// worry.
func pendingText(s view.Status, c view.Count) string {
	if c.Pending == 0 {
		return ""
	}
	if s.Draining > 0 {
		return fmt.Sprintf(" (%d not yet as desired, those that drain included)", c.Pending)
	}
	return fmt.Sprintf(" (%d not yet as desired)", c.Pending)
}

func drainText(s view.Status) string {
	if s.Draining == 0 {
		return "none"
	}
	until := "until the last connection ends"
	if s.DrainedBy != nil {
		until = "gone by " + s.DrainedBy.Local().Format("15:04:05") + " at the latest"
	}
	return fmt.Sprintf("%s removed, with open connections, %s: fairlead get endpoints --state draining", plural(s.Draining, "real server"), until)
}

func lagText(s view.Status) string {
	if s.Waiting == 0 {
		return "none: no change is waiting"
	}
	return fmt.Sprintf("a change has been waiting for %s", span(s.Waiting))
}

func span(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}

func syncText(s view.Status) string {
	if s.LastSync == nil {
		return "none since the start: the kernel was as it should be"
	}
	l := s.LastSync
	return fmt.Sprintf("%s: %d Services, %d writes, in %s", ago(s.Now, l.Ended), l.Services, l.Writes, span(l.Seconds))
}

func auditText(s view.Status) string {
	ended := "none has ended yet"
	if s.Audit.Ended != nil {
		ended = "the kernel was compared as a whole " + ago(s.Now, *s.Audit.Ended)
	}
	return fmt.Sprintf("%s; each takes %s", ended, span(s.Audit.Period))
}

func driftText(s view.Status) string {
	d := s.Drift
	if d.Last == nil {
		return "none: nobody has changed what is Fairlead's"
	}
	return fmt.Sprintf("%d rules and entries, %d servers, %d addresses were changed by somebody else and put right; last %s",
		d.Rules, d.Servers, d.Addresses, ago(s.Now, *d.Last))
}

func errorLine(s view.Status) string {
	if s.LastError == nil {
		return "none"
	}
	state := "put right since"
	if s.LastError.Current {
		state = "it is tried again"
	}
	return fmt.Sprintf("%s, %s: %s", ago(s.Now, s.LastError.At), state, strings.ReplaceAll(s.LastError.Text, "\n", "; "))
}

func problemsText(s view.Status) string {
	if len(s.Problems) == 0 {
		return "none"
	}
	var parts []string
	for _, p := range s.Problems {
		parts = append(parts, fmt.Sprintf("%d %s", p.Count, p.Reason))
	}
	return strings.Join(parts, ", ") + ": fairlead get services --state impaired (or lost)"
}
