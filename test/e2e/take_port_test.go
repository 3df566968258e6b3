//go:build linux

package e2e

import (
	"errors"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// onePort shows why the long-lived connections here have ports of their own. A pod opens connections from one port
// to frontends with the same endpoints, until two of them meet the same one. In mode ipvs of kube-proxy, as with
// Fairlead, the older of the two stands still, for IPVS finds an answer's connection by endpoint and client alone
// (docs/migration.md). The other modes translate the port.
func (k *takeover) onePort() {
	k.t.Helper()
	const port = 31_000 // nobody else's: see package lab
	older := make(map[string]*lab.Held)
	for _, to := range k.tcp {
		if to.from != k.caller.Namespace {
			continue // who is masqueraded gets another port in any case
		}
		newer, err := lab.HoldFrom(k.t.Context(), to.from, port, to.addr)
		must(k.t, err)
		defer newer.Reset() //nolint:errcheck // it may be reset already
		endpoint := newer.Answer.Local.String()
		if older[endpoint] == nil {
			older[endpoint] = newer
			continue
		}
		must(k.t, newer.Ping())
		still := older[endpoint].Ping()
		k.t.Logf("two connections of one port to %s: the older one says %v", endpoint, still)
		if k.mode == "ipvs" && still == nil {
			still = errors.New("both go on: docs/migration.md says that one stands still")
		} else if k.mode == "ipvs" {
			still = nil
		}
		must(k.t, still)
		return
	}
	k.t.Error("no two connections have met the same endpoint")
}
