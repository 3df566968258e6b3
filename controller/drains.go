package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/view"
)

// drains adds the virtual servers that have real servers which drain, and no others: the list of drains is asked
// for every second, and must not cost as much as there are Services.
func (c *Controller) drains(ctx context.Context, f view.Filter, add func(types.NamespacedName, view.Server)) error {
	var keys []ipvs.Key
	byMark := make(map[uint32]types.NamespacedName)
	if err := c.look(ctx, func() {
		keys = c.ipvs.DrainingServers()
		if len(keys) > 0 && keys[len(keys)-1].Mark != 0 { // they are in order
			for owner, mark := range c.claims.marks.of {
				byMark[mark] = owner.service
			}
		}
	}); err != nil {
		return err
	}
	return inParts(ctx, c, keys, func(k ipvs.Key) {
		name := byMark[k.Mark]
		if claim := c.claims.servers[k]; claim != nil {
			name = claim.claimants[0].name
		}
		asked := (f.Namespace == "" || f.Namespace == name.Namespace) && (f.Name == "" || f.Name == name.Name)
		if asked && (f.Search == "" || c.matches(name, view.Filter{Search: f.Search})) {
			add(name, c.describeServer(k, name, detail{reals: true}))
		}
	})
}
