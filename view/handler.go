package view

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The paths of the answers. All are read by GET.
const (
	pathStatus    = "/v1/status"
	pathServices  = "/v1/services"
	pathEndpoints = "/v1/endpoints"
	pathAddresses = "/v1/addresses"
	pathSets      = "/v1/sets"
	pathExplain   = "/v1/explain"
	pathOwners    = "/v1/owners"
)

// patience is how long an answer may take. The controller answers between two portions of its work.
const patience = 30 * time.Second

// failure is the body of an answer that is none.
type failure struct {
	Error string `json:"error"`
}

// Handler answers from a source, in JSON. It changes nothing.
func Handler(s Source) http.Handler {
	mux := http.NewServeMux()
	handle(mux, pathStatus, func(ctx context.Context, _ url.Values) (any, error) { return s.Status(ctx) })
	handle(mux, pathServices, func(ctx context.Context, q url.Values) (any, error) { return s.Services(ctx, filterOf(q)) })
	handle(mux, pathEndpoints, func(ctx context.Context, q url.Values) (any, error) { return s.Endpoints(ctx, filterOf(q)) })
	handle(mux, pathAddresses, func(ctx context.Context, q url.Values) (any, error) { return s.Addresses(ctx, filterOf(q)) })
	handle(mux, pathSets, func(ctx context.Context, q url.Values) (any, error) { return s.Sets(ctx, filterOf(q)) })
	handle(mux, pathExplain, func(ctx context.Context, q url.Values) (any, error) { return s.Explain(ctx, q.Get("what")) })
	handle(mux, pathOwners, func(ctx context.Context, _ url.Values) (any, error) { return s.Owners(ctx) })
	return mux
}

func handle(mux *http.ServeMux, path string, answer func(context.Context, url.Values) (any, error)) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		body, err := answer(ctx, r.URL.Query())
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case ctx.Err() != nil:
			w.WriteHeader(http.StatusServiceUnavailable)
			body = failure{"the controller is busy and has not answered in " + patience.String()}
		case err != nil:
			w.WriteHeader(http.StatusNotFound)
			body = failure{err.Error()}
		}
		// The client may have gone; nobody is left to tell.
		_ = json.NewEncoder(w).Encode(body)
	})
}

// filterOf reads a filter from a query, in which numbers that are none count as 0.
func filterOf(q url.Values) Filter {
	number := func(key string) int {
		n, _ := strconv.Atoi(q.Get(key))
		return max(n, 0)
	}
	return Filter{
		Namespace: q.Get("namespace"), Name: q.Get("name"), Address: q.Get("address"), Search: q.Get("search"), State: q.Get("state"),
		Offset: number("offset"), Limit: number("limit"),
	}
}

// query is what filterOf reads.
func (f Filter) query() url.Values {
	q := make(url.Values)
	set := func(key, value string) {
		if value != "" && value != "0" {
			q.Set(key, value)
		}
	}
	set("namespace", f.Namespace)
	set("name", f.Name)
	set("address", f.Address)
	set("search", f.Search)
	set("state", f.State)
	set("offset", strconv.Itoa(f.Offset))
	set("limit", strconv.Itoa(f.Limit))
	return q
}
