package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// listing is what the daemon exposes: a scrape without values (TestMetrics in cmd/fairlead writes it and holds it to the
// daemon).
const listing = root + "cmd/fairlead/testdata/metrics.txt"

// known are the labels of each metric.
type known map[string]map[string]bool

// readKnown reads the listing. Prometheus adds the target's labels, and `up`.
func readKnown() (known, error) {
	file, err := os.Open(listing)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	k := known{}
	k.add(labels.FromStrings(model.MetricNameLabel, "up"))
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		series, err := promQL.ParseMetric(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", listing, lines.Text(), err)
		}
		k.add(series)
	}
	return k, nil
}

func (k known) add(series labels.Labels) {
	name := series.Get(model.MetricNameLabel)
	if k[name] == nil {
		k[name] = map[string]bool{"job": true, "instance": true}
	}
	series.Range(func(l labels.Label) { k[name][l.Name] = true })
}

// wrong returns what an expression asks for that the daemon does not have: metrics, and labels of selectors and of
// grouping and matching clauses.
func (k known) wrong(expr parser.Expr) (complaints []string) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			have := k[n.Name]
			if have == nil {
				complaints = append(complaints, "there is no metric "+n.Name)
				return nil
			}
			for _, m := range n.LabelMatchers {
				if !have[m.Name] {
					complaints = append(complaints, fmt.Sprintf("%s has no label %s", n.Name, m.Name))
				}
			}
		case *parser.AggregateExpr:
			complaints = append(complaints, k.lacking(n.Expr, n.Grouping)...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil && len(n.VectorMatching.MatchingLabels) > 0 {
				complaints = append(complaints, k.lacking(n, n.VectorMatching.MatchingLabels)...)
			}
		}
		return nil
	})
	return complaints
}

// lacking complains about labels that no metric below an expression has.
func (k known) lacking(below parser.Expr, wanted []string) (complaints []string) {
	have := map[string]bool{}
	parser.Inspect(below, func(node parser.Node, _ []parser.Node) error {
		if selector, is := node.(*parser.VectorSelector); is {
			maps.Copy(have, k[selector.Name])
		}
		return nil
	})
	for _, label := range wanted {
		if !have[label] && len(have) > 0 {
			complaints = append(complaints, fmt.Sprintf("%s: nothing below has a label %s", below, label))
		}
	}
	slices.Sort(complaints)
	return complaints
}

// asksPending reports whether an expression asks for a metric that the daemon does not have yet.
func (k known) asksPending(expr string) bool {
	parsed, err := promQL.ParseExpr(filled(expr, rateInterval))
	return err == nil && len(k.wrong(parsed)) > 0
}
