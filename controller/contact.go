package controller

import (
	"fmt"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/view"
)

// contacts lists how it stands with the API server.
func (c *Controller) contacts() (list []source.Contact) {
	if c.source.Contacts != nil {
		list = c.source.Contacts.List()
	}
	return list
}

// heardOf reports whether changes of a kind come in. The metric says what status says.
func heardOf(one source.Contact, now time.Time) bool {
	_, _, silent := one.Silent(now)
	return one.Connected() && !silent
}

func viewContacts(contacts []source.Contact, now time.Time) []view.Contact {
	list := []view.Contact{}
	for _, one := range contacts {
		since, why, _ := one.Silent(now)
		list = append(list, view.Contact{
			Kind: one.Kind, Connected: heardOf(one, now), Answered: timeOf(one.Answered), Since: timeOf(since), Error: why,
		})
	}
	return list
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// silenceNotes says what the API server does not tell any more, in one note for each reason.
func silenceNotes(contacts []source.Contact, now time.Time) (notes []string) {
	type silence struct {
		kinds []string
		since time.Time
		what  string
		err   string
	}
	var all []*silence
	byError := make(map[string]*silence)
	for _, one := range contacts {
		since, why, silent := one.Silent(now)
		if !silent {
			continue
		}
		s := byError[why]
		if s == nil {
			s = &silence{since: since, what: "does not answer", err: why}
			if one.Answers() {
				s.what = "answers with an error"
			}
			byError[s.err], all = s, append(all, s)
		}
		s.kinds = append(s.kinds, one.Kind+"s")
		if since.Before(s.since) {
			s.since = since
		}
	}
	for _, s := range all {
		notes = append(notes, fmt.Sprintf("the API server %s: asked for %s since %s (%s): %s; the kernel keeps serving what it has, and changes wait",
			s.what, strings.Join(s.kinds, ", "), s.since.Local().Format("15:04:05"), now.Sub(s.since).Round(time.Second), s.err))
	}
	return notes
}
