package page

import "github.com/fairlead-lb/fairlead/test/bench/result"

// Figure is a drawing with the number of Services to the right, both axes logarithmic. test/tools/plot draws it.
type Figure struct {
	File   string   `json:"file"`
	Title  string   `json:"title"`
	Y      string   `json:"y"`
	Series []Series `json:"series"`
}

// Series is one line of a figure.
type Series struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
}

// Point is one point of a series.
type Point struct {
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	More bool    `json:"more"` // it is more than that: the time limit came first
}

// Figures are those of the page.
func Figures(r result.Result) []Figure {
	return []Figure{
		{"cold-start.svg", "Cold start: process start to the last Service served", "seconds", series(r, "cold", "last", 0.5)},
		{"change-latency.svg", "One endpoint changes: API response to first packet, median", "milliseconds", series(r, "change", "latency", 0.5)},
		{"change-latency-p99.svg", "One endpoint changes: API response to first packet, 99th percentile", "milliseconds", series(r, "change", "latency", 0.99)},
		{"memory.svg", "Resident memory", "MiB", series(r, "idle", "rss", 0.5)},
	}
}

// least is drawn for what is less, or not positive: a subject may hear of a change before we hear that it was made.
const least = 0.1

func series(r result.Result, row, metric string, q float64) (list []Series) {
	for _, subject := range known(r, row, metric) {
		s := Series{Name: subject}
		for _, n := range r.Sizes(row, metric) {
			if v := quantile(r, row, subject, n, metric, q); v.ok {
				s.Points = append(s.Points, Point{float64(n), max(v.v, least), v.more})
			}
		}
		list = append(list, s)
	}
	return list
}
