package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// get fetches a page from a program in the namespace.
func get(n *lab.Namespace, url string, visit func(line string)) error {
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("fetch %s: %s", url, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		visit(lines.Text())
	}
	return lines.Err()
}

// metrics reads Fairlead's metrics, each by its name and labels. Samples of one name are summed under that name, too.
func metrics(n *lab.Namespace) (map[string]float64, error) {
	all := make(map[string]float64)
	err := get(n, "http://127.0.0.1:10249/metrics", func(line string) {
		series, text, _ := strings.Cut(line, " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || strings.HasPrefix(line, "#") {
			return
		}
		all[series] = value
		if name, _, labeled := strings.Cut(series, "{"); labeled {
			all[name] += value
		}
	})
	return all, err
}

// round is a round of synchronization that wrote something, as Fairlead's log tells.
type round struct {
	ended    time.Time
	took     time.Duration
	services int // that had changed; 0: it was about drains, or what had failed before
	writes   int
}

var roundLine = regexp.MustCompile(`^time=(\S+) .*msg=synced services=(\d+) writes=(\d+) took=(\S+)`)

// rounds reads Fairlead's log. Rounds that write nothing are not logged.
func rounds(log string) (list []round, err error) {
	data, err := os.ReadFile(log)
	if err != nil {
		return nil, fmt.Errorf("read Fairlead's log: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		m := roundLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		var r round
		if r.ended, err = time.Parse(time.RFC3339Nano, m[1]); err != nil {
			return nil, fmt.Errorf("read Fairlead's log: %w", err)
		}
		for i, number := range []*int{&r.services, &r.writes} {
			if *number, err = strconv.Atoi(m[2+i]); err != nil {
				return nil, fmt.Errorf("read Fairlead's log: %w", err)
			}
		}
		if r.took, err = time.ParseDuration(m[4]); err != nil {
			return nil, fmt.Errorf("read Fairlead's log: %w", err)
		}
		list = append(list, r)
	}
	return list, nil
}

// writes sums the writes to the kernel in a log.
func writes(log string) (sum int, err error) {
	list, err := rounds(log)
	for _, r := range list {
		sum += r.writes
	}
	return sum, err
}
