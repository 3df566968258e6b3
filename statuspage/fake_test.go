package statuspage

import (
	"context"
	"errors"

	"github.com/fairlead-lb/fairlead/view"
)

// fake is a daemon with one Service of a name that no API server would take.
type fake struct {
	view.Source
	asked chan struct{} // nil: answers at once
}

const hostile = `<img src=x onerror=alert(1)>"'&`

func (fake) Status(context.Context) (view.Status, error) { return view.Status{Node: hostile}, nil }

func (f fake) Services(ctx context.Context, _ view.Filter) (view.Services, error) {
	if f.asked != nil {
		f.asked <- struct{}{}
		<-ctx.Done()
	}
	return view.Services{Items: []view.Service{{Name: hostile}}, Total: 1}, nil
}

func (fake) Traffic(_ context.Context, f view.Filter) (view.Traffic, error) {
	if f.Name != "" {
		return view.Traffic{}, errors.New("not counted")
	}
	return view.Traffic{Connections: 7}, nil
}
