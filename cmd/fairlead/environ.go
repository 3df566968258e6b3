package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// envPrefix starts the names of the variables that set configuration keys.
const envPrefix = "FAIRLEAD_"

// parseEnviron returns the layer of the environment. A variable that is set to
// the empty string counts: it is the way to disable healthzBindAddress, or to
// empty a list. Variables with the prefix that name no key are warnings only,
// since others may have put them there.
func parseEnviron(environ []string) (layer, []string, error) {
	byName := map[string]key{}
	var names []string
	for _, k := range keys() {
		byName[k.env()] = k
		names = append(names, k.env())
	}
	l, warnings, errs := layer{}, []string(nil), []error(nil)
	// Sorted, so that the same mistakes read the same each time.
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		if k, ok := byName[name]; ok {
			errs = append(errs, l.put(k, name, strings.TrimSpace(value)))
		} else if !foreignVariable(name) {
			warnings = append(warnings, name+": names no configuration key"+didYouMean(name, names))
		}
	}
	return l, warnings, errors.Join(errs...)
}

// foreignVariable tells whether a variable with our prefix is known to be for
// something else: our own tests and build, or what Kubernetes sets in every
// pod beside a Service whose name starts with "fairlead" (FAIRLEAD_SERVICE_HOST,
// FAIRLEAD_METRICS_PORT_10249_TCP_ADDR, ...).
func foreignVariable(name string) bool {
	for _, prefix := range []string{"TEST_", "VM", "CACHE"} {
		if strings.HasPrefix(name, envPrefix+prefix) {
			return true
		}
	}
	return regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)$`).MatchString(name)
}
