package controller

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// Events tells people who look at a Service what is wrong with it. It is safe for concurrent use.
type Events interface {
	// Warning puts a Warning event on the Service.
	Warning(svc *corev1.Service, reason, text string)
}

// shownProblems is how many problems of one Service are told.
const shownProblems = 10

// problems remembers what is wrong with each Service, so that it is told once and not at every render.
type problems struct {
	of     map[types.NamespacedName][]render.Problem
	counts map[string]int // by reason
}

func newProblems() *problems {
	return &problems{of: make(map[types.NamespacedName][]render.Problem), counts: make(map[string]int)}
}

// replace makes these the problems of the Service and returns those that are new.
func (p *problems) replace(name types.NamespacedName, now []render.Problem) (fresh []render.Problem) {
	before := make(map[render.Problem]struct{})
	for _, problem := range p.of[name] {
		before[problem] = struct{}{}
		p.counts[problem.Reason]-- // to 0: the metric goes on to exist
	}
	for _, problem := range now {
		p.counts[problem.Reason]++
		if _, told := before[problem]; !told {
			fresh = append(fresh, problem)
		}
	}
	if len(now) == 0 {
		delete(p.of, name)
	} else {
		p.of[name] = now
	}
	return fresh
}

// tell reports what is newly wrong with a Service.
func (c *Controller) tell(name types.NamespacedName, svc *corev1.Service, now []render.Problem) {
	fresh := c.problems.replace(name, now)
	for i, problem := range fresh {
		if i == shownProblems {
			c.log.Warn("part of a Service is not served", "service", name.String(), "more", len(fresh)-i)
			return
		}
		c.record.note(name.String(), problem.Reason+": "+problem.Text)
		c.log.Warn("part of a Service is not served", "service", name.String(), "reason", problem.Reason, "problem", problem.Text)
		if c.options.Events != nil && svc != nil {
			c.options.Events.Warning(svc, problem.Reason, problem.Text)
		}
	}
}
