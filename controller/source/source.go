// Package source provides the objects that Fairlead serves: from the API server, or from a directory
// of manifests for people without a cluster. Both have one shape, so nothing behind it differs.
package source

import (
	"context"

	"k8s.io/client-go/tools/cache"
)

// Source is where Services, EndpointSlices and this Node come from.
type Source struct {
	Services       cache.ListerWatcher
	EndpointSlices cache.ListerWatcher
	Nodes          cache.ListerWatcher

	// Complete reports whether the objects listed so far are all there are. While it says no,
	// nothing may be deleted because it is absent.
	Complete func() bool
	// Coming, if set, reports whether changes have arrived that are still being read: more is to come at once.
	Coming func() bool
	// Contacts, if set, says how it stands with the API server.
	Contacts *Contacts
	// Run, if set, does the source's own work until ctx ends.
	Run func(ctx context.Context) error
}
