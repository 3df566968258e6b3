package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/view"
)

// getFlags are those that all of `fairlead get` have.
type getFlags struct {
	view.Filter
	state  string
	output *string
	socket *string
}

// newGetCommand returns `fairlead get`.
func newGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get",
		Short: "List what is desired beside what the kernel has",
		Long: `List what is desired beside what the kernel has: Services with their virtual
servers, endpoints, VIPs, and entries of the sets. It asks the daemon by its local
socket; what the daemon knows of the kernel is what it wrote and what its last
audit saw. Where no daemon answers it lists what the kernel has.`,
		Example: `  fairlead get services --namespace default
  fairlead get endpoints --address 10.96.0.10
  fairlead get addresses
  fairlead get sets --state pending -o json`,
		Args: noSuchCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(
		newGetPart("services", "List Services with their virtual servers", "impaired", getServices),
		newGetPart("endpoints", "List the real servers of Services", "draining", getEndpoints),
		newGetPart("addresses", "List the VIPs on the dummy interface", "pending", getAddresses),
		newGetPart("sets", "List the entries of the sets that the rules consult", "pending", getSets),
	)
	return cmd
}

// newGetPart returns one of the commands of `fairlead get`.
func newGetPart(name, short, state string, get func(context.Context, view.Source, getFlags) (listing, error)) *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Long: short + `, each as it should be and as the kernel has it.

It asks the daemon by its local socket, and reads the kernel where none answers:
then nobody knows of Services, or of what should be there. Filters can be
combined; without any it lists everything.`,
		Example: fmt.Sprintf(`  fairlead get %[1]s
  fairlead get %[1]s --namespace kube-system --name kube-dns
  fairlead get %[1]s --address 10.96.0.10 -o json
  fairlead get %[1]s --state %[2]q`, name, state),
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			answer, err := ask(newAsker(cmd, *f.socket), func(from view.Source) (listing, error) { return get(cmd.Context(), from, f) })
			if err != nil {
				return err
			}
			if *f.output == "json" {
				return writeJSON(cmd.OutOrStdout(), answer.list)
			}
			t := columns(cmd.OutOrStdout())
			answer.write(t)
			return t.Flush()
		},
	}
	cmd.Flags().StringVarP(&f.Namespace, "namespace", "n", "", "of Services in this namespace")
	cmd.Flags().StringVar(&f.Name, "name", "", "of Services with this name")
	cmd.Flags().StringVar(&f.Address, "address", "", "of this VIP or endpoint, with or without :PORT")
	cmd.Flags().StringVar(&f.state, "state", "", "in this state: "+strings.Join(view.States(), ", "))
	f.output, f.socket = outputFlag(cmd), addSocketFlag(cmd)
	return cmd
}

// check refuses what could only ever find nothing.
func (f getFlags) check(cmd *cobra.Command) error {
	_, err := netip.ParseAddr(f.Address)
	_, portErr := netip.ParseAddrPort(f.Address)
	states := append(view.States(), stateThere)
	switch {
	case f.Address != "" && err != nil && portErr != nil:
		return usageError(cmd, fmt.Sprintf("--address: %q is not an IP address, nor IP:PORT (IPv6: [IP]:PORT)", f.Address))
	case f.state != "" && !slices.Contains(states, f.state):
		return usageError(cmd, fmt.Sprintf("--state: %q is none of %s", f.state, strings.Join(states, ", ")))
	}
	return checkOutput(cmd, *f.output)
}

// listing is what was asked for, and how to write it for people, in columns.
type listing struct {
	list  any
	write func(io.Writer)
}

// rows is a list with a line for each.
func rows[T any](list []T, header string, write func(io.Writer, T)) listing {
	return listing{list, func(w io.Writer) {
		fmt.Fprintln(w, header)
		for _, v := range list {
			write(w, v)
		}
	}}
}

// kept leaves out what is not in the wanted state.
func kept[T any](list []T, state func(T) string, wanted string) []T {
	if wanted == "" {
		return list
	}
	return slices.DeleteFunc(list, func(v T) bool { return state(v) != wanted })
}

