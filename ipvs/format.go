package ipvs

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// The text in this file is that of `ipvsadm -Sn`, so that a golden file, a plan and what an
// operator sees on the node read the same.

// option returns ipvsadm's option for a virtual server: -t, -u, --sctp-service or -f.
func (k Key) option() string {
	switch {
	case k.Mark != 0 && k.Addr.Addr().Is6():
		return fmt.Sprintf("-f %d -6", k.Mark)
	case k.Mark != 0:
		return fmt.Sprintf("-f %d", k.Mark)
	case k.Protocol == TCP:
		return "-t " + k.Addr.String()
	case k.Protocol == UDP:
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
