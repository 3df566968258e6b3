package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// recording is what a Prometheus got of a daemon, one scrape a second (TestMetrics in cmd/fairlead, with -record).
const recording = "testdata/run.txt"

// series are values at equal distances, by series, in the notation of Prometheus' rule tests: "1 2 3x10 _ 4+1x5".
type series map[string]string

// readRecording returns the series of the recording, as a scrape job labels them, and when the first scrape was.
func readRecording() (series, time.Time, error) {
	file, err := os.Open(recording)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer file.Close()
	s, began := series{}, int64(0)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			_, _ = fmt.Sscanf(lines.Text(), "# began %d", &began)
			continue
		}
		name, values, err := split(lines.Text())
		if err != nil {
			return nil, time.Time{}, err
		}
		s[labeled(name)] = values
	}
	if began == 0 || len(s) == 0 {
		return nil, time.Time{}, fmt.Errorf("%s: no beginning, or no series", recording)
	}
	return s, time.UnixMilli(began), lines.Err()
}

// split separates a series from its values. Values of labels may hold spaces.
func split(line string) (name, values string, err error) {
	end := strings.LastIndex(line, "} ")
	if end < 0 {
		end = strings.Index(line, " ") - 1
	}
	if end < 0 {
		return "", "", fmt.Errorf("%q has no values", line)
	}
	return line[:end+1], line[end+2:], nil
}

// labeled adds what a scrape job adds.
func labeled(name string) string {
	const target = `job="fairlead",instance="node-1"`
	if head, rest, found := strings.Cut(name, "{"); found {
		return head + "{" + target + "," + rest
	}
	return name + "{" + target + "}"
}

// length is the number of values of the longest series.
func (s series) length() (n int, err error) {
	for name, values := range s {
		_, list, err := promQL.ParseSeriesDesc(name + " " + values)
		if err != nil {
			return 0, fmt.Errorf("%s %s: %w", name, values, err)
		}
		n = max(n, len(list))
	}
	return n, nil
}

// database is a Prometheus' storage in a temporary folder, and the engine that queries it.
type database struct {
	db     *tsdb.DB
	folder string
	engine *promql.Engine
}

const day = int64(24 * time.Hour / time.Millisecond)

// load fills a database with the series. Close removes it.
func load(s series, from time.Time, step time.Duration) (*database, error) {
	folder, err := os.MkdirTemp("", "prometheus")
	if err != nil {
		return nil, err
	}
	options := tsdb.DefaultOptions()
	options.RetentionDuration = 0
	options.MinBlockDuration, options.MaxBlockDuration = day, day // series are loaded one after the other
	db, err := tsdb.Open(folder, nil, nil, options, nil)
	if err != nil {
		return nil, err
	}
	d := &database{db: db, folder: folder, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: promQL,
	})}
	appender := db.Appender(context.Background())
	for text, values := range s {
		name, list, err := promQL.ParseSeriesDesc(text + " " + values)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", text, values, err)
		}
		if err := add(appender, name, list, from, step); err != nil {
			return nil, err
		}
	}
	return d, appender.Commit()
}

func (d *database) Close() {
	_ = d.db.Close()
	_ = os.RemoveAll(d.folder)
}

// query is what alerts are evaluated by.
func (d *database) query() rules.QueryFunc { return rules.EngineQueryFunc(d.engine, d.db) }

// during evaluates an expression at each step.
func (d *database) during(expr string, from, to time.Time, step time.Duration) (promql.Matrix, error) {
	query, err := d.engine.NewRangeQuery(context.Background(), d.db, nil, expr, from, to, step)
	if err != nil {
		return nil, err
	}
	result := query.Exec(context.Background())
	if result.Err != nil {
		return nil, result.Err
	}
	return result.Matrix()
}

// add appends the values of one series. Where it ends, it is marked as gone, as a scrape without it would.
func add(to storage.Appender, name labels.Labels, values []parser.SequenceValue, from time.Time, step time.Duration) error {
	there := false
	for i, v := range values {
		sample := v.Value
		if v.Omitted {
			if !there {
				continue
			}
			sample = math.Float64frombits(value.StaleNaN)
		}
		there = !v.Omitted
		if _, err := to.Append(0, name, from.Add(time.Duration(i)*step).UnixMilli(), sample); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
