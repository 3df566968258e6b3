package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	root      = "../../../"
	dashboard = root + "deploy/grafana/fairlead.json"
	ruleFile  = root + "deploy/prometheus/rules.yaml"
)

// promQL is the language as Prometheus has it without feature flags.
var promQL = parser.NewParser(parser.Options{})

// board is what is read of Grafana's dashboard.
type board struct {
	Title, UID    string
	SchemaVersion int
	Panels        []*panel
	Templating    struct{ List []variable }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Targets                  []target
	FieldConfig              struct {
		Defaults struct {
			Unit       string
			Thresholds struct{ Steps []struct{ Value *float64 } }
		}
	}
	Datasource *source
}

type source struct{ Type, UID string }

type target struct {
	Expr, LegendFormat string
	Instant, Range     bool
	Datasource         source
}

type variable struct {
	Name, Type, Definition string
	Datasource             source
}

// readBoard reads the dashboard.
func readBoard() (*board, error) {
	data, err := os.ReadFile(dashboard)
	if err != nil {
		return nil, err
	}
	var b board
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("%s: %w", dashboard, err)
	}
	return &b, nil
}

// filled replaces Grafana's variables as Grafana would, with everything chosen.
func filled(expr, rateInterval string) string {
	return strings.NewReplacer("$__rate_interval", rateInterval, "$job", ".*", "$instance", ".*", "$namespace", ".*", "$top", "10").Replace(expr)
}

// readRules reads the alerts, with Prometheus' own checks.
func readRules() ([]rulefmt.RuleGroup, error) {
	groups, errs := rulefmt.ParseFile(ruleFile, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		return nil, fmt.Errorf("%v", errs)
	}
	return groups.Groups, nil
}
