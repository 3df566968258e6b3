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
		Help: "Changes of the configuration file, by result: applied, or refused as a whole.",
	}, []string{"result"})
	wrong := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "fairlead", Name: "config_error",
		Help: "1 for each key that is wrong in the configuration file, which is not in force; no key: the file cannot be read.",
	}, []string{"key"})
	registry.MustRegister(reloads, wrong)
	applied, refused := reloads.WithLabelValues("applied"), reloads.WithLabelValues("refused")
	return func(problems []error) {
		wrong.Reset()
		if len(problems) == 0 {
			applied.Inc()
			return
		}
		refused.Inc()
		for _, problem := range problems[:min(len(problems), mostKeys)] {
			wrong.WithLabelValues(keyOf(problem)).Set(1)
		}
	}
}

// tellNotes tells in the status as long as the file is wrong.
func tellNotes(n *notes) teller {
	return func(problems []error) {
		var text string
		if len(problems) > 0 {
			text = "the configuration file is refused, and the last good one stays in force: " + problems[0].Error()
		}
		n.set("configuration", text)
	}
}

// tellEvent tells of what is wrong in an Event. Its text has room for so many bytes in the API.
func tellEvent(event func(reason, text string)) teller {
	const most = 1000
	return func(problems []error) {
		if len(problems) == 0 {
			return
		}
		text := "the last good configuration stays in force: " + strings.ReplaceAll(errors.Join(problems...).Error(), "\n", "; ")
		if len(text) > most {
			text = strings.ToValidUTF8(text[:most], "") + "..."
		}
		event("ConfigurationRefused", text)
	}
}