func getServices(ctx context.Context, s view.Source, f getFlags) (listing, error) {
	services, err := s.Services(ctx, f.Filter)
	list := kept(services.Items, func(v view.Service) string { return v.State }, f.state)
	return rows(list, "NAMESPACE\tNAME\tTYPE\tKIND\tVIRTUAL SERVER\tSCHEDULER\tENDPOINTS\tSTATE", writeService), err
}

func writeService(w io.Writer, v view.Service) {
	if len(v.Servers) == 0 {
		say(w, "%s\t%s\t%s\t-\t-\t-\t-\t%s\n", v.Namespace, v.Name, dash(v.Type), v.State+why(v.Reason))
	}
	for _, s := range v.Servers {
		scheduler := s.Desired
		if scheduler == nil {
			scheduler = s.Kernel
		}
		var name string
		if scheduler != nil {
			name = scheduler.Scheduler
		}
		state, endpoints := s.State, endpointsText(s)
		if s.Owner != "" {
			state, endpoints = state+" to "+s.Owner, "-" // those that are there are the owner's
		}
		if s.State == view.InForce && len(v.Problems) > 0 {
			state += why(plural(len(v.Problems), "problem") + ": fairlead explain " + v.Namespace + "/" + v.Name)
		}
		say(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", dash(v.Namespace), dash(v.Name), dash(v.Type), s.Kind, s.Name, dash(name), endpoints, state)
	}
}

// endpointsText says how many of the real servers are in the kernel, and how many drain.
func endpointsText(s view.Server) string {
	text := fmt.Sprint(s.Endpoints)
	if s.InForce != s.Endpoints {
		text = fmt.Sprintf("%d of %d", s.InForce, s.Endpoints)
	}
	if s.Draining > 0 {
		text += fmt.Sprintf(" +%d draining", s.Draining)
	}
	return text
}

func why(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func getEndpoints(ctx context.Context, s view.Source, f getFlags) (listing, error) {
	list, err := s.Endpoints(ctx, f.Filter)
	list = kept(list, func(v view.Endpoint) string { return v.State }, f.state)
	return rows(list, "NAMESPACE\tNAME\tVIRTUAL SERVER\tENDPOINT\tDESIRED\tKERNEL\tSTATE", func(w io.Writer, v view.Endpoint) {
		say(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", dash(v.Namespace), dash(v.Name), v.Server, v.Address,
			weightText(v.Desired), weightText(v.Kernel), realState(v.Real))
	}), err
}

func weightText(weight *int) string {
	if weight == nil {
		return "-"
	}
	return fmt.Sprintf("weight %d", *weight)
}

func realState(r view.Real) string {
	if r.Deadline != nil {
		return r.State + " until " + r.Deadline.Local().Format("15:04:05") + " at the latest"
	}
	return r.State
}

func getAddresses(ctx context.Context, s view.Source, f getFlags) (listing, error) {
	list, err := s.Addresses(ctx, f.Filter)
	list = kept(list, func(v view.Address) string { return v.State }, f.state)
	return rows(list, "VIP\tAS\tDESIRED\tKERNEL\tVIRTUAL SERVERS\tSTATE", func(w io.Writer, v view.Address) {
		say(w, "%s\t%s\t%s\t%s\t%d\t%s\n", v.Address, v.As, yes(v.Desired), yes(v.Kernel), len(v.Servers), v.State)
	}), err
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func getSets(ctx context.Context, s view.Source, f getFlags) (listing, error) {
	list, err := s.Sets(ctx, f.Filter)
	list = kept(list, func(v view.Entry) string { return v.State }, f.state)
	return rows(list, "ENTRY\tDESIRED\tKERNEL\tSTATE", func(w io.Writer, v view.Entry) {
		say(w, "%s\t%s\t%s\t%s\n", strings.TrimPrefix(v.Text, "add "), yes(v.Desired), yes(v.Kernel), v.State)
	}), err
}
