package view

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// pathTraffic is where HandleTraffic answers.
const pathTraffic = "/v1/traffic"

// Traffic is what has gone through virtual servers so far. The counters only grow, unless the kernel begins anew:
// who wants rates reads them twice. They fit a JavaScript number up to 2^53.
type Traffic struct {
	At          time.Time `json:"at"`             // when the counters were read
	Open        *int      `json:"open,omitempty"` // connections of any state right now; nil: unknown
	Connections uint64    `json:"connections"`    // ever begun
	InPackets   uint64    `json:"inPackets"`      // from clients
	OutPackets  uint64    `json:"outPackets"`     // to clients
	InBytes     uint64    `json:"inBytes"`
	OutBytes    uint64    `json:"outBytes"`
	Services    bool      `json:"services"` // the meter counts for each Service, too
}

// Meter counts traffic. It is safe for concurrent use.
type Meter interface {
	// Traffic returns the counters of one Service, if the filter has a namespace and a name, and of the whole
	// node otherwise.
	Traffic(context.Context, Filter) (Traffic, error)
}

// HandleTraffic answers from a meter, in JSON, beside what Handler answers.
func HandleTraffic(mux *http.ServeMux, m Meter) {
	handle(mux, pathTraffic, func(ctx context.Context, q url.Values) (any, error) { return m.Traffic(ctx, filterOf(q)) })
}
