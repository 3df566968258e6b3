package controller

import (
	"errors"
	"time"
)

// portionSize is how many Services are rendered and written together. At a cold start the first portion is the API
// server and the DNS alone: they are in force before the rest is looked at.
const portionSize = 512

// longestRound is how long a round takes in what comes meanwhile. The first one takes in all.
const longestRound = 2 * time.Second

// portion is a part of what is dirty, rendered.
type portion struct {
	services []rendered
	since    time.Time // when the oldest of all that were dirty came in
	more     bool      // others follow: see takesMore
	follows  bool      // others went before, whose virtual servers and bindings are not written yet
	alone    bool      // nothing is done before this one is in force
}

// firstPortion begins a round.
func (c *Controller) firstPortion() portion {
	if !c.settled {
		p := c.take(0) // those that come first
		p.alone = true
		return p
	}
	return c.take(portionSize)
}

// following returns what gives the portion behind p, which is rendered meanwhile.
func (c *Controller) following(p portion) func() portion {
	if !p.more || p.alone {
		return func() portion { return c.take(portionSize) }
	}
	next := make(chan portion, 1)
	go func() {
		c.await()
		p := c.take(portionSize)
		p.follows = true
		next <- p
	}()
	return func() portion { return <-next }
}

// take takes up to limit names, and those that come first, out of the dirty set, and renders them.
func (c *Controller) take(limit int) portion {
	c.feed.take()
	names, since := c.dirty.take(limit)
	p := portion{since: since, services: make([]rendered, len(names))}
	for i, name := range names {
		p.services[i] = c.lookAt(name)
	}
	return p
}

// takesMore reports whether a round that began then, and has taken so many Services, takes more portions in. Where they
// are many, what comes in meanwhile is taken along, so that it is read and written at the same time. But drains and
// deletions wait for the end of the round.
func (c *Controller) takesMore(began time.Time, services int) bool {
	_, any := c.dirty.oldest()
	if !c.settled {
		return any
	}
	return services > manyDirty && (any || c.coming()) && time.Since(began) < c.longest
}

// await waits for what is being read.
func (c *Controller) await() {
	for end := time.Now().Add(lull); c.dirty.len() == 0 && c.coming() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// flights are writes that are under way.
type flights []func() error

// launch begins to write operations, and has what comes of it recorded when they land.
func launch[Op any](f *flights, ops []Op, write func([]Op) []error, record func([]Op, []error) error) {
	if len(ops) == 0 {
		return
	}
	results := make(chan []error, 1)
	go func() { results <- write(ops) }()
	*f = append(*f, func() error { return record(ops, <-results) })
}

// land waits for all.
func (f *flights) land() error {
	var errs []error
	for _, record := range *f {
		errs = append(errs, record())
	}
	*f = nil
	return errors.Join(errs...)
}
