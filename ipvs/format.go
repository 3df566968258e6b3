package ipvs

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// The text in this file is that of `ipvsadm -Sn`, so that a golden file, a plan and what an
// operator sees on the node read the same.

// option returns ipvsadm's option for a virtual server: -t, -u or --sctp-service.
func (k Key) option() string {
	switch k.Protocol {
	case TCP:
		return "-t " + k.Addr.String()
	case UDP:
		return "-u " + k.Addr.String()
	}
	return "--sctp-service " + k.Addr.String()
}

// FormatServer returns the line of `ipvsadm -Sn` for a virtual server.
func FormatServer(k Key, v VirtualServer) string {
	line := "-A " + k.option() + " -s " + v.Scheduler
	if v.Persistence > 0 {
		line += fmt.Sprintf(" -p %d", int(v.Persistence/time.Second))
	}
	if v.Flags&OnePacket != 0 {
		line += " -o"
	}
	if flags := v.flagNames(); len(flags) > 0 {
		line += " -b " + strings.Join(flags, ",")
	}
	return line
}

// FormatReal returns the line of `ipvsadm -Sn` for a real server.
func FormatReal(k Key, real netip.AddrPort, v RealServer) string {
	return fmt.Sprintf("-a %s -r %s -m -w %d", k.option(), real, v.Weight)
}

func (v VirtualServer) flagNames() []string {
	all := []string{"flag-1", "flag-2", "flag-3"}
	if v.Scheduler == "sh" || v.Scheduler == "mh" {
		all = []string{v.Scheduler + "-fallback", v.Scheduler + "-port"}
	}
	var names []string
	for i, name := range all {
		if v.Flags&(SchedFallback<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}
