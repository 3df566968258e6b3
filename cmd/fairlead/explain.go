package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/view"
)

// newExplainCommand returns `fairlead explain`.
func newExplainCommand() *cobra.Command {
	var output, socket *string
	cmd := &cobra.Command{
		Use:   "explain NAMESPACE/NAME | ADDRESS[:PORT]",
		Short: "Say why a Service is served as it is on this node",
		Long: `Say why a Service is served as it is on this node: each virtual server as it
should be and as the kernel has it; each endpoint, whether it is in or out, and
why; and which way a packet takes from a pod, from this node and from outside.

What is asked for is a Service, or an address that clients come to; of an address
that several Services want, the one that has it comes first. Where no daemon
answers, only an address can be explained, by what the kernel has.`,
		Example: `  fairlead explain default/web
  fairlead explain 10.96.0.10:443
  fairlead explain [fd00:10:96::a]:53
  fairlead explain default/web -o json`,
		Args: wantArgs("NAMESPACE/NAME or ADDRESS[:PORT]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(cmd, *output); err != nil {
				return err
			}
			list, err := ask(newAsker(cmd, *socket), func(from view.Source) ([]view.Explanation, error) { return from.Explain(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			if *output == "json" {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			for i, e := range list {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				writeExplanation(cmd.OutOrStdout(), e, time.Now())
			}
			return nil
		},
	}
	output, socket = outputFlag(cmd), addSocketFlag(cmd)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return serviceNames(cmd.Context(), *socket, typed, args), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// serviceNames lists what the shell may complete to: the Services that the daemon knows, if it answers soon.
func serviceNames(ctx context.Context, socket, typed string, args []string) (names []string) {
	if len(args) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	services, err := view.NewClient(socket).Services(ctx, view.Filter{})
	if err != nil {
		return nil // the shell has nowhere to show it
	}
	for _, s := range services.Items {
		if name := s.Namespace + "/" + s.Name; strings.HasPrefix(name, typed) && visible(name) == name {
			names = append(names, name)
		}
	}
	return names
}

// writeExplanation writes what is known of one Service, from the conclusion to the details.
func writeExplanation(w io.Writer, e view.Explanation, now time.Time) {
	if e.Name == "" { // the kernel's answer: it knows no Services
		for _, s := range e.Servers {
			writeServer(w, s)
		}
		return
	}
	say(w, "Service %s/%s: %s%s\n", e.Namespace, e.Name, e.State, why(e.Reason))
	say(w, "  type %s, created %s, internalTrafficPolicy %s%s, sessionAffinity %s\n",
		dash(e.Type), ago(now, e.Created), e.Internal, behind(", externalTrafficPolicy ", e.External), e.Affinity)
	if len(e.Settings) > 0 {
		say(w, "  by annotation: %s\n", strings.Join(e.Settings, "; "))
	}
	if e.HealthNow != "" {
		say(w, "  health check: %s\n", e.HealthNow)
	}
	section(w, "Problems", len(e.Problems), func() {
		for _, p := range e.Problems {
			say(w, "  %s: %s\n", p.Reason, p.Text)
		}
	})
	section(w, "Remarks", len(e.Remarks), func() {
		for _, r := range e.Remarks {
			say(w, "  %s\n", r)
		}
	})
	section(w, "Endpoints", len(e.Verdicts), func() { writeVerdicts(w, e) })
	section(w, "Virtual servers", len(e.Servers), func() {
		for _, s := range e.Servers {
			writeServer(w, s)
		}
	})
	section(w, "Packets", len(e.Paths), func() { writePaths(w, e.Paths) })
}

func section(w io.Writer, title string, n int, write func()) {
	if n > 0 {
		say(w, "\n%s\n", title)
		write()
	}
}

func behind(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// writeVerdicts writes a line for each endpoint; the second verdict only where a policy asks for it.
func writeVerdicts(w io.Writer, e view.Explanation) {
	local := e.Internal == "Local" || e.External == "Local"
	t := columns(w)
	for _, v := range e.Verdicts {
		say(t, "  %s\t%s\ton %s\t%s: %s", v.Protocol+" "+v.Address, behind("port ", v.Port), dash(v.Node), inOrOut(v.In), v.Why)
		if local {
			say(t, "\tLocal %s: %s", inOrOut(v.Local), v.WhyLocal)
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}

func inOrOut(in bool) string {
	if in {
		return "in"
	}
	return "OUT"
}

// writeServer writes a virtual server as it should be, and what of that the kernel has not.
func writeServer(w io.Writer, s view.Server) {
	state := s.State
	if s.Owner != "" {
		state += " to Service " + s.Owner + ", which wants it, too"
	}
	say(w, "  %s  %s%s: %s\n", s.Name, s.Kind, behind(" of port ", s.Port), state)
	if s.Owner != "" {
		return
	}
	switch {
	case s.Desired == nil && s.Kernel != nil:
		say(w, "    kernel   %s\n", s.Kernel.Text)
	case s.Desired != nil && s.Kernel == nil:
		say(w, "    desired  %s\n    kernel   has it not\n", s.Desired.Text)
	case s.Desired != nil && *s.Desired != *s.Kernel:
		say(w, "    desired  %s\n    kernel   %s\n", s.Desired.Text, s.Kernel.Text)
	case s.Desired != nil:
		say(w, "    %s\n", s.Desired.Text)
	}
	t := columns(w)
	for _, r := range s.Reals {
		kernel := ""
		if r.State != view.InForce {
			kernel = "kernel: " + weightText(r.Kernel)
		}
		say(t, "    -> %s\t%s\t%s\t%s\n", r.Address, weightText(r.Desired), realState(r), kernel)
	}
	_ = t.Flush()
	for _, entry := range s.Entries {
		if entry.State != view.InForce {
			say(w, "    set entry %s: %s\n", entry.State, entry.Text)
		}
	}
	if s.Bound != nil && !s.Bound.Kernel {
		say(w, "    its address is not bound to the dummy interface\n")
	}
}

func writePaths(w io.Writer, paths []view.Path) {
	t := columns(w)
	for _, p := range paths {
		say(t, "  %s\tfrom %s\t%s\t%s\n", p.Server, p.From, p.To+endpointList(p.Endpoints), p.Masquerade)
	}
	_ = t.Flush()
}

// endpointList names a few endpoints.
func endpointList(list []string) string {
	const shown = 3
	switch {
	case len(list) == 0:
		return ""
	case len(list) <= shown:
		return ": " + strings.Join(list, " ")
	}
	return fmt.Sprintf(": %s and %d more", strings.Join(list[:shown], " "), len(list)-shown)
}
