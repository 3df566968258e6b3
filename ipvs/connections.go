package ipvs

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// openConnections counts, in the text of /proc/net/ip_vs_conn (ip_vs_conn_seq_show, net/netfilter/ipvs/ip_vs_conn.c),
// the connections that are open or being opened, by protocol, address and port of the frontend.
//
// The number of active connections that a real server has is another one. Where another proxy opens a connection
// between a client's port and an endpoint that IPVS remembers a closed one of, IPVS sees the answers, takes them for
// that one's, and counts it as active again, in the state SYN_SENT.
func openConnections(in io.Reader) (map[Key]int, error) {
	open := make(map[Key]int)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 || fields[0] == "Pro" {
			continue
		}
		if state := fields[7]; state != "ESTABLISHED" && state != "SYN_RECV" {
			continue
		}
		frontend := fields[3] + ":" + fields[4]
		if strings.Contains(fields[3], ":") {
			frontend = "[" + fields[3] + "]:" + fields[4]
		}
		key, err := procKey(fields[0], frontend)
		if err != nil {
			return nil, fmt.Errorf("%w in %q", err, lines.Text())
		}
		open[key]++
	}
	return open, lines.Err()
}
