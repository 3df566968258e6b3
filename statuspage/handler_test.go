package statuspage

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

// ask asks the page, as a browser would that has typed its address, but for what change does to the request.
func ask(method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "localhost:10266"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	Handler(fake{}, fake{}).ServeHTTP(w, r)
	return w
}

func TestTheFilesAreThere(t *testing.T) {
	index := ask("GET", "/", nil).Body.String()
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/app.js": "text/javascript; charset=utf-8",
		"/icon.svg": "image/svg+xml", "/v1/status": "application/json", "/v1/services": "application/json", "/v1/traffic": "application/json",
	} {
		w := ask("GET", path, nil)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != kind || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s, %d bytes", path, w.Code, got, w.Body.Len())
		}
		if isFile := !strings.HasPrefix(path, "/v1/"); isFile && path != "/" && path != "/app.js" && !strings.Contains(index, `"`+path+`"`) {
			t.Errorf("the page does not name %s", path)
		}
	}
	for _, path := range []string{"/index.html", "/assets/app.js", "/../go.mod", "/v1/", "/v2/status", "/debug/pprof/", "/metrics"} {
		if w := ask("GET", path, nil); w.Code == http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestABrowserKeepsTheFilesItHas(t *testing.T) {
	tag := ask("GET", "/app.js", nil).Header().Get("ETag")
	w := ask("GET", "/app.js", func(r *http.Request) { r.Header.Set("If-None-Match", tag) })
	if tag == "" || w.Code != http.StatusNotModified {
		t.Errorf("tag %s, then %d", tag, w.Code)
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	for _, path := range []string{"/", "/app.js", "/v1/status", "/v1/traffic?namespace=a&name=b", "/nothing"} {
		h := ask("GET", path, nil).Header()
		for name, want := range headers() {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if policy := h.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none';") || regexp.MustCompile(`unsafe|data:|\*|https?:`).MatchString(policy) {
			t.Errorf("%s: the policy is %s", path, policy)
		}
	}
}

func TestThePageIsReadOnly(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get"} {
		for _, path := range []string{"/", "/v1/status"} {
			if w := ask(method, path, nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	if w := ask("HEAD", "/", nil); w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
}

func TestOnlyItsOwnNamesReachThePage(t *testing.T) {
	for host, good := range map[string]bool{
		"localhost": true, "LOCALHOST:10266": true, "node.localhost:1": true, "127.0.0.1:10266": true, "[::1]:10266": true,
		"[::1]": true, "192.0.2.7:8080": true, "[fd00::1]:10266": true,
		"": false, "evil.example": false, "evil.example:10266": false, "localhost.evil.example": false, "127.0.0.1.evil.example:10266": false,
		"evillocalhost": false, "127.0.0.1@evil.example": false, "0x7f000001": false, "node-1": false, "localhost.": false,
	} {
		for _, path := range []string{"/", "/v1/status"} {
			w := ask("GET", path, func(r *http.Request) { r.Host = host })
			if (w.Code == http.StatusOK) != good || !good && w.Code != http.StatusForbidden {
				t.Errorf("Host %q, %s: %d", host, path, w.Code)
			}
		}
	}
}

func TestOtherPagesGetNoAnswer(t *testing.T) {
	type ask3 struct{ site, mode, dest, origin, path string }
	for from, want := range map[ask3]int{
		{}: 200,
		{site: "none", mode: "navigate", dest: "document", path: "/"}:                   200,
		{site: "same-origin", mode: "cors", dest: "empty", path: "/v1/status"}:          200,
		{site: "cross-site", mode: "navigate", dest: "document", path: "/"}:             200, // a link in a ticket
		{site: "cross-site", mode: "navigate", dest: "iframe", path: "/"}:               403,
		{site: "cross-site", mode: "navigate", dest: "document", path: "/v1/status"}:    403,
		{site: "cross-site", mode: "no-cors", dest: "script", path: "/app.js"}:          403,
		{site: "cross-site", mode: "no-cors", dest: "empty", path: "/v1/status"}:        403,
		{site: "same-site", mode: "cors", dest: "empty", path: "/v1/services"}:          403, // another port of localhost
		{site: "something-new", mode: "navigate", dest: "iframe", path: "/"}:            403,
		{origin: "http://evil.example", path: "/v1/status"}:                             403,
		{origin: "null", path: "/v1/status"}:                                            403,
		{origin: "http://localhost:10266", path: "/v1/status"}:                          200,
		{site: "same-origin", mode: "websocket", dest: "websocket", path: "/v1/status"}: 200, // answers as to any GET
	} {
		path := from.path
		if path == "" {
			path = "/v1/status"
		}
		w := ask("GET", path, func(r *http.Request) {
			for name, value := range map[string]string{"Sec-Fetch-Site": from.site, "Sec-Fetch-Mode": from.mode, "Sec-Fetch-Dest": from.dest, "Origin": from.origin} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
		})
		if w.Code != want {
			t.Errorf("%+v: %d, not %d", from, w.Code, want)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%+v: another origin may read it", from)
		}
	}
}

// TestMarkupIsEscaped looks at JSON, which a browser must never take for a document.
func TestMarkupIsEscaped(t *testing.T) {
	for _, path := range []string{"/v1/status", "/v1/services"} {
		w := ask("GET", path, nil)
		if body := w.Body.String(); strings.ContainsAny(body, "<>&") || !strings.Contains(body, `\u003cimg`) {
			t.Errorf("%s answers %s", path, body)
		}
	}
}

// TestTheScriptsMakeNoMarkup reads them: one function makes elements, and it knows no markup.
func TestTheScriptsMakeNoMarkup(t *testing.T) {
	entries, err := assets.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|setHTML|DOMParser|createContextualFragment|https?://[^w]|localStorage|cookie`)
	for _, entry := range entries {
		data, _ := assets.ReadFile("assets/" + entry.Name())
		for i, line := range strings.Split(string(data), "\n") {
			if entry.Name() != "index.html" && never.MatchString(line) {
				t.Errorf("%s:%d: %s", entry.Name(), i+1, line)
			}
			if entry.Name() == "index.html" && regexp.MustCompile(`style=|\son[a-z]+=|<script>|<style|https?://`).MatchString(line) {
				t.Errorf("%s:%d: %s", entry.Name(), i+1, line)
			}
		}
	}
}

// TestLinksToServicesOfAStateNameAChoice: one that names a state which does not exist would show nothing, and leave the box
// for the state empty.
func TestLinksToServicesOfAStateNameAChoice(t *testing.T) {
	script, err := assets.ReadFile("assets/status.js")
	if err != nil {
		t.Fatal(err)
	}
	page, err := assets.ReadFile("assets/index.html")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`state: "([^"]*)"`).FindAllStringSubmatch(string(script), -1)
	if len(links) == 0 {
		t.Error("the script makes no link")
	}
	for _, link := range links {
		if !strings.Contains(string(page), `<option value="`+link[1]+`">`) {
			t.Errorf("the page has no choice of the state %q", link[1])
		}
	}
}

func TestOnlySoManyQuestionsAtOnce(t *testing.T) {
	f := fake{asked: make(chan struct{})}
	server := httptest.NewServer(Handler(f, f))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	get := func(path string) int {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
		response, err := server.Client().Do(r)
		if err != nil {
			return 0 // canceled
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode
	}
	for range maxAnswers {
		go get("/v1/services")
		<-f.asked
	}
	if code := get("/v1/status"); code != http.StatusServiceUnavailable {
		t.Errorf("one more: %d", code)
	}
	if code := get("/"); code != http.StatusOK {
		t.Errorf("a file, meanwhile: %d", code)
	}
	cancel()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/v1/status", nil)
		r.Host = "localhost"
		server.Config.Handler.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("places are not given back")
		}
	}
}
