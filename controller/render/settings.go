package render

import (
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// The annotations of a Service, and of an EndpointSlice, that choose for it alone.
const (
	AnnotationScheduler    = "fairlead.io/scheduler"
	AnnotationFlags        = "fairlead.io/scheduler-flags"
	AnnotationDrainTimeout = "fairlead.io/drain-timeout"
	AnnotationWeight       = "fairlead.io/weight"
)

// Settings are what annotations decide, defaults included.
type Settings struct {
	Scheduler    string
	Flags        ipvs.Flags
	DrainTimeout *time.Duration    // nil: the configured one
	Weights      map[string]uint16 // of the endpoints of a slice, by namespace and name; 1 where it is missing
}

// Zero reports whether annotations have decided nothing, given the options.
func (s Settings) Zero(o Options) bool {
	return (s.Scheduler == "" || s.Scheduler == o.Scheduler && s.Flags == o.Flags) && s.DrainTimeout == nil && len(s.Weights) == 0
}

// settings reads the annotations. What cannot be used is a problem, and what was in force before stays.
func settings(svc *corev1.Service, endpointSlices []*Slice, o *Options, before Settings, problem complain) Settings {
	s := Settings{Scheduler: o.Scheduler, Flags: o.Flags}
	if before.Scheduler == "" {
		before.Scheduler, before.Flags = o.Scheduler, o.Flags
	}
	if scheduler, flags, err := scheduling(svc.Annotations, o); err != nil {
		problem(badAnnotation, "%v; %s stays", err, before.Scheduler)
		s.Scheduler, s.Flags = before.Scheduler, before.Flags
	} else {
		s.Scheduler, s.Flags = scheduler, flags
	}
	if text, ok := svc.Annotations[AnnotationDrainTimeout]; ok {
		timeout, err := time.ParseDuration(text)
		if err == nil && timeout >= 0 {
			s.DrainTimeout = &timeout
		} else {
			problem(badAnnotation, "%s: %q is not a duration of 0s or more", AnnotationDrainTimeout, text)
			s.DrainTimeout = before.DrainTimeout
		}
	}
	s.Weights = weights(endpointSlices, before.Weights, problem)
	return s
}

// scheduling reads the two annotations that go together. Flags are those of the scheduler: an
// annotation for another scheduler leaves the configured flags behind.
func scheduling(annotations map[string]string, o *Options) (scheduler string, flags ipvs.Flags, err error) {
	name, own := annotations[AnnotationScheduler]
	text, ownFlags := annotations[AnnotationFlags]
	if !own {
		name = o.Scheduler
	}
	if own && name != o.Scheduler {
		if !slices.Contains(ipvs.Schedulers(), name) {
			return "", 0, annotationError{AnnotationScheduler, strconv.Quote(name) + " is none of " + strings.Join(ipvs.Schedulers(), " ")}
		}
		if o.Usable != nil {
			if err := o.Usable(name); err != nil {
				return "", 0, annotationError{AnnotationScheduler, err.Error()}
			}
		}
	}
	if !ownFlags {
		if name == o.Scheduler {
			flags = o.Flags
		}
		return name, flags, nil
	}
	flags, err = ipvs.ParseFlags(name, strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }))
	if err != nil {
		return "", 0, annotationError{AnnotationFlags, err.Error()}
	}
	return name, flags, nil
}

type annotationError struct{ annotation, text string }

func (e annotationError) Error() string { return e.annotation + ": " + e.text }

// weights reads the weights of slices.
func weights(endpointSlices []*Slice, before map[string]uint16, problem complain) (weights map[string]uint16) {
	for _, slice := range endpointSlices {
		if slice.weight == nil {
			continue
		}
		name, text := slice.Name, *slice.weight
		n, err := strconv.ParseUint(text, 10, 16)
		weight, keep := uint16(n), true
		if err != nil {
			problem(badAnnotation, "EndpointSlice %s: %s: %q is not from 0 to 65535", name, AnnotationWeight, text)
			weight, keep = before[name]
		}
		if !keep {
			continue
		}
		if weights == nil {
			weights = make(map[string]uint16)
		}
		weights[name] = weight
	}
	return weights
}
