package main

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// mostKeys bounds how many keys one wrong file can make series of.
const mostKeys = 20

// tellMetrics tells in metrics how the changes of the file went.
func tellMetrics(registry *prometheus.Registry) teller {
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "fairlead", Name: "config_reloads_total",
		Help: "Changes of the configuration file, by result: applied, refused as a whole, or incomplete, where the node did not let all of it take effect.",
	}, []string{"result"})
	wrong := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "fairlead", Name: "config_error",
		Help: "1 for each key that is wrong in the configuration file, which is not in force, or that could not take effect; no key: the file cannot be read.",
	}, []string{"key"})
	registry.MustRegister(reloads, wrong)
	applied, refused, incomplete := reloads.WithLabelValues("applied"), reloads.WithLabelValues("refused"), reloads.WithLabelValues("incomplete")
	return func(o outcome) {
		wrong.Reset()
		switch {
		case o.refused:
			refused.Inc()
		case len(o.problems) > 0:
			incomplete.Inc()
		default:
			applied.Inc()
		}
		for _, problem := range o.problems[:min(len(o.problems), mostKeys)] {
			wrong.WithLabelValues(keyOf(problem)).Set(1)
		}
	}
}

// tellNotes tells in the status as long as the file, or a part of it, is not in force.
func tellNotes(n *notes) teller {
	return func(o outcome) {
		var text string
		if len(o.problems) > 0 {
			text = o.text() + ": " + o.problems[0].Error()
		}
		n.set("configuration", text)
	}
}

// tellEvent tells of what is wrong in an Event. Its text has room for so many bytes in the API.
func tellEvent(event func(reason, text string)) teller {
	const most = 1000
	return func(o outcome) {
		if len(o.problems) == 0 {
			return
		}
		reason := "ConfigurationIncomplete"
		if o.refused {
			reason = "ConfigurationRefused"
		}
		text := o.text() + ": " + strings.ReplaceAll(errors.Join(o.problems...).Error(), "\n", "; ")
		if len(text) > most {
			text = strings.ToValidUTF8(text[:most], "") + "..."
		}
		event(reason, text)
	}
}
