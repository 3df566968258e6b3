package main

import (
	"fmt"
	"io"
)

// writeTop writes a sample for people, over the last one where it goes to a screen.
func writeTop(out io.Writer, s topSample, screen bool) error {
	if screen {
		fmt.Fprint(out, "\x1b[H\x1b[2J")
	}
	say(out, "%s  %d of %d virtual servers with traffic; in all %s connections/s, in %sB/s, out %sB/s\n",
		s.At.Local().Format("15:04:05"), s.Busy, s.All, short(s.Total.Connections), short(s.Total.InBytes), short(s.Total.OutBytes))
	if s.Unnamed != "" {
		say(out, "without the names of Services: %s\n", s.Unnamed)
	}
	if s.Still != "" {
		fmt.Fprintln(out, s.Still)
	}
	t := columns(out)
	fmt.Fprintln(t, "NAMESPACE\tNAME\tKIND\tVIRTUAL SERVER\tCONN/S\tIN PKT/S\tOUT PKT/S\tIN B/S\tOUT B/S")
	for _, r := range s.Rows {
		writeTopRow(t, r, r.Server)
		for _, e := range r.Endpoints {
			writeTopRow(t, topRow{rates: e.rates}, "  -> "+e.Endpoint)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

func writeTopRow(w io.Writer, r topRow, server string) {
	say(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Namespace, r.Name, r.Kind, server,
		short(r.Connections), short(r.InPackets), short(r.OutPackets), short(r.InBytes), short(r.OutBytes))
}

// short writes a number with three figures and a prefix of thousands.
func short(v float64) string {
	for _, prefix := range []string{"", "k", "M", "G"} {
		if v < 999.5 {
			if v < 10 && v != float64(int(v)) {
				return fmt.Sprintf("%.1f%s", v, prefix)
			}
			return fmt.Sprintf("%.0f%s", v, prefix)
		}
		v /= 1000
	}
	return fmt.Sprintf("%.0fT", v)
}
