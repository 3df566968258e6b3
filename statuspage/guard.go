package statuspage

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard lets through what the page itself asks for, or somebody who types its address, and sees to it that
// browsers treat the answers as such.
type guard struct{ next http.Handler }

// ServeHTTP implements http.Handler.
func (g guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range headers() {
		w.Header().Set(name, value)
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this page is read-only", http.StatusMethodNotAllowed)
	case !named(r.Host):
		http.Error(w, "this page answers to localhost and to IP addresses only", http.StatusForbidden)
	case foreign(r):
		http.Error(w, "this page answers no other page", http.StatusForbidden)
	default:
		g.next.ServeHTTP(w, r)
	}
}

// headers are those of every answer. Only files of the page's own are loaded, only its own answers are fetched,
// nothing is sent anywhere, and nobody may frame or read it.
func headers() map[string]string {
	return map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"Cross-Origin-Embedder-Policy": "require-corp",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
	}
}

// named reports whether a request calls the page by one of its names. A name that somebody else's DNS leads here
// is none: the browser would let that somebody's scripts read the answers. An IP address needs no DNS.
func named(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// foreign reports whether a browser says that another origin is behind a request. Other programs say nothing. A
// link to the page from elsewhere is no harm: it opens a document that whoever made the link cannot read.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		origin := r.Header.Get("Origin")
		return origin != "" && origin != "http://"+r.Host
	}
	return r.URL.Path != "/" || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}
