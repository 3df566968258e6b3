// Command prometheus draws what the panels of deploy/grafana show of testdata/run.txt, as a sheet of pictures:
//
//	cd test/tools/prometheus && go run . SHEET.png
//
// It is for people who change the dashboard and have no Grafana at hand. The tests beside it hold every query of the
// dashboard and of the alerts to the daemon's metrics.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: prometheus SHEET.png")
		os.Exit(2)
	}
	if err := sheet(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "prometheus:", err)
		os.Exit(1)
	}
}
