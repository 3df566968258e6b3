package statuspage

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/fairlead-lb/fairlead/view"
)

//go:embed assets
var assets embed.FS

// Handler serves the page, and under /v1/ what it shows: that of the source, and of the meter unless it is nil.
func Handler(source view.Source, meter view.Meter) http.Handler {
	answers := http.NewServeMux()
	answers.Handle("/v1/", view.Handler(source))
	if meter != nil {
		view.HandleTraffic(answers, meter)
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", atMost(maxAnswers, answers))
	files, err := fs.ReadDir(assets, "assets")
	if err != nil {
		panic(err) // not with what is embedded
	}
	for _, file := range files {
		mux.Handle(pathOf(file.Name()), asset(file.Name()))
	}
	return guard{mux}
}

// pathOf returns where a file is found.
func pathOf(name string) string {
	if name == "index.html" {
		return "/{$}"
	}
	return "/" + name
}

// asset serves an embedded file. A browser keeps it, but asks each time whether it is still the same: the next
// daemon may have another one.
func asset(name string) http.Handler {
	data, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // not with what is embedded
	}
	sum := sha256.Sum256(data)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	kind := map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
		".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}[path.Ext(name)]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
	})
}

// maxAnswers is how many questions the page asks the controller at once, for all who look at it. Each costs the
// controller a little time.
const maxAnswers = 8

// atMost lets so many requests through at once, and tells the others to come again.
func atMost(n int, next http.Handler) http.Handler {
	places := make(chan struct{}, n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many questions at once", http.StatusServiceUnavailable)
		}
	})
}
