package ipvs

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// TotalsFile is the file that ReadTotals reads. The one without percpu is only as fresh as the kernel's
// estimators are, which run every two seconds, or not at all (ipvs.estimation).
const TotalsFile = "/proc/net/ip_vs_stats_percpu"

// ReadTotals reads the counters of all virtual servers of a network namespace together, those that are gone
// included, of each CPU, and adds them up. The format is that of ip_vs_stats_percpu_show in
// net/netfilter/ipvs/ip_vs_ctl.c: two lines of headings, a line of hexadecimal numbers for each CPU, and one
// that begins with ~ for the estimators' sums, which, and whose rates behind it, are not read.
func ReadTotals(r io.Reader) (c Counters, err error) {
	scanner := bufio.NewScanner(r)
	cpus := 0
	for line := 1; scanner.Scan(); line++ {
		fields := strings.Fields(scanner.Text())
		switch {
		case line <= 2:
			continue
		case len(fields) == 6 && fields[0] != "~":
			if err := c.add(fields[1:]); err != nil {
				return Counters{}, fmt.Errorf("line %d: %w", line, err)
			}
			cpus++
			continue
		case cpus == 0:
			return Counters{}, fmt.Errorf("line %d has no counters: %q", line, scanner.Text())
		}
		return c, nil
	}
	if err := scanner.Err(); err != nil {
		return Counters{}, err
	}
	return Counters{}, fmt.Errorf("it ends after the counters of %d CPUs", cpus)
}

func (c *Counters) add(fields []string) error {
	for i, sum := range []*uint64{&c.Connections, &c.InPackets, &c.OutPackets, &c.InBytes, &c.OutBytes} {
		n, err := strconv.ParseUint(fields[i], 16, 64)
		if err != nil {
			return err
		}
		*sum += n
	}
	return nil
}
